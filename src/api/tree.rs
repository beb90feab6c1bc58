//! Reading a decoded tree as Go reads its structs: what is absent has the zero value.

use super::{Json, JsonMap};

/// Access to the fields of an object by their JSON names.
pub trait Tree {
    /// The field's value; null if absent.
    fn field(&self, name: &str) -> &Json;

    /// A text; empty if absent.
    fn text(&self, name: &str) -> &str {
        self.field(name).as_str().unwrap_or("")
    }

    /// A number; 0 if absent.
    fn int(&self, name: &str) -> i64 {
        self.field(name).as_i64().unwrap_or(0)
    }

    /// A number behind a pointer.
    fn opt_int(&self, name: &str) -> Option<i64> {
        self.field(name).as_i64()
    }

    /// A text behind a pointer.
    fn opt_text(&self, name: &str) -> Option<&str> {
        self.field(name).as_str()
    }

    /// A flag; false if absent.
    fn flag(&self, name: &str) -> bool {
        self.field(name).as_bool().unwrap_or(false)
    }

    /// A list; empty if absent.
    fn list(&self, name: &str) -> &[Json] {
        self.field(name).as_array().map_or(&[], Vec::as_slice)
    }

    /// The texts of a list.
    fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name).iter().map(|v| v.as_str().unwrap_or("")).collect()
    }

    /// The entries of a map, sorted by key.
    fn entries(&self, name: &str) -> Vec<(&str, &Json)> {
        self.field(name).as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v)).collect()
    }

    /// Whether a pointer is set.
    fn has(&self, name: &str) -> bool {
        !self.field(name).is_null()
    }
}

static NULL: Json = Json::Null;

/// The value at a JSON pointer, as [`Json::pointer`] finds it: nothing is allocated for a pointer without escapes.
pub fn at<'a>(tree: &'a Json, pointer: &str) -> Option<&'a Json> {
    if pointer.contains('~') {
        return tree.pointer(pointer);
    }
    let Some(steps) = pointer.strip_prefix('/') else { return pointer.is_empty().then_some(tree) };
    steps.split('/').try_fold(tree, |at, step| match at {
        Json::Object(map) => map.get(step),
        Json::Array(items) if !step.starts_with('+') && (step == "0" || !step.starts_with('0')) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

impl Tree for Json {
    fn field(&self, name: &str) -> &Json {
        self.get(name).unwrap_or(&NULL)
    }
}

impl Tree for JsonMap {
    fn field(&self, name: &str) -> &Json {
        self.get(name).unwrap_or(&NULL)
    }
}

/// The object at `name`, made if it is absent; `None` if the tree itself is no object.
pub fn object_at<'a>(tree: &'a mut Json, name: &str) -> Option<&'a mut JsonMap> {
    child(tree, name)?.as_object_mut()
}

/// The value at `name`, made an object if it is absent or null.
pub fn child<'a>(tree: &'a mut Json, name: &str) -> Option<&'a mut Json> {
    let value = tree.as_object_mut()?.entry(name).or_insert(Json::Null);
    if value.is_null() {
        *value = Json::Object(JsonMap::new());
    }
    Some(value)
}

/// The value at `name` if it is there and not null.
pub fn present<'a>(tree: &'a mut Json, name: &str) -> Option<&'a mut Json> {
    tree.get_mut(name).filter(|v| !v.is_null())
}

/// The items of the list at `name`.
pub fn items<'a>(tree: &'a mut Json, name: &str) -> impl Iterator<Item = &'a mut Json> {
    tree.get_mut(name).and_then(Json::as_array_mut).into_iter().flatten()
}

/// Puts `value` where nothing is (a pointer that is nil).
pub fn default_to(tree: &mut Json, name: &str, value: impl Into<Json>) {
    if let Some(map) = tree.as_object_mut()
        && map.get(name).is_none_or(Json::is_null)
    {
        map.insert(name.into(), value.into());
    }
}

/// Puts `text` where nothing or an empty text is.
pub fn default_text(tree: &mut Json, name: &str, text: &str) {
    if let Some(map) = tree.as_object_mut()
        && map.get(name).is_none_or(|v| v.is_null() || v.as_str() == Some(""))
    {
        map.insert(name.into(), text.into());
    }
}

/// Takes `name` away.
pub fn remove(tree: &mut Json, name: &str) {
    if let Some(map) = tree.as_object_mut() {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_what_a_json_pointer_finds() {
        let tree = json!({"a": [{"b": 1}, {"": 2}], "x/y": 3, "": {"0": 4}, "01": 5});
        for pointer in ["", "/", "a", "/a", "/a/0/b", "/a/1/", "/a/01/b", "/a/+0/b", "/a/2", "/a/-", "/x~1y", "//0", "/01", "/a/0/b/c"] {
            assert_eq!(at(&tree, pointer), tree.pointer(pointer), "{pointer}");
        }
    }
}
