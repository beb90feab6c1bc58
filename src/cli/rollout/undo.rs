//! `wl rollout undo`. Source: k8s.io/kubectl/pkg/polymorphichelpers/rollback.go.

use bytes::Bytes;
use serde_json::json;

use super::Which;
use super::history::revisions;
use crate::api::{Json, Object};
use crate::cli::resources::Info;
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::{Ask, Client};

/// Annotations that stay with the Deployment: rollback.go, `annotationsToSkip`.
const STAY: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

#[derive(clap::Args)]
pub struct Undo {
    #[command(flatten)]
    which: Which,
    /// The revision to go back to (0: the one before)
    #[arg(long, default_value_t = 0, value_parser = crate::cli::flags::integer, hide_default_value = true)]
    to_revision: i64,
    /// none, server or client: show what would be done
    #[arg(long, num_args = 0..=1, default_value = "none", default_missing_value = "unchanged", require_equals = true, hide_default_value = true)]
    dry_run: String,
}

impl Undo {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.dry_run == "none" { ctx.client_to_change().await? } else { ctx.client().await? };
        let (infos, mut errors) = self.which.find(ctx).await?;
        let client = ctx.client().await?;
        for info in &infos {
            match self.one(ctx, &client, info).await {
                Ok(text) => ctx.out.line(&format!("{} {text}", info.shown())),
                Err(error) => errors.push(error),
            }
        }
        match CliError::many(errors) {
            Some(error) => Err(error),
            None => Ok(Exit::Success),
        }
    }

    async fn one(&self, ctx: &Context, client: &Client, info: &Info) -> Result<String, CliError> {
        if !matches!((info.found.group.as_str(), info.found.kind.as_str()), ("apps", "Deployment" | "DaemonSet" | "StatefulSet")) {
            return Err(CliError::message(format!("no rollbacker has been implemented for {:?}", super::group_kind(info))));
        }
        let word = info.found.kind.to_lowercase();
        let all = revisions(client, info).await?;
        let not_found = || match self.to_revision {
            0 => CliError::message(format!("no rollout history found for {word} {:?}", info.name)),
            n => CliError::message(format!("unable to find specified revision {n} in history")),
        };
        let wanted = match self.to_revision {
            0 => *all.keys().rev().nth(1).ok_or_else(not_found)?,
            n => n,
        };
        let target = all.get(&wanted).ok_or_else(not_found)?;
        if info.object.pointer("/spec/paused").and_then(Json::as_bool) == Some(true) {
            return Err(CliError::message(format!(
                "you cannot rollback a paused deployment; resume it first with 'wl rollout resume {}' and try again",
                info.shown()
            )));
        }
        let template = bare(&target.template);
        let now = bare(info.object.pointer("/spec/template").unwrap_or(&Json::Null));
        // kubectl compares what the others keep byte by byte, and never finds it the same.
        if info.found.kind == "Deployment" && now == template {
            return Ok(format!("skipped rollback (current template already matches revision {wanted})"));
        }
        if self.dry_run == "client" {
            let shown = crate::cli::describe::pod_template(ctx, &template);
            return Ok(format!("{} (dry run)", shown.trim_end_matches('\n')));
        }
        let (media, patch) = if info.found.kind == "Deployment" {
            let annotations = annotations(info, &Object::new(target.holder.clone()));
            ("application/json-patch+json", json!([
                {"op": "replace", "path": "/spec/template", "value": template},
                {"op": "replace", "path": "/metadata/annotations", "value": annotations},
            ]))
        } else {
            ("application/strategic-merge-patch+json", target.holder.get("data").cloned().unwrap_or(Json::Null))
        };
        let mut ask = Ask::new(http::Method::PATCH, info.path()).bytes(media, Bytes::from(patch.to_string()));
        if self.dry_run == "server" {
            ask = ask.query("dryRun", "All");
        }
        client.send(ask).await?;
        Ok(if self.dry_run == "server" { "rolled back (server dry run)".into() } else { "rolled back".into() })
    }
}

/// A template without the label that names its ReplicaSet.
fn bare(template: &Json) -> Json {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Json::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    if let Some(map) = template.as_object_mut() {
        map.remove("$patch");
    }
    template
}

/// The Deployment's annotations after the rollback: its own that stay, and the revision's.
fn annotations(info: &Info, set: &Object) -> Json {
    let own = info.object();
    let mut all = serde_json::Map::new();
    for (key, value) in own.annotations().filter(|(k, _)| STAY.contains(k)) {
        all.insert(key.to_owned(), value.into());
    }
    for (key, value) in set.annotations().filter(|(k, _)| !STAY.contains(k)) {
        all.insert(key.to_owned(), value.into());
    }
    Json::Object(all)
}
