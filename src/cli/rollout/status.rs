//! `wl rollout status`. Source: k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go.

use std::time::Duration;

use tokio::time::Instant;

use super::Which;
use crate::api::Json;
use crate::api::status::quote;
use crate::cli::resources::Info;
use crate::cli::wait::settle::{Progress, progress};
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::{Ask, Client, WatchEvent};
use crate::engine::clock;

/// Between two watches that told nothing.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Status {
    #[command(flatten)]
    which: Which,
    /// Wait until it is done
    #[arg(short = 'w', long, num_args = 0..=1, default_value = "true", default_missing_value = "true", require_equals = true, value_parser = crate::cli::flags::boolean_value, hide_default_value = true)]
    watch: bool,
    /// Only this revision, and an error for another
    #[arg(long, default_value_t = 0, value_parser = crate::cli::flags::integer, hide_default_value = true)]
    revision: i64,
    /// How long to wait at most (0: for ever)
    #[arg(long, default_value = "0s", value_parser = crate::cli::flags::timeout, hide_default_value = true)]
    timeout: Duration,
}

impl Status {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.revision < 0 {
            return Err(CliError::message(format!("revision must be a positive integer: {}", self.revision)));
        }
        let (infos, errors) = self.which.find(ctx).await?;
        if let Some(error) = CliError::many(errors) {
            return Err(error);
        }
        if infos.is_empty() {
            ctx.err.line(&format!("No resources found in {} namespace.", ctx.namespace().to_owned()));
        }
        let client = ctx.client().await?;
        for info in &infos {
            self.one(ctx, &client, info).await?;
        }
        Ok(Exit::Success)
    }

    async fn one(&self, ctx: &mut Context, client: &Client, info: &Info) -> Result<(), CliError> {
        check(info)?;
        let end = (!self.timeout.is_zero()).then(|| Instant::now() + self.timeout);
        let mut said = String::new();
        let mut object = info.object.clone();
        loop {
            self.check_revision(&object)?;
            let (sentence, done) = match judge(&object) {
                Progress::Failed(why) => return Err(CliError::message(why)),
                Progress::Settled(sentence) => (sentence, true),
                Progress::Waiting(sentence) => (sentence, false),
            };
            if sentence != said {
                ctx.out.line(&sentence);
                ctx.out.flush();
                said = sentence;
            }
            if done || !self.watch {
                return Ok(());
            }
            let version = object.pointer("/metadata/resourceVersion").and_then(Json::as_str).unwrap_or("").to_owned();
            let next = next_state(client, info, version);
            object = match end {
                Some(end) => tokio::time::timeout_at(end, next)
                    .await
                    .map_err(|_| CliError::message("timed out waiting for the condition"))??,
                None => next.await?,
            };
        }
    }

    fn check_revision(&self, object: &Json) -> Result<(), CliError> {
        let running = object.pointer("/metadata/annotations/deployment.kubernetes.io~1revision").and_then(Json::as_str);
        let running: i64 = running.and_then(|r| r.parse().ok()).unwrap_or(0);
        if self.revision > 0 && running > 0 && running != self.revision {
            return Err(CliError::message(format!(
                "desired revision ({}) is different from the running revision ({running})",
                self.revision
            )));
        }
        Ok(())
    }
}

/// kubectl waits for a paused Deployment as for any other.
fn judge(object: &Json) -> Progress {
    let mut object = object.clone();
    if let Some(spec) = object.get_mut("spec").and_then(Json::as_object_mut) {
        spec.remove("paused");
    }
    progress(&object)
}

fn check(info: &Info) -> Result<(), CliError> {
    let kind = (info.found.group.as_str(), info.found.kind.as_str());
    if !matches!(kind, ("apps", "Deployment" | "DaemonSet" | "StatefulSet")) {
        return Err(CliError::message(format!("no status viewer has been implemented for {}", super::group_kind(info))));
    }
    let strategy = info.object.pointer("/spec/updateStrategy/type").and_then(Json::as_str);
    if info.found.kind != "Deployment" && strategy == Some("OnDelete") {
        return Err(CliError::message("rollout status is only available for RollingUpdate strategy type"));
    }
    Ok(())
}

/// The object as it is after its next change.
async fn next_state(client: &Client, info: &Info, since: String) -> Result<Json, CliError> {
    let collection = info.found.path(&info.namespace, "");
    let mut since = since;
    loop {
        let ask = Ask::get(collection.clone())
            .query("watch", "true")
            .query("fieldSelector", format!("metadata.name={}", info.name))
            .query("resourceVersion", since.clone());
        let mut watch = client.watch(ask).await?;
        loop {
            match watch.next().await? {
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => return Ok(object.into_json()),
                Some(WatchEvent::Deleted(_)) => {
                    return Err(CliError::message("object has been deleted"));
                }
                Some(WatchEvent::Bookmark(_)) => {}
                Some(WatchEvent::Error(_)) | None => break,
            }
        }
        let now = client.get(&info.path()).await.map_err(|error| match error.is_not_found() {
            true => CliError::message(format!("{} {} is gone", info.found.singular, quote(&info.name))),
            false => error.into(),
        })?;
        let version = now.pointer("/metadata/resourceVersion").and_then(Json::as_str).unwrap_or("").to_owned();
        if version != since {
            return Ok(now);
        }
        since = version;
        // A server that ends watches at once is not asked all the time.
        clock::sleep(PAUSE).await;
    }
}
