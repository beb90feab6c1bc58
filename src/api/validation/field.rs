//! Field paths and the errors found at them, worded as Kubernetes words them.
//! Source: k8s.io/apimachinery/pkg/util/validation/field/{path,errors}.go.

use std::fmt;

use crate::api::{Cause, Json, status::quote};

/// Where in an object: `spec.template.spec.containers[0].env[1].name`, `metadata.labels[a/b]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// The object itself; displays as nothing.
    pub fn root() -> Self {
        Path::default()
    }

    /// A path whose only name is empty, as Go's `field.NewPath("")` displays it.
    pub fn nameless() -> Self {
        Path("[]".into())
    }

    pub fn new(name: &str) -> Self {
        Path(name.to_owned())
    }

    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Path(name.to_owned()) } else { Path(format!("{}.{name}", self.0)) }
    }

    pub fn index(&self, index: usize) -> Self {
        Path(format!("{}[{index}]", self.0))
    }

    /// An entry of a map.
    pub fn key(&self, key: &str) -> Self {
        Path(format!("{}[{key}]", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All errors of an object, in the order in which Kubernetes would have found them.
pub type Errors = Vec<Cause>;

fn cause(path: &Path, reason: &str, message: String) -> Cause {
    Cause { reason: reason.into(), message, field: path.0.clone() }
}

fn with_detail(head: String, detail: &str) -> String {
    if detail.is_empty() { head } else { format!("{head}: {detail}") }
}

/// A value as it stands in messages: strings quoted, numbers and booleans plain, the rest as JSON.
pub fn show(value: &Json) -> String {
    match value {
        Json::String(text) => quote(text),
        Json::Null => "null".into(),
        other => other.to_string(),
    }
}

pub fn required(path: &Path, detail: &str) -> Cause {
    cause(path, "FieldValueRequired", with_detail("Required value".into(), detail))
}

pub fn invalid(path: &Path, value: impl Into<Json>, detail: &str) -> Cause {
    let head = format!("Invalid value: {}", show(&value.into()));
    cause(path, "FieldValueInvalid", with_detail(head, detail))
}

/// Like [`invalid`], with the value already written as Go's JSON would (fields in struct order).
pub fn invalid_shown(path: &Path, shown: &str, detail: &str) -> Cause {
    cause(path, "FieldValueInvalid", with_detail(format!("Invalid value: {shown}"), detail))
}

pub fn duplicate(path: &Path, value: impl Into<Json>) -> Cause {
    cause(path, "FieldValueDuplicate", format!("Duplicate value: {}", show(&value.into())))
}

pub fn forbidden(path: &Path, detail: &str) -> Cause {
    cause(path, "FieldValueForbidden", with_detail("Forbidden".into(), detail))
}

/// `supported` in the order in which it is printed.
pub fn not_supported(path: &Path, value: impl Into<Json>, supported: &[&str]) -> Cause {
    let list: Vec<String> = supported.iter().map(|s| quote(s)).collect();
    let head = format!("Unsupported value: {}", show(&value.into()));
    let detail = if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
    cause(path, "FieldValueNotSupported", with_detail(head, &detail))
}

/// `max` in bytes; below zero: no number is named.
pub fn too_long(path: &Path, max: i64) -> Cause {
    let detail = if max >= 0 { format!("may not be more than {max} bytes") } else { "value is too long".into() };
    cause(path, "FieldValueTooLong", format!("Too long: {detail}"))
}

pub fn too_many(path: &Path, actual: usize, max: usize) -> Cause {
    let noun = if max == 1 { "item" } else { "items" };
    cause(path, "FieldValueTooMany", format!("Too many: {actual}: must have at most {max} {noun}"))
}

pub fn type_invalid(path: &Path, value: impl Into<Json>, detail: &str) -> Cause {
    let head = format!("Invalid value: {}", show(&value.into()));
    cause(path, "FieldValueTypeInvalid", with_detail(head, detail))
}

pub fn not_found(path: &Path, value: impl Into<Json>) -> Cause {
    cause(path, "FieldValueNotFound", format!("Not found: {}", show(&value.into())))
}
