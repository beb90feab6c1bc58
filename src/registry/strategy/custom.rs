//! Definitions of custom resources, and their objects.
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/{customresource,customresourcedefinition}/{strategy,status_strategy,etcd}.go.

use std::sync::Arc;

use serde_json::json;

use super::rules::{self, CUSTOM};
use super::{Part, Rules, Strategy, plain};
use crate::api::tree::Tree;
use crate::api::validation::field::{self, Errors, Path};
use crate::api::validation::{meta, names};
use crate::api::status::quote;
use crate::api::{Gvk, Json, Object, Status, custom};
use crate::registry::custom::settle::{CLEANUP, condition};
use crate::registry::custom::{self as registry, definition};
use crate::registry::delete::{DeleteOptions, Deleted};
use crate::registry::metadata;
use crate::registry::run::Run;

/// Objects of custom resources.
pub(crate) struct Customs;
/// CustomResourceDefinitions.
pub(crate) struct Definitions;

fn has_status(run: &Run<'_, '_>) -> bool {
    run.request.resource.subresources.iter().any(|sub| sub.text("name") == "status")
}

/// Whether anything but metadata (and the status, where it is apart) differs.
fn differs(new: &Object, old: &Object, status_apart: bool) -> bool {
    let rest = |object: &Object| {
        let mut map = object.json().as_object().cloned().unwrap_or_default();
        map.retain(|key, _| key != "metadata" && key != "apiVersion" && !(status_apart && key == "status"));
        map
    };
    rest(new) != rest(old)
}

impl Customs {
    fn check(&self, run: &Run<'_, '_>, new: &Object, old: Option<&Object>) -> Errors {
        let schema = schema_of(run);
        let mut errors = custom::check(&schema, new.json(), old.map(Object::json), &Path::root());
        errors.extend(scale_of_spec(run, new));
        errors.extend(scale_of_status(run, new));
        errors.extend(custom::embedded(&schema, new.json(), &Path::root()));
        errors.extend(lists(&schema, new, old));
        errors
    }

    fn check_status(&self, run: &Run<'_, '_>, new: &Object, old: &Object) -> Errors {
        let schema = schema_of(run);
        let mut errors = Errors::new();
        if let Some(status) = new.json().get("status") {
            let of_status = schema.field("properties").field("status");
            errors.extend(custom::check(of_status, status, old.json().get("status"), &Path::new("status")));
        }
        errors.extend(scale_of_status(run, new));
        errors.extend(lists(&schema, new, Some(old)));
        errors
    }
}

fn schema_of(run: &Run<'_, '_>) -> Json {
    registry::schema(run.state, &run.request.resource).filter(Json::is_object).unwrap_or_else(|| json!({}))
}

/// Items that come twice are told, unless some did before.
fn lists(schema: &Json, new: &Object, old: Option<&Object>) -> Errors {
    match old {
        Some(old) if !custom::lists(schema, old.json(), &Path::root()).is_empty() => Errors::new(),
        _ => custom::lists(schema, new.json(), &Path::root()),
    }
}

/// The path that the version's scale has for `part`, and what stands there.
fn scaled<'a>(run: &Run<'_, '_>, part: &str, object: &'a Object) -> Option<(String, &'a Json)> {
    let version = registry::version(run.state, &run.request.resource)?;
    let path = version.field("subresources").field("scale").opt_text(part)?.to_owned();
    let value = path.trim_start_matches('.').split('.').fold(object.json(), |tree, name| tree.field(name));
    Some((path, value))
}

/// A count is none, or a whole number that fits. Source: …/pkg/registry/customresource/validator.go.
fn count(run: &Run<'_, '_>, part: &str, object: &Object) -> Errors {
    let Some((path, value)) = scaled(run, part, object) else { return Errors::new() };
    let at = Path::new(&path);
    match value.as_i64() {
        Some(count) if count < 0 => vec![field::invalid(&at, count, "should be a non-negative integer")],
        Some(count) if count > i64::from(i32::MAX) => {
            vec![field::invalid(&at, count, &format!("should be less than or equal to {}", i32::MAX))]
        }
        None if !value.is_null() => vec![field::invalid(&at, 0, &accessor(&path, value, "int64"))],
        _ => Errors::new(),
    }
}

/// What reading a value of another type says (unstructured.NestedInt64, NestedString).
fn accessor(path: &str, value: &Json, wanted: &str) -> String {
    let (shown, is) = match value {
        Json::String(text) => (text.clone(), "string"),
        Json::Bool(flag) => (flag.to_string(), "bool"),
        Json::Number(number) if number.is_f64() => (number.to_string(), "float64"),
        Json::Number(number) => (number.to_string(), "int64"),
        Json::Array(_) => (value.to_string(), "[]interface {}"),
        _ => (value.to_string(), "map[string]interface {}"),
    };
    format!("{path} accessor error: {shown} is of the type {is}, expected {wanted}")
}

fn scale_of_spec(run: &Run<'_, '_>, object: &Object) -> Errors {
    count(run, "specReplicasPath", object)
}

fn scale_of_status(run: &Run<'_, '_>, object: &Object) -> Errors {
    let mut errors = count(run, "statusReplicasPath", object);
    if let Some((path, value)) = scaled(run, "labelSelectorPath", object)
        && !matches!(value, Json::Null | Json::String(_))
    {
        errors.push(field::invalid(&Path::new(&path), "", &accessor(&path, value, "string")));
    }
    errors
}

