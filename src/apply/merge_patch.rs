//! JSON merge patch (RFC 7386), and how to make one.
//! Source of the rules: gopkg.in/evanphx/json-patch.v4 merge.go, and
//! k8s.io/apimachinery/pkg/util/jsonmergepatch/patch.go.

use crate::api::{Json, JsonMap};

/// The document after the patch: maps merge, null deletes, all else replaces.
pub fn merge_patch(document: &Json, patch: &Json) -> Json {
    match (document, patch) {
        (Json::Object(document), Json::Object(patch)) => {
            let mut out = document.clone();
            for (key, value) in patch {
                match (out.get_mut(key), value) {
                    (_, Json::Null) => {
                        out.remove(key);
                    }
                    (Some(current), value) if !current.is_null() => *current = merge_patch(current, value),
                    _ => {
                        out.insert(key.clone(), without_nulls(value));
                    }
                }
            }
            Json::Object(out)
        }
        // What replaces a map keeps its nulls only where it is no map itself.
        (_, patch) => without_nulls(patch),
    }
}

/// Without the null members of maps, at any depth; a null in a list stays.
fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let entries = map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v)));
            Json::Object(entries.collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The merge patch that makes `modified` of `original`.
pub fn create_merge_patch(original: &Json, modified: &Json) -> Json {
    match (original, modified) {
        (Json::Object(original), Json::Object(modified)) => Json::Object(diff(original, modified)),
        _ => modified.clone(),
    }
}

fn diff(original: &JsonMap, modified: &JsonMap) -> JsonMap {
    let mut patch = JsonMap::new();
    for (key, new) in modified {
        match (original.get(key), new) {
            (Some(Json::Object(old)), Json::Object(new)) => {
                let inner = diff(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Json::Object(inner));
                }
            }
            (Some(old), new) if super::typed::same(old, new) => {}
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    for key in original.keys().filter(|k| !modified.contains_key(*k)) {
        patch.insert(key.clone(), Json::Null);
    }
    patch
}

/// The merge patch that client-side apply sends for a kind without strategic merge: what `modified` adds to or
/// changes in `current`, and what of `original`, applied last, is no longer in `modified`.
pub fn three_way_merge_patch(original: &Json, modified: &Json, current: &Json) -> Json {
    let changes = keep(&create_merge_patch(current, modified), false);
    let deletions = keep(&create_merge_patch(original, modified), true);
    combine(deletions, changes)
}

/// Of a patch only its nulls, or all but them.
fn keep(patch: &Json, nulls: bool) -> Json {
    let Json::Object(map) = patch else { return patch.clone() };
    let mut out = JsonMap::new();
    for (key, value) in map {
        match value {
            Json::Null if nulls => {
                out.insert(key.clone(), Json::Null);
            }
            Json::Null => {}
            // An empty map that was set is a value, not an empty patch.
            Json::Object(inner) if !inner.is_empty() => {
                let kept = keep(value, nulls);
                if kept.as_object().is_some_and(|k| !k.is_empty()) {
                    out.insert(key.clone(), kept);
                }
            }
            value if !nulls => {
                out.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    Json::Object(out)
}

/// One patch of two: the second wins, nulls of the first stay.
fn combine(first: Json, second: Json) -> Json {
    match (first, second) {
        (Json::Object(mut first), Json::Object(second)) => {
            for (key, value) in second {
                let merged = match first.remove(&key) {
                    Some(old) => combine(old, value),
                    None => value,
                };
                first.insert(key, merged);
            }
            Json::Object(first)
        }
        (_, second) => second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_sets_replaces_and_deletes() {
        let merged = merge_patch(&json!({"a": {"b": 1, "c": 2}, "l": [1]}), &json!({"a": {"b": null, "d": 3}, "l": [2, null]}));
        assert_eq!(merged, json!({"a": {"c": 2, "d": 3}, "l": [2, null]}));
        assert_eq!(merge_patch(&json!({}), &json!({"a": {"b": null, "c": {"d": null}}})), json!({"a": {"c": {}}}));
        assert_eq!(merge_patch(&json!({"a": 1}), &json!({"a": {"b": null}})), json!({"a": {}}));
    }

    #[test]
    fn the_made_patch_makes_the_target() {
        let (old, new) = (json!({"a": 1, "b": {"c": 1, "d": 2}}), json!({"b": {"c": 1, "e": {}}, "f": [1]}));
        let patch = create_merge_patch(&old, &new);
        assert_eq!(patch, json!({"a": null, "b": {"d": null, "e": {}}, "f": [1]}));
        assert_eq!(merge_patch(&old, &patch), new);
    }

    #[test]
    fn three_ways_delete_only_what_was_applied_before() {
        let original = json!({"data": {"a": "1", "b": "2"}});
        let modified = json!({"data": {"a": "9"}});
        let current = json!({"data": {"a": "1", "b": "2", "theirs": "3"}});
        assert_eq!(three_way_merge_patch(&original, &modified, &current), json!({"data": {"a": "9", "b": null}}));
    }
}
