//! Whether the schema of a CustomResourceDefinition may be: structural, and of known extensions.
//! Source: …/apiserver/schema/validation.go, …/pkg/apis/apiextensions/validation/validation.go.

use crate::api::Json;
use crate::api::tree::Tree;
use crate::api::validation::field::{self, Errors, Path};

/// Deeper schemas are refused here.
const DEPTH: usize = 100;

/// What is wrong with the schema of a version.
pub fn check(schema: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match schema.text("type") {
        "" => errors.push(field::required(&path.child("type"), "must not be empty at the root")),
        "object" => {}
        other => errors.push(field::invalid(&path.child("type"), other, "must be object at the root")),
    }
    if schema.flag("nullable") {
        errors.push(field::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    metadata(schema.field("properties").field("metadata"), &path.child("properties").key("metadata"), &mut errors);
    walk(schema, path, Level { depth: 0, logical: false, either: false, root: true }, &mut errors);
    errors
}

/// Where in a schema one is.
#[derive(Clone, Copy)]
struct Level {
    depth: usize,
    /// Inside of allOf, anyOf, oneOf or not, where nothing is specified but values.
    logical: bool,
    /// Inside of the alternatives of an int-or-string, which name the two types.
    either: bool,
    root: bool,
}

impl Level {
    fn below(self) -> Self {
        Level { depth: self.depth + 1, root: false, ..self }
    }
}

/// Metadata is implied; only names may be said to be anything special.
fn metadata(schema: &Json, path: &Path, errors: &mut Errors) {
    if schema.is_null() {
        return;
    }
    if schema.text("type") != "object" {
        errors.push(field::invalid(&path.child("type"), schema.text("type"), "must be object"));
    }
    let only = ["description", "type", "properties"];
    let named = schema.entries("properties").iter().all(|(name, _)| matches!(*name, "name" | "generateName"));
    if !named || schema.as_object().is_some_and(|map| map.keys().any(|key| !only.contains(&key.as_str()))) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(field::forbidden(path, detail));
    }
}

const UNSUPPORTED: &[&str] = &["$ref", "id", "definitions", "dependencies", "patternProperties", "additionalItems"];

fn walk(schema: &Json, path: &Path, level: Level, errors: &mut Errors) {
    if level.depth > DEPTH {
        errors.push(field::forbidden(path, "schema is too deeply nested"));
        return;
    }
    for word in UNSUPPORTED.iter().filter(|word| schema.has(word)) {
        let detail = format!("{word} is not supported");
        errors.push(field::forbidden(&path.child(word), &detail));
    }
    if schema.flag("uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(field::forbidden(&path.child("uniqueItems"), detail));
    }
    let values = schema.field("additionalProperties");
    if *values == Json::Bool(false) {
        let detail = "additionalProperties cannot be set to false";
        errors.push(field::forbidden(&path.child("additionalProperties"), detail));
    }
    if values.is_object() && !schema.entries("properties").is_empty() {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(field::forbidden(&path.child("additionalProperties"), detail));
    }
    if level.logical {
        only_values(schema, path, level, errors);
    } else {
        types(schema, path, level, errors);
        extensions(schema, path, errors);
    }
    default(schema, path, errors);
    pattern(schema, path, errors);
    parts(schema, path, level, errors);
}

/// A field says its type outside of all alternatives.
fn types(schema: &Json, path: &Path, level: Level, errors: &mut Errors) {
    let kind = schema.text("type");
    let free = schema.flag("x-kubernetes-preserve-unknown-fields") || schema.flag("x-kubernetes-int-or-string");
    if kind.is_empty() && !free && !level.root {
        let parent = path.as_str();
        let detail = if parent.ends_with(".items") {
            "must not be empty for specified array items"
        } else {
            "must not be empty for specified object fields"
        };
        errors.push(field::required(&path.child("type"), detail));
    }
    const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(field::not_supported(&path.child("type"), kind, TYPES));
    }
    if kind == "array" && !schema.has("items") {
        errors.push(field::required(&path.child("items"), "must be specified"));
    }
    if schema.field("items").is_array() {
        let detail = "items must be a schema object and not an array";
        errors.push(field::forbidden(&path.child("items"), detail));
    }
}

/// What alternatives may not say.
fn only_values(schema: &Json, path: &Path, level: Level, errors: &mut Errors) {
    for word in ["additionalProperties", "description", "default", "nullable", "type"] {
        let of_either = level.either && word == "type" && matches!(schema.text(word), "integer" | "string");
        if schema.has(word) && !of_either {
            errors.push(field::forbidden(&path.child(word), "must be empty to be structural"));
        }
    }
}

/// What alternatives speak of is specified outside of them.
fn complete(structure: &Json, nested: &Json, (path, at): (&Path, &Path), errors: &mut Errors) {
    for (name, inner) in nested.entries("properties") {
        let outer = structure.field("properties").field(name);
        let (path, at) = (path.child("properties").key(name), at.child("properties").key(name));
        if outer.is_null() {
            errors.push(field::required(&path, &format!("because it is defined in {at}")));
        } else {
            complete(outer, inner, (&path, &at), errors);
        }
    }
    if nested.has("items") {
        let (path, at) = (path.child("items"), at.child("items"));
        if structure.has("items") {
            complete(structure.field("items"), nested.field("items"), (&path, &at), errors);
        } else {
            errors.push(field::required(&path, &format!("because it is defined in {at}")));
        }
    }
}

