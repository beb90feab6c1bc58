//! What of an object does not simply run, place by place.

use super::annotations;
use super::table::{Entry, Table, Verdict};
use crate::api::schema::{Field, Schema, Type};
use crate::api::{Gvk, Json};

/// A field of an object that has a value, and what happens with it here. Only what does not simply run is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `spec.template.spec.volumes[0].nfs`.
    pub path: String,
    pub value: Json,
    pub entry: Entry,
}

/// All fields of an object that are approximated, ignored or refused, in order. `status` is not looked at, and of `metadata`
/// only the annotations that instruct somebody; what is below a field that is found is not looked at either.
pub fn findings(gvk: &Gvk, object: &Json) -> Vec<Finding> {
    let mut found = Vec::new();
    let schema = Schema::get();
    let Some(name) = schema.type_name(gvk) else {
        found.push(of_unknown_kind(gvk));
        return found;
    };
    let Some(kind) = schema.type_named(name) else { return found };
    let (Some(fields), Json::Object(map)) = (&kind.fields, object) else { return found };
    for (key, value) in map {
        if matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            continue;
        }
        if let Some(field) = fields.get(key) {
            look(name, key, field, value, key.clone(), &mut found);
        }
    }
    found.extend(annotations::findings(gvk, object));
    found
}

/// An object of a kind that is only kept: a custom resource, or a kind of an extension of clusters.
fn of_unknown_kind(gvk: &Gvk) -> Finding {
    let reason = format!("objects of kind {} are kept, and nothing acts on them", gvk.kind);
    let entry = Entry { verdict: Verdict::Ignored, reason, test: None };
    Finding { path: "kind".into(), value: gvk.kind.as_str().into(), entry }
}

/// Values that say nothing.
fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Number(_) | Json::Bool(true) => false,
    }
}

fn look(type_name: &str, key: &str, field: &Field, value: &Json, path: String, found: &mut Vec<Finding>) {
    // An empty struct can choose something (`emptyDir: {}`), where a field of nothing cannot.
    let chosen = value.is_object() && field.reference.is_some();
    if is_nothing(value) && !chosen {
        return;
    }
    if let Some(entry) = Table::get().value(type_name, key, value)
        && entry.verdict != Verdict::Runs
        && !(is_nothing(value) && entry.verdict != Verdict::Refused)
    {
        return found.push(Finding { path, value: value.clone(), entry: entry.clone() });
    }
    descend(field, value, &path, found);
}

fn descend(field: &Field, value: &Json, path: &str, found: &mut Vec<Finding>) {
    if let Some(name) = &field.reference {
        if let Some(kind) = Schema::get().type_named(name) {
            struct_fields(name, kind, value, path, found);
        }
        return;
    }
    match (value, &field.items, &field.values) {
        (Json::Array(items), Some(item), _) => {
            for (i, value) in items.iter().enumerate() {
                descend(item, value, &format!("{path}[{i}]"), found);
            }
        }
        (Json::Object(map), _, Some(item)) => {
            for (key, value) in map {
                descend(item, value, &format!("{path}[{key}]"), found);
            }
        }
        _ => {}
    }
}

fn struct_fields(name: &str, kind: &Type, value: &Json, path: &str, found: &mut Vec<Finding>) {
    let (Some(fields), Json::Object(map)) = (&kind.fields, value) else { return };
    for (key, value) in map {
        if let Some(field) = fields.get(key) {
            look(name, key, field, value, format!("{path}.{key}"), found);
        }
    }
}
