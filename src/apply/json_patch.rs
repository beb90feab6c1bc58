//! JSON patch (RFC 6902) with the habits of the library that the API server uses: `replace` of a missing
//! key adds it, negative indices count from the end, a missing `value` is null.
//! Source of the rules: gopkg.in/evanphx/json-patch.v4 patch.go, and `applyJSPatch` in
//! k8s.io/apiserver/pkg/endpoints/handlers/patch.go.

use crate::api::{Json, JsonMap};

/// More operations are refused with 413. Source: `maxJSONPatchOperations` in patch.go.
pub const MAX_OPERATIONS: usize = 10_000;

/// Bytes that all `copy` operations of a patch may add. Source: `JSONPatchMaxCopyBytes` of the server's config.
pub const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Why a JSON patch does not apply. The API shows none of it: it answers 422 with a fixed text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPatchError {
    #[error("an operation has no {0}")]
    MissingMember(&'static str),
    #[error("unexpected kind of operation: {0}")]
    UnknownOperation(String),
    #[error("{operation} does not apply: {path} is missing")]
    MissingPath { operation: &'static str, path: String },
    #[error("{0} is no index of the list")]
    Index(String),
    #[error("testing {0} failed")]
    Test(String),
    #[error("the value of a replacement of the whole must be an object or a list")]
    Root,
    #[error("the copies take more than {MAX_COPIED} bytes")]
    TooMuchCopied,
}

/// The document after all operations of the patch (a list, or null for none). The document is untouched on error.
pub fn json_patch(document: &Json, patch: &Json) -> Result<Json, JsonPatchError> {
    let mut run = Run { document: document.clone(), copied: 0 };
    for operation in patch.as_array().map_or(&[][..], Vec::as_slice) {
        run.step(operation)?;
    }
    Ok(run.document)
}

struct Run {
    document: Json,
    copied: usize,
}

/// A member of an operation that must be a text.
fn text<'a>(operation: &'a Json, name: &'static str) -> Result<&'a str, JsonPatchError> {
    operation.get(name).and_then(Json::as_str).ok_or(JsonPatchError::MissingMember(name))
}

fn missing(operation: &'static str, path: &str) -> JsonPatchError {
    JsonPatchError::MissingPath { operation, path: path.to_owned() }
}

impl Run {
    fn step(&mut self, operation: &Json) -> Result<(), JsonPatchError> {
        let kind = operation.get("op").and_then(Json::as_str).unwrap_or("unknown");
        let value = || operation.get("value").cloned().unwrap_or(Json::Null);
        match kind {
            "add" => self.add("add", text(operation, "path")?, value()),
            "remove" => self.remove("remove", text(operation, "path")?).map(|_| ()),
            "replace" => self.replace(text(operation, "path")?, operation.get("value")),
            "move" => {
                let moved = self.remove("move", text(operation, "from")?)?;
                self.add("move", text(operation, "path")?, moved)
            }
            "test" => self.test(text(operation, "path")?, &value()),
            "copy" => self.copy(text(operation, "from")?, text(operation, "path")?),
            other => Err(JsonPatchError::UnknownOperation(other.to_owned())),
        }
    }

    /// The object or list that holds the last step of `path`, and that step.
    fn holder<'a>(&'a mut self, path: &str) -> Option<(&'a mut Json, String)> {
        let mut steps = path.split('/').skip(1).map(unescaped);
        let mut next = steps.next()?;
        let mut at = &mut self.document;
        for step in steps {
            at = match at {
                Json::Object(map) => map.get_mut(&next)?,
                Json::Array(items) => {
                    let index = position(items.len(), &next)?;
                    items.get_mut(index)?
                }
                _ => return None,
            };
            next = step;
        }
        matches!(at, Json::Object(_) | Json::Array(_)).then_some((at, next))
    }

    fn add(&mut self, operation: &'static str, path: &str, value: Json) -> Result<(), JsonPatchError> {
        match self.holder(path).ok_or_else(|| missing(operation, path))? {
            (Json::Object(map), key) => {
                map.insert(key, value);
            }
            (Json::Array(items), key) if key == "-" => items.push(value),
            (Json::Array(items), key) => {
                // One more place than there are items.
                let index = position(items.len() + 1, &key).ok_or(JsonPatchError::Index(key))?;
                items.insert(index, value);
            }
            _ => return Err(missing(operation, path)),
        }
        Ok(())
    }

    fn remove(&mut self, operation: &'static str, path: &str) -> Result<Json, JsonPatchError> {
        match self.holder(path).ok_or_else(|| missing(operation, path))? {
            (Json::Object(map), key) => map.remove(&key).ok_or_else(|| missing(operation, path)),
            (Json::Array(items), key) => {
                let index = position(items.len(), &key).ok_or(JsonPatchError::Index(key))?;
                Ok(items.remove(index))
            }
            _ => Err(missing(operation, path)),
        }
    }

    fn replace(&mut self, path: &str, value: Option<&Json>) -> Result<(), JsonPatchError> {
        let value = value.cloned();
        if path.is_empty() {
            let root = value.filter(|v| v.is_object() || v.is_array()).ok_or(JsonPatchError::Root)?;
            self.document = root;
            return Ok(());
        }
        let value = value.unwrap_or(Json::Null);
        match self.holder(path).ok_or_else(|| missing("replace", path))? {
            (Json::Object(map), key) => {
                map.insert(key, value);
            }
            (Json::Array(items), key) => {
                let index = position(items.len(), &key).ok_or(JsonPatchError::Index(key))?;
                items[index] = value;
            }
            _ => return Err(missing("replace", path)),
        }
        Ok(())
    }

    fn test(&mut self, path: &str, value: &Json) -> Result<(), JsonPatchError> {
        let failed = || JsonPatchError::Test(path.to_owned());
        let found = if path.is_empty() { self.document.clone() } else { self.get("test", path)? };
        if equal(&found, value) { Ok(()) } else { Err(failed()) }
    }

    /// A missing key of an object reads as null.
    fn get(&mut self, operation: &'static str, path: &str) -> Result<Json, JsonPatchError> {
        match self.holder(path).ok_or_else(|| missing(operation, path))? {
            (Json::Object(map), key) => Ok(map.get(&key).cloned().unwrap_or(Json::Null)),
            (Json::Array(items), key) => {
                let index = position(items.len(), &key).ok_or(JsonPatchError::Index(key))?;
                Ok(items[index].clone())
            }
            _ => Err(missing(operation, path)),
        }
    }

    fn copy(&mut self, from: &str, path: &str) -> Result<(), JsonPatchError> {
        let value = self.get("copy", from)?;
        self.holder(path).ok_or_else(|| missing("copy", path))?;
        self.copied += value.to_string().len();
        if self.copied > MAX_COPIED {
            return Err(JsonPatchError::TooMuchCopied);
        }
        self.add("copy", path, value)
    }
}

/// `~1` is a slash and `~0` a tilde.
fn unescaped(step: &str) -> String {
    let mut out = String::with_capacity(step.len());
    let mut rest = step;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (c, used) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        out.push(c);
        rest = &rest[at + used..];
    }
    out + rest
}

