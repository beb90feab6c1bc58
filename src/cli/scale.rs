//! `wl scale`: sets the number of replicas. Source: k8s.io/kubectl/pkg/cmd/scale/scale.go.

use std::time::Duration;

use serde_json::json;

use super::change::{DryRun, DryRunFlag, MERGE, Teller};
use super::input::Files;
use super::resources::{Info, Selection};
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::client::{Ask, Client};

/// Set the number of replicas of workloads
#[derive(clap::Args)]
pub struct Scale {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = super::complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The new number
    #[arg(long, value_parser = super::flags::integer)]
    replicas: Option<i64>,
    /// Only if it is this number now
    #[arg(long, default_value_t = -1, value_parser = super::flags::integer, hide_default_value = true)]
    current_replicas: i64,
    /// Only if the object is in this version
    #[arg(long, default_value = "", hide_default_value = true)]
    resource_version: String,
    /// All objects of the type
    #[arg(long)]
    all: bool,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// How long to wait for the replicas (0: not at all)
    #[arg(long, default_value = "0s", value_parser = super::flags::timeout, hide_default_value = true)]
    timeout: Duration,
    #[command(flatten)]
    print: super::print::flags::PrintFlags,
}

impl Scale {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let Some(replicas) = self.replicas else {
            return Err(CliError::message("required flag(s) \"replicas\" not set"));
        };
        if replicas < 0 {
            return Err(CliError::message(
                "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
            ));
        }
        let dry_run = self.dry_run.mode(ctx)?;
        let mut teller = Teller::new(ctx, &self.print, dry_run)?;
        let client = dry_run.client(ctx).await?;
        let selection = Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            labels: self.selector.clone(),
            all: self.all,
            chunk: 500,
            ..Selection::default()
        };
        let found = selection.fetch(ctx).await?;
        let mut errors = found.errors;
        let infos = super::resources::items(found.infos);
        if infos.is_empty() && errors.is_empty() {
            return Err(CliError::message("no objects passed to scale"));
        }
        if infos.len() > 1 && !self.resource_version.is_empty() {
            return Err(CliError::message("cannot use --resource-version with multiple resources"));
        }
        for info in &infos {
            match self.one(&client, info, replicas, dry_run).await {
                // What was scaled is told as it was found, as kubectl tells it.
                Ok(()) => teller.tell(ctx, &info.object, "scaled")?,
                Err(error) => errors.push(error),
            }
        }
        match CliError::many(errors) {
            Some(error) => Err(error),
            None => Ok(Exit::Success),
        }
    }

    async fn one(&self, client: &Client, info: &Info, replicas: i64, dry_run: DryRun) -> Result<(), CliError> {
        if dry_run == DryRun::Client {
            return Ok(());
        }
        let path = format!("{}/scale", info.path());
        if self.current_replicas != -1 || !self.resource_version.is_empty() {
            self.precondition(&client.get(&path).await?)?;
        }
        let patch = json!({"spec": {"replicas": replicas}});
        let ask = Ask::new(http::Method::PATCH, path.clone()).bytes(MERGE, patch.to_string());
        client.send(dry_run.ask(ask)).await?;
        let begun = tokio::time::Instant::now();
        while !self.timeout.is_zero() && dry_run == DryRun::None {
            let now = client.get(&path).await?;
            if now.pointer("/status/replicas").and_then(Json::as_i64).unwrap_or(0) == replicas {
                break;
            }
            if begun.elapsed() >= self.timeout {
                return Err(CliError::message("timed out waiting for the condition"));
            }
            crate::engine::clock::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn precondition(&self, scale: &Json) -> Result<(), CliError> {
        let now = scale.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(0);
        if self.current_replicas != -1 && now != self.current_replicas {
            return Err(CliError::message(format!("Expected replicas to be {}, was {now}", self.current_replicas)));
        }
        let version = scale.pointer("/metadata/resourceVersion").and_then(Json::as_str).unwrap_or("");
        if !self.resource_version.is_empty() && version != self.resource_version {
            return Err(CliError::message(format!(
                "Expected resource version to be {}, was {version}",
                self.resource_version
            )));
        }
        Ok(())
    }
}
