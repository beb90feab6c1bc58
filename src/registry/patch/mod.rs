//! PATCH: what is there, changed by a JSON, merge or strategic merge patch, or merged with an applied
//! configuration.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/patch.go.

mod applied;
mod body;
mod changed;
pub(crate) mod scale;
pub(crate) mod stays;

use std::sync::Arc;

use crate::api::{Json, Object, Status, defaults};

use super::run::Run;
use super::strategy::Part;
use super::update::Change;
use super::{Answer, PatchKind, conversion, create, metadata, update};

pub(crate) fn patch(mut run: Run<'_, '_>, part: Part) -> Result<Answer, Status> {
    let kind = body::kind(&run)?;
    let old = run.state.get(&run.key(&run.request.name)).cloned();
    match (kind, old) {
        (PatchKind::Apply, old) => apply(run, part, old),
        (_, None) => Err(Status::not_found(&run.group_resource(), &run.request.name)),
        (kind, Some(old)) => {
            let current = current(&run, &old);
            let gvk = run.gvk();
            let tree = changed::changed(&mut run, &gvk, kind, &current)?;
            let new = ready(&run, tree)?;
            let kept = update::replace(&mut run, new, &old, part, Change::Patch)?;
            Ok(run.answer(200, &kept))
        }
    }
}

/// The object as the request's version shows it.
fn current(run: &Run<'_, '_>, old: &Object) -> Json {
    conversion::shown(&run.request.resource, old.json()).into_owned()
}

fn apply(mut run: Run<'_, '_>, part: Part, old: Option<Arc<Object>>) -> Result<Answer, Status> {
    let gvk = run.gvk();
    let current = old.as_ref().map(|old| current(&run, old));
    let tree = applied::applied(&mut run, &gvk, current.as_ref())?;
    let uid = tree.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or("").to_owned();
    let mut new = Object::new(tree);
    let Some(old) = old else {
        if part != Part::Main {
            return Err(Status::not_found(&run.group_resource(), &run.request.name));
        }
        if !uid.is_empty() {
            let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(&run.group_resource(), &run.request.name, &why));
        }
        metadata::match_namespace(&run, &mut new)?;
        create::match_name(&run, &new)?;
        // What an apply says of the version of an object that is not there does not count.
        new.metadata_mut().remove("resourceVersion");
        let kept = create::new_object_by(&mut run, new, Change::Apply)?;
        return Ok(run.answer(201, &kept));
    };
    let new = ready(&run, new.into_json())?;
    let kept = update::replace(&mut run, new, &old, part, Change::Apply)?;
    Ok(run.answer(200, &kept))
}

/// The patched tree as the object to keep: of the path's name and namespace, with its defaults.
fn ready(run: &Run<'_, '_>, tree: Json) -> Result<Object, Status> {
    let mut new = Object::new(tree);
    metadata::match_namespace(run, &mut new)?;
    create::match_name(run, &new)?;
    defaults::fill(&run.gvk(), new.json_mut());
    Ok(Object::new(conversion::kept(&run.request.resource, new.into_json())))
}

/// `current` (a subresource's own object, such as a Scale) after the request's patch; ownership is by its
/// `managedFields` where the patch is an apply. `current` must be there.
pub(crate) fn patched(run: &mut Run<'_, '_>, gvk: &crate::api::Gvk, current: &Json) -> Result<Json, Status> {
    match body::kind(run)? {
        PatchKind::Apply => applied::applied(run, gvk, Some(current)),
        kind => changed::changed(run, gvk, kind, current),
    }
}
