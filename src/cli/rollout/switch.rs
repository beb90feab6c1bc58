//! `wl rollout restart|pause|resume`. Source: k8s.io/kubectl/pkg/polymorphichelpers/object{restarter,pauser,resumer}.go.

use bytes::Bytes;
use serde_json::json;

use super::Which;
use crate::api::Json;
use crate::api::status::quote;
use crate::cli::resources::Info;
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::{Ask, Client};

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
                return Err("restarting is not supported".into());
            }
            if paused(info) {
                return Err("can't restart paused deployment (run rollout resume first)".into());
            }
            let annotations = json!({"kubectl.kubernetes.io/restartedAt": at});
            Ok(json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}))
        })
        .await
    }
}

impl Pause {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        each(ctx, &self.which, "paused", |info| {
            if info.found.kind != "Deployment" {
                return Err("pausing is not supported".into());
            }
            if paused(info) {
                return Err("is already paused".into());
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
                return Err("resuming is not supported".into());
            }
            if !paused(info) {
                return Err("is not paused".into());
            }
            Ok(json!({"spec": {"paused": null}}))
        })
        .await
    }
}

fn paused(info: &Info) -> bool {
    info.object.pointer("/spec/paused").and_then(Json::as_bool) == Some(true)
}

/// Patches each workload by what `patch` says of it, or tells why not.
async fn each(
    ctx: &mut Context,
    which: &Which,
    done: &str,
    patch: impl Fn(&Info) -> Result<Json, String>,
) -> CliResult {
    ctx.client_to_change().await?;
    let (infos, mut errors) = which.find(ctx).await?;
    let client = ctx.client().await?;
    for info in &infos {
        match patch(info) {
            Err(why) => errors.push(CliError::message(format!("{} {} {why}", info.found.qualified(), quote(&info.name)))),
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
