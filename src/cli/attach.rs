//! `wl attach`: the streams of a container's own process. Source: k8s.io/kubectl/pkg/cmd/attach/attach.go.

use std::time::Duration;

use super::resources::Selection;
use super::session::{self, DetachKeys, Ended, pod};
use super::{CliError, CliResult, Context};
use crate::api::{Json, Object};
use crate::client::Client;

/// Attach to the process of a running container
#[derive(clap::Args)]
pub struct Attach {
    #[arg(value_name = "POD | TYPE/NAME | TYPE NAME", add = super::complete::pods())]
    args: Vec<String>,
    /// Which container
    #[arg(short, long, default_value = "", hide_default_value = true, add = super::complete::containers())]
    container: String,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Standard input is a terminal
    #[arg(short, long)]
    tty: bool,
    /// Print only what the process prints
    #[arg(short, long)]
    quiet: bool,
    /// The keys that end the session and leave the process alone
    #[arg(long, default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// How long to wait for a pod of a workload
    #[arg(long, default_value = "1m", value_parser = super::flags::duration, hide_default_value = true)]
    pod_running_timeout: Duration,
}

/// How to attach, once it is known to what.
pub(super) struct Attaching {
    pub stdin: bool,
    pub tty: bool,
    pub quiet: bool,
    pub keys: DetachKeys,
}

impl Attach {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let selection = match self.args.as_slice() {
            [] => return Err(CliError::message("at least 1 argument is required for attach")),
            [one] => pod::selection(one),
            [_, _] => Selection { args: self.args.clone(), ..Selection::default() },
            more => {
                let shown = more.join(" ");
                return Err(CliError::message(format!(
                    "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {}: [{shown}]",
                    more.len()
                )));
            }
        };
        if self.pod_running_timeout.is_zero() {
            return Err(CliError::message("--pod-running-timeout must be higher than zero"));
        }
        let keys = DetachKeys::parse(&self.detach_keys)?;
        let client = ctx.client().await?;
        let info = pod::object(ctx, &selection).await?;
        let pod = pod::Target::of(&client, &info)?.pod(self.pod_running_timeout).await?;
        pod::refuse_ended(&pod, "attach")?;
        let container = pod::container(ctx, &pod, &self.container, self.quiet);
        let container = container.map_err(|why| CliError::message(format!("cannot attach to the container: {}", why.text())))?;
        let how = Attaching { stdin: self.stdin, tty: self.tty, quiet: self.quiet, keys };
        let ended = how.until_end(ctx, &client, &pod, container).await?;
        session::report(ctx, &ended)
    }
}

impl Attaching {
    /// Attaches to a container of a pod, until it ends or the user has had enough.
    pub async fn until_end(self, ctx: &mut Context, client: &Client, pod: &Object, container: &Json) -> Result<Ended, CliError> {
        let name = container["name"].as_str().unwrap_or("");
        let has_tty = container["tty"] == true;
        if self.tty && !has_tty && !self.quiet {
            ctx.err.line(&format!("error: Unable to use a TTY - container {name} did not allocate one"));
        }
        // A process with a terminal has one output, raw mode or not.
        let mut streams = session::possible(ctx, self.stdin, has_tty, self.quiet);
        let raw = streams.tty;
        streams.tty = has_tty;
        if !self.quiet {
            ctx.err.line(
                "All commands and output from this session will be recorded in container logs, including credentials and \
                 sensitive information passed through the command prompt.",
            );
            ctx.err.line("If you don't see a command prompt, try pressing enter.");
        }
        let ask = session::attach(pod, name, streams);
        streams.tty = raw;
        let ended = session::run(ctx, client, ask, streams, raw.then_some(self.keys)).await?;
        if self.stdin && raw && !self.quiet {
            ctx.out.line(&farewell(pod, name));
        }
        Ok(ended)
    }
}

/// How to come back.
fn farewell(pod: &Object, container: &str) -> String {
    let back = format!("'wl attach {} -c {container} -n {} -i -t'", pod.name(), pod.namespace());
    let ephemeral = pod.at("/spec/ephemeralContainers").and_then(Json::as_array);
    if ephemeral.into_iter().flatten().any(|c| c["name"] == container) {
        return format!(
            "Session ended, the ephemeral container will not be restarted but may be reattached using {back} if it is still running"
        );
    }
    format!("Session ended, resume using {back} command")
}
