//! Applies a strategic merge patch.

use super::directives::{deletes_from, of_map, orders, retain_keys, unknown, without, without_nulls};
use super::meta::{Meta, Strategy};
use super::order::{By, check_order, deduplicated, entries_are_maps, normalize, partition};
use super::{DIRECTIVE, LIST, PatchError, RETAIN_KEYS, bad_argument, no_merge_key};
use crate::api::{Gvk, Json, JsonMap};

/// What merging is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// A patch into an object: directives act, nulls delete.
    Object,
    /// A patch into a patch: directives and nulls are kept.
    Patch,
}

/// The object after the patch. `gvk` gives the patch strategies; kinds without a schema have none, and
/// a strategic merge patch of theirs should have been refused before.
pub fn strategic_merge_patch(gvk: &Gvk, object: &Json, patch: &Json) -> Result<Json, PatchError> {
    let map = |value: &Json| match value {
        Json::Object(map) => Ok(map.clone()),
        Json::Null => Ok(JsonMap::new()),
        other => Err(bad_argument(super::MAP, other)),
    };
    merge_maps(map(object)?, map(patch)?, Meta::of_kind(gvk), Goal::Object).map(Json::Object)
}

pub(super) fn merge_maps(
    mut original: JsonMap,
    mut patch: JsonMap,
    meta: Meta<'static>,
    goal: Goal,
) -> Result<JsonMap, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE).cloned() {
        return of_map(&directive, patch);
    }
    match goal {
        Goal::Object => retain_keys(&mut original, &mut patch)?,
        Goal::Patch => keep_retain_keys(&mut original, &mut patch)?,
    }
    merge_ordered_lists(&mut original, &mut patch, meta, goal)?;
    for (key, value) in patch {
        merge_member(&mut original, key, value, meta, goal)?;
    }
    Ok(original)
}

fn keep_retain_keys(original: &mut JsonMap, patch: &mut JsonMap) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    match original.get(RETAIN_KEYS) {
        Some(present) if *present != keys => Err(PatchError::Other(format!(
            "{} and {} are not deep equal: this may happen when calculating the 3-way diff patch",
            crate::api::go::display(present),
            crate::api::go::display(&keys)
        ))),
        _ => {
            original.insert(RETAIN_KEYS.into(), keys);
            Ok(())
        }
    }
}

fn merge_member(
    original: &mut JsonMap,
    key: String,
    value: Json,
    meta: Meta<'static>,
    goal: Goal,
) -> Result<(), PatchError> {
    let (key, deletes) = match deletes_from(&key) {
        Some(_) if goal == Goal::Patch => {
            original.insert(key, value);
            return Ok(());
        }
        Some(name) => (name?.to_owned(), true),
        None => (key, false),
    };
    if value.is_null() {
        original.remove(&key);
        if goal == Goal::Object {
            return Ok(());
        }
    }
    let merged = match (original.remove(&key), value) {
        (Some(Json::Object(old)), Json::Object(new)) => {
            let (below, strategy) = meta.of_field(&key)?;
            Some(Json::Object(if strategy.is_replace() { new } else { merge_maps(old, new, below, goal)? }))
        }
        (Some(Json::Array(old)), Json::Array(new)) => {
            let (below, strategy) = meta.of_list(&key)?;
            let list = ListMerge { meta: below, key: strategy.merge_key, goal, deletes };
            Some(Json::Array(if strategy.is_merge() || deletes { list.merge(old, new)? } else { new }))
        }
        (old, _) if deletes => old,
        (Some(_), new) if is_scalar(&new) => Some(new),
        (_, new) => without(if goal == Goal::Object { without_nulls(new) } else { new }),
    };
    if let Some(merged) = merged {
        original.insert(key, merged);
    }
    Ok(())
}

fn is_scalar(value: &Json) -> bool {
    !value.is_object() && !value.is_array()
}

/// Merges the lists for which the patch has a `$setElementOrder`, and takes both out of the patch.
fn merge_ordered_lists(
    original: &mut JsonMap,
    patch: &mut JsonMap,
    meta: Meta<'static>,
    goal: Goal,
) -> Result<(), PatchError> {
    let keys: Vec<String> = patch.keys().filter(|k| orders(k).is_some()).cloned().collect();
    for key in keys {
        let Some(order) = patch.remove(&key) else { continue };
        if goal == Goal::Patch {
            match original.get(&key) {
                Some(present) if *present != order => return Err(PatchError::SetElementOrderFormat),
                _ => original.insert(key.clone(), order.clone()),
            };
        }
        let Json::Array(order) = order else { return Err(bad_argument(LIST, &order)) };
        let Some(name) = orders(&key) else { continue };
        let name = name?.to_owned();
        let list = |map: &JsonMap| match map.get(&name) {
            None => Ok(None),
            Some(Json::Array(items)) => Ok(Some(items.clone())),
            Some(other) => Err(bad_argument(LIST, other)),
        };
        let (old, new) = (list(original)?, list(patch)?);
        let (below, strategy) = meta.of_list(&name)?;
        if let Some(merged) = ordered(old, new, &order, below, strategy, goal)? {
            original.insert(name.clone(), Json::Array(merged));
            patch.remove(&name);
        }
    }
    Ok(())
}

