//! JSON, merge and strategic merge patches of a tree.

use serde_json::json;

use crate::api::schema::Schema;
use crate::api::validation::field::{self, Path};
use crate::api::{Cause, Gvk, Json, JsonMap, Status};
use crate::apply::json_patch::MAX_OPERATIONS;
use crate::api::go;
use crate::apply::{self, strategic};
use crate::registry::custom;
use crate::registry::run::Run;
use crate::registry::{FieldValidation, PatchKind};

use super::body;

/// The tree after the patch, decoded but not defaulted.
pub(super) fn changed(run: &mut Run<'_, '_>, gvk: &Gvk, kind: PatchKind, current: &Json) -> Result<Json, Status> {
    match kind {
        PatchKind::Json => json_patched(run, gvk, current),
        PatchKind::Merge => merge_patched(run, gvk, current),
        PatchKind::Strategic => strategic_patched(run, gvk, current),
        PatchKind::Apply => Err(Status::internal("an apply is no patch of a tree")),
    }
}

fn checks(run: &Run<'_, '_>) -> bool {
    run.request.options.field_validation != FieldValidation::Ignore
}

fn json_patched(run: &mut Run<'_, '_>, gvk: &Gvk, current: &Json) -> Result<Json, Status> {
    let into = if checks(run) { "[]handlers.jsonPatchOp" } else { "jsonpatch.Patch" };
    let bad = |why: &str| {
        let prefix = if into == "jsonpatch.Patch" { "" } else { "error decoding patch: " };
        Status::bad_request(format!("{prefix}{why}"))
    };
    let text = body::read_json(run).map_err(|why| bad(&why))?;
    match &text.tree {
        Json::Array(operations) => check_operations(operations, into).map_err(|why| bad(&why))?,
        Json::Null => {}
        other => return Err(bad(&body::cannot_unmarshal(other, into))),
    }
    let strict = text.in_order(unknown_members(&text.tree));
    let strict = strict.into_iter().map(|e| format!("json patch {e}")).collect();
    let operations = text.tree.as_array().map_or(0, Vec::len);
    if operations > MAX_OPERATIONS {
        let message = format!(
            "Request entity is too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {operations}"
        );
        return Err(Status::new(413, "RequestEntityTooLarge", message));
    }
    let patched = apply::json_patch(current, &text.tree).map_err(|_| refused())?;
    decoded(run, gvk, patched, strict)
}

/// A JSON patch that does not apply; the API does not say why.
fn refused() -> Status {
    Status::new(422, "Invalid", "the server rejected our request due to an error in our request").with_details(json!({}))
}

/// Members of operations must be of their types. `Err`: Go's words.
fn check_operations(operations: &[Json], into: &str) -> Result<(), String> {
    let element = into.trim_start_matches("[]");
    for operation in operations {
        match operation {
            Json::Object(map) => {
                for name in ["op", "path", "from"] {
                    if let Some(value) = map.get(name).filter(|v| !v.is_string() && !v.is_null()) {
                        let found = crate::registry::body::go_type(value);
                        return Err(format!(
                            "json: cannot unmarshal {found} into Go struct field jsonPatchOp.{name} of type string"
                        ));
                    }
                }
            }
            Json::Null => {}
            other => return Err(body::cannot_unmarshal(other, element)),
        }
    }
    Ok(())
}

fn unknown_members(patch: &Json) -> Vec<String> {
    let mut found = Vec::new();
    for (i, operation) in patch.as_array().into_iter().flatten().enumerate() {
        for key in operation.as_object().into_iter().flatten().map(|(k, _)| k) {
            if !["op", "path", "from", "value"].contains(&key.as_str()) {
                found.push(format!("unknown field \"[{i}].{key}\""));
            }
        }
    }
    found
}

const MAP: &str = "map[string]interface {}";

