//! A container that was just made: waiting until it runs, and its streams from the first word on.

use std::time::Duration;

use super::super::attach::Attaching;
use super::super::{CliError, Context};
use super::{DetachKeys, Ended, pod};
use crate::api::{GroupResource, Json, Object, Status};
use crate::client::{Client, segment};
use crate::engine::clock;

/// Between two looks whether it runs.
pub const LOOK: Duration = Duration::from_millis(100);

/// A container and how to meet it.
pub struct Fresh<'a> {
    pub pod: &'a Object,
    pub container: &'a str,
    pub stdin: bool,
    pub tty: bool,
    pub quiet: bool,
    /// How long it may take to run; `None`: as long as it wants.
    pub patience: Option<Duration>,
}

/// What came of it.
pub enum Met {
    /// It had ended already, or could not be attached to; its log was shown.
    Logged,
    /// Its log was shown while it ran.
    Followed(Ended),
    Attached(Ended),
}

impl Fresh<'_> {
    /// Waits until it runs, and shows what it says until it ends.
    pub async fn meet(&self, ctx: &mut Context, client: &Client) -> Result<Met, CliError> {
        let Some((pod, status)) = self.wait(ctx, client).await? else { return Ok(Met::Logged) };
        if status.pointer("/state/terminated").is_some() {
            self.log(ctx, client).await?;
            return Ok(Met::Logged);
        }
        if !self.tty {
            return self.follow(ctx, client).await.map(Met::Followed);
        }
        let container = pod::container(ctx, &pod, self.container, self.quiet)?;
        let keys = DetachKeys::parse("ctrl-p,ctrl-q")?;
        let how = Attaching { stdin: self.stdin, tty: self.tty, quiet: self.quiet, keys };
        match how.until_end(ctx, client, &pod, container).await {
            Err(CliError::Message(why)) => {
                let name = pod.name();
                ctx.err.line(&format!("warning: couldn't attach to pod/{name}, falling back to streaming logs: {why}"));
                self.log(ctx, client).await?;
                Ok(Met::Logged)
            }
            other => other.map(Met::Attached),
        }
    }

    /// Without a terminal the log tells all that the container writes, from its first word on: who attaches hears only what
    /// comes after that.
    async fn follow(&self, ctx: &mut Context, client: &Client) -> Result<Ended, CliError> {
        let log = super::subresource(self.pod, "log").query("container", self.container).query("follow", "true");
        let lines = client.lines(log).await?;
        let feed = self.stdin.then(|| super::feed(self.pod, self.container));
        super::follow(ctx, client, lines, feed).await
    }

    /// The pod once the container runs, or has run, and the container's status; nothing where the pod has ended without it.
    async fn wait(&self, ctx: &mut Context, client: &Client) -> Result<Option<(Object, Json)>, CliError> {
        let begun = tokio::time::Instant::now();
        loop {
            let (pod, status) = self.status(client).await?;
            let has = |state: &str| status.as_ref().is_some_and(|s| s.pointer(state).is_some());
            if has("/state/running") || has("/state/terminated") {
                return Ok(status.map(|status| (pod, status)));
            }
            if matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed")) {
                return Ok(None);
            }
            let message = status.as_ref().and_then(|s| s.pointer("/state/waiting/message")?.as_str()).unwrap_or("");
            if !self.quiet && !message.is_empty() {
                ctx.warn(&format!("container {}: {message}", self.container));
            }
            if self.patience.is_some_and(|patience| begun.elapsed() >= patience) {
                return Err(CliError::message("timed out waiting for the condition"));
            }
            clock::sleep(LOOK).await;
        }
    }

    /// The pod, and what it says of the container.
    pub async fn status(&self, client: &Client) -> Result<(Object, Option<Json>), CliError> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", segment(self.pod.namespace()), segment(self.pod.name()));
        let pod = Object::new(client.get(&path).await?);
        if pod.uid() != self.pod.uid() {
            return Err(Status::not_found(&GroupResource::new("", "pods"), self.pod.name()).into());
        }
        let lists = ["/status/initContainerStatuses", "/status/containerStatuses", "/status/ephemeralContainerStatuses"];
        let mut statuses = lists.iter().filter_map(|list| pod.at(list)?.as_array()).flatten();
        let status = statuses.find(|s| s["name"] == self.container).cloned();
        Ok((pod, status))
    }

    /// What a container that has ended already had to say.
    async fn log(&self, ctx: &mut Context, client: &Client) -> Result<(), CliError> {
        let ask = super::subresource(self.pod, "log").query("container", self.container);
        let mut lines = client.lines(ask).await?;
        while let Some(piece) = lines.chunk().await? {
            if ctx.out.is_terminal() {
                ctx.out.text(&String::from_utf8_lossy(&piece));
            } else {
                ctx.out.raw(&piece);
            }
        }
        Ok(())
    }
}
