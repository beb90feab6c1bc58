//! Whether the schema of a CustomResourceDefinition may be.
//! Source: …/pkg/apis/apiextensions/validation/validation.go (ValidateCustomResourceDefinitionOpenAPISchema).

use super::{field_path, structural};
use crate::api::Json;
use crate::api::tree::Tree;
use crate::api::validation::field::{self, Errors, Path};

/// Deeper schemas are refused here.
const DEPTH: usize = 100;

/// Where in a schema one is.
#[derive(Clone, Copy)]
struct Place {
    /// Why there may be no defaults.
    no_defaults: Option<&'static str>,
    /// Inside of the metadata of an object.
    of_metadata: bool,
    root: bool,
}

/// What is wrong with the schema of a version.
pub fn check(schema: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if too_deep(schema, 0) {
        return vec![field::forbidden(path, "schema is too deeply nested")];
    }
    let unreadable = unreadable(schema);
    if unreadable.is_none() {
        errors = structural::check(schema, path);
        if errors.is_empty() {
            errors = structural::defaults(schema, path);
        }
    }
    walk(schema, path, Place { no_defaults: None, of_metadata: false, root: true }, &mut errors);
    match unreadable {
        Some(why) if errors.is_empty() => vec![field::invalid(path, "", &why)],
        _ => errors,
    }
}

fn too_deep(schema: &Json, depth: usize) -> bool {
    depth > DEPTH || inner(schema).iter().any(|inner| too_deep(inner, depth + 1))
}

/// All schemas that stand directly in a schema.
pub(super) fn inner(schema: &Json) -> Vec<&Json> {
    let mut found: Vec<&Json> = Vec::new();
    fn either<'a>(found: &mut Vec<&'a Json>, value: &'a Json) {
        match value {
            Json::Array(items) => found.extend(items),
            Json::Object(_) => found.push(value),
            _ => {}
        }
    }
    either(&mut found, schema.field("items"));
    for word in ["allOf", "anyOf", "oneOf"] {
        found.extend(schema.list(word));
    }
    either(&mut found, schema.field("not"));
    found.extend(schema.entries("properties").into_iter().map(|(_, property)| property));
    either(&mut found, schema.field("additionalProperties"));
    found.extend(schema.entries("patternProperties").into_iter().map(|(_, property)| property));
    either(&mut found, schema.field("additionalItems"));
    found.extend(schema.entries("definitions").into_iter().map(|(_, property)| property));
    found.extend(schema.entries("dependencies").into_iter().map(|(_, property)| property).filter(|d| d.is_object()));
    found
}

/// Whether a default stands anywhere.
pub fn has_defaults(schema: &Json) -> bool {
    schema.has("default") || inner(schema).into_iter().any(has_defaults)
}

/// Why a schema cannot be read as a structural one (NewStructural).
fn unreadable(schema: &Json) -> Option<String> {
    let empty = |value: &Json| match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Object(map) => map.is_empty(),
        _ => false,
    };
    const WORDS: &[(&str, &str)] = &[
        ("id", "id"),
        ("$schema", "schema"),
        ("$ref", "$ref"),
        ("patternProperties", "patternProperties"),
        ("dependencies", "dependencies"),
        ("additionalItems", "additionalItems"),
        ("definitions", "definitions"),
    ];
    if let Some((_, name)) = WORDS.iter().find(|(word, _)| !empty(schema.field(word))) {
        return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Json::Bool(false)) {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".into());
    }
    if !schema.list("items").is_empty() {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".into());
    }
    inner(schema).into_iter().find_map(unreadable)
}

fn walk(schema: &Json, path: &Path, place: Place, errors: &mut Errors) {
    words(schema, path, place, errors);
    if schema.flag("uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(field::forbidden(&path.child("uniqueItems"), detail));
    }
    parts(schema, path, place, errors);
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Json::Bool(false)) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(field::invalid(&at, false, "must be true or undefined"));
    }
    map_type(schema, path, errors);
    list_type(schema, path, errors);
    list_keys(schema, path, errors);
    items_of_lists(schema, path, errors);
    rules(schema, path, errors);
}

