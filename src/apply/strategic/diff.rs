//! Makes strategic merge patches: of two objects, or of three as client-side apply does.

use super::merge::{Goal, merge_maps};
use super::meta::{Meta, Strategy};
use super::order::{By, deduplicated, entries_are_maps, same_entry, sorted, stable_sort};
use super::{DELETE_FROM_LIST, DIRECTIVE, PatchError, RETAIN_KEYS, SET_ORDER, bad_argument, no_merge_key};
use crate::api::{Gvk, Json, JsonMap};
use crate::api::go;
use crate::apply::typed::same;

/// What a diff looks for.
#[derive(Clone, Copy)]
struct Want {
    /// `$setElementOrder` for lists that change.
    order: bool,
    deletions: bool,
    changes: bool,
    /// `$retainKeys` at this map.
    retain_keys: bool,
}

/// The patch that makes `modified` of `original`.
pub fn two_way_strategic_patch(gvk: &Gvk, original: &Json, modified: &Json) -> Result<Json, PatchError> {
    let want = Want { order: true, deletions: true, changes: true, retain_keys: false };
    diff_maps(&map(original)?, &map(modified)?, Meta::of_kind(gvk), want).map(Json::Object)
}

/// The patch that client-side apply sends: what `modified` adds to or changes in `current`, and what of
/// `original`, applied last, is no longer in `modified`. Source: `CreateThreeWayMergePatch`.
pub fn three_way_strategic_patch(
    gvk: &Gvk,
    original: &Json,
    modified: &Json,
    current: &Json,
) -> Result<Json, PatchError> {
    let meta = Meta::of_kind(gvk);
    let (original, modified, current) = (map(original)?, map(modified)?, map(current)?);
    let changes = Want { order: true, deletions: false, changes: true, retain_keys: false };
    let deletions = Want { order: true, deletions: true, changes: false, retain_keys: false };
    let changes = diff_maps(&current, &modified, meta, changes)?;
    let deletions = diff_maps(&original, &modified, meta, deletions)?;
    merge_maps(deletions, changes, meta, Goal::Patch).map(Json::Object)
}

fn map(value: &Json) -> Result<JsonMap, PatchError> {
    match value {
        Json::Object(map) => Ok(map.clone()),
        Json::Null => Ok(JsonMap::new()),
        other => Err(bad_argument(super::MAP, other)),
    }
}

fn diff_maps(original: &JsonMap, modified: &JsonMap, meta: Meta<'static>, want: Want) -> Result<JsonMap, PatchError> {
    let mut patch = JsonMap::new();
    for (key, new) in modified {
        let Some(old) = original.get(key) else {
            if want.changes {
                patch.insert(key.clone(), new.clone());
            }
            continue;
        };
        if key == DIRECTIVE {
            diff_directive(old, new, &mut patch)?;
            continue;
        }
        match (old, new) {
            (Json::Object(old), Json::Object(new)) => diff_map_member(key, old, new, &mut patch, meta, want)?,
            (Json::Array(old), Json::Array(new)) => diff_list_member(key, old, new, &mut patch, meta, want)?,
            _ if want.changes && !same(old, new) => {
                patch.insert(key.clone(), new.clone());
            }
            _ => {}
        }
    }
    if want.deletions {
        for key in original.keys().filter(|k| !modified.contains_key(*k)) {
            patch.insert(key.clone(), Json::Null);
        }
    }
    if want.retain_keys {
        add_retain_keys(original, modified, &mut patch);
    }
    Ok(patch)
}

fn add_retain_keys(original: &JsonMap, modified: &JsonMap, patch: &mut JsonMap) {
    let mut keys: Vec<&String> = modified.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| k).collect();
    let dropped = original.iter().any(|(k, v)| !v.is_null() && !modified.contains_key(k));
    if keys.is_empty() || (patch.is_empty() && !dropped) {
        return;
    }
    keys.sort();
    patch.insert(RETAIN_KEYS.into(), keys.into_iter().map(|k| Json::from(k.as_str())).collect());
}

fn diff_directive(old: &Json, new: &Json, patch: &mut JsonMap) -> Result<(), PatchError> {
    if !old.is_string() || !new.is_string() {
        return Err(PatchError::Other(format!("invalid value for special key: {DIRECTIVE}")));
    }
    if old != new {
        patch.insert(DIRECTIVE.into(), new.clone());
    }
    Ok(())
}

fn diff_map_member(
    key: &str,
    old: &JsonMap,
    new: &JsonMap,
    patch: &mut JsonMap,
    meta: Meta<'static>,
    want: Want,
) -> Result<(), PatchError> {
    let (below, strategy) = match meta.of_field(key) {
        Ok(found) => found,
        // No metadata about equal values is no harm.
        Err(_) if old == new => return Ok(()),
        Err(error) => return Err(error),
    };
    if strategy.is_replace() {
        if want.changes {
            patch.insert(key.to_owned(), Json::Object(new.clone()));
        }
        return Ok(());
    }
    let below = diff_maps(old, new, below, Want { retain_keys: strategy.retains_keys(), ..want })?;
    if !below.is_empty() {
        patch.insert(key.to_owned(), Json::Object(below));
    }
    Ok(())
}

