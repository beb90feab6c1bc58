//! Whether the schema of a CustomResourceDefinition is structural: every field has one type, outside of all alternatives.
//! Source: …/apiserver/schema/{validation,complete}.go, …/apiserver/schema/defaulting/validation.go.

use serde_json::json;

use crate::api::Json;
use crate::api::tree::Tree;
use crate::api::validation::field::{self, Errors, Path};

/// Where in a schema one is.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What is wrong with the structure of a schema, sorted.
pub(super) fn check(schema: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    invariants(schema, path, Level::Root, &mut errors);
    alternatives(schema, &mut |at, each| complete(each, Some(schema), path, &path_of(path, at), &mut errors));
    errors.sort_by_key(|error| format!("{}: {}", error.field, error.message));
    errors
}

/// Where an alternative stands: its word, and its place in the list.
type Place<'a> = (&'a str, Option<usize>);

fn path_of(path: &Path, (word, index): Place<'_>) -> Path {
    let path = path.child(word);
    index.map_or_else(|| path.clone(), |index| path.index(index))
}

fn alternatives<'a>(schema: &'a Json, found: &mut dyn FnMut(Place<'_>, &'a Json)) {
    if schema.has("not") {
        found(("not", None), schema.field("not"));
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for (index, each) in schema.list(word).iter().enumerate() {
            found((word, Some(index)), each);
        }
    }
}

fn invariants(schema: &Json, path: &Path, level: Level, errors: &mut Errors) {
    let kind = schema.text("type");
    let embedded = schema.flag("x-kubernetes-embedded-resource");
    let unknown = schema.flag("x-kubernetes-preserve-unknown-fields");
    if kind == "array" && !schema.has("items") {
        errors.push(field::required(&path.child("items"), "must be specified"));
    }
    if schema.has("items") {
        invariants(schema.field("items"), &path.child("items"), Level::Item, errors);
    }
    for (name, property) in schema.entries("properties") {
        invariants(property, &path.child("properties").key(name), Level::Field, errors);
    }
    let (values, at) = (schema.field("additionalProperties"), path.child("additionalProperties"));
    if level == Level::Root && !values.is_null() {
        errors.push(field::forbidden(&at, "must not be used at the root"));
    }
    if values.is_object() {
        invariants(values, &at, Level::Field, errors);
    }
    if embedded && !values.is_null() {
        errors.push(field::forbidden(&at, "must not be used if x-kubernetes-embedded-resource is set"));
    }
    extensions(schema, path, errors);
    values_only(schema, path, Either::of(schema), errors);
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => field::required(&path.child("type"), detail),
            kind => field::invalid(&path.child("type"), kind, detail),
        });
    } else if kind.is_empty() && !schema.flag("x-kubernetes-int-or-string") && !unknown {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(field::required(&path.child("type"), detail));
    }
    if level == Level::Root && !matches!(kind, "" | "object") {
        errors.push(field::invalid(&path.child("type"), kind, "must be object at the root"));
    }
    own_fields(schema, path, level, errors);
    if embedded && !unknown && schema.entries("properties").is_empty() {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(field::required(&path.child("properties"), detail));
    }
}

/// Fields that every object has.
fn own_fields(schema: &Json, path: &Path, level: Level, errors: &mut Errors) {
    let properties = schema.field("properties");
    let of_object = level == Level::Root || schema.flag("x-kubernetes-embedded-resource");
    for name in ["kind", "apiVersion"] {
        let kind = properties.field(name).text("type");
        if of_object && properties.has(name) && kind != "string" {
            let at = path.child("properties").key(name).child("type");
            errors.push(field::invalid(&at, kind, "must be string"));
        }
    }
    let (metadata, path) = (properties.field("metadata"), path.child("properties").key("metadata"));
    if metadata.is_null() {
        return;
    }
    if of_object && metadata.text("type") != "object" {
        errors.push(field::invalid(&path.child("type"), metadata.text("type"), "must be object"));
    }
    let names = metadata.entries("properties");
    let only_names = names.iter().all(|(name, _)| matches!(*name, "name" | "generateName"));
    let mut rest = metadata.as_object().into_iter().flatten();
    let nothing = |value: &Json| match value {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    };
    let says_more = rest.any(|(word, value)| !matches!(word.as_str(), "type" | "default" | "properties") && !nothing(value));
    if level == Level::Root && (!only_names || says_more) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(field::forbidden(&path, detail));
    }
}

fn extensions(schema: &Json, path: &Path, errors: &mut Errors) {
    for word in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if schema.flag("x-kubernetes-int-or-string") && schema.flag(word) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(field::invalid(&path.child(word), true, detail));
        }
    }
}