impl Strategy for Customs {
    fn rules(&self) -> &'static Rules {
        &CUSTOM
    }

    fn begin_create(&self, run: &mut Run<'_, '_>, _object: &mut Object) -> Result<(), Status> {
        let resource = &run.request.resource;
        if definition(run.state, resource).is_none_or(|definition| !definition.is_deleting()) {
            return Ok(());
        }
        let details = json!({"group": resource.group, "kind": resource.resource});
        let message = "create not allowed while custom resource definition is terminating";
        Err(Status::new(405, "MethodNotAllowed", message).with_details(details))
    }

    fn prepare_create(&self, run: &mut Run<'_, '_>, object: &mut Object) {
        if has_status(run) {
            crate::api::tree::remove(object.json_mut(), "status");
        }
        metadata::set_generation(object, 1);
    }

    fn prepare_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        let status_apart = has_status(run);
        if part == Part::Status {
            let sent = new.at("/metadata").cloned().unwrap_or_default();
            let status = new.at("/status").cloned();
            let version = new.api_version().to_owned();
            *new = old.clone();
            for field in ["resourceVersion", "managedFields"] {
                metadata::take_from(&mut new.json_mut()["metadata"], &sent, field);
            }
            new.json_mut()["apiVersion"] = version.into();
            let status = status.map_or_else(|| json!({}), |status| json!({"status": status}));
            metadata::take_from(new.json_mut(), &status, "status");
            return;
        }
        if status_apart {
            metadata::take_from(new.json_mut(), old.json(), "status");
        }
        if differs(new, old, status_apart) {
            metadata::set_generation(new, old.generation() + 1);
        }
    }

    fn validate_create(&self, run: &Run<'_, '_>, object: &Object) -> Errors {
        let mut errors = meta::create_common(object, run.request.resource.namespaced, names::name_is_subdomain);
        errors.extend(self.check(run, object, None));
        errors
    }

    fn warnings(&self, _gvk: &Gvk, new: &Object, old: Option<&Object>) -> Vec<String> {
        let mut added: Vec<&str> =
            new.finalizers().filter(|f| old.is_none_or(|old| !old.finalizers().any(|o| o == *f))).collect();
        added.sort_unstable();
        added.into_iter().flat_map(finalizer_warnings).collect()
    }

    fn validate_update(&self, run: &Run<'_, '_>, new: &Object, old: &Object, part: Part) -> Errors {
        // The rules for every object come first, and are said again with the kind's own.
        let mut errors = meta::create_common(new, run.request.resource.namespaced, names::path_segment);
        errors.extend(meta::update_common(new, old));
        errors.extend(meta::update_common(new, old));
        errors.extend(match part {
            Part::Status => self.check_status(run, new, old),
            _ => self.check(run, new, Some(old)),
        });
        errors
    }
}

/// A finalizer says whose it is (validateKubeFinalizerName).
fn finalizer_warnings(finalizer: &str) -> Vec<String> {
    const STANDARD: &[&str] = &["orphan", "foregroundDeletion", "kubernetes"];
    let head = format!("metadata.finalizers: {}", quote(finalizer));
    let mut warnings: Vec<String> =
        names::qualified_name(finalizer).into_iter().map(|problem| format!("{head}: {problem}")).collect();
    if !finalizer.contains('/') && !STANDARD.contains(&finalizer) {
        let path = if finalizer.contains('.') { " including a path (/)" } else { "" };
        warnings.push(format!(
            "{head}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        ));
    }
    warnings
}

/// The version that objects are kept in has been one of those that there may be objects in.
fn note_stored(definition: &mut Object) {
    let versions = definition.json().field("spec").list("versions");
    let Some(stored) = versions.iter().find(|v| v.flag("storage")).map(|v| v.text("name").to_owned()) else { return };
    let status = &mut definition.json_mut()["status"];
    let mut all = status.list("storedVersions").to_vec();
    if !all.iter().any(|version| version.as_str() == Some(&stored)) {
        all.push(stored.into());
        status["storedVersions"] = Json::Array(all);
    }
}

impl Strategy for Definitions {
    fn rules(&self) -> &'static Rules {
        rules::rules("apiextensions.k8s.io", "customresourcedefinitions")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, object: &mut Object) {
        plain::prepare_create(self.rules(), object);
        note_stored(object);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        if part == Part::Main {
            note_stored(new);
        }
    }

    fn delete_instead(
        &self,
        run: &mut Run<'_, '_>,
        object: &Arc<Object>,
        _options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<Option<Deleted>, Status> {
        if object.is_deleting() {
            return Ok(None);
        }
        let now = run.now();
        let mut new = Object::clone(object);
        let mut finalizers: Vec<String> = object.finalizers().map(str::to_owned).collect();
        if !finalizers.iter().any(|f| f == CLEANUP) {
            finalizers.push(CLEANUP.into());
        }
        metadata::set_finalizers(&mut new, finalizers);
        new.metadata_mut().insert("deletionTimestamp".into(), now.as_str().into());
        let why = (
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        );
        condition(&mut new, ("Terminating", true), why, &now);
        let kept = if dry_run { Arc::new(new) } else { run.state.put(run.key(object.name()), new) };
        Ok(Some(Deleted::Held(kept)))
    }
}
