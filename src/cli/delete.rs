//! `wl delete`: takes objects away and waits until they are gone. Source: k8s.io/kubectl/pkg/cmd/delete/delete.go.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::input::Files;
use super::resources::{Info, Selection, Targets};
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::api::status::quote;
use crate::client::{Ask, Client};
use crate::engine::clock;

/// Between two looks whether an object is gone.
const LOOK: Duration = Duration::from_millis(100);

/// Delete objects, and wait until they are gone
#[derive(clap::Args)]
pub struct Delete {
    #[arg(value_name = "TYPE [NAME…] | TYPE/NAME", add = super::complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only objects with these fields
    #[arg(long)]
    field_selector: Option<String>,
    /// All objects of the types
    #[arg(long)]
    all: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// What is not there is no error
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = super::flags::boolean_value)]
    ignore_not_found: Option<bool>,
    /// What becomes of what they own: background, foreground or orphan
    #[arg(long, num_args = 0..=1, default_value = "background", default_missing_value = "background", require_equals = true, hide_default_value = true)]
    cascade: String,
    /// Seconds that pods get to end; the pod's own if negative
    #[arg(long, default_value_t = -1, value_parser = super::flags::integer, hide_default_value = true)]
    grace_period: i64,
    /// Signal to end at once (a grace period of 1 second)
    #[arg(long)]
    now: bool,
    /// Take the object away without waiting for the pod's end
    #[arg(long)]
    force: bool,
    /// Wait until they are gone
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", require_equals = true, value_parser = super::flags::boolean_value, hide_default_value = true)]
    wait: bool,
    /// How long to wait at most (0: for ever)
    #[arg(long, default_value = "0s", value_parser = super::flags::timeout, hide_default_value = true)]
    timeout: Duration,
    /// none, server or client: show what would be done
    #[arg(long, num_args = 0..=1, default_value = "none", default_missing_value = "unchanged", require_equals = true, hide_default_value = true)]
    dry_run: String,
    /// name: only the names
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
}

