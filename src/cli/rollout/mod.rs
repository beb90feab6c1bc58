//! `wl rollout`: looks after the revisions of workloads. Source: k8s.io/kubectl/pkg/cmd/rollout.

mod history;
mod status;
mod switch;
mod undo;

use super::input::Files;
use super::resources::{Info, Selection, items};
use super::{CliError, CliResult, Context};

/// Look after the rollout of workloads
#[derive(clap::Args)]
pub struct Rollout {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Wait for a rollout, and say how far it is
    Status(status::Status),
    /// The revisions there are
    History(history::History),
    /// Go back to an earlier revision
    Undo(undo::Undo),
    /// Replace all pods, one after the other
    Restart(switch::Restart),
    /// Stop rolling out changes for the time being
    Pause(switch::Pause),
    /// Go on after a pause
    Resume(switch::Resume),
}

impl Rollout {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match &self.command {
            Command::Status(args) => args.run(ctx).await,
            Command::History(args) => args.run(ctx).await,
            Command::Undo(args) => args.run(ctx).await,
            Command::Restart(args) => args.run(ctx).await,
            Command::Pause(args) => args.run(ctx).await,
            Command::Resume(args) => args.run(ctx).await,
        }
    }
}

/// Which workloads.
#[derive(clap::Args, Clone, Debug, Default)]
struct Which {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = super::complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

impl Which {
    /// The workloads, and why others are missing.
    async fn find(&self, ctx: &mut Context) -> Result<(Vec<Info>, Vec<CliError>), CliError> {
        if self.args.is_empty() && self.files.is_empty() {
            return Err(CliError::message("required resource not specified"));
        }
        let selection = Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            labels: self.selector.clone(),
            type_alone: true,
            chunk: 500,
            ..Selection::default()
        };
        let found = selection.fetch(ctx).await?;
        Ok((items(found.infos), found.errors))
    }
}

/// `Job.batch`, `Pod`: a kind as these commands name it.
fn group_kind(info: &Info) -> String {
    if info.found.group.is_empty() { info.found.kind.clone() } else { format!("{}.{}", info.found.kind, info.found.group) }
}
