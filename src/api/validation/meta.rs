//! What an object's `metadata` may be, on creation and on change.
//! Sources: k8s.io/apimachinery/pkg/api/validation/objectmeta.go, pkg/apis/meta/v1/validation/validation.go.

use std::collections::BTreeSet;

use crate::api::{Json, Object, status::quote};

use super::field::{self, Errors, Path};
use super::names::{self, NameRule};

const ANNOTATIONS_MAX: usize = 256 * 1024;
const FINALIZERS_OF_KUBERNETES: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// The rules for a new object's metadata, with the kind's own rule for its name; for kinds of core and
/// apps, whose finalizers must carry a domain.
pub fn create(object: &Object, namespaced: bool, rule: NameRule) -> Errors {
    let mut errors = create_common(object, namespaced, rule);
    errors.extend(finalizer_domains(object));
    errors
}

/// The rules for a changed object's metadata, for kinds of core and apps.
pub fn update(new: &Object, old: &Object) -> Errors {
    let mut errors = update_common(new, old);
    errors.extend(finalizer_domains(new));
    errors
}

/// The rules for a new object's metadata that hold for every kind.
pub fn create_common(object: &Object, namespaced: bool, rule: NameRule) -> Errors {
    let path = Path::new("metadata");
    let mut errors = Errors::new();
    let generate = object.str_at("/metadata/generateName").unwrap_or("");
    if !generate.is_empty() {
        let at = path.child("generateName");
        errors.extend(rule(generate, true).iter().map(|m| field::invalid(&at, generate, m)));
    }
    let name = object.name();
    if name.is_empty() {
        errors.push(field::required(&path.child("name"), "name or generateName is required"));
    } else {
        let at = path.child("name");
        errors.extend(rule(name, false).iter().map(|m| field::invalid(&at, name, m)));
    }
    errors.extend(namespace(object, namespaced, &path));
    if object.generation() < 0 {
        errors.push(field::invalid(&path.child("generation"), object.generation(), super::NOT_NEGATIVE));
    }
    errors.extend(shared(object));
    errors.extend(finalizers(object, &path.child("finalizers")));
    errors.extend(managed_fields(object, &path.child("managedFields")));
    errors
}

/// The rules for a changed object's metadata that hold for every kind.
pub fn update_common(new: &Object, old: &Object) -> Errors {
    let path = Path::new("metadata");
    let mut errors = Errors::new();
    if old.is_deleting() {
        errors.extend(new_finalizers(new, old, &path.child("finalizers")));
    }
    if new.resource_version().is_empty() {
        errors.push(field::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    if new.generation() < 0 {
        errors.push(field::invalid(&path.child("generation"), new.generation(), super::NOT_NEGATIVE));
    }
    if new.generation() < old.generation() {
        errors.push(field::invalid(&path.child("generation"), new.generation(), "must not be decremented"));
    }
    for key in ["name", "namespace", "uid"] {
        let pointer = format!("/metadata/{key}");
        let (was, is) = (old.str_at(&pointer).unwrap_or(""), new.str_at(&pointer).unwrap_or(""));
        if was != is {
            errors.push(field::invalid(&path.child(key), is, super::IMMUTABLE));
        }
    }
    for key in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let pointer = format!("/metadata/{key}");
        let of = |object: &Object| object.at(&pointer).cloned().unwrap_or(Json::Null);
        if of(old) != of(new) {
            errors.push(field::invalid(&path.child(key), of(new), super::IMMUTABLE));
        }
    }
    errors.extend(shared(new));
    errors.extend(managed_fields(new, &path.child("managedFields")));
    errors
}

fn namespace(object: &Object, namespaced: bool, path: &Path) -> Errors {
    let at = path.child("namespace");
    let namespace = object.namespace();
    if !namespaced {
        return if namespace.is_empty() { Errors::new() } else { vec![field::forbidden(&at, "not allowed on this type")] };
    }
    if namespace.is_empty() {
        return vec![field::required(&at, "")];
    }
    names::name_is_label(namespace, false).iter().map(|m| field::invalid(&at, namespace, m)).collect()
}

/// Labels, annotations and owner references.
fn shared(object: &Object) -> Errors {
    let path = Path::new("metadata");
    let mut errors = labels(object.at("/metadata/labels"), &path.child("labels"));
    errors.extend(annotations(object.at("/metadata/annotations"), &path.child("annotations")));
    errors.extend(owner_references(object.owner_references(), &path.child("ownerReferences")));
    errors
}

fn entries(map: Option<&Json>) -> impl Iterator<Item = (&str, &str)> {
    map.and_then(Json::as_object).into_iter().flatten().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or("")))
}

