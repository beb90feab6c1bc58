//! `wl rollout restart|pause|resume`. Source: k8s.io/kubectl/pkg/polymorphichelpers/object{restarter,pauser,resumer}.go.

use bytes::Bytes;
use serde_json::json;

use super::Which;
use crate::api::Json;
use crate::api::status::quote;
use crate::cli::resources::Info;
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::{Ask, Client};

/// The annotation by which a template differs from the one before.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

#[derive(clap::Args)]
pub struct Restart {
    #[command(flatten)]
    which: Which,
}

#[derive(clap::Args)]
pub struct Pause {
    #[command(flatten)]
    which: Which,
}

#[derive(clap::Args)]
pub struct Resume {
    #[command(flatten)]
    which: Which,
}

impl Restart {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let at = ctx.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        each(ctx, &self.which, "restarted", |info| {
            if !matches!(info.found.kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet") {
                return Err(cannot(info, "restarting is not supported"));
            }
            if paused(info) {
                return Err(cannot(info, "can't restart paused deployment (run rollout resume first)"));
            }
            let last = info.object.pointer("/spec/template/metadata/annotations").and_then(|all| all.get(RESTARTED_AT));
            if last.and_then(Json::as_str) == Some(at.as_str()) {
                let why = "if restart has already been triggered within the past second, please wait before attempting to trigger another";
                return Err(CliError::message(format!("failed to create patch for {}: {why}", info.name)));
            }
            let annotations = json!({RESTARTED_AT: at});
            Ok(json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}))
        })
        .await
    }
}

impl Pause {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        each(ctx, &self.which, "paused", |info| {
            if info.found.kind != "Deployment" {
                return Err(cannot(info, "pausing is not supported"));
            }
            if paused(info) {
                return Err(cannot(info, "is already paused"));
            }
            Ok(json!({"spec": {"paused": true}}))
        })
        .await
    }
}

impl Resume {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        each(ctx, &self.which, "resumed", |info| {
            if info.found.kind != "Deployment" {
                return Err(cannot(info, "resuming is not supported"));
            }
            if !paused(info) {
                return Err(cannot(info, "is not paused"));
            }
            Ok(json!({"spec": {"paused": null}}))
        })
        .await
    }
}

fn cannot(info: &Info, why: &str) -> CliError {
    CliError::message(format!("{} {} {why}", info.found.qualified(), quote(&info.name)))
}

fn paused(info: &Info) -> bool {
    info.object.pointer("/spec/paused").and_then(Json::as_bool) == Some(true)
}

/// Patches each workload by what `patch` says of it, or tells why not.
async fn each(
    ctx: &mut Context,
    which: &Which,
    done: &str,
    patch: impl Fn(&Info) -> Result<Json, CliError>,
) -> CliResult {
    ctx.client_to_change().await?;
    let (infos, mut errors) = which.find(ctx).await?;
    let client = ctx.client().await?;
    for info in &infos {
        match patch(info) {
            Err(why) => errors.push(why),
            Ok(patch) => match send(&client, info, &patch).await {
                Ok(()) => ctx.out.line(&format!("{} {done}", info.shown())),
                Err(error) => errors.push(error),
            },
        }
    }
    match CliError::many(errors) {
        Some(error) => Err(error),
        None => Ok(Exit::Success),
    }
}

async fn send(client: &Client, info: &Info, patch: &Json) -> Result<(), CliError> {
    let ask = Ask::new(http::Method::PATCH, info.path())
        .query("fieldManager", "kubectl-rollout")
        .bytes("application/strategic-merge-patch+json", Bytes::from(patch.to_string()));
    client.send(ask).await?;
    Ok(())
}
