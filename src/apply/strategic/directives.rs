//! Directives, and what is left of a patch without them.

use super::{DELETE_FROM_LIST, DIRECTIVE, PatchError, RETAIN_KEYS, SET_ORDER};
use crate::api::{Json, JsonMap};
use crate::api::go;

/// What `$patch` at a map says: replace it by the rest of the patch, or empty it.
pub(super) fn of_map(directive: &Json, mut patch: JsonMap) -> Result<JsonMap, PatchError> {
    match directive.as_str() {
        Some("replace") => {
            patch.remove(DIRECTIVE);
            Ok(patch)
        }
        Some("delete") => Ok(JsonMap::new()),
        _ => Err(unknown(directive, &patch)),
    }
}

pub(super) fn unknown(directive: &Json, patch: &JsonMap) -> PatchError {
    let (directive, patch) = (go::text(directive), go::display(&Json::Object(patch.clone())));
    PatchError::Other(format!("unknown patch type: {directive} in map: {patch}"))
}

/// `$deleteFromPrimitiveList/key` → `key`. `None`: the key is no such directive.
pub(super) fn deletes_from(key: &str) -> Option<Result<&str, PatchError>> {
    let rest = key.strip_prefix(DELETE_FROM_LIST)?;
    Some(rest.strip_prefix('/').ok_or(PatchError::PrimitiveListFormat))
}

/// `$setElementOrder/key` → `key`. `None`: the key is no such directive.
pub(super) fn orders(key: &str) -> Option<Result<&str, PatchError>> {
    let rest = key.strip_prefix(SET_ORDER)?;
    Some(rest.strip_prefix('/').ok_or(PatchError::SetElementOrderFormat))
}

/// Keeps of the original only what `$retainKeys` names. The directive is taken out of the patch.
pub(super) fn retain_keys(original: &mut JsonMap, patch: &mut JsonMap) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Json::Array(keys) = keys else { return Err(PatchError::RetainKeysFormat) };
    let names = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    for (key, value) in patch.iter() {
        let directive = key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ORDER);
        if !value.is_null() && !directive && !names(key) {
            return Err(PatchError::RetainKeysFormat);
        }
    }
    original.retain(|key, _| names(key));
    Ok(())
}

/// The value without anything that a directive is about. `None`: the value is a directive itself.
pub(super) fn without(value: Json) -> Option<Json> {
    match value {
        Json::Object(map) if map.contains_key(DIRECTIVE) => None,
        Json::Object(map) => {
            Some(Json::Object(map.into_iter().filter_map(|(k, v)| Some((k, without(v)?))).collect()))
        }
        Json::Array(items) => Some(Json::Array(items.into_iter().filter_map(without).collect())),
        other => Some(other),
    }
}

/// The value without null members, at any depth.
pub(super) fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(map) => {
            let entries = map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v)));
            Json::Object(entries.collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// Entries of a list of maps to keep or merge, and those with `$patch: delete`.
pub(super) fn split_deletions(items: Vec<Json>) -> Result<(Vec<Json>, Vec<Json>), PatchError> {
    if let Some(other) = items.iter().find(|i| !i.is_object()) {
        return Err(super::bad_argument(super::MAP, other));
    }
    Ok(items.into_iter().partition(|i| i.get(DIRECTIVE).and_then(Json::as_str) != Some("delete")))
}