/// The place in a list of `len` that a step names: `2`, `02`, `+2`; `-1` is the last.
fn position(len: usize, step: &str) -> Option<usize> {
    let index: i64 = step.parse().ok()?;
    let len = i64::try_from(len).ok()?;
    let index = if index < 0 { index.checked_add(len)? } else { index };
    if index < len { usize::try_from(index).ok() } else { None }
}

/// Equality of documents; numbers by their spelling, so `1` is not `1.0`.
fn equal(a: &Json, b: &Json) -> bool {
    let same_maps = |a: &JsonMap, b: &JsonMap| {
        a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| equal(v, w)))
    };
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => same_maps(a, b),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(document: Json, patch: Json, want: Json) {
        assert_eq!(json_patch(&document, &patch), Ok(want));
    }

    #[test]
    fn each_operation_does_what_it_says() {
        check(json!({"a": 1}), json!([{"op": "add", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2}));
        check(json!({"a": 1}), json!([{"op": "replace", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2}));
        check(json!({"a": 1}), json!([{"op": "remove", "path": "/a"}]), json!({}));
        check(json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1}));
        check(json!({"a": [1]}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": [1], "b": [1]}));
        check(json!({"a": 1}), json!([{"op": "test", "path": "/x", "value": null}]), json!({"a": 1}));
        check(json!({"a": 1}), json!([{"op": "replace", "path": "", "value": [1]}]), json!([1]));
        check(json!({"a/b": {"~": 1}}), json!([{"op": "remove", "path": "/a~1b/~0"}]), json!({"a/b": {}}));
        check(json!({"a": 1}), json!(null), json!({"a": 1}));
    }

    #[test]
    fn indices_may_be_negative_or_written_oddly() {
        let list = || json!({"l": [1, 2, 3]});
        check(list(), json!([{"op": "remove", "path": "/l/-1"}]), json!({"l": [1, 2]}));
        check(list(), json!([{"op": "add", "path": "/l/-1", "value": 9}]), json!({"l": [1, 2, 3, 9]}));
        check(list(), json!([{"op": "add", "path": "/l/-", "value": 9}]), json!({"l": [1, 2, 3, 9]}));
        check(list(), json!([{"op": "add", "path": "/l/0", "value": 9}]), json!({"l": [9, 1, 2, 3]}));
        check(list(), json!([{"op": "replace", "path": "/l/+01", "value": 9}]), json!({"l": [1, 9, 3]}));
        for path in ["/l/3", "/l/-4", "/l/x", "/l/", "/l/-"] {
            assert!(json_patch(&list(), &json!([{"op": "remove", "path": path}])).is_err(), "{path}");
        }
    }

    #[test]
    fn what_does_not_apply_is_refused() {
        for patch in [
            json!([{"op": "frob", "path": "/a"}]),
            json!([{"path": "/a"}]),
            json!([{"op": "add"}]),
            json!([{"op": "add", "path": "", "value": 1}]),
            json!([{"op": "add", "path": "/x/y", "value": 1}]),
            json!([{"op": "remove", "path": "/x"}]),
            json!([{"op": "move", "from": "/x", "path": "/y"}]),
            json!([{"op": "test", "path": "/a", "value": "1"}]),
            json!([{"op": "test", "path": "/a", "value": 1.0}]),
            json!([{"op": "replace", "path": "", "value": 1}]),
            json!([{"op": "replace", "path": ""}]),
            json!([7]),
        ] {
            assert!(json_patch(&json!({"a": 1}), &patch).is_err(), "{patch}");
        }
    }

    #[test]
    fn copies_are_bounded() {
        let patch: Vec<_> = (0..40).map(|_| json!({"op": "copy", "from": "", "path": "/a/-"})).collect();
        assert!(json_patch(&json!({"a": []}), &json!(patch)).is_err());
        let patch: Vec<_> = (0..40).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/{i}")})).collect();
        assert!(json_patch(&json!({"a": {"x": "y"}}), &json!(patch)).is_err());
    }
}