fn extensions(schema: &Json, path: &Path, errors: &mut Errors) {
    let kind = schema.text("type");
    let list = schema.text("x-kubernetes-list-type");
    if schema.flag("x-kubernetes-preserve-unknown-fields") && !matches!(kind, "" | "object" | "array") {
        errors.push(field::invalid(&path.child("type"), kind, "must be object if x-kubernetes-preserve-unknown-fields is true"));
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Json::Bool(false)) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(field::invalid(&at, false, "must be true or undefined"));
    }
    if schema.flag("x-kubernetes-int-or-string") && !kind.is_empty() {
        errors.push(field::forbidden(&path.child("type"), "must be empty if x-kubernetes-int-or-string is true"));
    }
    if schema.flag("x-kubernetes-embedded-resource") {
        if kind != "object" {
            errors.push(field::invalid(&path.child("type"), kind, "must be object if x-kubernetes-embedded-resource is true"));
        }
        if schema.entries("properties").is_empty() && !schema.flag("x-kubernetes-preserve-unknown-fields") {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            errors.push(field::required(&path.child("properties"), detail));
        }
    }
    if !matches!(list, "" | "atomic" | "set" | "map") {
        errors.push(field::not_supported(&path.child("x-kubernetes-list-type"), list, &["atomic", "map", "set"]));
    }
    if !list.is_empty() && kind != "array" {
        let detail = "must be array if x-kubernetes-list-type is specified";
        errors.push(field::invalid(&path.child("type"), kind, detail));
    }
    let map = schema.text("x-kubernetes-map-type");
    if !matches!(map, "" | "atomic" | "granular") {
        errors.push(field::not_supported(&path.child("x-kubernetes-map-type"), map, &["atomic", "granular"]));
    }
    list_keys(schema, list, path, errors);
}

fn list_keys(schema: &Json, list: &str, path: &Path, errors: &mut Errors) {
    let keys = schema.texts("x-kubernetes-list-map-keys");
    let at = path.child("x-kubernetes-list-map-keys");
    if list != "map" {
        if !keys.is_empty() {
            errors.push(field::forbidden(&at, "must not be specified if x-kubernetes-list-type is not map"));
        }
        return;
    }
    if keys.is_empty() {
        errors.push(field::required(&at, "must not be empty if x-kubernetes-list-type is map"));
    }
    let items = schema.field("items");
    if items.text("type") != "object" {
        let at = path.child("items").child("type");
        errors.push(field::invalid(&at, items.text("type"), "must be object if parent array's x-kubernetes-list-type is map"));
    }
    for (index, key) in keys.iter().enumerate() {
        let property = items.field("properties").field(key);
        let at = at.index(index);
        if property.is_null() {
            errors.push(field::invalid(&at, *key, "must be the name of a property of the items"));
        } else if matches!(property.text("type"), "array" | "object") {
            errors.push(field::invalid(&at, *key, "must be a scalar type if parent array's x-kubernetes-list-type is map"));
        } else if !items.texts("required").contains(key) && !property.has("default") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            let at = path.child("items").child("properties").key(key).child("default");
            errors.push(field::required(&at, detail));
        }
    }
}

/// A default fits its own schema.
fn default(schema: &Json, path: &Path, errors: &mut Errors) {
    let default = schema.field("default");
    if default.is_null() {
        return;
    }
    let at = path.child("default");
    errors.extend(super::check(schema, default, None, &at));
    let holder = serde_json::json!({"properties": {"default": schema}});
    let mut tree = serde_json::json!({"default": default});
    if !super::prune(&holder, &mut tree).is_empty() {
        errors.push(field::invalid(&at, default.clone(), "must not have unknown fields"));
    }
}

fn pattern(schema: &Json, path: &Path, errors: &mut Errors) {
    let pattern = schema.text("pattern");
    if let Err(why) = regex_lite::Regex::new(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(field::invalid(&path.child("pattern"), pattern, &detail));
    }
}

fn parts(schema: &Json, path: &Path, level: Level, errors: &mut Errors) {
    for (name, property) in schema.entries("properties") {
        // Metadata has rules of its own.
        if level.root && name == "metadata" {
            continue;
        }
        walk(property, &path.child("properties").key(name), level.below(), errors);
    }
    let values = schema.field("additionalProperties");
    if values.is_object() {
        walk(values, &path.child("additionalProperties"), level.below(), errors);
    }
    let items = schema.field("items");
    if items.is_object() {
        walk(items, &path.child("items"), level.below(), errors);
    }
    let either = level.either || schema.flag("x-kubernetes-int-or-string");
    let logical = Level { logical: true, either, ..level.below() };
    let mut alternatives: Vec<(Path, &Json)> = Vec::new();
    for word in ["allOf", "anyOf", "oneOf"] {
        let all = schema.list(word).iter().enumerate();
        alternatives.extend(all.map(|(index, each)| (path.child(word).index(index), each)));
    }
    if schema.has("not") {
        alternatives.push((path.child("not"), schema.field("not")));
    }
    for (at, each) in alternatives {
        walk(each, &at, logical, errors);
        if !level.logical {
            complete(schema, each, (path, &at), errors);
        }
    }
}
