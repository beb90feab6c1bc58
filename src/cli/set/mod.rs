//! `wl set`: changes one aspect of objects that run pods, and of a few others.
//! Source: k8s.io/kubectl/pkg/cmd/set.

mod containers;
mod env;
mod image;
mod resources;
mod selector;
mod serviceaccount;
mod subject;

use super::change::{DryRun, DryRunFlag, STRATEGIC, Teller};
use super::create::typed;
use super::input::Files;
use super::print::flags::PrintFlags;
use super::resources::{Info, Selection, items};
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::Json;
use crate::apply::two_way_strategic_patch;

/// Change images, environment, resources and the like of workloads
#[derive(clap::Args)]
pub struct Set {
    #[command(subcommand)]
    aspect: Option<Aspect>,
}

#[derive(clap::Subcommand)]
enum Aspect {
    Env(Box<env::Env>),
    Image(Box<image::Image>),
    Resources(Box<resources::Resources>),
    Selector(Box<selector::Selector>),
    #[command(name = "serviceaccount", alias = "sa")]
    ServiceAccount(Box<serviceaccount::ServiceAccount>),
    Subject(Box<subject::Subject>),
}

impl Set {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match &self.aspect {
            Some(Aspect::Env(set)) => set.run(ctx).await,
            Some(Aspect::Image(set)) => set.run(ctx).await,
            Some(Aspect::Resources(set)) => set.run(ctx).await,
            Some(Aspect::Selector(set)) => set.run(ctx).await,
            Some(Aspect::ServiceAccount(set)) => set.run(ctx).await,
            Some(Aspect::Subject(set)) => set.run(ctx).await,
            None => {
                super::help(ctx, &["set"]);
                Ok(Exit::Failure)
            }
        }
    }
}

/// Which objects, and how the result is told.
#[derive(clap::Args)]
struct Which {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// All objects of the types
    #[arg(long)]
    all: bool,
    /// Change the objects of the files, not the server's
    #[arg(long)]
    local: bool,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-set", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    print: PrintFlags,
}

/// What is told of a change.
struct Words {
    /// `image updated`
    done: &'static str,
    /// What stands before the server's refusal of the patch.
    failed: &'static str,
    /// Whether an object that stays as it is is passed over in silence.
    quiet: bool,
}

impl Which {
    fn dry_run(&self, ctx: &mut Context) -> Result<DryRun, CliError> {
        self.dry_run.mode(ctx)
    }

    fn teller(&self, ctx: &Context, dry_run: DryRun) -> Result<Teller, CliError> {
        Teller::new(ctx, &self.print, dry_run)
    }

    /// The objects meant, as Go's types hold them. One that cannot be had stops all.
    async fn find(&self, ctx: &mut Context, names: &[String], labels: &str, dry_run: DryRun) -> Result<Vec<Info>, CliError> {
        if self.local && !names.is_empty() {
            return Err(CliError::message(
                "error: you must specify resources by --filename when --local is set.\nExample resource specifications \
                 include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'",
            ));
        }
        let found = if self.local {
            self.files.local_infos(ctx).await?
        } else {
            dry_run.client(ctx).await?;
            let selection = Selection {
                args: names.to_vec(),
                files: self.files.clone(),
                labels: (!labels.is_empty()).then(|| labels.to_owned()),
                all: self.all,
                chunk: 500,
                ..Selection::default()
            };
            selection.fetch(ctx).await?
        };
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        let mut infos = items(found.infos);
        for info in &mut infos {
            info.object = typed(info.object.take())?;
        }
        Ok(infos)
    }

    /// Changes the objects by `mutate`, each by a patch of what became different.
    async fn change(
        &self,
        ctx: &mut Context,
        infos: &[Info],
        dry_run: DryRun,
        words: &Words,
        mut mutate: impl FnMut(&Info, &mut Json, &mut Vec<CliError>) -> Result<(), String>,
    ) -> CliResult {
        let mut teller = self.teller(ctx, dry_run)?;
        let mut errors = Vec::new();
        for info in infos {
            let mut new = info.object.clone();
            if let Err(why) = mutate(info, &mut new, &mut errors) {
                let text = format!("error: {}/{} {why}\n", info.found.resource, info.name);
                errors.push(CliError::message(text));
                continue;
            }
            if words.quiet && new == info.object {
                continue;
            }
            let outcome = if self.local || dry_run == DryRun::Client {
                Ok(new)
            } else {
                self.send(ctx, info, &new, dry_run, words).await
            };
            match outcome {
                Ok(object) => errors.extend(teller.tell(ctx, &object, words.done).err()),
                Err(error) => errors.push(error),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    async fn send(&self, ctx: &mut Context, info: &Info, new: &Json, dry_run: DryRun, words: &Words) -> Result<Json, CliError> {
        let gvk = info.found.gvk();
        let patch = two_way_strategic_patch(&gvk, &info.object, new).map_err(|e| CliError::message(e.to_string()))?;
        let client = ctx.client().await?;
        let answer = super::change::patch(ctx, &client, info, dry_run, &self.field_manager, (STRATEGIC, &patch)).await;
        answer.map_err(|error| match error.status() {
            Some(status) if !words.failed.is_empty() => CliError::message(format!("{} {}", words.failed, status.message)),
            _ => error.into(),
        })
    }
}
