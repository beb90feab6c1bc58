//! What the generators share: the name, the flags, and making the object.

use serde_json::json;

use crate::api::{Gvk, Json, decode};
use crate::apply::managed::LAST_APPLIED;
use crate::cli::change::{DryRun, DryRunFlag, Teller};
use crate::cli::declare::Validate;
use crate::cli::print::flags::PrintFlags;
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::Ask;


/// Flags of all that is created, from files or by a generator.
#[derive(clap::Args)]
pub struct Writing {
    /// Keep each object in its annotation, for a later client-side apply
    #[arg(long)]
    pub save_config: bool,
    /// Unknown and doubled fields: strict, warn or ignore
    #[arg(long, num_args = 0..=1, default_value = "strict", default_missing_value = "strict", require_equals = true, hide_default_value = true)]
    pub validate: String,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-create", hide_default_value = true)]
    pub field_manager: String,
    #[command(flatten)]
    pub dry_run: DryRunFlag,
    #[command(flatten)]
    pub print: PrintFlags,
}

/// Flags of every generator.
#[derive(clap::Args)]
pub struct Making {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// What stands behind `--`.
    #[arg(last = true, value_name = "COMMAND")]
    pub rest: Vec<String>,
    #[command(flatten)]
    writing: Writing,
}

/// Flags that cobra marks as required; the missing ones are told before anything else is looked at.
pub fn required(flags: &[(&str, bool)]) -> Result<(), CliError> {
    let missing: Vec<String> = flags.iter().filter(|(_, given)| !given).map(|(flag, _)| format!("\"{flag}\"")).collect();
    if missing.is_empty() { Ok(()) } else { Err(CliError::message(format!("required flag(s) {} not set", missing.join(", ")))) }
}

impl Making {
    /// The one name. Source: create.go, `NameFromCommandArgs`.
    pub fn name(&self) -> Result<&str, CliError> {
        match self.names.as_slice() {
            [name] => Ok(name),
            names => Err(CliError::Usage(format!("exactly one NAME is required, got {}", names.len()))),
        }
    }

    /// The metadata of the object: with a namespace only where one was asked for.
    pub fn metadata(&self, ctx: &Context, name: &str) -> Json {
        match ctx.flags.namespace.as_deref().filter(|n| !n.is_empty()) {
            Some(namespace) => json!({"name": name, "namespace": namespace}),
            None => json!({"name": name}),
        }
    }

    pub fn dry_run(&self, ctx: &mut Context) -> Result<DryRun, CliError> {
        self.writing.dry_run.mode(ctx)
    }

    pub fn teller(&self, ctx: &Context, dry_run: DryRun) -> Result<Teller, CliError> {
        Teller::new(ctx, &self.writing.print, dry_run)
    }

    /// The flags alone, so that what is wrong with them is told before what is wrong with the object.
    pub fn check(&self, ctx: &mut Context) -> Result<(), CliError> {
        let dry_run = self.dry_run(ctx)?;
        self.teller(ctx, dry_run)?;
        Validate::parse(&self.writing.validate).map_err(CliError::message).map(|_| ())
    }

    /// Makes the object of `resource` and tells so. `failed`: what stands before the server's refusal.
    pub async fn make(&self, ctx: &mut Context, resource: &str, tree: Json, failed: &str) -> CliResult {
        let dry_run = self.dry_run(ctx)?;
        let mut teller = self.teller(ctx, dry_run)?;
        let validate = Validate::parse(&self.writing.validate).map_err(CliError::message)?;
        let mut tree = typed(tree)?;
        if self.writing.save_config {
            tree = last_applied(tree);
        }
        if dry_run != DryRun::Client {
            let client = dry_run.client(ctx).await?;
            let discovery = client.discovery().await?;
            let found = crate::cli::resources::map_one(ctx, &discovery, resource)?;
            let ask = Ask::new(http::Method::POST, found.path(ctx.namespace(), ""))
                .query("fieldManager", self.writing.field_manager.as_str())
                .query("fieldValidation", validate.parameter());
            let answer = client.send(dry_run.ask(ask.json(&tree))).await.map_err(|e| refused(e.into(), failed))?;
            ctx.warn_all(&answer.warnings);
            tree = answer.json()?;
        }
        teller.tell(ctx, &tree, "created")?;
        Ok(Exit::Success)
    }
}

/// Most generators put their own words before the server's, as a plain message.
pub fn refused(error: CliError, failed: &str) -> CliError {
    match error {
        CliError::Status(status) if !failed.is_empty() => CliError::message(format!("{failed} {}", status.message)),
        other => other,
    }
}

/// A tree as Go holds its kind: structs that are there by value are written, empty values are not.
pub fn typed(tree: Json) -> Result<Json, CliError> {
    let text = |key: &str| tree.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let gvk = Gvk::of(&text("apiVersion"), &text("kind"));
    let decoded = decode::decode(&gvk, tree).map_err(CliError::message)?;
    Ok(decoded.tree)
}

/// The object with itself in the annotation of client-side apply.
/// Source: k8s.io/kubectl/pkg/util/apply.go, `CreateApplyAnnotation`.
pub fn last_applied(mut tree: Json) -> Json {
    let annotations = tree.pointer("/metadata/annotations").and_then(Json::as_object).cloned();
    let mut annotations = annotations.unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    tree["metadata"]["annotations"] = Json::Object(annotations.clone());
    let text = crate::api::go::json::compact(&tree) + "\n";
    annotations.insert(LAST_APPLIED.into(), text.into());
    tree["metadata"]["annotations"] = Json::Object(annotations);
    tree
}
