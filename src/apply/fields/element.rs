//! One step of a path: a field's name, the keys of a list entry, the value of a set entry, an index.

use std::cmp::Ordering;

use crate::api::Json;
use crate::api::status::quote;

/// A value that names a list entry, ordered as structured-merge-diff orders values: numbers, texts,
/// booleans, lists, maps, null. Numbers are equal by value.
#[derive(Clone, Debug)]
pub struct Scalar(pub Json);

impl Scalar {
    fn rank(&self) -> u8 {
        match &self.0 {
            Json::Number(_) => 0,
            Json::String(_) => 1,
            Json::Bool(_) => 2,
            Json::Array(_) => 3,
            Json::Object(_) => 4,
            Json::Null => 5,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
            },
            (Json::String(a), Json::String(b)) => a.cmp(b),
            (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
            (a, b) if self.rank() == other.rank() => a.to_string().cmp(&b.to_string()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar {}

/// One step of a path. Ordered as in `fieldsV1`: names, keys, values, indices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    Field(String),
    /// The key fields of an entry of an associative list, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// An entry of a set.
    Value(Scalar),
    Index(i64),
}

/// From the root of an object to one of its fields or list entries.
pub type Path = Vec<Element>;

impl Element {
    pub fn field(name: &str) -> Self {
        Element::Field(name.to_owned())
    }
}

impl std::fmt::Display for Element {
    /// As conflicts show it: `.spec`, `[name="web"]`, `[="example.com/a"]`, `[0]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Key(keys) => {
                let keys: Vec<_> = keys.iter().map(|(k, v)| format!("{k}={}", text(&v.0))).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Element::Value(value) => write!(f, "[={}]", text(&value.0)),
            Element::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path as conflicts show it: `.spec.template.spec.containers[name="c"].image`.
pub fn show(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => "null".into(),
        Json::String(text) => quote(text),
        Json::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
        Json::Object(map) => map.iter().map(|(k, v)| format!("{k}={}", text(v))).collect(),
        other => crate::api::go::display(other),
    }
}
