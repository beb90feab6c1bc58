//! Whether a value fits a schema, in the words of Kubernetes' validator.
//! Source: k8s.io/kube-openapi/pkg/validation/validate, …/apiextensions-apiserver/pkg/apiserver/validation/validation.go,
//! …/apiserver/schema/listtype.

use super::{formats, numbers, of_field};
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::validation::field::{self, Errors, Path};
use crate::api::{Cause, Json};

/// What is wrong with `value`. What is as it was in `old` is not looked at (ratcheting).
pub fn check(schema: &Json, value: &Json, old: Option<&Json>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    walk(schema, value, old, path, &mut errors);
    errors
}

/// The errors of one value.
pub(super) struct Found<'a> {
    path: &'a Path,
    errors: &'a mut Errors,
}

impl Found<'_> {
    /// As the validator words it: with the path once more, and where it was.
    pub fn invalid(&mut self, value: &Json, what: &str) {
        let detail = format!("{} in body {what}", self.path);
        self.push(field::invalid(self.path, value.clone(), &detail));
    }

    fn push(&mut self, cause: Cause) {
        self.errors.push(cause);
    }
}

fn walk(schema: &Json, value: &Json, old: Option<&Json>, path: &Path, errors: &mut Errors) {
    if old == Some(value) {
        return;
    }
    let mut found = Found { path, errors };
    if value.is_null() {
        if !schema.flag("nullable") {
            wrong_type(schema, value, &mut found);
        }
        return;
    }
    wrong_type(schema, value, &mut found);
    combined(schema, value, &mut found);
    match value {
        Json::String(text) => of_text(schema, text, value, &mut found),
        Json::Number(_) => numbers::number(schema, value, &mut found),
        Json::Array(items) => of_list(schema, items, value, &mut found),
        _ => {}
    }
    choices(schema, value, &mut found);
    match value {
        Json::Object(_) => of_object(schema, value, old, path, errors),
        Json::Array(items) => {
            let of_items = schema.field("items");
            for (index, item) in items.iter().enumerate() {
                let old = old.and_then(|old| partner(schema, item, old));
                walk(of_items, item, old, &path.index(index), errors);
            }
        }
        _ => {}
    }
}

/// The validator's word for a value's type.
fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(n) if n.is_f64() && n.as_f64().is_some_and(|f| f.fract() != 0.0) => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn wrong_type(schema: &Json, value: &Json, found: &mut Found<'_>) {
    let is = type_of(value);
    let either = schema.flag("x-kubernetes-int-or-string");
    let wanted = if either { "integer,string" } else { schema.text("type") };
    let fits = match wanted {
        "" => true,
        "integer,string" => is == "integer" || is == "string",
        "number" => is == "number" || is == "integer",
        wanted => is == wanted,
    };
    if !fits {
        let detail = format!("{} in body must be of type {wanted}: {}", found.path, quote(is));
        let cause = field::type_invalid(found.path, is, &detail);
        found.push(cause);
    }
}

fn combined(schema: &Json, value: &Json, found: &mut Found<'_>) {
    let fitting = |list: &str| {
        let fits = |schema: &&Json| check(schema, value, None, &Path::root()).is_empty();
        schema.list(list).iter().filter(fits).count()
    };
    let name = quote(found.path.as_str());
    let mut say = |what: String| {
        let cause = field::invalid(found.path, value.clone(), &what);
        found.errors.push(cause);
    };
    if schema.has("anyOf") && fitting("anyOf") == 0 {
        say(format!("{name} must validate at least one schema (anyOf)"));
    }
    if schema.has("oneOf") {
        match fitting("oneOf") {
            1 => {}
            0 => say(format!("{name} must validate one and only one schema (oneOf). Found none valid")),
            n => say(format!("{name} must validate one and only one schema (oneOf). Found {n} valid alternatives")),
        }
    }
    if schema.has("not") && check(schema.field("not"), value, None, &Path::root()).is_empty() {
        say(format!("{name} must not validate the schema (not)"));
    }
    if schema.has("allOf") && fitting("allOf") < schema.list("allOf").len() {
        for each in schema.list("allOf") {
            let mut inner = check(each, value, None, found.path);
            found.errors.append(&mut inner);
        }
        let detail = format!("{name} must validate all the schemas (allOf)");
        found.errors.push(field::invalid(found.path, value.clone(), &detail));
    }
}