fn merge_patched(run: &mut Run<'_, '_>, gvk: &Gvk, current: &Json) -> Result<Json, Status> {
    let strict = checks(run);
    // Unchecked, only the patch library reads the body, and it says no more than this.
    let bad = |why: &str| {
        Status::bad_request(if strict { format!("error decoding patch: {why}") } else { "Invalid JSON Patch".into() })
    };
    let text = body::read_json(run).map_err(|why| bad(&why))?;
    match &text.tree {
        Json::Object(_) => {}
        Json::Null => return Err(Status::bad_request("Invalid JSON Patch")),
        other => return Err(bad(&body::cannot_unmarshal(other, MAP))),
    }
    let patched = apply::merge_patch(current, &text.tree);
    decoded(run, gvk, patched, text.in_order(Vec::new()))
}

/// Reads the patched tree as the kind that is patched, and says what is wrong with it about `patch`.
fn decoded(run: &mut Run<'_, '_>, gvk: &Gvk, patched: Json, strict: Vec<String>) -> Result<Json, Status> {
    let shown = go::json::compact(&patched);
    let refused = |why: String| about_patch(&shown, &why);
    let text = |key: &str| patched.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let mut found = if api_version.is_empty() { gvk.clone() } else { Gvk::of(&api_version, &gvk.kind) };
    if !kind.is_empty() {
        found.kind = kind;
    }
    if found != *gvk && Schema::get().type_of(&found).is_none() {
        return Err(refused(format!(
            "no kind {} is registered for version {} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            crate::api::status::quote(&found.kind),
            crate::api::status::quote(&found.api_version())
        )));
    }
    let decoded = custom::decode(run, &found, patched).map_err(refused)?;
    if found != *gvk {
        let internal = gvk.group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core");
        let why = format!(
            "converting ({}.{}) to ({internal}.{}): unknown conversion",
            found.version, found.kind, gvk.kind
        );
        return Err(about_patch(&shown, &why));
    }
    check_strict(run, &shown, strict.into_iter().chain(decoded.strict).collect())?;
    Ok(decoded.tree)
}

fn about_patch(shown: &str, why: &str) -> Status {
    let cause: Cause = field::invalid(&Path::new("patch"), shown, why);
    let mut status = Status::invalid("", "", "", &[cause]);
    if let Some(details) = status.details.as_mut().and_then(Json::as_object_mut) {
        details.retain(|key, _| key == "causes");
    }
    status
}

fn check_strict(run: &mut Run<'_, '_>, shown: &str, found: Vec<String>) -> Result<(), Status> {
    if found.is_empty() {
        return Ok(());
    }
    match run.request.options.field_validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            run.warn(found);
            Ok(())
        }
        FieldValidation::Strict => {
            Err(about_patch(shown, &format!("strict decoding error: {}", found.join(", "))))
        }
    }
}

/// Media types of patches of kinds that have no Go type, such as custom resources.
const WITHOUT_STRATEGIC: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

fn strategic_patched(run: &mut Run<'_, '_>, gvk: &Gvk, current: &Json) -> Result<Json, Status> {
    if Schema::get().type_of(gvk).is_none() {
        return Err(crate::registry::body::unsupported_media_type(WITHOUT_STRATEGIC));
    }
    let bad = |why: String| Status::bad_request(why);
    let text = body::read_json(run).map_err(bad)?;
    let patch = match &text.tree {
        Json::Null => Json::Object(JsonMap::new()),
        Json::Object(_) => text.tree.clone(),
        other => return Err(Status::bad_request(body::cannot_unmarshal(other, MAP))),
    };
    let mut patched = apply::strategic_merge_patch(gvk, current, &patch)?;
    let shown = go::display(&patch);
    strategic::restore(gvk, &patched).map_err(|why| about_patch(&shown, &why))?;
    // The converter takes any kind; the object is of the kind of the path.
    if let Some(map) = patched.as_object_mut() {
        map.insert("apiVersion".into(), gvk.api_version().into());
        map.insert("kind".into(), gvk.kind.as_str().into());
    }
    let decoded = custom::decode(run, gvk, patched).map_err(|why| about_patch(&shown, &why))?;
    let strict = text.in_order(Vec::new()).into_iter().chain(decoded.strict).collect();
    check_strict(run, &shown, strict)?;
    Ok(decoded.tree)
}
