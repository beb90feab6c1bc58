//! `wl delete`: takes objects away and waits until they are gone. Source: k8s.io/kubectl/pkg/cmd/delete/delete.go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::change::raw::Raw;
use super::change::deletion::{Deletion, let_data_go, policy, wait_until_gone};
use super::change::{DryRun, DryRunFlag};
use super::input::Files;
use super::resources::{Info, Infos, Selection, Targets};
use super::{CliError, CliResult, Context, Exit};
use crate::client::Found;

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
    /// With claims the data goes that is in their volumes
    #[arg(long)]
    volumes: bool,
    /// Wait until they are gone
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", require_equals = true, value_parser = super::flags::boolean_value, hide_default_value = true)]
    wait: bool,
    /// How long to wait at most (0: for ever)
    #[arg(long, default_value = "0s", value_parser = super::flags::timeout, hide_default_value = true)]
    timeout: Duration,
    #[command(flatten)]
    raw: Raw,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// name: only the names
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
}

/// Objects by their names alone.
fn named_only(ctx: &Context, named: Vec<(Arc<Found>, String)>) -> Infos {
    let info = |(found, name): (Arc<Found>, String)| {
        let namespace = if found.namespaced { ctx.namespace().to_owned() } else { String::new() };
        Info { found, namespace, name, object: serde_json::json!({}), source: None }
    };
    Infos { infos: named.into_iter().map(info).collect(), ..Infos::default() }
}

impl Delete {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.dry_run.mode(ctx)?;
        let grace = self.check()?;
        if self.raw.is_given() {
            return self.raw.send(ctx, http::Method::DELETE, &self.files, dry_run).await;
        }
        let deletion = Deletion { policy: policy(&self.cascade)?, grace, dry_run, names: self.output == "name" };
        let client = dry_run.client(ctx).await?;
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
        let found = match targets {
            // Nobody asks whether it is there: kubectl does not either.
            Targets::Named(named) if dry_run == DryRun::Client => named_only(ctx, named),
            _ => selection.fetch(ctx).await?,
        };
        let ignore = self.ignore_not_found.unwrap_or(selecting);
        let mut errors: Vec<CliError> = Vec::new();
        for error in found.errors {
            if !(ignore && error.is_not_found()) {
                errors.push(error);
            }
        }
        let infos = super::resources::items(found.infos);
        let volumes = if self.volumes { let_data_go(&client, &infos, dry_run).await? } else { Vec::new() };
        let mut gone = Vec::new();
        let mut count = 0;
        let mut seen = BTreeSet::new();
        for info in infos {
            if !seen.insert((info.found.qualified(), info.namespace.clone(), info.name.clone())) {
                continue;
            }
            match deletion.send(&client, &info).await {
                Ok(()) => {
                    count += 1;
                    deletion.tell(ctx, &info);
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
        gone.extend(volumes);
        if self.wait && dry_run == DryRun::None {
            wait_until_gone(ctx, &client, &gone, self.timeout).await?;
        }
        match CliError::many(errors) {
            Some(error) => Err(error),
            None => Ok(Exit::Success),
        }
    }

    /// The flags against each other; answers with the grace period to ask for, below 0: the pod's own.
    fn check(&self) -> Result<i64, CliError> {
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
        self.raw.check(&self.files, &self.output)?;
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
}
