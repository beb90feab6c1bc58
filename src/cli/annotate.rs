//! `wl annotate`: sets and removes annotations. Source: k8s.io/kubectl/pkg/cmd/annotate/annotate.go.

use super::change::marks::{Marks, overwritten};
use super::change::pairs::{self, Pairs};
use super::change::{DryRun, Teller};
use super::resources::Info;
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;

const FIELD: &str = "annotations";
/// May be replaced without `--overwrite`.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// Set annotations of objects, or remove them (KEY-)
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl annotate pod web owner=team-a\n  wl annotate pod web owner-")]
pub struct Annotate {
    #[command(flatten)]
    marks: Marks,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-annotate", hide_default_value = true)]
    field_manager: String,
}

impl Annotate {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.marks.dry_run.mode(ctx)?;
        let (names, words) = pairs::split(&self.marks.args, "annotation")?;
        let pairs = pairs::parse(&words, "annotation", true)?;
        self.marks.check(&names, &pairs, dry_run, "annotation", "rsrc.yaml")?;
        let both: Vec<&str> = pairs.remove.iter().filter(|k| pairs.set.contains_key(*k)).map(String::as_str).collect();
        if !both.is_empty() {
            return Err(CliError::message(format!(
                "can not both modify and remove the following annotation(s) in the same command: {}",
                both.join(", ")
            )));
        }
        let mut teller = Teller::new(ctx, &self.marks.print, dry_run)?;
        let found = self.marks.find(ctx, &names, dry_run).await?;
        let mut errors = found.errors;
        for info in &found.infos {
            match self.one(ctx, info, &pairs, dry_run).await {
                Ok(_) if self.marks.list => self.marks.tell_list(ctx, info, FIELD, found.single),
                Ok(object) => errors.extend(teller.tell(ctx, &object, "annotated").err()),
                Err(error) => errors.push(error),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    async fn one(&self, ctx: &mut Context, info: &Info, pairs: &Pairs, dry_run: DryRun) -> Result<Json, CliError> {
        if !self.marks.overwrite {
            let refused: Vec<String> = overwritten(&info.object, FIELD, &pairs.set)
                .into_iter()
                .filter(|(key, _)| *key != CHANGE_CAUSE)
                .map(|(key, now)| format!("'{key}' already has a value ({now})"))
                .collect();
            if !refused.is_empty() {
                return Err(CliError::message(format!(
                    "--overwrite is false but found the following declared annotation(s): {}",
                    refused.join("; ")
                )));
            }
        }
        let (new, _) = self.marks.change(&info.object, FIELD, pairs);
        if dry_run == DryRun::Client || self.marks.local || self.marks.list {
            return Ok(new);
        }
        let client = ctx.client().await?;
        self.marks.send(ctx, &client, info, &new, dry_run, &self.field_manager).await
    }
}