impl Delete {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let grace = self.check()?;
        if self.dry_run == "none" { ctx.client_to_change().await? } else { ctx.client().await? };
        let client = ctx.client().await?;
        let selecting = self.selector.is_some() || self.field_selector.is_some() || self.all;
        let selection = self.selection();
        let targets = selection.targets(ctx).await?;
        if let Targets::Lists(_) = &targets
            && !selecting {
                return Err(CliError::message("resource(s) were provided, but no name was specified"));
            }
        if self.force {
            ctx.warn(
                "Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource \
                 may continue to run on the cluster indefinitely.",
            );
        }
        let found = selection.fetch(ctx).await?;
        let ignore = self.ignore_not_found.unwrap_or(selecting);
        let mut errors: Vec<CliError> = Vec::new();
        for error in found.errors {
            if !(ignore && error.is_not_found()) {
                errors.push(error);
            }
        }
        let mut gone = Vec::new();
        let mut count = 0;
        let mut seen = BTreeSet::new();
        for info in super::resources::items(found.infos) {
            if !seen.insert((info.found.qualified(), info.namespace.clone(), info.name.clone())) {
                continue;
            }
            match self.one(&client, &info, grace).await {
                Ok(()) => {
                    count += 1;
                    self.tell(ctx, &info, grace);
                    gone.push(info);
                }
                Err(error) if ignore && error.is_not_found() => {}
                Err(error) => errors.push(match &info.source {
                    Some(source) => error.at("deleting", source),
                    None => error,
                }),
            }
        }
        if count == 0 && errors.is_empty() && !(ignore && self.ignore_not_found.is_some()) {
            ctx.out.line("No resources found");
        }
        if self.wait && self.dry_run == "none" {
            self.wait_until_gone(ctx, &client, &gone).await?;
        }
        match CliError::many(errors) {
            Some(error) => Err(error),
            None => Ok(Exit::Success),
        }
    }

    /// The flags against each other; answers with the grace period to ask for, below 0: the pod's own.
    fn check(&self) -> Result<i64, CliError> {
        if !matches!(self.dry_run.as_str(), "none" | "server" | "client") {
            let text = format!("Invalid dry-run value ({}). Must be \"none\", \"server\", or \"client\".", self.dry_run);
            return Err(CliError::message(text));
        }
        if !matches!(self.cascade.as_str(), "background" | "foreground" | "orphan" | "true" | "false") {
            let text = format!("invalid cascade value ({}). Must be \"background\", \"foreground\", or \"orphan\"", self.cascade);
            return Err(CliError::message(text));
        }
        if self.all && self.selector.as_ref().is_some_and(|s| !s.is_empty()) {
            return Err(CliError::message("setting 'all' parameter but found a non empty selector. "));
        }
        if self.now && self.grace_period != -1 {
            return Err(CliError::message("--now and --grace-period cannot be specified together"));
        }
        if self.force && self.grace_period > 0 {
            return Err(CliError::message("--force and --grace-period greater than 0 cannot be specified together"));
        }
        if !self.output.is_empty() && self.output != "name" {
            return Err(CliError::message(format!("unexpected -o output mode: {}. We only support '-o name'", self.output)));
        }
        Ok(match (self.now, self.grace_period, self.force) {
            (true, ..) => 1,
            (_, 0, false) => 1,
            (_, grace, true) if grace < 0 => 0,
            (_, grace, _) => grace,
        })
    }

    fn selection(&self) -> Selection {
        Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            labels: self.selector.clone(),
            fields: self.field_selector.clone(),
            all_namespaces: self.all_namespaces,
            all: self.all,
            type_alone: true,
            chunk: 500,
            deed: Some("deleting"),
            ..Selection::default()
        }
    }

    async fn one(&self, client: &Client, info: &Info, grace: i64) -> Result<(), CliError> {
        if self.dry_run == "client" {
            return Ok(());
        }
        let policy = match self.cascade.as_str() {
            "foreground" => "Foreground",
            "orphan" | "false" => "Orphan",
            _ => "Background",
        };
        let mut body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
        if grace >= 0 {
            body["gracePeriodSeconds"] = json!(grace);
        }
        let mut ask = Ask::new(http::Method::DELETE, info.path());
        if self.dry_run == "server" {
            ask = ask.query("dryRun", "All");
            body["dryRun"] = json!(["All"]);
        }
        client.send(ask.json(&body)).await?;
        Ok(())
    }

    fn tell(&self, ctx: &mut Context, info: &Info, grace: i64) {
        if self.output == "name" {
            ctx.out.line(&info.shown());
            return;
        }
        let done = if grace == 0 { "force deleted" } else { "deleted" };
        let place = if info.found.namespaced { format!(" from {} namespace", info.namespace) } else { String::new() };
        let suffix = match self.dry_run.as_str() {
            "client" => " (dry run)",
            "server" => " (server dry run)",
            _ => "",
        };
        ctx.out.line(&format!("{} {} {done}{place}{suffix}", info.found.singular_qualified(), quote(&info.name)));
    }

    async fn wait_until_gone(&self, ctx: &mut Context, client: &Client, infos: &[Info]) -> Result<(), CliError> {
        ctx.out.flush();
        let begun = tokio::time::Instant::now();
        for info in infos {
            let uid = info.object.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or("").to_owned();
            loop {
                match client.get(&info.path()).await {
                    Err(error) if error.is_not_found() => break,
                    Err(error) => return Err(error.into()),
                    Ok(object) if object.pointer("/metadata/uid").and_then(Json::as_str) != Some(uid.as_str()) => break,
                    Ok(_) => {}
                }
                if !self.timeout.is_zero() && begun.elapsed() >= self.timeout {
                    let name = format!("{}/{}", info.found.resource, info.name);
                    return Err(CliError::message(format!("timed out waiting for the condition on {name}")));
                }
                clock::sleep(LOOK).await;
            }
        }
        Ok(())
    }
}
