//! `wl watch`: the engine in the foreground or the background, and what becomes of it.

use serde_json::json;

use super::context::with_causes;
use super::{CliError, CliResult, Context, Exit};
use crate::engine::watch::{self, WatchError, WatchFlags, WatchStatus};

/// Run the engine: controllers, node agent and the API on the state directory's socket
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Watch {
    #[command(flatten)]
    flags: WatchFlags,
    /// Go on in the background once the API answers
    #[arg(long)]
    background: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Whether a watch runs, and how to reach it
    Status {
        /// text or json
        #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
        output: String,
    },
    /// End the watch; its pods go on running
    Stop,
    /// What a watch in the background has written
    Logs,
    /// Write and enable a systemd unit, so that pods come back after a reboot
    Install(Box<super::watch_install::Install>),
}

fn failed(error: &WatchError) -> CliError {
    CliError::message(with_causes(error))
}

impl Watch {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dir = ctx.state_dir();
        match &self.command {
            Some(Command::Status { output }) => Ok(status(ctx, &watch::status(&dir), output == "json")),
            Some(Command::Stop) => {
                let pid = watch::stop(&dir).await.map_err(|e| failed(&e))?;
                ctx.out.line(&format!("watch stopped (process {pid}); its pods go on running"));
                Ok(Exit::Success)
            }
            Some(Command::Logs) => {
                let path = watch::status(&dir).log;
                let text = std::fs::read(&path)
                    .map_err(|e| CliError::message(format!("{}: {e}", path.display())))?;
                ctx.out.text(&String::from_utf8_lossy(&text));
                Ok(Exit::Success)
            }
            Some(Command::Install(install)) => install.run(ctx).await,
            None if self.background => {
                let status = watch::start(&dir, &self.flags).await.map_err(|e| failed(&e))?;
                ctx.out.line(&format!("watch runs (process {})", status.pid.unwrap_or_default()));
                Ok(Exit::Success)
            }
            None => {
                watch::run(&dir, &self.flags, watch::asked_to_end()).await.map_err(|e| failed(&e))?;
                Ok(Exit::Success)
            }
        }
    }
}

fn status(ctx: &mut Context, status: &WatchStatus, as_json: bool) -> Exit {
    if as_json {
        ctx.out.line(&format!("{:#}", json!(status)));
    } else if status.running {
        ctx.out.line(&format!("running           process {}", status.pid.unwrap_or_default()));
        ctx.out.line(&format!("socket            {}", status.socket.display()));
        ctx.out.line(&format!("state directory   {}", status.state_directory.display()));
        if let Some(podman) = &status.podman {
            let mode = if podman.rootless { "rootless" } else { "rootful" };
            ctx.out.line(&format!("Podman            {} ({mode}) at {}", podman.version, podman.address));
        }
    } else {
        ctx.out.line(&format!("no watch runs for {}", status.state_directory.display()));
    }
    if status.running { Exit::Success } else { Exit::Failure }
}