/// A key of a label.
pub fn label_name(name: &str, path: &Path) -> Errors {
    names::qualified_name(name).iter().map(|m| field::invalid(path, name, m)).collect()
}

/// A map of labels (`metadata.labels`, `matchLabels`, `nodeSelector`).
pub fn labels(map: Option<&Json>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (key, value) in entries(map) {
        errors.extend(label_name(key, path));
        errors.extend(names::label_value(value).iter().map(|m| field::invalid(path, value, m)));
    }
    errors
}

/// A map of annotations: keys, and the size of the whole.
pub fn annotations(map: Option<&Json>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut size = 0;
    for (key, value) in entries(map) {
        size += key.len() + value.len();
        let lower = key.to_lowercase();
        errors.extend(names::qualified_name(&lower).iter().map(|m| field::invalid(path, key, m)));
    }
    if size > ANNOTATIONS_MAX {
        errors.push(field::too_long(path, ANNOTATIONS_MAX as i64));
    }
    errors
}

fn owner_references(references: &[Json], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut controller: Option<String> = None;
    for reference in references {
        errors.extend(owner_reference(reference, path));
        if reference.get("controller").and_then(Json::as_bool) != Some(true) {
            continue;
        }
        let name = format!("{}/{}", text(reference, "kind"), text(reference, "name"));
        match &controller {
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                errors.push(field::invalid_shown(path, &show_references(references), &detail));
            }
            None => controller = Some(name),
        }
    }
    errors
}

fn text<'a>(tree: &'a Json, key: &str) -> &'a str {
    tree.get(key).and_then(Json::as_str).unwrap_or("")
}

fn owner_reference(reference: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let api_version = text(reference, "apiVersion");
    let version = match api_version.matches('/').count() {
        0 => api_version,
        1 => api_version.rsplit('/').next().unwrap_or(""),
        _ => "",
    };
    if version.is_empty() {
        errors.push(field::invalid(&path.child("apiVersion"), api_version, "version must not be empty"));
    }
    for key in ["kind", "name", "uid"] {
        if text(reference, key).is_empty() {
            errors.push(field::invalid(&path.child(key), "", "must not be empty"));
        }
    }
    if api_version == "v1" && text(reference, "kind") == "Event" {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(field::invalid_shown(path, &show_reference(reference), detail));
    }
    errors
}

fn show_references(references: &[Json]) -> String {
    let all: Vec<String> = references.iter().map(show_reference).collect();
    format!("[{}]", all.join(","))
}

/// As Go prints the struct: fields in the order of their definition.
fn show_reference(reference: &Json) -> String {
    let mut parts: Vec<String> =
        ["apiVersion", "kind", "name", "uid"].iter().map(|k| format!("\"{k}\":{}", Json::from(text(reference, k)))).collect();
    for key in ["controller", "blockOwnerDeletion"] {
        if let Some(value) = reference.get(key) {
            parts.push(format!("\"{key}\":{value}"));
        }
    }
    format!("{{{}}}", parts.join(","))
}

