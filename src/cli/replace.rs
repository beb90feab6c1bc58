//! `wl replace`: puts the objects of files in the place of what is there.
//! Source: k8s.io/kubectl/pkg/cmd/replace/replace.go.

use std::time::Duration;

use super::change::raw::Raw;
use super::change::deletion::{Deletion, policy, wait_until_gone};
use super::change::{DryRun, DryRunFlag, Teller};
use super::create::last_applied;
use super::declare::Validate;
use super::input::Files;
use super::print::flags::PrintFlags;
use super::resources::Info;
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::client::{Ask, Client};

/// So long a forced replacement waits for the old objects to go, if nothing else was asked for.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Replace objects by those of files
#[derive(clap::Args)]
pub struct Replace {
    #[command(flatten)]
    files: Files,
    /// Delete the objects first, and make them anew
    #[arg(long)]
    force: bool,
    /// With --force: what becomes of what they own: background, foreground or orphan
    #[arg(long, num_args = 0..=1, default_value = "background", default_missing_value = "background", require_equals = true, hide_default_value = true)]
    cascade: String,
    /// With --force: seconds that pods get to end; the pod's own if negative
    #[arg(long, default_value_t = -1, value_parser = super::flags::integer, hide_default_value = true)]
    grace_period: i64,
    /// With --force: how long to wait until the old objects are gone
    #[arg(long, default_value = "0s", value_parser = super::flags::timeout, hide_default_value = true)]
    timeout: Duration,
    /// A part of the object: `status`, `scale`, `resize`
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    #[command(flatten)]
    raw: Raw,
    /// Keep the objects in their annotation, for a later client-side apply
    #[arg(long)]
    save_config: bool,
    /// Unknown and doubled fields: strict, warn or ignore
    #[arg(long, num_args = 0..=1, default_value = "strict", default_missing_value = "strict", require_equals = true, hide_default_value = true)]
    validate: String,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-replace", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    print: PrintFlags,
}

impl Replace {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let validate = Validate::parse(&self.validate).map_err(CliError::message)?;
        let dry_run = self.dry_run.mode(ctx)?;
        let mut teller = Teller::new(ctx, &self.print, dry_run)?;
        self.check(dry_run)?;
        if self.raw.is_given() {
            return self.raw.send(ctx, http::Method::PUT, &self.files, dry_run).await;
        }
        let client = dry_run.client(ctx).await?;
        let found = self.files.infos(ctx).await?;
        let mut errors = found.errors;
        if self.force {
            if let Some(error) = CliError::many(errors) {
                return Err(error);
            }
            return self.anew(ctx, &client, &found.infos, validate, &mut teller).await;
        }
        for info in &found.infos {
            match self.one(ctx, &client, info, validate, dry_run).await {
                Ok(object) => errors.extend(teller.tell(ctx, &object, "replaced").err()),
                Err(error) => errors.push(error.at("replacing", info.source.as_deref().unwrap_or(""))),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    fn check(&self, dry_run: DryRun) -> Result<(), CliError> {
        let fail = |text: &str| Err(CliError::message(text));
        if self.files.is_empty() {
            return fail("must specify one of -f and -k");
        }
        if self.grace_period >= 0 && !self.force {
            return fail("--grace-period must have --force specified");
        }
        if !self.timeout.is_zero() && !self.force {
            return fail("--timeout must have --force specified");
        }
        if self.force && dry_run != DryRun::None {
            return fail("--dry-run can not be used when --force is set");
        }
        self.raw.check(&self.files, &self.print.output)
    }

    fn body(&self, info: &Info) -> Json {
        if self.save_config { last_applied(info.object.clone()) } else { info.object.clone() }
    }

    fn ask(&self, method: http::Method, path: String, validate: Validate, body: &Json) -> Ask {
        Ask::new(method, path)
            .query("fieldManager", self.field_manager.as_str())
            .query("fieldValidation", validate.parameter())
            .json(body)
    }

    /// Without a version of its own an object replaces whatever is there.
    /// Source: k8s.io/cli-runtime/pkg/resource/helper.go, `Replace`.
    async fn one(&self, ctx: &mut Context, client: &Client, info: &Info, validate: Validate, dry_run: DryRun) -> Result<Json, CliError> {
        let mut body = self.body(info);
        if dry_run == DryRun::Client {
            return Ok(body);
        }
        let mut path = info.path();
        let version = "/metadata/resourceVersion";
        if body.pointer(version).and_then(Json::as_str).is_none_or(str::is_empty)
            && let Ok(now) = client.get(&path).await
            && let Some(version) = now.pointer(version)
        {
            body["metadata"]["resourceVersion"] = version.clone();
        }
        if !self.subresource.is_empty() {
            path = format!("{path}/{}", crate::client::segment(&self.subresource));
        }
        let answer = client.send(dry_run.ask(self.ask(http::Method::PUT, path, validate, &body))).await?;
        ctx.warn_all(&answer.warnings);
        Ok(answer.json()?)
    }

    /// Deletes what is there, waits until it is gone, and creates.
    async fn anew(&self, ctx: &mut Context, client: &Client, infos: &[Info], validate: Validate, teller: &mut Teller) -> CliResult {
        // To delete at once could lose data; a second, waited for, has always been what 0 means here.
        let grace = if self.grace_period == 0 { 1 } else { self.grace_period };
        let deletion = Deletion {
            policy: policy(&self.cascade)?,
            grace,
            dry_run: DryRun::None,
            names: self.print.output == "name",
        };
        let mut gone = Vec::new();
        for info in infos {
            let Ok(object) = client.get(&info.path()).await else { continue };
            match deletion.send(client, info).await {
                Ok(()) => {
                    deletion.tell(ctx, info);
                    gone.push(Info { object, ..info.clone() });
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.at("deleting", info.source.as_deref().unwrap_or(""))),
            }
        }
        let timeout = if self.timeout.is_zero() { PATIENCE } else { self.timeout };
        wait_until_gone(ctx, client, &gone, timeout).await?;
        let mut errors = Vec::new();
        for info in infos {
            let ask = self.ask(http::Method::POST, info.found.path(&info.namespace, ""), validate, &self.body(info));
            match client.send(ask).await {
                Ok(answer) => {
                    ctx.warn_all(&answer.warnings);
                    errors.extend(teller.tell(ctx, &answer.json()?, "replaced").err());
                }
                Err(error) => errors.push(error.into()),
            }
        }
        if infos.is_empty() {
            return Err(CliError::message("no objects passed to replace"));
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }
}
