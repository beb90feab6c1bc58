//! `wl apply`: makes the server hold what the files say, and waits until it is so.

mod client_side;
mod last_applied;
mod images;
mod server_side;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;

use super::change::deletion::wait_until_gone;
use super::change::{DryRun, DryRunFlag};
use super::declare::{self, Target, Validate};
use super::diagnose;
use super::input::Files;
use super::prune::{Leftovers, PruneFlags, Scope};
use super::wait::{Ended, Outcome, Progress, Style, until_settled};
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::client::{Ask, Client};
use crate::engine::watch::WatchFlags;
use crate::manifest::Problem;
use crate::store::failpoint::{self, Point};

/// Requests in flight.
const IN_FLIGHT: usize = 8;

/// Apply manifests, and wait until everything in them has settled
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Apply {
    #[command(subcommand)]
    last_applied: Option<last_applied::LastApplied>,
    #[command(flatten)]
    files: Files,
    /// Server-side apply as kubectl does it, conflicts included; `=false`: kubectl's client-side apply
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = super::flags::boolean_value)]
    server_side: Option<bool>,
    /// Take fields over that others manage
    #[arg(long)]
    force_conflicts: bool,
    /// Who manages the fields
    #[arg(long, default_value = "wl", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// Unknown and doubled fields: strict, warn or ignore
    #[arg(long, num_args = 0..=1, default_value = "strict", default_missing_value = "strict", require_equals = true, hide_default_value = true)]
    validate: String,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only if the plan is still this one
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
    /// Delete and make again what cannot be changed in place
    #[arg(long)]
    replace: bool,
    /// Wait until everything has settled
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", require_equals = true, value_parser = super::flags::boolean_value, hide_default_value = true)]
    wait: bool,
    /// How long to wait at most (0: for ever)
    #[arg(long, default_value = "15m", value_parser = super::flags::timeout)]
    timeout: Duration,
    /// How to tell progress
    #[arg(long, value_enum, default_value_t)]
    progress: Style,
    #[command(flatten)]
    prune: PruneFlags,
    #[command(flatten)]
    print: super::print::flags::PrintFlags,
    #[command(flatten)]
    watch: WatchFlags,
    /// Images of this machine and their ids: what runs one of them rolls when it has become another one.
    #[arg(skip)]
    images: BTreeMap<String, String>,
}

/// What became of one object.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    /// `created`, `configured`, `unchanged`, `serverside-applied`.
    pub word: &'static str,
    pub object: Json,
    pub warnings: Vec<String>,
}

impl Apply {
    /// The application of a folder as one set.
    pub fn of_folder(files: Files, prune: PruneFlags, images: BTreeMap<String, String>) -> Self {
        Apply {
            files,
            server_side: None,
            force_conflicts: false,
            field_manager: "wl".into(),
            dry_run: DryRunFlag::default(),
            validate: "strict".into(),
            selector: None,
            plan: None,
            replace: false,
            wait: true,
            timeout: Duration::ZERO,
            progress: Style::default(),
            prune,
            print: super::print::flags::PrintFlags::default(),
            watch: WatchFlags::default(),
            images,
            last_applied: None,
        }
    }

