//! Whether a tree fits its type, in structured-merge-diff's words.

use super::atom::{List, Map, ScalarKind, TypeRef};
use super::list_element;
use crate::api::Json;
use crate::apply::fields::{Element, FieldSet, Path, show};
use crate::api::go;

/// Whether an entry of an associative list may stand there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    Refused,
    Allowed,
}

/// What is wrong with a tree. Displays as one line, or as a list under `errors:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeErrors(Vec<(String, String)>);

impl std::error::Error for TypeErrors {}

impl std::fmt::Display for TypeErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = |(path, message): &(String, String)| {
            if path.is_empty() { message.clone() } else { format!("{path}: {message}") }
        };
        match self.0.as_slice() {
            [one] => f.write_str(&line(one)),
            many => {
                f.write_str("errors:")?;
                many.iter().try_for_each(|e| write!(f, "\n  {}", line(e)))
            }
        }
    }
}

/// Checks types, undeclared fields and the keys of associative lists.
pub fn validate(value: &Json, kind: TypeRef<'_>, duplicates: Duplicates) -> Result<(), TypeErrors> {
    let mut walk = Walk { duplicates, path: Vec::new(), errors: Vec::new() };
    walk.check(value, kind);
    if walk.errors.is_empty() { Ok(()) } else { Err(TypeErrors(walk.errors)) }
}

struct Walk {
    duplicates: Duplicates,
    path: Path,
    errors: Vec<(String, String)>,
}

impl Walk {
    fn error(&mut self, message: String) {
        self.errors.push((show(&self.path), message));
    }

    fn below(&mut self, element: Element, value: &Json, kind: TypeRef<'_>) {
        self.path.push(element);
        self.check(value, kind);
        self.path.pop();
    }

    fn check(&mut self, value: &Json, kind: TypeRef<'_>) {
        let atom = kind.resolve().narrowed(Some(value));
        if let Some(map) = atom.map {
            self.map(value, &map);
        } else if let Some(scalar) = atom.scalar {
            self.scalar(value, scalar);
        } else if let Some(list) = atom.list {
            self.list(value, &list);
        }
    }

    fn scalar(&mut self, value: &Json, kind: ScalarKind) {
        let fits = match kind {
            ScalarKind::Text => value.is_string(),
            ScalarKind::Number => value.is_number(),
            ScalarKind::Boolean => value.is_boolean(),
            ScalarKind::Any => value.is_string() || value.is_number() || value.is_boolean(),
        };
        if fits || value.is_null() {
            return;
        }
        self.error(match kind {
            ScalarKind::Number => format!("expected numeric (int or float), got {}", go::type_name(value)),
            ScalarKind::Text => format!("expected string, got &value.valueUnstructured{{Value:{}}}", go::syntax(value)),
            ScalarKind::Boolean => format!("expected boolean, got {}", wrapped(value)),
            ScalarKind::Any => format!("expected any scalar, got {}", wrapped(value)),
        });
    }

    fn list(&mut self, value: &Json, list: &List<'_>) {
        let items = match value {
            Json::Array(items) => items,
            Json::Null => return,
            other => return self.error(format!("expected list, got {}", wrapped(other))),
        };
        let mut seen = FieldSet::new();
        for (index, item) in items.iter().enumerate() {
            let element = if list.atomic {
                Element::Index(i64::try_from(index).unwrap_or(i64::MAX))
            } else {
                match list_element(list, item) {
                    Ok(element) => element,
                    Err(why) => return self.error(format!("element {index}: {why}")),
                }
            };
            if seen.has_member(&element) && self.duplicates == Duplicates::Refused {
                self.error(format!("duplicate entries for key {element}"));
            }
            seen.insert(std::slice::from_ref(&element));
            self.below(element, item, list.item);
        }
    }

    fn map(&mut self, value: &Json, map: &Map<'_>) {
        let entries = match value {
            Json::Object(entries) => entries,
            Json::Null => return,
            other => return self.error(format!("expected map, got {}", wrapped(other))),
        };
        for (key, item) in entries {
            let Some(kind) = map.at(key) else {
                self.path.push(Element::field(key));
                self.error("field not declared in schema".into());
                self.path.pop();
                // structured-merge-diff looks no further in this map.
                return;
            };
            self.below(Element::field(key), item, kind);
        }
    }
}

/// A value as `%v` prints structured-merge-diff's wrapper of it.
fn wrapped(value: &Json) -> String {
    format!("&{{{}}}", go::display(value))
}
