//! One object under a printer's eyes: fields by pointer, and ages.

use jiff::Timestamp;

use crate::api::{Json, shown};

/// An object and the time it is looked at.
pub(super) struct View<'o> {
    pub object: &'o Json,
    pub now: Timestamp,
}

impl<'o> View<'o> {
    pub fn at(&self, pointer: &str) -> Option<&'o Json> {
        self.object.pointer(pointer).filter(|v| !v.is_null())
    }

    /// The value; null where there is none.
    pub fn get(&self, pointer: &str) -> &'o Json {
        self.object.pointer(pointer).unwrap_or(&Json::Null)
    }

    pub fn text(&self, pointer: &str) -> &'o str {
        text(self.object, pointer)
    }

    /// The text, or what printers write where there is none.
    pub fn text_or(&self, pointer: &str, missing: &'o str) -> &'o str {
        Some(self.text(pointer)).filter(|t| !t.is_empty()).unwrap_or(missing)
    }

    pub fn int(&self, pointer: &str) -> i64 {
        int(self.object, pointer)
    }

    pub fn list(&self, pointer: &str) -> &'o [Json] {
        list(self.object, pointer)
    }

    pub fn count(&self, pointer: &str) -> usize {
        match self.at(pointer) {
            Some(Json::Object(map)) => map.len(),
            Some(Json::Array(items)) => items.len(),
            _ => 0,
        }
    }

    /// How long ago a time was; `<unknown>` where there is none.
    pub fn age(&self, pointer: &str) -> String {
        self.since(self.text(pointer))
    }

    pub fn since(&self, time: &str) -> String {
        shown::since(time, self.now)
    }

    /// The usual age.
    pub fn own_age(&self) -> Json {
        Json::from(self.age("/metadata/creationTimestamp"))
    }

    pub fn is_deleting(&self) -> bool {
        self.at("/metadata/deletionTimestamp").is_some()
    }

    /// The condition of a type.
    pub fn condition(&self, kind: &str) -> Option<&'o Json> {
        self.list("/status/conditions").iter().find(|c| text(c, "/type") == kind)
    }

    pub fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| text(c, "/status") == "True")
    }
}

pub(super) fn text<'j>(tree: &'j Json, pointer: &str) -> &'j str {
    tree.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

pub(super) fn int(tree: &Json, pointer: &str) -> i64 {
    tree.pointer(pointer).and_then(Json::as_i64).unwrap_or(0)
}

pub(super) fn list<'j>(tree: &'j Json, pointer: &str) -> &'j [Json] {
    tree.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}