fn finalizers(object: &Object, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for finalizer in object.finalizers() {
        errors.extend(names::qualified_name(finalizer).iter().map(|m| field::invalid(path, finalizer, m)));
    }
    let has = |name: &str| object.finalizers().any(|f| f == name);
    if has("orphan") && has("foregroundDeletion") {
        let all: Vec<&str> = object.finalizers().collect();
        errors.push(field::invalid(path, all, "finalizer orphan and foregroundDeletion cannot be both set"));
    }
    errors
}

/// Finalizers without a domain are Kubernetes' own. Source: pkg/apis/core/validation/names.go.
fn finalizer_domains(object: &Object) -> Errors {
    let path = Path::new("metadata").child("finalizers");
    let mut errors = Errors::new();
    for (index, finalizer) in object.finalizers().enumerate() {
        if !finalizer.contains('/') && !FINALIZERS_OF_KUBERNETES.contains(&finalizer) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(field::invalid(&path.index(index), finalizer, detail));
        }
    }
    errors
}

fn new_finalizers(new: &Object, old: &Object, path: &Path) -> Errors {
    let had: BTreeSet<&str> = old.finalizers().collect();
    let extra: BTreeSet<&str> = new.finalizers().filter(|f| !had.contains(f)).collect();
    if extra.is_empty() {
        return Errors::new();
    }
    let list: Vec<String> = extra.into_iter().map(quote).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        list.join(", ")
    );
    vec![field::forbidden(path, &detail)]
}

fn managed_fields(object: &Object, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let entries = object.at("/metadata/managedFields").and_then(Json::as_array);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let path = path.index(index);
        match text(entry, "operation") {
            "Apply" | "Update" => {}
            other => errors.push(field::invalid(&path.child("operation"), other, "must be `Apply` or `Update`")),
        }
        let kind = text(entry, "fieldsType");
        if !kind.is_empty() && kind != "FieldsV1" {
            errors.push(field::invalid(&path.child("fieldsType"), kind, "must be `FieldsV1`"));
        }
        errors.extend(field_manager(text(entry, "manager"), &path.child("manager")));
        if text(entry, "subresource").len() > 256 {
            errors.push(field::too_long(&path.child("subresource"), 256));
        }
    }
    errors
}

/// The name of a field manager, in `managedFields` or as the query's `fieldManager`.
pub fn field_manager(manager: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if manager.len() > 128 {
        errors.push(field::too_long(path, 128));
    }
    for (at, c) in manager.char_indices() {
        if c.is_control() || (c.is_whitespace() && c != ' ') {
            let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
            errors.push(field::invalid(path, manager, &detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn messages(errors: Errors) -> Vec<String> {
        errors.into_iter().map(|c| format!("{}: {}", c.field, c.message)).collect()
    }

    #[test]
    fn a_new_object_needs_a_name_and_a_namespace() {
        let errors = create(&Object::new(json!({})), true, names::name_is_subdomain);
        assert_eq!(
            messages(errors),
            [
                "metadata.name: Required value: name or generateName is required",
                "metadata.namespace: Required value",
            ]
        );
    }

    #[test]
    fn only_one_owner_controls() {
        let owner = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "u", "controller": true});
        let object = Object::new(json!({"metadata": {"name": "a", "namespace": "b", "ownerReferences": [owner("y"), owner("z")]}}));
        let errors = messages(create(&object, true, names::name_is_subdomain));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"y\",\"uid\":\"u\",\"controller\":true},"));
    }

    #[test]
    fn nothing_new_holds_an_object_that_is_being_deleted() {
        let meta = |finalizers: Json| {
            let deleted = "2026-01-01T00:00:00Z";
            let meta = json!({"name": "a", "resourceVersion": "1", "deletionTimestamp": deleted, "finalizers": finalizers});
            Object::new(json!({"metadata": meta}))
        };
        let errors = messages(update_common(&meta(json!(["x/a", "x/b"])), &meta(json!(["x/a"]))));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].ends_with("found new finalizers []string{\"x/b\"}"), "{}", errors[0]);
    }
}