/// Words of OpenAPI that Kubernetes does not take.
fn words(schema: &Json, path: &Path, place: Place, errors: &mut Errors) {
    const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
    let kind = schema.text("type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(field::not_supported(&path.child("type"), kind, TYPES));
    }
    if let (Some(reason), true) = (place.no_defaults, schema.has("default")) {
        errors.push(field::forbidden(&path.child("default"), &format!("must not be set {reason}")));
    }
    let mut refused = |word: &str, is_there: bool| {
        if is_there {
            errors.push(field::forbidden(&path.child(word), &format!("{word} is not supported")));
        }
    };
    refused("id", !schema.text("id").is_empty());
    refused("additionalItems", schema.has("additionalItems"));
    refused("patternProperties", !schema.entries("patternProperties").is_empty());
    refused("definitions", !schema.entries("definitions").is_empty());
    refused("dependencies", schema.has("dependencies"));
    refused("$ref", schema.has("$ref"));
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(field::forbidden(&path.child("type"), detail));
    }
    if !schema.list("items").is_empty() {
        errors.push(field::forbidden(&path.child("items"), "items must be a schema object and not an array"));
    }
    if place.of_metadata && schema.flag("x-kubernetes-embedded-resource") {
        let at = path.child("x-kubernetes-embedded-resource");
        errors.push(field::forbidden(&at, "must not be used inside of resource meta"));
    }
}

fn parts(schema: &Json, path: &Path, place: Place, errors: &mut Errors) {
    let below = Place { root: false, ..place };
    let (values, at) = (schema.field("additionalProperties"), path.child("additionalProperties"));
    let properties = schema.entries("properties");
    if !matches!(values, Json::Null | Json::Bool(true)) && !properties.is_empty() {
        errors.push(field::forbidden(&at, "additionalProperties and properties are mutual exclusive"));
    }
    if values.is_object() {
        let reason = "inside additionalProperties applying to object metadata";
        let no_defaults = if place.of_metadata { Some(reason) } else { below.no_defaults };
        walk(values, &at, Place { no_defaults, ..below }, errors);
    }
    for (name, property) in properties {
        let of_metadata = (place.root || schema.flag("x-kubernetes-embedded-resource"))
            && matches!(name, "metadata" | "kind" | "apiVersion");
        let no_defaults = match name {
            _ if !(of_metadata && place.root) => below.no_defaults,
            "metadata" => Some("in top-level metadata"),
            "kind" => Some("in top-level kind"),
            _ => Some("in top-level apiVersion"),
        };
        let below = Place { no_defaults, of_metadata: below.of_metadata || of_metadata, ..below };
        walk(property, &path.child("properties").key(name), below, errors);
    }
    if schema.field("not").is_object() {
        walk(schema.field("not"), &path.child("not"), below, errors);
    }
    for word in ["allOf", "oneOf", "anyOf"] {
        for (i, each) in schema.list(word).iter().enumerate() {
            walk(each, &path.child(word).index(i), below, errors);
        }
    }
    for (name, definition) in schema.entries("definitions") {
        walk(definition, &path.child("definitions").key(name), below, errors);
    }
    let (items, at) = (schema.field("items"), path.child("items"));
    if items.is_object() {
        walk(items, &at, below, errors);
    }
    for (i, each) in schema.list("items").iter().enumerate() {
        walk(each, &at.index(i), below, errors);
    }
    for (name, dependency) in schema.entries("dependencies").into_iter().filter(|(_, value)| value.is_object()) {
        walk(dependency, &path.child("dependencies").key(name), below, errors);
    }
}

/// The type that an extension asks for.
fn must_be(kind: &str, extension: &str, schema: &Json, path: &Path, errors: &mut Errors) {
    let detail = format!("must be {kind} if {extension} is specified");
    match schema.text("type") {
        "" => errors.push(field::required(&path.child("type"), &detail)),
        other if other != kind => errors.push(field::invalid(&path.child("type"), other, &detail)),
        _ => {}
    }
}

const LIST_TYPE: &str = "x-kubernetes-list-type";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const LIST_KEYS: &str = "x-kubernetes-list-map-keys";

fn map_type(schema: &Json, path: &Path, errors: &mut Errors) {
    let Some(map) = schema.opt_text(MAP_TYPE) else { return };
    must_be("object", MAP_TYPE, schema, path, errors);
    if !matches!(map, "atomic" | "granular") {
        errors.push(field::not_supported(&path.child(MAP_TYPE), map, &["atomic", "granular"]));
    }
}

fn list_type(schema: &Json, path: &Path, errors: &mut Errors) {
    let Some(list) = schema.opt_text(LIST_TYPE) else { return };
    let items = schema.field("items");
    if schema.text("type") != "array" {
        must_be("array", LIST_TYPE, schema, path, errors);
    } else if list == "set" && items.is_object() {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let list_of_items = items.opt_text(LIST_TYPE);
        match items.text("type") {
            "array" if list_of_items.is_some_and(|list| list != "atomic") => {
                errors.push(field::invalid(&path.child("items").child(LIST_TYPE), list_of_items, detail));
            }
            // Kubernetes shows the list's type here, too.
            "object" if items.text(MAP_TYPE) != "atomic" => {
                errors.push(field::invalid(&path.child("items").child(MAP_TYPE), list_of_items, detail));
            }
            _ => {}
        }
    }
    if !matches!(list, "atomic" | "set" | "map") {
        errors.push(field::not_supported(&path.child(LIST_TYPE), list, &["atomic", "set", "map"]));
    }
}

