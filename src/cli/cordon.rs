//! `wl cordon` and `wl uncordon`: whether new pods may come to the node.
//! Source: k8s.io/kubectl/pkg/cmd/drain/drain.go, k8s.io/kubectl/pkg/drain/cordon.go.

use serde_json::json;

use super::change::{DryRun, DryRunFlag, STRATEGIC};
use super::resources::{Info, Selection, items};
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::client::Ask;

/// Which nodes.
#[derive(clap::Args)]
pub struct Nodes {
    #[arg(value_name = "NODE")]
    names: Vec<String>,
    /// Only nodes with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    #[command(flatten)]
    pub dry_run: DryRunFlag,
}

/// Let no new pods come to a node
#[derive(clap::Args)]
pub struct Cordon {
    #[command(flatten)]
    nodes: Nodes,
}

/// Let pods come to a node again
#[derive(clap::Args)]
pub struct Uncordon {
    #[command(flatten)]
    nodes: Nodes,
}

impl Cordon {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.nodes.dry_run.mode(ctx)?;
        let nodes = self.nodes.find(ctx, "cordon", dry_run).await?;
        mark(ctx, &nodes, true, dry_run).await
    }
}

impl Uncordon {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.nodes.dry_run.mode(ctx)?;
        let nodes = self.nodes.find(ctx, "uncordon", dry_run).await?;
        mark(ctx, &nodes, false, dry_run).await
    }
}

impl Nodes {
    pub async fn find(&self, ctx: &mut Context, command: &str, dry_run: DryRun) -> Result<Vec<Info>, CliError> {
        if self.names.is_empty() && self.selector.is_none() {
            return Err(CliError::Usage(format!("USAGE: {command} NODE [flags]")));
        }
        if !self.names.is_empty() && self.selector.as_ref().is_some_and(|s| !s.is_empty()) {
            return Err(CliError::Usage("error: cannot specify both a node name and a --selector option".into()));
        }
        dry_run.client(ctx).await?;
        let mut args = vec!["nodes".to_owned()];
        if self.names.iter().any(|name| name.contains('/')) {
            args.clear();
        }
        args.extend(self.names.iter().cloned());
        let labels = self.selector.clone().filter(|_| self.names.is_empty());
        let selection = Selection { args, labels, chunk: 500, ..Selection::default() };
        let found = selection.fetch(ctx).await?;
        // kubectl stops at the first.
        if let Some(error) = found.errors.into_iter().next() {
            return Err(error);
        }
        let nodes = items(found.infos);
        match nodes.iter().find(|info| info.found.resource != "nodes" || !info.found.group.is_empty()) {
            Some(other) => {
                let found = &other.found;
                let resource = format!("{}/{}, Resource={}", found.group, found.version, found.resource);
                Err(CliError::message(format!("error: expected resource of type node, got \"{resource}\"")))
            }
            None => Ok(nodes),
        }
    }
}

/// Marks nodes as closed to new pods, or open to them. A node that refuses does not stop the others.
pub async fn mark(ctx: &mut Context, nodes: &[Info], closed: bool, dry_run: DryRun) -> CliResult {
    let word = if closed { "cordon" } else { "uncordon" };
    for node in nodes {
        let now = node.object.pointer("/spec/unschedulable").and_then(Json::as_bool).unwrap_or(false);
        let suffix = dry_run.suffix();
        if now == closed {
            ctx.out.line(&format!("{} already {word}ed{suffix}", node.shown()));
            continue;
        }
        if dry_run != DryRun::Client {
            let client = ctx.client().await?;
            let value = if closed { json!(true) } else { Json::Null };
            let patch = json!({"spec": {"unschedulable": value}});
            let ask = Ask::new(http::Method::PATCH, node.path()).bytes(STRATEGIC, patch.to_string());
            if let Err(error) = client.send(dry_run.ask(ask)).await {
                ctx.err.line(&format!("error: unable to {word} node \"{}\": {error}", node.name));
                continue;
            }
        }
        ctx.out.line(&format!("{} {word}ed{suffix}", node.shown()));
    }
    Ok(Exit::Success)
}