fn of_text(schema: &Json, text: &str, value: &Json, found: &mut Found<'_>) {
    let (short, long) = numbers::count(schema, ("minLength", "maxLength"), text.chars().count());
    if let Some(most) = long {
        let cause = field::too_long(found.path, most);
        found.push(cause);
    }
    if let Some(least) = short {
        found.invalid(value, &format!("should be at least {least} chars long"));
    }
    let pattern = schema.text("pattern");
    if !pattern.is_empty() && regex_lite::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) {
        found.invalid(value, &format!("should match '{pattern}'"));
    }
    let format = schema.text("format");
    if !formats::fits(format, text) {
        let detail = format!("{} in body must be of type {format}: {}", found.path, quote(text));
        let cause = field::invalid(found.path, text, &detail);
        found.push(cause);
    }
}

fn of_list(schema: &Json, items: &[Json], value: &Json, found: &mut Found<'_>) {
    let (few, many) = numbers::count(schema, ("minItems", "maxItems"), items.len());
    if let Some(most) = many {
        let cause = field::too_many(found.path, items.len(), usize::try_from(most).unwrap_or(0));
        found.push(cause);
    }
    if let Some(least) = few {
        found.invalid(value, &format!("should have at least {least} items"));
    }
}

/// What names an item of a list that is a map.
fn key_of(keys: &[&str], schema: &Json, item: &Json) -> Json {
    let properties = schema.field("items").field("properties");
    let value = |key: &str| match item.get(key) {
        Some(value) => value.clone(),
        None => properties.field(key).field("default").clone(),
    };
    let map = keys.iter().map(|key| ((*key).to_owned(), value(key))).filter(|(_, value)| !value.is_null());
    Json::Object(map.collect())
}

/// The item of the old list that `item` has become.
fn partner<'a>(schema: &Json, item: &Json, old: &'a Json) -> Option<&'a Json> {
    let old = old.as_array()?;
    match schema.text("x-kubernetes-list-type") {
        "map" => {
            let keys = schema.texts("x-kubernetes-list-map-keys");
            let key = key_of(&keys, schema, item);
            old.iter().find(|old| key_of(&keys, schema, old) == key)
        }
        "set" => old.iter().find(|old| *old == item),
        _ => None,
    }
}

fn choices(schema: &Json, value: &Json, found: &mut Found<'_>) {
    let choices = schema.list("enum");
    if choices.is_empty() || choices.contains(value) {
        return;
    }
    let shown: Vec<String> = choices.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let cause = field::not_supported(found.path, value.clone(), &shown);
    found.push(cause);
}

fn of_object(schema: &Json, value: &Json, old: Option<&Json>, path: &Path, errors: &mut Errors) {
    let Some(map) = value.as_object() else { return };
    let mut found = Found { path, errors };
    let (few, many) = numbers::count(schema, ("minProperties", "maxProperties"), map.len());
    if let Some(most) = many {
        let cause = field::too_many(path, map.len(), usize::try_from(most).unwrap_or(0));
        found.push(cause);
    }
    if let Some(least) = few {
        found.invalid(value, &format!("should have at least {least} properties"));
    }
    for name in schema.texts("required") {
        if !map.contains_key(name) {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    for (name, value) in map {
        let Some(of_value) = of_field(schema, name) else { continue };
        let known = schema.field("properties").has(name);
        let at = if known { path.child(name) } else { path.key(name) };
        walk(of_value, value, old.and_then(|old| old.get(name)), &at, errors);
    }
}

