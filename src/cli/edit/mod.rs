//! `wl edit`: objects in the user's editor, and what was changed there as patches.
//! Source: k8s.io/kubectl/pkg/cmd/edit, k8s.io/kubectl/pkg/cmd/util/editor/editoptions.go.

mod editor;
mod session;

use super::change::{DryRun, MERGE, STRATEGIC, Teller};
use super::create::last_applied;
use super::declare::Validate;
use super::input::Files;
use super::print::flags::PrintFlags;
use super::resources::{Info, Selection, items};
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::Json;
use crate::api::schema::Schema;
use crate::apply::{create_merge_patch, two_way_strategic_patch};
use crate::client::{Ask, ClientError};

pub use session::{Edited, Session};

/// Change objects in an editor (KUBE_EDITOR, EDITOR, or vi)
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl edit deploy/web\n  KUBE_EDITOR=nano wl edit cm/app")]
pub struct Edit {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Print the patch that is sent
    #[arg(long)]
    output_patch: bool,
    /// A part of the object: `status`, `scale`, `resize`
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    /// Keep the objects in their annotation, for a later client-side apply
    #[arg(long)]
    save_config: bool,
    /// Unknown and doubled fields: strict, warn or ignore
    #[arg(long, num_args = 0..=1, default_value = "strict", default_missing_value = "strict", require_equals = true, hide_default_value = true)]
    validate: String,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-edit", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    print: PrintFlags,
}

impl Edit {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let validate = Validate::parse(&self.validate).map_err(CliError::message)?;
        if !matches!(self.print.output.as_str(), "" | "yaml" | "json" | "name") {
            return Err(CliError::message(format!("unexpected output format {}: edit writes yaml or json", self.print.output)));
        }
        let mut teller = Teller::new(ctx, &self.print, DryRun::None)?;
        ctx.client_to_change().await?;
        let selection = Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            subresource: self.subresource.clone(),
            type_alone: true,
            chunk: 500,
            ..Selection::default()
        };
        let found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        let mut infos = items(found.infos);
        if infos.is_empty() {
            return Err(CliError::message("edit cancelled, no objects found"));
        }
        // Nobody edits who owns which field.
        for metadata in infos.iter_mut().filter_map(|i| i.object.get_mut("metadata").and_then(Json::as_object_mut)) {
            metadata.remove("managedFields");
        }
        let mut session = Session::new(&self.print);
        loop {
            let edited = match session.edit(ctx, &infos)? {
                Edited::Nothing => return Ok(Exit::Success),
                Edited::Again => continue,
                Edited::Objects(objects) => objects,
            };
            for object in edited {
                if let Err(error) = self.one(ctx, &infos, object, validate, &mut teller, &mut session).await {
                    session.preserve(ctx);
                    return Err(error);
                }
            }
            if session.is_over(ctx)? {
                return Ok(Exit::Success);
            }
        }
    }

    async fn one(
        &self,
        ctx: &mut Context,
        infos: &[Info],
        mut object: Json,
        validate: Validate,
        teller: &mut Teller,
        session: &mut Session,
    ) -> Result<(), CliError> {
        let text = |tree: &Json, pointer: &str| tree.pointer(pointer).and_then(Json::as_str).unwrap_or("").to_owned();
        let uid = text(&object, "/metadata/uid");
        let Some(info) = infos.iter().find(|i| text(&i.object, "/metadata/uid") == uid) else {
            return Err(CliError::message(format!("no original object found for {}", super::print::flags::name(&object))));
        };
        if text(&object, "/metadata/namespace") != info.namespace && info.found.namespaced {
            let (own, asked) = (text(&object, "/metadata/namespace"), &info.namespace);
            return Err(CliError::message(format!(
                "the namespace from the provided object \"{own}\" does not match the namespace \"{asked}\". You must pass \
                 '--namespace={own}' to perform this operation."
            )));
        }
        if self.save_config {
            object = last_applied(object);
        }
        if object == info.object {
            return teller.tell(ctx, &object, "skipped");
        }
        let fixed = ["/apiVersion", "/kind", "/metadata/name"];
        if fixed.iter().any(|pointer| text(&object, pointer) != text(&info.object, pointer)) {
            return Err(CliError::message("At least one of apiVersion, kind and name was changed"));
        }
        let gvk = info.found.gvk();
        let (media, patch) = if Schema::get().type_of(&gvk).is_some() {
            let patch = two_way_strategic_patch(&gvk, &info.object, &object);
            (STRATEGIC, patch.map_err(|e| CliError::message(e.to_string()))?)
        } else {
            (MERGE, create_merge_patch(&info.object, &object))
        };
        if self.output_patch {
            ctx.out.line(&format!("Patch: {}", crate::api::go::json::compact(&patch)));
        }
        let mut path = info.path();
        if !self.subresource.is_empty() {
            path = format!("{path}/{}", crate::client::segment(&self.subresource));
        }
        let ask = Ask::new(http::Method::PATCH, path)
            .query("fieldManager", self.field_manager.as_str())
            .query("fieldValidation", validate.parameter())
            .bytes(media, patch.to_string());
        let client = ctx.client().await?;
        match client.send(ask).await {
            Ok(answer) => {
                ctx.warn_all(&answer.warnings);
                teller.tell(ctx, &answer.json()?, "edited")
            }
            Err(error @ ClientError::Status { .. }) => {
                let told = session.refused(info, &error);
                ctx.err.line(&told);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Lets the user change objects before they are created, each in a file of its own; an empty file leaves its object out.
pub async fn before_create(ctx: &mut Context, infos: Vec<Info>, print: &PrintFlags) -> Result<Vec<Info>, CliError> {
    let mut all = Vec::new();
    for info in infos {
        let mut session = Session::new(print);
        let edited = loop {
            match session.edit(ctx, std::slice::from_ref(&info))? {
                Edited::Nothing => break Vec::new(),
                Edited::Again => {}
                Edited::Objects(objects) => break objects,
            }
        };
        session.forget();
        all.extend(edited.into_iter().map(|object| {
            let name = object.pointer("/metadata/name").and_then(Json::as_str).unwrap_or("").to_owned();
            Info { object, name, ..info.clone() }
        }));
    }
    Ok(all)
}
