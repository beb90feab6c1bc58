//! `wl down`: takes away what `wl up` has applied.

use std::time::Duration;

use super::change::deletion::{Deletion, let_data_go, wait_until_gone};
use super::change::{DryRun, DryRunFlag};
use super::project::Project;
use super::prune::{self, ApplySet};
use super::resources::Info;
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::client::Client;

/// Delete what wl up has applied from a folder; claims, and the data in them, only with -v
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl down\n  wl down k8s/ -v")]
pub struct Down {
    #[command(flatten)]
    project: Project,
    /// Delete claims and volumes too, with the data in them [short: -v]
    #[arg(long)]
    volumes: bool,
    /// How long to wait at most (0: for ever)
    #[arg(long, default_value = "5m", value_parser = super::flags::timeout)]
    timeout: Duration,
    #[command(flatten)]
    dry_run: DryRunFlag,
}

impl Down {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.dry_run.mode(ctx)?;
        let client = dry_run.client(ctx).await?;
        let set = self.project.set(ctx, &client).await?;
        if !set.exists() {
            let text = format!("{}: wl up has applied nothing from here", self.project.folder(ctx)?.display());
            return Err(CliError::message(text));
        }
        let (mut gone, kept) = self.members(&client, &set).await?;
        gone.sort_by_key(|info| rank(&info.found.kind));
        let volumes = if self.volumes { let_data_go(&client, &gone, dry_run).await? } else { Vec::new() };
        for info in &gone {
            // What has pods is gone when they are.
            let policy = if rank(&info.found.kind) == 0 { "Foreground" } else { "Background" };
            let deletion = Deletion { policy, grace: -1, dry_run, names: false };
            match deletion.send(&client, info).await {
                Err(error) if error.is_not_found() => {}
                other => {
                    other?;
                    deletion.tell(ctx, info);
                }
            }
        }
        for info in &kept {
            ctx.err.line(&format!("{} stays, as it may hold data; wl down -v takes it away", info.shown()));
        }
        if dry_run == DryRun::None {
            gone.extend(volumes);
            wait_until_gone(ctx, &client, &gone, self.timeout).await?;
            if kept.is_empty() {
                set.remove(&client).await?;
            } else {
                set.settle(&client, &[], &kept, dry_run).await?;
            }
        }
        Ok(Exit::Success)
    }

    /// What goes, and what stays for the data in it.
    async fn members(&self, client: &Client, set: &ApplySet) -> Result<(Vec<Info>, Vec<Info>), CliError> {
        let members = set.members(client).await?;
        if !self.volumes {
            return prune::without_data(client, members).await;
        }
        let mut all = members;
        let sets: Vec<Info> = all.iter().filter(|i| i.found.group == "apps" && i.found.kind == "StatefulSet").cloned().collect();
        for stateful in &sets {
            for claim in prune::claims(client, &stateful.namespace).await? {
                let known = all.iter().any(|i| i.found == claim.found && i.namespace == claim.namespace && i.name == claim.name);
                if !known && is_claim_of(&claim.name, stateful) {
                    all.push(claim);
                }
            }
        }
        Ok((all, Vec::new()))
    }
}

/// `data-web-0` of the StatefulSet `web` with a template `data`.
fn is_claim_of(claim: &str, stateful: &Info) -> bool {
    let templates = stateful.object.pointer("/spec/volumeClaimTemplates").and_then(Json::as_array);
    templates.into_iter().flatten().any(|template| {
        let name = template.pointer("/metadata/name").and_then(Json::as_str).unwrap_or("");
        let ordinal = claim.strip_prefix(&format!("{name}-{}-", stateful.name));
        ordinal.is_some_and(|o| !o.is_empty() && o.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// What others stand on goes last.
fn rank(kind: &str) -> u8 {
    match kind {
        "CronJob" | "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => 0,
        "Pod" => 1,
        "PersistentVolumeClaim" => 3,
        "PersistentVolume" => 4,
        "CustomResourceDefinition" => 5,
        "Namespace" => 6,
        _ => 2,
    }
}
