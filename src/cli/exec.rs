//! `wl exec`: runs a command in a container. Source: k8s.io/kubectl/pkg/cmd/exec/exec.go.

use std::time::Duration;

use super::input::Files;
use super::resources::Selection;
use super::session::{self, pod};
use super::{CliError, CliResult, Context};

/// Run a command in a container
#[derive(clap::Args)]
pub struct Exec {
    #[arg(value_name = "POD | TYPE/NAME", add = super::complete::pods())]
    args: Vec<String>,
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Which container
    #[arg(short, long, default_value = "", hide_default_value = true, add = super::complete::containers())]
    container: String,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Standard input is a terminal
    #[arg(short, long)]
    tty: bool,
    /// Print only what the command prints
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait for a pod of a workload
    #[arg(long, default_value = "1m", value_parser = super::flags::duration, hide_default_value = true)]
    pod_running_timeout: Duration,
}

impl Exec {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let named = self.args.first();
        if self.args.len() > 1 || (named.is_some() && !self.files.is_empty()) {
            let why = "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead";
            return Err(CliError::Usage(why.into()));
        }
        positive(self.pod_running_timeout)?;
        if named.is_none() && self.files.is_empty() {
            return Err(CliError::message("pod, type/name or --filename must be specified"));
        }
        if self.command.is_empty() {
            return Err(CliError::message("you must specify at least one command for the container"));
        }
        let client = ctx.client().await?;
        let selection = match named {
            Some(named) => pod::selection(named),
            None => Selection { files: self.files.clone(), ..Selection::default() },
        };
        let info = pod::object(ctx, &selection).await?;
        let pod = pod::Target::of(&client, &info)?.pod(self.pod_running_timeout).await?;
        pod::refuse_ended(&pod, "exec into")?;
        let container = pod::container(ctx, &pod, &self.container, self.quiet)?;
        let name = container["name"].as_str().unwrap_or("");
        let streams = session::possible(ctx, self.stdin, self.tty, self.quiet);
        let ask = session::exec(&pod, name, &self.command, streams);
        let ended = session::run(ctx, &client, ask, streams, None).await?;
        session::report(ctx, &ended)
    }
}

/// `--pod-running-timeout` as kubectl checks it.
pub(super) fn positive(patience: Duration) -> Result<(), CliError> {
    if patience.is_zero() {
        return Err(CliError::Usage("--pod-running-timeout must be higher than zero".into()));
    }
    Ok(())
}