    pub fn with(mut self, replace: bool, timeout: Duration, progress: Style, watch: WatchFlags) -> Self {
        (self.replace, self.timeout, self.progress, self.watch) = (replace, timeout, progress, watch);
        self
    }

    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if let Some(command) = &self.last_applied {
            return command.run(ctx).await;
        }
        self.dry_run.mode(ctx)?;
        self.check()?;
        let validate = Validate::parse(&self.validate).map_err(CliError::message)?;
        ctx.watch_flags = self.watch.clone();
        let (documents, mut problems) = declare::documents(ctx, &self.files, validate).await?;
        if documents.is_empty() && problems.is_empty() {
            return Err(CliError::message("no objects passed to apply"));
        }
        let client = if self.is_dry() { ctx.client().await? } else { ctx.client_to_change().await? };
        let discovery = client.discovery().await?;
        let mut targets = declare::targets(ctx, &discovery, &documents, validate, &mut problems);
        if let Some(selector) = &self.selector {
            let selector = crate::api::selector::LabelSelector::parse(selector).map_err(CliError::message)?;
            targets.retain(|t| selector.matches_map(t.tree.pointer("/metadata/labels")));
            if targets.is_empty() && problems.is_empty() {
                return Err(CliError::message("no objects passed to apply"));
            }
        }
        images::mark(&mut targets, &self.images);
        let scope = self.prune.scope(ctx, &client, self.selector.as_deref()).await?;
        if let Some(scope) = &scope {
            scope.adopt(&mut targets, &mut problems);
        }
        if let Some(id) = self.plan.as_ref().filter(|_| problems.is_empty()) {
            self.check_plan(ctx, &client, &targets, scope.as_ref(), id).await?;
        }
        if !problems.is_empty() {
            // What the server would say of the other documents is told with them.
            problems.extend(self.rehearse(&client, &targets, validate).await?);
            return Err(declare::fail(ctx, &problems, "nothing was applied"));
        }
        match self.attempt(ctx, &client, &targets, scope.as_ref(), validate).await {
            Err(CliError::Lost(why)) if !self.is_dry() => {
                // The watch has ended under this command, however: everything it did is kept, so it is begun again.
                let client = ctx.reconnect(&why).await?;
                self.attempt(ctx, &client, &targets, scope.as_ref(), validate).await
            }
            other => other,
        }
    }

    /// Asks, sends and waits. What has been done before is done at once.
    async fn attempt(
        &self,
        ctx: &mut Context,
        client: &Client,
        targets: &[Target],
        scope: Option<&Scope>,
        validate: Validate,
    ) -> CliResult {
        let problems = self.rehearse(client, targets, validate).await?;
        if !problems.is_empty() {
            return Err(declare::fail(ctx, &problems, "nothing was applied"));
        }
        let format = self.print.format(&ctx.cwd, super::print::flags::Offer::Change)?;
        failpoint::reach(Point::ApplyRehearsed);
        let dry_run = self.dry_run.known();
        if let Some(Scope::Set(set)) = scope {
            set.cover(client, targets, dry_run).await?;
        }
        let settled = self.carry_out(ctx, client, targets, validate, format.is_none()).await?;
        if let Some(format) = format {
            let mut objects: Vec<Json> = settled.iter().map(|a| a.object.clone()).collect();
            if !self.print.show_managed_fields {
                objects.iter_mut().for_each(|object| super::get::hide_managed_fields(object, &format));
            }
            let tree = match objects.as_slice() {
                [one] => one.clone(),
                many => serde_json::json!({"apiVersion": "v1", "kind": "List", "items": many, "metadata": {}}),
            };
            let (text, result) = format.render(&tree, true);
            ctx.out.text(&text);
            result?;
        }
        let left = match scope {
            Some(scope) => {
                let quiet = !self.print.output.is_empty();
                scope.prune(ctx, client, targets, self.prune.prune_volumes, dry_run, quiet).await?
            }
            None => Leftovers::default(),
        };
        if let Some(Scope::Set(set)) = scope {
            set.settle(client, targets, &left.kept, dry_run).await?;
        }
        if self.is_dry() || !self.wait || !runs_controllers(client).await {
            return Ok(Exit::Success);
        }
        ctx.out.flush();
        failpoint::reach(Point::ApplySent);
        let mut report = Progress::new(ctx, self.progress);
        let outcome = until_settled(ctx, client, targets, self.timeout, &mut report).await?;
        wait_until_gone(ctx, client, &left.gone, self.timeout).await?;
        Ok(verdict(ctx, &outcome))
    }

    fn is_dry(&self) -> bool {
        self.dry_run.known() != DryRun::None
    }

    fn client_side(&self) -> bool {
        self.server_side == Some(false)
    }

    fn check(&self) -> Result<(), CliError> {
        if self.files.is_empty() {
            return Err(CliError::message("must specify one of -f and -k"));
        }
        if self.dry_run.known() == DryRun::Client && self.server_side == Some(true) {
            return Err(CliError::message(
                "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
            ));
        }
        if self.force_conflicts && self.server_side != Some(true) {
            return Err(CliError::message("--force-conflicts only works with --server-side"));
        }
        self.prune.check(self.selector.as_deref(), self.server_side == Some(true))
    }

    async fn check_plan(
        &self,
        ctx: &mut Context,
        client: &Client,
        targets: &[Target],
        scope: Option<&Scope>,
        id: &str,
    ) -> Result<(), CliError> {
        let gone = match scope {
            Some(scope) => scope.leftovers(client, targets, self.prune.prune_volumes).await?.keys(),
            None => Vec::new(),
        };
        let plan = super::plan::make(ctx, client, targets, gone, self.replace).await?;
        if plan.id == id {
            return Ok(());
        }
        ctx.err.line(&format!("error: the plan is stale: it was {id}, and now it is {}", plan.id));
        ctx.err.line("Look at the new one with wl plan, then apply that.");
        Err(CliError::Silent(Exit::StalePlan))
    }

    /// Asks the server about every object without changing anything; all refusals as problems.
    async fn rehearse(&self, client: &Client, targets: &[Target], validate: Validate) -> Result<Vec<Problem>, CliError> {
        let namespaces: Vec<&str> =
            targets.iter().filter(|t| t.found.kind == "Namespace").map(|t| t.name.as_str()).collect();
        let asked = futures_util::stream::iter(targets)
            .map(|target| async move { (target, server_side::dry_run(client, target, self, validate).await) })
            .buffered(IN_FLIGHT)
            .collect::<Vec<_>>()
            .await;
        let mut problems = Vec::new();
        for (target, result) in asked {
            let Err(error) = result else { continue };
            let Some(status) = error.status().cloned() else { return Err(error) };
            let comes = status.code == 404 && namespaces.contains(&target.namespace.as_str());
            let again = self.replace && crate::plan::summary::is_immutable(&status);
            if !comes && !again {
                problems.extend(diagnose::refusal(&target.document, &status));
            }
        }
        Ok(problems)
    }

    /// Applies one after the other, printing what became of each. Stops at the first that is refused after all.
    async fn carry_out(
        &self,
        ctx: &mut Context,
        client: &Client,
        targets: &[Target],
        validate: Validate,
        print: bool,
    ) -> Result<Vec<Applied>, CliError> {
        let (first, rest): (Vec<&Target>, Vec<&Target>) =
            targets.iter().partition(|t| matches!(t.found.kind.as_str(), "Namespace" | "CustomResourceDefinition"));
        let mut done = Vec::new();
        for (batch, in_flight) in [(first, 1), (rest, IN_FLIGHT)] {
            let mut running = futures_util::stream::iter(batch)
                .map(|target| async move { (target, self.one(client, target, validate).await) })
                .buffered(in_flight);
            while let Some((target, result)) = running.next().await {
                let applied = match result {
                    Ok(applied) => applied,
                    Err(error) => return Err(self.halfway(ctx, error, target, done.len(), targets.len())),
                };
                ctx.warn_all(&applied.warnings);
                if print {
                    let suffix = self.dry_run.known().suffix();
                    ctx.out.line(&format!("{} {}{suffix}", target.label(), applied.word));
                }
                done.push(applied);
                failpoint::reach(Point::ApplyBetweenObjects);
            }
        }
        Ok(done)
    }

    fn halfway(&self, ctx: &mut Context, error: CliError, target: &Target, done: usize, all: usize) -> CliError {
        if self.server_side == Some(true)
            && let Some(text) = error.status().filter(|s| s.reason == "Conflict").map(server_side::conflict_text) {
                return CliError::Verbatim(text);
            }
        if matches!(error, CliError::Lost(_)) {
            return error;
        }
        if done > 0 {
            ctx.err.line(&format!("{done} of {all} objects were applied before this one was refused:"));
        }
        error.at("applying", &target.document.place_of("metadata.name"))
    }

    async fn one(&self, client: &Client, target: &Target, validate: Validate) -> Result<Applied, CliError> {
        if self.client_side() {
            return client_side::apply(client, target, self, validate).await;
        }
        match server_side::apply(client, target, self, validate).await {
            Err(error) if self.replace && error.status().is_some_and(crate::plan::summary::is_immutable) => {
                server_side::delete_and_wait(client, target).await?;
                server_side::apply(client, target, self, validate).await
            }
            other => other,
        }
    }
}

/// Whether anything acts on what is applied: without controllers waiting would never end.
async fn runs_controllers(client: &Client) -> bool {
    client.send(Ask::get("/readyz/controllers")).await.is_ok()
}

/// Tells what failed and why, and which exit code that is.
pub(super) fn verdict(ctx: &mut Context, outcome: &Outcome) -> Exit {
    let (mut failed, mut timed_out) = (false, false);
    for (label, ended) in &outcome.ended {
        match ended {
            Ended::Settled => {}
            Ended::Failed(why) => {
                failed = true;
                ctx.err.line(&format!("error: {label} failed: {why}"));
            }
            Ended::TimedOut(missing) => {
                timed_out = true;
                ctx.err.line(&format!("error: time is over for {label}: {missing}"));
            }
        }
    }
    if outcome.job_failed {
        Exit::JobFailed
    } else if failed {
        Exit::RolloutFailed
    } else if timed_out {
        Exit::TimedOut
    } else {
        Exit::Success
    }
}
