//! What a schema says of an object beyond its values: objects inside of it, and lists whose items differ.
//! Source: …/apiserver/schema/objectmeta/validation.go, …/apiserver/schema/listtype/validation.go.

use serde_json::json;

use super::of_field;
use crate::api::tree::Tree;
use crate::api::validation::field::{self, Errors, Path};
use crate::api::validation::{meta, names};
use crate::api::{Json, Object};

/// Objects inside of an object say what they are, and have metadata as all have.
pub fn embedded(schema: &Json, value: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match value {
        Json::Object(map) => {
            if schema.flag("x-kubernetes-embedded-resource") {
                errors.extend(object(value, path));
            }
            for (name, value) in map {
                if let Some(inner) = of_field(schema, name) {
                    errors.extend(embedded(inner, value, &at(schema, path, name)));
                }
            }
        }
        Json::Array(items) => {
            let all = items.iter().enumerate();
            errors.extend(all.flat_map(|(i, item)| embedded(schema.field("items"), item, &path.index(i))));
        }
        _ => {}
    }
    errors
}

fn at(schema: &Json, path: &Path, name: &str) -> Path {
    if schema.field("properties").has(name) { path.child(name) } else { path.key(name) }
}

fn object(value: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for name in ["apiVersion", "kind"] {
        let at = path.child(name);
        match value.get(name) {
            None => errors.push(field::required(&at, "")),
            Some(Json::String(text)) if text.is_empty() => errors.push(field::invalid(&at, "", "must not be empty")),
            Some(Json::String(text)) if name == "apiVersion" => {
                if text.split('/').count() > 2 {
                    errors.push(field::invalid(&at, text.as_str(), &format!("unexpected GroupVersion string: {text}")));
                }
            }
            Some(Json::String(text)) => {
                let problems = names::dns1035_label(&text.to_lowercase());
                if !problems.is_empty() {
                    let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
                    errors.push(field::invalid(&at, text.as_str(), &detail));
                }
            }
            Some(other) => errors.push(field::invalid(&at, other.clone(), "must be a string")),
        }
    }
    if let Some(metadata) = value.field("metadata").as_object() {
        let mut inner = Object::new(json!({"metadata": metadata}));
        if inner.name().is_empty() {
            inner.metadata_mut().insert("name".into(), "fakename".into());
        }
        let namespaced = !inner.namespace().is_empty();
        for mut error in meta::create_common(&inner, namespaced, names::path_segment) {
            error.field = format!("{path}.{}", error.field);
            errors.push(error);
        }
    }
    errors
}

/// Items of sets differ, those of maps differ in their keys.
pub fn lists(schema: &Json, value: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match value {
        Json::Object(map) => {
            for (name, value) in map {
                if let Some(inner) = of_field(schema, name) {
                    errors.extend(lists(inner, value, &at(schema, path, name)));
                }
            }
        }
        Json::Array(items) => {
            errors.extend(twice(schema, items, path));
            let all = items.iter().enumerate();
            errors.extend(all.flat_map(|(i, item)| lists(schema.field("items"), item, &path.index(i))));
        }
        _ => {}
    }
    errors
}

fn twice(schema: &Json, items: &[Json], path: &Path) -> Errors {
    let keys = schema.texts("x-kubernetes-list-map-keys");
    let all: Vec<Json> = match schema.text("x-kubernetes-list-type") {
        "set" => items.to_vec(),
        "map" => {
            if let Some(odd) = items.iter().position(|item| !item.is_null() && !item.is_object()) {
                let detail = "must be an object for an array of list-type map";
                return vec![field::invalid(&path.index(odd), items[odd].clone(), detail)];
            }
            let named = |item: &Json| {
                let value = |key: &&&str| item.get(**key).map(|value| ((**key).to_owned(), value.clone()));
                Json::Object(keys.iter().filter_map(|key| value(&key)).collect())
            };
            items.iter().map(named).collect()
        }
        _ => return Errors::new(),
    };
    // Each value is told once, where it comes the second time.
    let second = |i: &usize| all[..*i].iter().filter(|other| **other == all[*i]).count() == 1;
    (0..all.len()).filter(second).map(|i| field::duplicate(&path.index(i), all[i].clone())).collect()
}
