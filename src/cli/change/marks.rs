//! Labels and annotations of objects: what `label` and `annotate` share.
//! Source: k8s.io/kubectl/pkg/cmd/{label/label,annotate/annotate}.go.

use std::collections::BTreeMap;

use super::pairs::Pairs;
use super::{DryRun, DryRunFlag, MERGE};
use crate::api::{Json, JsonMap};
use crate::apply::create_merge_patch;
use crate::cli::input::Files;
use crate::cli::print::flags::PrintFlags;
use crate::cli::resources::{Info, Infos, Selection, items};
use crate::cli::{CliError, Context, complete};
use crate::client::Client;

/// Which marks of which objects.
#[derive(clap::Args)]
pub struct Marks {
    #[arg(value_name = "TYPE NAME KEY=VALUE… KEY-…", add = complete::resources())]
    pub args: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Replace values that are there
    #[arg(long)]
    pub overwrite: bool,
    /// Print them, change nothing
    #[arg(long)]
    pub list: bool,
    /// Change the objects of the files, not the server's
    #[arg(long)]
    pub local: bool,
    /// All objects of the types
    #[arg(long)]
    pub all: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only objects with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// Only objects with these fields
    #[arg(long, default_value = "", hide_default_value = true)]
    pub field_selector: String,
    /// Only if the object is in this version
    #[arg(long, default_value = "", hide_default_value = true)]
    pub resource_version: String,
    #[command(flatten)]
    pub dry_run: DryRunFlag,
    #[command(flatten)]
    pub print: PrintFlags,
}

/// What became of the marks of one object.
#[derive(Debug, Default, PartialEq)]
pub struct Changed {
    pub added: bool,
    pub removed: bool,
}

impl Marks {
    /// The flags against each other. `files`: what messages call files (`pod.yaml`).
    pub fn check(&self, names: &[String], pairs: &Pairs, dry_run: DryRun, what: &str, files: &str) -> Result<(), CliError> {
        let fail = |text: String| Err(CliError::message(text));
        if self.list && !self.print.output.is_empty() {
            return fail("--list and --output may not be specified together".into());
        }
        if self.all && !self.selector.is_empty() {
            return fail("cannot set --all and --selector at the same time".into());
        }
        if self.all && !self.field_selector.is_empty() {
            return fail("cannot set --all and --field-selector at the same time".into());
        }
        if self.local {
            if dry_run == DryRun::Server {
                return fail("cannot specify --local and --dry-run=server - did you mean --dry-run=client?".into());
            }
            let json = files.replace(".yaml", ".json");
            if !names.is_empty() {
                return fail(format!("can only use local files by -f {files} or --filename={json} when --local=true is set"));
            }
            if self.files.is_empty() {
                return fail(format!("one or more files must be specified as -f {files} or --filename={json}"));
            }
        } else if names.is_empty() && self.files.is_empty() {
            return fail("one or more resources must be specified as <resource> <name> or <resource>/<name>".into());
        }
        if pairs.set.is_empty() && pairs.remove.is_empty() && !self.list {
            return fail(format!("at least one {what} update is required"));
        }
        Ok(())
    }

    /// The objects as the server holds them, or as the files give them.
    pub async fn find(&self, ctx: &mut Context, names: &[String], dry_run: DryRun) -> Result<Infos, CliError> {
        let found = if self.local {
            self.files.local_infos(ctx).await?
        } else {
            if self.list { ctx.client().await? } else { dry_run.client(ctx).await? };
            let given = |text: &String| (!text.is_empty()).then(|| text.clone());
            let selection = Selection {
                args: names.to_vec(),
                files: self.files.clone(),
                labels: given(&self.selector),
                fields: given(&self.field_selector),
                all_namespaces: self.all_namespaces,
                all: self.all,
                chunk: 500,
                ..Selection::default()
            };
            selection.fetch(ctx).await?
        };
        if !found.single && !self.resource_version.is_empty() {
            return Err(CliError::message("--resource-version may only be used with a single resource"));
        }
        Ok(Infos { infos: items(found.infos), ..found })
    }

    /// Prints an object's marks.
    pub fn tell_list(&self, ctx: &mut Context, info: &Info, field: &str, single: bool) {
        let mut indent = "";
        if !single {
            indent = " ";
            ctx.out.line(&format!("Listing {field} for {}.{}/{}:", info.found.kind, info.found.group, info.name));
        }
        for (key, value) in marks(&info.object, field) {
            ctx.out.line(&format!("{indent}{key}={}", value.as_str().unwrap_or("")));
        }
    }

    /// The object with the marks set and taken away, and in the version that was asked for.
    pub fn change(&self, object: &Json, field: &str, pairs: &Pairs) -> (Json, Changed) {
        let mut all = marks(object, field);
        let mut changed = Changed::default();
        for (key, value) in &pairs.set {
            if all.get(key).and_then(Json::as_str) != Some(value) {
                all.insert(key.clone(), value.as_str().into());
                changed.added = true;
            }
        }
        for key in &pairs.remove {
            changed.removed |= all.remove(key).is_some();
        }
        let mut new = object.clone();
        if let Some(metadata) = new.get_mut("metadata").and_then(Json::as_object_mut) {
            if all.is_empty() {
                metadata.remove(field);
            } else {
                metadata.insert(field.into(), Json::Object(all));
            }
            if !self.resource_version.is_empty() {
                metadata.insert("resourceVersion".into(), self.resource_version.as_str().into());
            }
        }
        (new, changed)
    }

    /// Sends what differs between two states of an object as a merge patch.
    pub async fn send(&self, ctx: &mut Context, client: &Client, info: &Info, new: &Json, dry_run: DryRun, manager: &str) -> Result<Json, CliError> {
        let mut old = info.object.clone();
        if let Some(metadata) = old.get_mut("metadata").and_then(Json::as_object_mut)
            && !self.resource_version.is_empty()
        {
            // So that the version stands in the patch.
            metadata.remove("resourceVersion");
        }
        let patch = create_merge_patch(&old, new);
        Ok(super::patch(ctx, client, info, dry_run, manager, (MERGE, &patch)).await?)
    }
}

/// The marks of an object that would get another value.
pub fn overwritten<'a>(object: &Json, field: &str, set: &'a BTreeMap<String, String>) -> Vec<(&'a str, String)> {
    let all = marks(object, field);
    set.iter()
        .filter_map(|(key, value)| {
            let now = all.get(key).and_then(Json::as_str)?;
            (now != value).then(|| (key.as_str(), now.to_owned()))
        })
        .collect()
}

/// `metadata.labels` or `metadata.annotations`.
pub fn marks(object: &Json, field: &str) -> JsonMap {
    object.pointer("/metadata").and_then(|m| m.get(field)).and_then(Json::as_object).cloned().unwrap_or_default()
}