fn diff_list_member(
    key: &str,
    old: &[Json],
    new: &[Json],
    patch: &mut JsonMap,
    meta: Meta<'static>,
    want: Want,
) -> Result<(), PatchError> {
    let (below, strategy) = match meta.of_list(key) {
        Ok(found) => found,
        Err(_) if old == new => return Ok(()),
        Err(error) => return Err(error),
    };
    if !strategy.is_merge() {
        if want.changes && old != new {
            patch.insert(key.to_owned(), Json::Array(new.to_vec()));
        }
        return Ok(());
    }
    let found = diff_lists(old, new, below, strategy, Want { retain_keys: strategy.retains_keys(), ..want })?;
    let mut put = |key: String, list: Vec<Json>| {
        if !list.is_empty() {
            patch.insert(key, Json::Array(list));
        }
    };
    put(key.to_owned(), found.changes);
    put(format!("{DELETE_FROM_LIST}/{key}"), found.deletions);
    put(format!("{SET_ORDER}/{key}"), found.order);
    Ok(())
}

#[derive(Default)]
struct ListDiff {
    changes: Vec<Json>,
    deletions: Vec<Json>,
    order: Vec<Json>,
}

fn diff_lists(
    old: &[Json],
    new: &[Json],
    meta: Meta<'static>,
    strategy: Strategy<'static>,
    want: Want,
) -> Result<ListDiff, PatchError> {
    if old.is_empty() {
        let changes = if want.changes { new.to_vec() } else { Vec::new() };
        return Ok(ListDiff { changes, ..ListDiff::default() });
    }
    if entries_are_maps(&[old, new])? {
        diff_map_lists(old, new, meta, strategy.merge_key, want)
    } else {
        diff_scalar_lists(old, new, want)
    }
}

fn diff_map_lists(
    old: &[Json],
    new: &[Json],
    meta: Meta<'static>,
    key: &str,
    want: Want,
) -> Result<ListDiff, PatchError> {
    let by = By::Key(key);
    let (changes, deletions) = diff_entries(old, new, meta, key, want)?;
    let mut patch = sorted(changes, new, by)?;
    let mut order_same = old.len() == new.len();
    for (old, new) in old.iter().zip(new) {
        order_same = order_same && same_entry(old, new, by)?;
    }
    patch.extend(deletions);
    let mut order = Vec::new();
    let ordered = (want.changes && (!patch.is_empty() || !order_same)) || (want.deletions && !patch.is_empty());
    if want.order && ordered {
        let entry = |item: &Json| {
            Json::Object(JsonMap::from_iter([(key.to_owned(), item.get(key).cloned().unwrap_or(Json::Null))]))
        };
        order = new.iter().map(entry).collect();
    }
    Ok(ListDiff { changes: patch, deletions: Vec::new(), order })
}

/// Entries with their merge key's value as text, sorted by it.
fn keyed<'a>(items: &'a [Json], key: &str) -> Result<Vec<(String, &'a JsonMap)>, PatchError> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let map = item.as_object().ok_or_else(|| bad_argument(super::MAP, item))?;
        let value = map.get(key).ok_or_else(|| no_merge_key(map, key))?;
        keyed.push((go::display(value), map));
    }
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(keyed)
}

/// Changed and added entries, and deletions of entries that are no more.
fn diff_entries(
    old: &[Json],
    new: &[Json],
    meta: Meta<'static>,
    key: &str,
    want: Want,
) -> Result<(Vec<Json>, Vec<Json>), PatchError> {
    let (mut patch, mut deletions) = (Vec::new(), Vec::new());
    let (old, new) = (keyed(old, key)?, keyed(new, key)?);
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok((patch, deletions)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        match (gone, come) {
            (Some((_, old)), Some((_, new))) => {
                let mut changed = diff_maps(old, new, meta, want)?;
                if !changed.is_empty() {
                    changed.insert(key.to_owned(), new[key].clone());
                    patch.push(Json::Object(changed));
                }
            }
            (None, Some((_, new))) if want.changes => patch.push(Json::Object((*new).clone())),
            (Some((_, old)), None) if want.deletions => {
                let entry = [(key.to_owned(), old[key].clone()), (DIRECTIVE.to_owned(), "delete".into())];
                deletions.push(Json::Object(entry.into_iter().collect()));
            }
            _ => {}
        }
    }
}

fn diff_scalar_lists(old: &[Json], new: &[Json], want: Want) -> Result<ListDiff, PatchError> {
    let by_text = |items: &[Json]| {
        let mut items = items.to_vec();
        stable_sort(&mut items, |a, b| go::display(a) < go::display(b));
        items
    };
    let (old_sorted, new_sorted) = (by_text(old), by_text(new));
    let (mut changes, mut deletions) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while i < old_sorted.len() || j < new_sorted.len() {
        let order = match (old_sorted.get(i), new_sorted.get(j)) {
            (Some(a), Some(b)) => go::display(a).cmp(&go::display(b)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, _) => std::cmp::Ordering::Greater,
        };
        if order.is_lt() && want.deletions {
            deletions.push(old_sorted[i].clone());
        }
        if order.is_gt() && want.changes {
            changes.push(new_sorted[j].clone());
        }
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
    let deletions = deduplicated(deletions);
    let changes = sorted(changes, new, By::Value)?;
    let ordered = (want.deletions && !deletions.is_empty()) || (want.changes && old != new);
    let order = if want.order && ordered { new.to_vec() } else { Vec::new() };
    Ok(ListDiff { changes, deletions, order })
}
