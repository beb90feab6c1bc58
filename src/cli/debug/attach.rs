//! Waiting for a debug container, and attaching to it.

use std::time::Duration;

use super::super::attach::Attaching;
use super::super::session::{self, DetachKeys, Ended, pod};
use super::super::{CliError, CliResult, Context, Exit};
use super::{Debug, Made};
use crate::api::{Json, Object, Status};
use crate::client::{Client, segment};
use crate::engine::clock;

/// Between two looks whether it runs.
const LOOK: Duration = Duration::from_millis(100);
/// So often is looked for the exit code of a container whose log has ended.
const LOOKS_AT_END: u32 = 50;

pub(super) async fn attach(ctx: &mut Context, client: &Client, made: &Made, flags: &Debug) -> CliResult {
    let (pod, status) = wait(ctx, client, made, flags.quiet).await?;
    if status.pointer("/state/terminated").is_some() {
        return logs(ctx, client, &pod, &made.container).await;
    }
    let container = pod::container(ctx, &pod, &made.container, flags.quiet)?;
    if !flags.tty {
        return follow(ctx, client, &pod, made, flags.stdin).await;
    }
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

/// Without a terminal the log tells all that the container writes, from its first word on: who attaches hears only what comes
/// after that.
async fn follow(ctx: &mut Context, client: &Client, pod: &Object, made: &Made, stdin: bool) -> CliResult {
    let log = session::subresource(pod, "log").query("container", made.container.as_str()).query("follow", "true");
    let lines = client.lines(log).await?;
    let feed = stdin.then(|| session::feed(pod, &made.container));
    let mut ended = session::follow(ctx, client, lines, feed).await?;
    if ended == Ended::Code(0) {
        ended = Ended::Code(exit_code(client, made).await);
    }
    session::report(ctx, &ended)
}

/// How the container has ended; the log ends a little before the status says so.
async fn exit_code(client: &Client, made: &Made) -> i32 {
    for _ in 0..LOOKS_AT_END {
        let status = status(client, made).await.ok().and_then(|(_, status)| status);
        let code = status.and_then(|s| s.pointer("/state/terminated/exitCode")?.as_i64());
        if let Some(code) = code {
            return i32::try_from(code).unwrap_or(1);
        }
        clock::sleep(LOOK).await;
    }
    0
}

/// The pod once the container runs, or has run; and the container's status.
async fn wait(ctx: &mut Context, client: &Client, made: &Made, quiet: bool) -> Result<(Object, Json), CliError> {
    loop {
        if let (pod, Some(status)) = status(client, made).await? {
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

/// The pod, and what it says of the container.
async fn status(client: &Client, made: &Made) -> Result<(Object, Option<Json>), CliError> {
    let path = format!("/api/v1/namespaces/{}/pods/{}", segment(made.pod.namespace()), segment(made.pod.name()));
    let pod = Object::new(client.get(&path).await?);
    if pod.uid() != made.pod.uid() {
        return Err(Status::not_found(&crate::api::GroupResource::new("", "pods"), "").into());
    }
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses", "/status/ephemeralContainerStatuses"];
    let mut statuses = lists.iter().filter_map(|list| pod.at(list)?.as_array()).flatten();
    let status = statuses.find(|s| s["name"] == made.container).cloned();
    Ok((pod, status))
}

/// What a container that has ended already had to say.
async fn logs(ctx: &mut Context, client: &Client, pod: &Object, container: &str) -> CliResult {
    let ask = session::subresource(pod, "log").query("container", container);
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
