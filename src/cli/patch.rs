//! `wl patch`: changes fields of objects. Source: k8s.io/kubectl/pkg/cmd/patch/patch.go.

use super::change::{DryRun, DryRunFlag, JSON_PATCH, MERGE, STRATEGIC, Teller};
use super::input::Files;
use super::print::flags::{PrintFlags, go_error};
use super::resources::{Info, Infos, Selection};
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::Json;
use crate::api::status::quote;
use crate::apply::{json_patch, merge_patch, strategic_merge_patch};
use crate::client::{Ask, Client};

/// Change fields of objects by a strategic merge patch, a merge patch or a JSON patch
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl patch deploy web -p '{\"spec\":{\"replicas\":3}}'\n  wl patch pod web --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/labels/tier\"}]'")]
pub struct Patch {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The patch, as JSON or YAML
    #[arg(short, long, default_value = "", hide_default_value = true)]
    patch: String,
    /// A file with the patch
    #[arg(long, default_value = "", hide_default_value = true, value_hint = clap::ValueHint::FilePath)]
    patch_file: String,
    /// json, merge or strategic
    #[arg(long = "type", default_value = "strategic")]
    kind: String,
    /// A part of the object: `status`, `scale`, `resize`
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    /// Patch the objects of the files, not the server's
    #[arg(long)]
    local: bool,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-patch", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    print: PrintFlags,
}

impl Patch {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.dry_run.mode(ctx)?;
        let media = self.check(dry_run)?;
        // kubectl says the same of a dry run as of a patch.
        let mut teller = Teller::new(ctx, &self.print, DryRun::None)?;
        let patch = self.body(ctx)?;
        let local = self.local || dry_run == DryRun::Client;
        let found = self.find(ctx, dry_run).await?;
        let mut errors = found.errors;
        if found.infos.is_empty() && errors.is_empty() {
            return Err(CliError::message("no objects passed to patch"));
        }
        for info in found.infos {
            let patched = if local {
                here(&patch, media).and_then(|patch| patch_here(&info, media, &patch))
            } else {
                let client = ctx.client().await?;
                self.send(ctx, &client, &info, dry_run, media, &patch).await
            };
            match patched {
                Ok(object) => {
                    let done = if object == info.object { "patched (no change)" } else { "patched" };
                    errors.extend(teller.tell(ctx, &object, done).err());
                }
                Err(error) => errors.push(error),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    /// The flags against each other; answers with the patch's media type.
    fn check(&self, dry_run: DryRun) -> Result<&'static str, CliError> {
        if !self.patch.is_empty() && !self.patch_file.is_empty() {
            return Err(CliError::message("cannot specify --patch and --patch-file together"));
        }
        if self.patch.is_empty() && self.patch_file.is_empty() {
            return Err(CliError::message("must specify --patch or --patch-file containing the contents of the patch"));
        }
        if self.local && !self.args.is_empty() {
            return Err(CliError::message("cannot specify --local and server resources"));
        }
        if self.local && dry_run == DryRun::Server {
            return Err(CliError::message("cannot specify --local and --dry-run=server - did you mean --dry-run=client?"));
        }
        match self.kind.to_lowercase().as_str() {
            "json" => Ok(JSON_PATCH),
            "merge" => Ok(MERGE),
            "strategic" | "" => Ok(STRATEGIC),
            _ => Err(CliError::message(format!("--type must be one of [json merge strategic], not {}", quote(&self.kind)))),
        }
    }

    /// The patch as JSON. What begins as JSON is sent as it stands, right or wrong.
    /// Source: `hasJSONPrefix` in k8s.io/apimachinery/pkg/util/yaml/decoder.go.
    fn body(&self, ctx: &Context) -> Result<Vec<u8>, CliError> {
        let bytes = if self.patch_file.is_empty() {
            self.patch.as_bytes().to_vec()
        } else {
            let read = std::fs::read(ctx.path(&self.patch_file));
            read.map_err(|e| CliError::message(format!("unable to read patch file: open {}: {}", self.patch_file, go_error(&e))))?
        };
        if bytes.trim_ascii_start().starts_with(b"{") {
            return Ok(bytes);
        }
        let first = crate::manifest::first_document(&bytes);
        let first = first.map_err(|e| CliError::message(format!("unable to parse {}: {e}", quote(&self.patch))))?;
        Ok(first.tree.to_string().into_bytes())
    }

    async fn find(&self, ctx: &mut Context, dry_run: DryRun) -> Result<Infos, CliError> {
        if self.local {
            return self.files.local_infos(ctx).await;
        }
        dry_run.client(ctx).await?;
        let selection = Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            subresource: self.subresource.clone(),
            ..Selection::default()
        };
        if self.files.is_empty() {
            return selection.fetch(ctx).await;
        }
        // Files name the objects only: kubectl does not ask for what the server holds.
        selection.targets(ctx).await?;
        self.files.infos(ctx).await
    }

    async fn send(
        &self,
        ctx: &mut Context,
        client: &Client,
        info: &Info,
        dry_run: DryRun,
        media: &str,
        patch: &[u8],
    ) -> Result<Json, CliError> {
        let mut path = info.path();
        if !self.subresource.is_empty() {
            path = format!("{path}/{}", crate::client::segment(&self.subresource));
        }
        let ask = Ask::new(http::Method::PATCH, path).query("fieldManager", self.field_manager.as_str());
        let answer = client.send(dry_run.ask(ask.bytes(media, patch.to_vec()))).await;
        let answer = answer.map_err(|error| match error.status() {
            Some(status) if status.reason == "UnsupportedMediaType" => CliError::message(format!(
                "{media} is not supported by {}, Kind={}: {}",
                info.found.api_version(),
                info.found.kind,
                status.message
            )),
            _ => error.into(),
        })?;
        ctx.warn_all(&answer.warnings);
        Ok(answer.json()?)
    }
}

/// A patch that is not sent, read here.
pub(super) fn here(patch: &[u8], media: &str) -> Result<Json, CliError> {
    let read = crate::registry::text::read_json(patch).map(|text| text.tree);
    read.map_err(|_| CliError::message(if media == STRATEGIC { "invalid JSON document" } else { "Invalid JSON Patch" }))
}

/// The patch carried out here, on the object as it is known.
fn patch_here(info: &Info, media: &str, patch: &Json) -> Result<Json, CliError> {
    match media {
        JSON_PATCH => json_patch(&info.object, patch).map_err(|e| CliError::message(e.to_string())),
        MERGE => Ok(merge_patch(&info.object, patch)),
        _ => {
            let gvk = info.found.gvk();
            if crate::api::schema::Schema::get().type_of(&gvk).is_none() {
                let text = format!("cannot apply strategic merge patch for {}, Kind={} locally, try --type merge", gvk.api_version(), gvk.kind);
                return Err(CliError::message(text));
            }
            strategic_merge_patch(&gvk, &info.object, patch).map_err(|e| CliError::message(e.to_string()))
        }
    }
}
