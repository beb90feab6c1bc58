//! `wl port-forward`: local ports that lead into a pod. Source: k8s.io/kubectl/pkg/cmd/portforward/portforward.go,
//! k8s.io/client-go/tools/portforward/portforward.go.
//!
//! Unlike kubectl's, it outlives its pod: the next connection finds the pod that took its place.

mod carry;
mod listen;
mod ports;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::resources::Info;
use super::session::pod;
use super::{CliError, CliResult, Context, Exit};
use crate::api::Object;
use crate::engine::watch::asked_to_end;
use carry::Road;
use listen::Listening;
use ports::Forward;

/// Forward local ports to a pod
#[derive(clap::Args)]
pub struct PortForward {
    #[arg(value_name = "TYPE/NAME [LOCAL:]REMOTE", add = super::complete::pods())]
    args: Vec<String>,
    /// Addresses to listen on: IP addresses, or localhost
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
    /// How long to wait for a pod of a workload
    #[arg(long, default_value = "1m", value_parser = super::flags::duration, hide_default_value = true)]
    pod_running_timeout: Duration,
}

impl PortForward {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let (Some(named), asked) = (self.args.first(), self.args.get(1..).unwrap_or_default()) else {
            return Err(missing());
        };
        if asked.is_empty() {
            return Err(missing());
        }
        super::exec::positive(self.pod_running_timeout)?;
        let client = ctx.client().await?;
        let info = pod::object(ctx, &pod::selection(named)).await?;
        let target = pod::Target::of(&client, &info)?;
        let pod = target.pod(self.pod_running_timeout).await?;
        let forwards = forwards(&info, &pod, asked)?;
        let phase = pod.str_at("/status/phase").unwrap_or("");
        if phase != "Running" {
            let why = format!("unable to forward port because pod is not running. Current status={phase}");
            return Err(CliError::message(why));
        }
        let addresses = listen::addresses(&self.address)?;
        let mut listening = Vec::new();
        for (at, forward) in forwards.iter().enumerate() {
            match listen::on(&addresses, forward).await {
                Ok(opened) => listening.push((at, opened)),
                Err(why) => ctx.err.line(&format!("Unable to listen on port {}: {why}", forward.local)),
            }
        }
        if listening.is_empty() {
            let shown: Vec<String> = forwards.iter().map(|f| format!("{{{} {}}}", f.local, f.remote)).collect();
            return Err(CliError::message(format!("unable to listen on any of the requested ports: [{}]", shown.join(" "))));
        }
        for (at, opened) in &listening {
            for address in opened.addresses() {
                ctx.out.line(&format!("Forwarding from {address} -> {}", forwards[*at].remote));
            }
        }
        ctx.out.flush();
        let road = Road::new(client, target, pod.name().to_owned(), self.pod_running_timeout, info, asked.to_vec());
        serve(ctx, listening, Arc::new(road)).await
    }
}

fn missing() -> CliError {
    CliError::Usage("TYPE/NAME and list of ports are required for port-forward".into())
}

/// What the arguments mean for a pod, by way of the Service where one was named.
fn forwards(info: &Info, pod: &Object, asked: &[String]) -> Result<Vec<Forward>, CliError> {
    let is_service = info.found.kind == "Service" && info.found.group.is_empty();
    let service = is_service.then(|| info.object());
    asked.iter().map(|text| Forward::of(text, service.as_ref(), pod)).collect()
}

/// Takes connections until this command is asked to end.
async fn serve(ctx: &mut Context, listening: Vec<(usize, Listening)>, road: Arc<Road>) -> CliResult {
    let (told, mut news) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for (at, opened) in listening {
        for listener in opened.into_listeners() {
            tasks.spawn(carry::accept(listener, at, road.clone(), told.clone()));
        }
    }
    let end = asked_to_end();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(note) = news.recv() => match note {
                carry::Note::Handling(port) => {
                    ctx.out.line(&format!("Handling connection for {port}"));
                    ctx.out.flush();
                }
                carry::Note::Trouble(text) => ctx.err.line(&format!("error: {text}")),
            },
            Some(_) = tasks.join_next() => {
                if tasks.is_empty() {
                    return Err(CliError::message("no port is listened on any more"));
                }
            }
        }
    }
    tasks.shutdown().await;
    Ok(Exit::Success)
}
