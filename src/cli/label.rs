//! `wl label`: sets and removes labels. Source: k8s.io/kubectl/pkg/cmd/label/label.go.

use super::change::marks::{Changed, Marks, marks, overwritten};
use super::change::pairs::{self, Pairs};
use super::change::{DryRun, Teller};
use super::resources::Info;
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::api::status::quote;
use crate::api::validation::names::label_value;

const FIELD: &str = "labels";

/// Set labels of objects, or remove them (KEY-)
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl label pod web tier=front\n  wl label pods --all team=x --overwrite\n  wl label pod web tier-")]
pub struct Label {
    #[command(flatten)]
    marks: Marks,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-label", hide_default_value = true)]
    field_manager: String,
}

impl Label {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.marks.dry_run.mode(ctx)?;
        let (names, words) = pairs::split(&self.marks.args, "label")?;
        let pairs = parse(&words)?;
        self.marks.check(&names, &pairs, dry_run, "label", "pod.yaml")?;
        let mut teller = Teller::new(ctx, &self.marks.print, dry_run)?;
        let found = self.marks.find(ctx, &names, dry_run).await?;
        let mut errors = found.errors;
        for info in &found.infos {
            match self.one(ctx, info, &pairs, dry_run).await {
                Ok(_) if self.marks.list => self.marks.tell_list(ctx, info, FIELD, found.single),
                Ok((object, changed)) => errors.extend(teller.tell(ctx, &object, word(&changed)).err()),
                Err(error) => errors.push(error),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    async fn one(&self, ctx: &mut Context, info: &Info, pairs: &Pairs, dry_run: DryRun) -> Result<(Json, Changed), CliError> {
        let here = dry_run == DryRun::Client || self.marks.local || self.marks.list;
        let now = marks(&info.object, FIELD);
        for key in pairs.remove.iter().filter(|k| !here && !now.contains_key(*k)) {
            ctx.out.line(&format!("label {} not found.", quote(key)));
        }
        if !self.marks.overwrite {
            let refused = overwritten(&info.object, FIELD, &pairs.set).into_iter().map(|(key, now)| {
                CliError::message(format!("'{key}' already has a value ({now}), and --overwrite is false"))
            });
            if let Some(error) = CliError::many(refused.collect()) {
                return Err(error);
            }
        }
        let (new, changed) = self.marks.change(&info.object, FIELD, pairs);
        if !here && (changed.added || changed.removed) {
            let client = ctx.client().await?;
            self.marks.send(ctx, &client, info, &new, dry_run, &self.field_manager).await?;
        }
        Ok((new, changed))
    }
}

fn word(changed: &Changed) -> &'static str {
    match (changed.added, changed.removed) {
        (true, true) => "modified",
        (true, false) => "labeled",
        (false, true) => "unlabeled",
        (false, false) => "not labeled",
    }
}

fn parse(words: &[String]) -> Result<Pairs, CliError> {
    let mut pairs = Pairs::default();
    for word in words {
        match word.split_once('=') {
            Some((_, value)) if value.contains('=') => {
                return Err(CliError::message(format!("invalid label spec: {word}")));
            }
            Some((key, value)) => {
                let wrong = label_value(value);
                if !wrong.is_empty() {
                    return Err(CliError::message(format!("invalid label value: {}: {}", quote(word), wrong.join(";"))));
                }
                pairs.set.insert(key.into(), value.into());
            }
            None if word.ends_with('-') => pairs.remove.push(word[..word.len() - 1].into()),
            None => return Err(CliError::message(format!("unknown label spec: {word}"))),
        }
    }
    if pairs.remove.iter().any(|key| pairs.set.contains_key(key)) {
        return Err(CliError::message("can not both modify and remove a label in the same command"));
    }
    Ok(pairs)
}