fn ordered(
    old: Option<Vec<Json>>,
    new: Option<Vec<Json>>,
    order: &[Json],
    meta: Meta<'static>,
    strategy: Strategy<'static>,
    goal: Goal,
) -> Result<Option<Vec<Json>>, PatchError> {
    let by = if strategy.merge_key.is_empty() { By::Value } else { By::Key(strategy.merge_key) };
    check_order(new.as_deref().unwrap_or_default(), order, by)?;
    let merged = match (&old, &new) {
        (None, None) => return Ok(None),
        (Some(old), None) => old.clone(),
        (None, Some(new)) => match without(Json::Array(new.clone())) {
            Some(Json::Array(items)) => items,
            _ => return Ok(None),
        },
        (Some(old), Some(new)) if strategy.is_merge() => {
            let list = ListMerge { meta, key: strategy.merge_key, goal, deletes: false };
            list.merge(old.clone(), new.clone())?
        }
        (Some(_), Some(new)) => new.clone(),
    };
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let (named, server_only) = partition(merged, order, by)?;
    let by = if entries_are_maps(&[&old, &new])? { by } else { By::Value };
    normalize(named, server_only, order, &old, by).map(Some)
}

/// How one list is merged.
struct ListMerge<'a> {
    meta: Meta<'static>,
    key: &'a str,
    goal: Goal,
    deletes: bool,
}

impl ListMerge<'_> {
    fn merge(&self, original: Vec<Json>, patch: Vec<Json>) -> Result<Vec<Json>, PatchError> {
        if original.is_empty() && patch.is_empty() {
            return Ok(original);
        }
        if !entries_are_maps(&[&original, &patch])? {
            return self.merge_scalars(original, patch);
        }
        if self.key.is_empty() {
            let message = format!("cannot merge lists without merge key for {}", self.meta.kind());
            return Err(PatchError::Other(message));
        }
        let (original, patch) = self.special(original, patch)?;
        let order = original.clone();
        let merged = self.merge_entries(original, patch.clone())?;
        let by = By::Key(self.key);
        let (named, server_only) = partition(merged, &patch, by)?;
        normalize(named, server_only, &patch, &order, by)
    }

    fn merge_scalars(&self, original: Vec<Json>, patch: Vec<Json>) -> Result<Vec<Json>, PatchError> {
        if self.goal == Goal::Object && self.deletes {
            return Ok(original.into_iter().filter(|v| !patch.contains(v)).collect());
        }
        let merged = deduplicated(original.iter().chain(&patch).cloned().collect());
        let (named, server_only) = partition(merged, &patch, By::Value)?;
        normalize(named, server_only, &patch, &original, By::Value)
    }

    /// Carries out the entries with `$patch` and takes them out of the patch.
    fn special(&self, mut original: Vec<Json>, patch: Vec<Json>) -> Result<(Vec<Json>, Vec<Json>), PatchError> {
        let mut rest = Vec::new();
        let mut replace = false;
        for item in patch {
            let Json::Object(map) = &item else { return Err(bad_argument(super::MAP, &item)) };
            let Some(directive) = map.get(DIRECTIVE) else {
                rest.push(item);
                continue;
            };
            match directive.as_str() {
                Some("delete") => {
                    let value = map.get(self.key).ok_or_else(|| no_merge_key(map, self.key))?;
                    check_maps(&original)?;
                    original.retain(|o| o.get(self.key) != Some(value));
                }
                Some("replace") => replace = true,
                Some("merge") => {
                    return Err(PatchError::Other("merging lists cannot yet be specified in the patch".into()));
                }
                _ => return Err(unknown(directive, map)),
            }
        }
        Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
    }

    fn merge_entries(&self, mut original: Vec<Json>, patch: Vec<Json>) -> Result<Vec<Json>, PatchError> {
        for item in patch {
            let Json::Object(map) = &item else { return Err(bad_argument(super::MAP, &item)) };
            let value = map.get(self.key).ok_or_else(|| no_merge_key(map, self.key))?;
            check_maps(&original)?;
            let found = original.iter().position(|o| o.get(self.key) == Some(value));
            match found.and_then(|at| original.get_mut(at)) {
                Some(Json::Object(old)) => {
                    let old_entry = std::mem::take(old);
                    *old = merge_maps(old_entry, map.clone(), self.meta, self.goal)?;
                }
                _ => original.push(item),
            }
        }
        Ok(original)
    }
}

fn check_maps(items: &[Json]) -> Result<(), PatchError> {
    match items.iter().position(|i| !i.is_object()) {
        Some(at) => Err(PatchError::Other(format!("value for key {at} is not a map"))),
        None => Ok(()),
    }
}
