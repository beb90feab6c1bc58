//! `wl create -f`: the objects of files, which must not be there yet.

use super::making::Writing;
use crate::api::Json;
use crate::cli::change::raw::Raw;
use crate::cli::change::{DryRun, Teller};
use crate::cli::declare::Validate;
use crate::cli::input::Files;
use crate::cli::resources::Info;
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::Ask;

#[derive(clap::Args)]
pub struct FromFiles {
    #[command(flatten)]
    files: Files,
    /// Edit the objects before they are made
    #[arg(long)]
    edit: bool,
    /// Only objects with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    #[command(flatten)]
    raw: Raw,
    #[command(flatten)]
    writing: Writing,
}

impl FromFiles {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.writing.dry_run.mode(ctx)?;
        let validate = Validate::parse(&self.writing.validate).map_err(CliError::message)?;
        let mut teller = Teller::new(ctx, &self.writing.print, dry_run)?;
        self.check()?;
        if self.raw.is_given() {
            return self.raw.send(ctx, http::Method::POST, &self.files, dry_run).await;
        }
        let client = dry_run.client(ctx).await?;
        let found = self.files.infos(ctx).await?;
        let mut errors = found.errors;
        let mut infos = found.infos;
        if !self.selector.is_empty() {
            let selector = crate::api::selector::LabelSelector::parse(&self.selector).map_err(CliError::message)?;
            infos.retain(|info| selector.matches_map(info.object.pointer("/metadata/labels")));
        }
        if infos.is_empty() && errors.is_empty() {
            return Err(CliError::message("no objects passed to create"));
        }
        if self.edit {
            infos = crate::cli::edit::before_create(ctx, infos, &self.writing.print).await?;
        }
        for info in &infos {
            match self.one(ctx, &client, info, dry_run, validate).await {
                Ok(object) => errors.extend(teller.tell(ctx, &object, "created").err()),
                Err(error) => errors.push(error.at("creating", info.source.as_deref().unwrap_or(""))),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    fn check(&self) -> Result<(), CliError> {
        if self.files.is_empty() {
            return Err(CliError::message("must specify one of -f and -k"));
        }
        let refused = [
            (self.edit, "--raw and --edit are mutually exclusive"),
            (!self.selector.is_empty(), "--raw and --selector (-l) are mutually exclusive"),
        ];
        self.raw.check(&self.files, &self.writing.print.output)?;
        match refused.iter().find(|(wrong, _)| *wrong && self.raw.is_given()) {
            Some((_, text)) => Err(CliError::message(*text)),
            None => Ok(()),
        }
    }

    async fn one(
        &self,
        ctx: &mut Context,
        client: &crate::client::Client,
        info: &Info,
        dry_run: DryRun,
        validate: Validate,
    ) -> Result<Json, CliError> {
        let tree = if self.writing.save_config { super::last_applied(info.object.clone()) } else { info.object.clone() };
        if dry_run == DryRun::Client {
            return Ok(tree);
        }
        let ask = Ask::new(http::Method::POST, info.found.path(&info.namespace, ""))
            .query("fieldManager", self.writing.field_manager.as_str())
            .query("fieldValidation", validate.parameter());
        let answer = client.send(dry_run.ask(ask.json(&tree))).await?;
        ctx.warn_all(&answer.warnings);
        Ok(answer.json()?)
    }
}