fn list_keys(schema: &Json, path: &Path, errors: &mut Errors) {
    let keys = schema.texts(LIST_KEYS);
    let list = schema.opt_text(LIST_TYPE);
    let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    match list {
        None if !keys.is_empty() => errors.push(field::required(&path.child(LIST_TYPE), detail)),
        Some(other) if !keys.is_empty() && other != "map" => {
            errors.push(field::invalid(&path.child(LIST_TYPE), other, detail));
        }
        _ => {}
    }
    if list != Some("map") {
        return;
    }
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(field::required(&path.child(LIST_KEYS), detail));
    }
    let (items, at) = (schema.field("items"), path.child("items"));
    if items.is_null() {
        errors.push(field::required(&at, "must have a schema if x-kubernetes-list-type is map"));
    } else if !items.is_object() {
        errors.push(field::invalid(&at, items.clone(), "must only have a single schema if x-kubernetes-list-type is map"));
    } else if items.text("type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(field::invalid(&at.child("type"), items.text("type"), detail));
    } else {
        keys_of_items(&keys, schema, items, path, errors);
    }
}

fn keys_of_items(keys: &[&str], schema: &Json, items: &Json, path: &Path, errors: &mut Errors) {
    let mut say = |detail: &str| {
        errors.push(field::invalid(&path.child(LIST_KEYS), schema.field(LIST_KEYS).clone(), detail));
    };
    for (i, key) in keys.iter().enumerate() {
        if !items.field("properties").has(key) {
            say("entries must all be names of item properties");
        }
        if keys[..i].contains(key) {
            say("must not contain duplicate entries");
        }
    }
    for key in keys {
        if matches!(items.field("properties").field(key).text("type"), "array" | "object") {
            let at = path.child("items").child("properties").key(key).child("type");
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(field::invalid(&at, items.text("type"), detail));
        }
    }
}

/// Items of sets and maps are never null, and have their keys (validateMapListKeysMapSet).
fn items_of_lists(schema: &Json, path: &Path, errors: &mut Errors) {
    let (items, list, path) = (schema.field("items"), schema.text(LIST_TYPE), path.child("items"));
    if !items.is_object() || !matches!(list, "set" | "map") {
        return;
    }
    if items.flag("nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list}");
        errors.push(field::forbidden(&path.child("nullable"), &detail));
    }
    if list != "map" {
        return;
    }
    for key in schema.texts(LIST_KEYS) {
        let (property, path) = (items.field("properties").field(key), path.child("properties").key(key));
        if property.is_null() {
            continue;
        }
        if !items.texts("required").contains(&key) && !property.has("default") {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(field::required(&path.child("default"), detail));
        }
        if property.flag("nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(field::forbidden(&path.child("nullable"), detail));
        }
    }
}

/// What is said around the expressions of rules.
fn rules(schema: &Json, path: &Path, errors: &mut Errors) {
    const REASONS: &[&str] =
        &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    let broken = |text: &str| text.contains(['\n', '\r']);
    for (i, rule) in schema.list("x-kubernetes-validations").iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(i);
        let (expression, message) = (rule.text("rule").trim(), rule.text("message"));
        if expression.is_empty() {
            errors.push(field::required(&path.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(field::invalid(&path.child("message"), message, "must be non-empty if specified"));
        } else if broken(message.trim()) {
            errors.push(field::invalid(&path.child("message"), message, "must not contain line breaks"));
        } else if broken(expression) && message.trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(field::required(&path.child("message"), detail));
        }
        let expression = rule.text("messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(field::required(&path.child("messageExpression"), detail));
        }
        if let Some(reason) = rule.opt_text("reason").filter(|reason| !REASONS.contains(reason)) {
            errors.push(field::not_supported(&path.child("reason"), reason, REASONS));
        }
        let (at, path) = (rule.text("fieldPath"), path.child("fieldPath"));
        if at.is_empty() {
            continue;
        }
        if at.trim().is_empty() {
            errors.push(field::invalid(&path, at, "must be non-empty if specified"));
        }
        if broken(at) {
            errors.push(field::invalid(&path, at, "must not contain line breaks"));
        }
        if unreadable(schema).is_none() && field_path::resolve(schema, at, true).is_err() {
            errors.push(field::invalid(&path, at, "must be a valid path"));
        }
    }
}
