//! Writes through the subresource `scale`: the object's replicas change, and who owns them.
//! Source: `scaleUpdatedObjectInfo` in pkg/registry/apps/deployment/storage/storage.go.

use std::sync::Arc;

use crate::api::validation::field::{self, Path};
use crate::api::{Gvk, Json, Object, Status};
use crate::apply::managed::{scale_entries_to_parent, scale_entries_to_scale};
use crate::apply::{FieldManager, manager_name};
use crate::registry::run::Run;
use crate::registry::strategy::Part;
use crate::registry::update::{self, Change};
use crate::registry::{Answer, body, create, metadata, scale};

fn gvk() -> Gvk {
    Gvk::of("autoscaling/v1", "Scale")
}

/// PUT of a Scale.
pub(crate) fn update(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let object = body::object_as(&mut run, &gvk())?;
    let old = run.get(&run.request.name)?;
    let before = current(&run, &old)?;
    let options = &run.request.options;
    let manager = manager_name(options.field_manager.as_deref(), &options.user_agent);
    let managers = FieldManager::new(&gvk(), "scale");
    let after = managers.update(Some(&before), object.into_json(), &manager, run.env.now);
    replace(run, &old, after)
}

/// PATCH of a Scale.
pub(crate) fn patch(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    super::body::kind(&run)?;
    let old = run.get(&run.request.name)?;
    let before = current(&run, &old)?;
    let after = super::patched(&mut run, &gvk(), &before)?;
    let applied = super::body::kind(&run)? == crate::registry::PatchKind::Apply;
    let after = if applied {
        after
    } else {
        let options = &run.request.options;
        let manager = manager_name(options.field_manager.as_deref(), &options.user_agent);
        FieldManager::new(&gvk(), "scale").update(Some(&before), after, &manager, run.env.now)
    };
    replace(run, &old, after)
}

/// The object's Scale, with those of its managers that own the replicas.
fn current(run: &Run<'_, '_>, old: &Object) -> Result<Json, Status> {
    let mut tree = scale::of(&run.request.resource, old)?;
    let entries = old.at("/metadata/managedFields").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(entries) = scale_entries_to_scale(entries, old.api_version()).filter(|e| !e.is_empty()) {
        tree["metadata"]["managedFields"] = Json::Array(entries);
    }
    Ok(tree)
}

fn replace(mut run: Run<'_, '_>, old: &Arc<Object>, after: Json) -> Result<Answer, Status> {
    let mut after = Object::new(after);
    metadata::match_namespace(&run, &mut after)?;
    create::match_name(&run, &after)?;
    let replicas = after.i64_at("/spec/replicas").unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = field::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", old.name(), &[error]));
    }
    if !after.uid().is_empty() && after.uid() != old.uid() {
        let mut resource = run.group_resource();
        resource.resource = format!("{}/scale", resource.resource).into();
        let why = format!("Precondition failed: UID in precondition: {}, UID in object meta: {}", after.uid(), old.uid());
        return Err(Status::conflict(&resource, old.name(), &why));
    }
    let mut new = Object::clone(old);
    write(&mut new, &after);
    scale::set_replicas(&run.request.resource, &mut new, replicas);
    let kept = update::replace(&mut run, new, old, Part::Main, Change::Apply)?;
    let body = scale::of(&run.request.resource, &kept)?;
    Ok(Answer { code: 200, body, warnings: run.warnings })
}

fn write(new: &mut Object, after: &Object) {
    let entries = |object: &Object| {
        object.at("/metadata/managedFields").and_then(Json::as_array).cloned().unwrap_or_default()
    };
    let managers = scale_entries_to_parent(&entries(new), &entries(after), new.api_version());
    let version = after.resource_version().to_owned();
    let metadata = new.metadata_mut();
    metadata.insert("resourceVersion".into(), version.into());
    match managers {
        Some(managers) if !managers.is_empty() => metadata.insert("managedFields".into(), Json::Array(managers)),
        _ => metadata.remove("managedFields"),
    };
}