/// Where a schema names the two types of an int-or-string, which is allowed.
#[derive(Clone, Copy, PartialEq)]
enum Either {
    No,
    AnyOf,
    /// In the first of allOf.
    AllOf,
}

impl Either {
    fn of(schema: &Json) -> Self {
        let both = json!([{"type": "integer"}, {"type": "string"}]);
        match schema {
            _ if *schema.field("anyOf") == both => Self::AnyOf,
            _ if schema.list("allOf").first().is_some_and(|first| *first.field("anyOf") == both) => Self::AllOf,
            _ => Self::No,
        }
    }
}

fn values_only(schema: &Json, path: &Path, either: Either, errors: &mut Errors) {
    alternatives(schema, &mut |at, each| {
        let inner = match (either, at) {
            (Either::AnyOf, ("anyOf", _)) => return,
            (Either::AllOf, ("allOf", Some(0))) => Either::AnyOf,
            _ => Either::No,
        };
        nested(each, &path_of(path, at), inner, errors);
    });
    let pattern = schema.text("pattern");
    if let Err(why) = regex_lite::Regex::new(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(field::invalid(&path.child("pattern"), pattern, &detail));
    }
}

/// An alternative speaks of values, never of structure.
fn nested(schema: &Json, path: &Path, either: Either, errors: &mut Errors) {
    values_only(schema, path, either, errors);
    if schema.field("items").is_object() {
        nested(schema.field("items"), &path.child("items"), Either::No, errors);
    }
    for (name, property) in schema.entries("properties") {
        nested(property, &path.child("properties").key(name), Either::No, errors);
    }
    const EMPTY: &str = "must be empty to be structural";
    const UNDEFINED: &str = "must be undefined to be structural";
    const FALSE: &str = "must be false to be structural";
    const REFUSED: &[(&str, &str)] = &[
        ("type", EMPTY),
        ("additionalProperties", UNDEFINED),
        ("default", UNDEFINED),
        ("title", EMPTY),
        ("description", EMPTY),
        ("nullable", FALSE),
        ("x-kubernetes-preserve-unknown-fields", FALSE),
        ("x-kubernetes-embedded-resource", FALSE),
        ("x-kubernetes-int-or-string", FALSE),
        ("x-kubernetes-list-map-keys", EMPTY),
        ("x-kubernetes-list-type", UNDEFINED),
        ("x-kubernetes-map-type", UNDEFINED),
        ("x-kubernetes-validations", EMPTY),
    ];
    for (word, detail) in REFUSED {
        let value = schema.field(word);
        let set = match *detail {
            UNDEFINED => !value.is_null() && *value != Json::Bool(false),
            FALSE => *value == Json::Bool(true),
            _ => value.as_str().is_some_and(|text| !text.is_empty()) || value.as_array().is_some_and(|list| !list.is_empty()),
        };
        if set {
            errors.push(field::forbidden(&path.child(word), detail));
        }
    }
    if schema.field("properties").has("metadata") {
        let at = path.child("properties").key("metadata");
        errors.push(field::forbidden(&at, "must not be specified in a nested context"));
    }
}

/// What an alternative speaks of is specified outside of all of them.
fn complete(nested: &Json, structure: Option<&Json>, path: &Path, at: &Path, errors: &mut Errors) {
    let Some(structure) = structure else {
        errors.push(field::required(path, &format!("because it is defined in {at}")));
        return;
    };
    alternatives(nested, &mut |place, each| complete(each, Some(structure), path, &path_of(at, place), errors));
    if nested.has("items") {
        let items = Some(structure.field("items")).filter(|items| !items.is_null());
        complete(nested.field("items"), items, &path.child("items"), &at.child("items"), errors);
    }
    for (name, inner) in nested.entries("properties") {
        let (path, at) = (path.child("properties").key(name), at.child("properties").key(name));
        let outer = structure.field("properties").field(name);
        complete(inner, Some(outer).filter(|outer| !outer.is_null()), &path, &at, errors);
    }
}

/// Defaults fit their own schemas, and have no fields that these do not know.
pub(super) fn defaults(schema: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    default(schema, path, &mut errors);
    errors
}

fn default(schema: &Json, path: &Path, errors: &mut Errors) {
    let value = schema.field("default");
    if !value.is_null() {
        let at = path.child("default");
        let holder = json!({"properties": {"default": schema}});
        let mut tree = json!({"default": value});
        if !super::prune(&holder, &mut tree).is_empty() {
            errors.push(field::invalid(&at, value.clone(), "must not have unknown fields"));
        }
        errors.extend(super::check(schema, value, None, &at));
    }
    if schema.field("items").is_object() {
        default(schema.field("items"), &path.child("items"), errors);
    }
    for (name, property) in schema.entries("properties") {
        default(property, &path.child("properties").key(name), errors);
    }
}
