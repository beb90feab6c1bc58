//! Waiting for a debug container, and attaching to it.

use std::time::Duration;

use super::super::attach::Attaching;
use super::super::session::{DetachKeys, pod};
use super::super::{CliError, CliResult, Context, Exit};
use super::{Debug, Made};
use crate::api::{Json, Object, Status};
use crate::client::{Client, segment};
use crate::engine::clock;

/// Between two looks whether it runs.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn attach(ctx: &mut Context, client: &Client, made: &Made, flags: &Debug) -> CliResult {
    let (pod, status) = wait(ctx, client, made, flags.quiet).await?;
    if status.pointer("/state/terminated").is_some() {
        return logs(ctx, client, &pod, &made.container).await;
    }
    let container = pod::container(ctx, &pod, &made.container, flags.quiet)?;
    let keys = DetachKeys::parse("ctrl-p,ctrl-q")?;
    let how = Attaching { stdin: flags.stdin, tty: flags.tty, quiet: flags.quiet, keys };
    match how.run(ctx, client, &pod, container).await {
        Err(CliError::Message(why)) => {
            let name = pod.name();
            ctx.err.line(&format!("warning: couldn't attach to pod/{name}, falling back to streaming logs: {why}"));
            logs(ctx, client, &pod, &made.container).await
        }
        other => other,
    }
}

/// The pod once the container runs, or has run; and the container's status.
async fn wait(ctx: &mut Context, client: &Client, made: &Made, quiet: bool) -> Result<(Object, Json), CliError> {
    let path = format!("/api/v1/namespaces/{}/pods/{}", segment(made.pod.namespace()), segment(made.pod.name()));
    loop {
        let pod = Object::new(client.get(&path).await?);
        if pod.uid() != made.pod.uid() {
            return Err(Status::not_found(&crate::api::GroupResource::new("", "pods"), "").into());
        }
        let lists = ["/status/initContainerStatuses", "/status/containerStatuses", "/status/ephemeralContainerStatuses"];
        let mut statuses = lists.iter().filter_map(|list| pod.at(list)?.as_array()).flatten();
        if let Some(status) = statuses.find(|s| s["name"] == made.container).cloned() {
            if status.pointer("/state/running").is_some() || status.pointer("/state/terminated").is_some() {
                return Ok((pod, status));
            }
            let message = status.pointer("/state/waiting/message").and_then(Json::as_str).unwrap_or("");
            if !quiet && !message.is_empty() {
                ctx.warn(&format!("container {}: {message}", made.container));
            }
        }
        clock::sleep(LOOK).await;
    }
}

/// What a container that has ended already had to say.
async fn logs(ctx: &mut Context, client: &Client, pod: &Object, container: &str) -> CliResult {
    let ask = super::super::session::subresource(pod, "log").query("container", container);
    let mut lines = client.lines(ask).await?;
    while let Some(piece) = lines.chunk().await? {
        if ctx.out.is_terminal() {
            ctx.out.text(&String::from_utf8_lossy(&piece));
        } else {
            ctx.out.raw(&piece);
        }
    }
    Ok(Exit::Success)
}
