//! Server-side apply of a request's body.

use crate::api::{Gvk, Json, Status};
use crate::apply::{FieldManager, manager_name};
use crate::registry::FieldValidation;
use crate::registry::custom;
use crate::registry::run::Run;

use super::body;

/// Go's type of a body's map.
const MAP: &str = "map[string]interface {}";

/// The live object merged with the body, with its managers; `current` is `None` where it creates.
pub(super) fn applied(run: &mut Run<'_, '_>, gvk: &Gvk, current: Option<&Json>) -> Result<Json, Status> {
    let bad = |why: &str| Status::bad_request(format!("error decoding YAML: {why}"));
    let text = body::read_yaml(run).map_err(|why| bad(&format!("error converting YAML to JSON: {why}")))?;
    let patch = match &text.tree {
        Json::Null => Json::Object(serde_json::Map::new()),
        Json::Object(_) => text.tree.clone(),
        other => {
            let why = body::cannot_unmarshal(other, MAP);
            return Err(bad(&format!("error unmarshaling JSON: while decoding JSON: {why}")));
        }
    };
    let options = &run.request.options;
    let manager = manager_name(options.field_manager.as_deref(), &options.user_agent);
    let force = options.force.unwrap_or(false);
    let subresource = run.request.subresource.as_deref().unwrap_or("");
    let convert = |tree: &Json, version: &str| crate::registry::conversion::at_version(tree, version);
    let types = custom::types(run.state, &run.request.resource);
    let mut managers = FieldManager::new(gvk, subresource).with_converter(&convert);
    if let Some(types) = &types {
        managers = managers.with_types(types);
    }
    let merged = managers.apply(current, &patch, &manager, force, run.env.now)?;
    strict(run, text.in_order(Vec::new()))?;
    let decoded = custom::decode(run, gvk, merged).map_err(|why| not_an_object(gvk, &patch, &why))?;
    Ok(decoded.tree)
}

fn not_an_object(gvk: &Gvk, patch: &Json, why: &str) -> Status {
    let text = |pointer: &str| patch.pointer(pointer).and_then(Json::as_str).unwrap_or("");
    let object = format!("{}/{}", text("/metadata/namespace"), text("/metadata/name"));
    let kind = format!("{}/{}, Kind={}", gvk.group, gvk.version, gvk.kind);
    Status::new(500, "", format!("failed to convert new object ({object}; {kind}) to proper version: {why}"))
}

/// Keys that stand twice in the body: an error or warnings, as `fieldValidation` says.
fn strict(run: &mut Run<'_, '_>, found: Vec<String>) -> Result<(), Status> {
    if found.is_empty() {
        return Ok(());
    }
    match run.request.options.field_validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Strict => {
            let found = found.join(", ");
            let why = format!("error strict decoding YAML: error converting YAML to JSON: {found}");
            Err(Status::bad_request(why))
        }
        FieldValidation::Warn => {
            run.warn(crate::registry::text::warnings(found));
            Ok(())
        }
    }
}
