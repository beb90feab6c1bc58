//! `wl apply view-last-applied`, `edit-last-applied` and `set-last-applied`: the manifest that kubectl's client-side apply keeps in an
//! annotation. Source: k8s.io/kubectl/pkg/cmd/apply/apply_{view,edit,set}_last_applied.go.

use bytes::Bytes;
use serde_json::json;

use crate::api::{Json, go};
use crate::api::tree::Tree;
use crate::apply::managed::LAST_APPLIED;
use crate::cli::change::{DryRun, Teller};
use crate::cli::create::last_applied;
use crate::cli::edit::before_create;
use crate::cli::input::{Files, place};
use crate::cli::print::flags::PrintFlags;
use crate::cli::print::yaml;
use crate::cli::resources::{Info, Selection, items};
use crate::cli::{CliError, CliResult, Context, Exit, complete};
use crate::client::Ask;


#[derive(clap::Subcommand)]
pub enum LastApplied {
    /// The manifest that was applied last
    #[command(name = "view-last-applied")]
    View(View),
    /// Change in an editor what was applied last, without applying it
    #[command(name = "edit-last-applied")]
    Edit(Edit),
    /// Put down what was applied last, without applying it
    #[command(name = "set-last-applied")]
    Set(Set),
}

#[derive(clap::Args)]
pub struct View {
    #[arg(value_name = "TYPE [NAME…] | TYPE/NAME", add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// All objects of the types
    #[arg(long)]
    all: bool,
    /// yaml or json
    #[arg(short, long, default_value = "yaml", hide_default_value = true)]
    output: String,
}

#[derive(clap::Args)]
pub struct Edit {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Who manages the annotation
    #[arg(long, default_value = "kubectl-client-side-apply", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    print: PrintFlags,
}

#[derive(clap::Args)]
pub struct Set {
    #[command(flatten)]
    files: Files,
    /// Also where there is no such annotation yet
    #[arg(long)]
    create_annotation: bool,
    /// none, server or client: show what would be done
    #[arg(long, num_args = 0..=1, default_value = "none", default_missing_value = "unchanged", require_equals = true, hide_default_value = true)]
    dry_run: String,
}

impl LastApplied {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match self {
            LastApplied::View(args) => args.run(ctx).await,
            LastApplied::Edit(args) => args.run(ctx).await,
            LastApplied::Set(args) => args.run(ctx).await,
        }
    }
}

fn kept(object: &Json) -> Option<&str> {
    object.field("metadata").field("annotations").opt_text(LAST_APPLIED)
}

impl View {
    async fn run(&self, ctx: &mut Context) -> CliResult {
        if !matches!(self.output.as_str(), "yaml" | "json") {
            return Err(CliError::Usage(format!(
                "Unexpected -o output mode: {}, the flag 'output' must be one of yaml|json",
                self.output
            )));
        }
        let selection = Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            labels: self.selector.clone(),
            all: self.all,
            type_alone: true,
            chunk: 500,
            ..Selection::default()
        };
        let found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        for info in items(found.infos) {
            let Some(text) = kept(&info.object) else { continue };
            let tree: Json = serde_json::from_str(text).map_err(|e| CliError::message(e.to_string()))?;
            match self.output.as_str() {
                "json" => ctx.out.line(&go::json::pretty(&tree, "  ")),
                _ => ctx.out.text(&yaml::to_yaml(&tree)),
            }
        }
        Ok(Exit::Success)
    }
}

impl Edit {
    async fn run(&self, ctx: &mut Context) -> CliResult {
        let mut teller = Teller::new(ctx, &self.print, DryRun::None)?;
        let client = ctx.client_to_change().await?;
        let selection =
            Selection { args: self.args.clone(), files: self.files.clone(), type_alone: true, chunk: 500, ..Selection::default() };
        let found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        let mut notes = Vec::new();
        for info in items(found.infos) {
            if let Some(text) = kept(&info.object) {
                let object = serde_json::from_str(text).map_err(|e| CliError::message(e.to_string()))?;
                notes.push(Info { object, ..info });
            }
        }
        if notes.is_empty() {
            return Err(CliError::message(
                "no last-applied-configuration annotation found on resources, to create the annotation, use command `wl apply \
                 set-last-applied --create-annotation`",
            ));
        }
        for edited in before_create(ctx, notes, &self.print).await? {
            let wanted = last_applied(edited.object.clone()).field("metadata").field("annotations").field(LAST_APPLIED).clone();
            let patch = json!({"metadata": {"annotations": {LAST_APPLIED: wanted}}});
            let ask = Ask::new(http::Method::PATCH, edited.path()).query("fieldManager", self.field_manager.as_str());
            let answer = client.send(ask.bytes("application/merge-patch+json", Bytes::from(patch.to_string()))).await?;
            teller.tell(ctx, &answer.json()?, "edited")?;
        }
        Ok(Exit::Success)
    }
}

impl Set {
    async fn run(&self, ctx: &mut Context) -> CliResult {
        if !matches!(self.dry_run.as_str(), "none" | "server" | "client") {
            let text = format!("Invalid dry-run value ({}). Must be \"none\", \"server\", or \"client\".", self.dry_run);
            return Err(CliError::message(text));
        }
        if self.files.is_empty() {
            return Err(CliError::message("must specify one of -f and -k"));
        }
        let objects = self.files.objects(ctx).await?;
        let client = if self.dry_run == "none" { ctx.client_to_change().await? } else { ctx.client().await? };
        let discovery = client.discovery().await?;
        let mut changes = Vec::new();
        for item in &objects {
            let (found, namespace) = place(ctx, &discovery, item)?;
            let name = item.object.name();
            let path = found.path(&namespace, name);
            let live = client.get(&path).await?;
            let mut wanted = item.object.json().clone();
            if found.namespaced {
                wanted["metadata"]["namespace"] = namespace.into();
            }
            let wanted = format!("{wanted}\n");
            match kept(&live) {
                None if !self.create_annotation => {
                    return Err(CliError::message(format!(
                        "no last-applied-configuration annotation found on resource: {name}, to create the annotation, run the \
                         command with --create-annotation"
                    )));
                }
                Some(text) if text == wanted => ctx.out.line(&format!("set-last-applied {name}: no changes required.")),
                _ => changes.push((format!("{}/{name}", found.singular_qualified()), path, wanted)),
            }
        }
        for (label, path, wanted) in changes {
            let suffix = match self.dry_run.as_str() {
                "client" => " (dry run)",
                "server" => " (server dry run)",
                _ => "",
            };
            if self.dry_run != "client" {
                let patch = json!({"metadata": {"annotations": {LAST_APPLIED: wanted}}});
                let ask = Ask::new(http::Method::PATCH, path).query("fieldManager", "kubectl-client-side-apply");
                let ask = if self.dry_run == "server" { ask.query("dryRun", "All") } else { ask };
                client.send(ask.bytes("application/merge-patch+json", Bytes::from(patch.to_string()))).await?;
            }
            ctx.out.line(&format!("{label} configured{suffix}"));
        }
        Ok(Exit::Success)
    }
}
