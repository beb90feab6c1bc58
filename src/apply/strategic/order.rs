//! The order of a merged list: as the patch says, and what only the server has where it stood.

use super::directives::split_deletions;
use super::{DIRECTIVE, MAP, PatchError, SET_ORDER, bad_argument, no_merge_key};
use crate::api::{Json, JsonMap};
use crate::api::go;

/// How entries of a list are told apart: by a merge key, or by value.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    Key(&'a str),
    Value,
}

impl By<'_> {
    fn of<'j>(&self, item: &'j Json) -> Option<&'j Json> {
        match self {
            By::Key(key) => item.as_object().and_then(|m| m.get(*key)),
            By::Value => Some(item),
        }
    }

    fn index(&self, list: &[Json], item: &Json) -> Option<usize> {
        let wanted = self.of(item);
        list.iter().position(|i| self.of(i) == wanted)
    }
}

/// Whether all entries are maps with the merge key.
fn check_keys(key: &str, lists: &[&[Json]]) -> Result<(), PatchError> {
    for item in lists.iter().copied().flatten() {
        let map = item.as_object().ok_or_else(|| bad_argument(MAP, item))?;
        if !map.contains_key(key) {
            return Err(no_merge_key(map, key));
        }
    }
    Ok(())
}

/// The entries of a patch, then what only the server has, each in its own order, merged into one list.
pub(super) fn normalize(
    patch: Vec<Json>,
    server_only: Vec<Json>,
    patch_order: &[Json],
    server_order: &[Json],
    by: By<'_>,
) -> Result<Vec<Json>, PatchError> {
    let patch = sorted(patch, patch_order, by)?;
    let server_only = sorted(server_only, server_order, by)?;
    Ok(interleave(server_only, patch, server_order, by))
}

/// Sorts by the place in `order`. Deletions come last.
pub(super) fn sorted(items: Vec<Json>, order: &[Json], by: By<'_>) -> Result<Vec<Json>, PatchError> {
    let (mut items, deletions) = match by {
        By::Key(key) => {
            check_keys(key, &[&items, order])?;
            split_deletions(items)?
        }
        By::Value => (items, Vec::new()),
    };
    // An entry without a place counts as less than whatever it is compared with.
    stable_sort(&mut items, |a, b| match (by.index(order, a), by.index(order, b)) {
        (Some(a), Some(b)) => a < b,
        _ => true,
    });
    items.extend(deletions);
    Ok(items)
}

/// Takes from the left while its entry stands before the right one on the server.
fn interleave(left: Vec<Json>, right: Vec<Json>, server_order: &[Json], by: By<'_>) -> Vec<Json> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
        let left_first = match (by.index(server_order, l), by.index(server_order, r)) {
            (Some(l), Some(r)) => l < r,
            _ => false,
        };
        out.extend(if left_first { left.next() } else { right.next() });
    }
    out.extend(left);
    out.extend(right);
    out
}

/// The steps of Go's `sort.SliceStable`, which decide what a comparison that is no order ends in:
/// insertion sort of blocks of twenty, then merges by rotation.
pub(super) fn stable_sort(items: &mut [Json], less: impl Fn(&Json, &Json) -> bool) {
    const BLOCK: usize = 20;
    let n = items.len();
    let insertion = |items: &mut [Json], from: usize, to: usize| {
        for i in from + 1..to {
            let mut j = i;
            while j > from && less(&items[j], &items[j - 1]) {
                items.swap(j, j - 1);
                j -= 1;
            }
        }
    };
    let mut from = 0;
    while from < n {
        insertion(items, from, n.min(from + BLOCK));
        from += BLOCK;
    }
    let mut size = BLOCK;
    while size < n {
        let mut from = 0;
        while from + size < n {
            sym_merge(items, from, from + size, n.min(from + 2 * size), &less);
            from += 2 * size;
        }
        size *= 2;
    }
}

/// Merges the sorted runs `a..m` and `m..b`. Source: the SymMerge algorithm in Go's sort/zsortfunc.go.
fn sym_merge(items: &mut [Json], a: usize, m: usize, b: usize, less: &impl Fn(&Json, &Json) -> bool) {
    if a >= m || m >= b {
        return;
    }
    if m - a == 1 {
        let (mut i, mut j) = (m, b);
        while i < j {
            let h = usize::midpoint(i, j);
            if less(&items[h], &items[a]) { i = h + 1 } else { j = h }
        }
        items[a..i].rotate_left(1);
        return;
    }
    if b - m == 1 {
        let (mut i, mut j) = (a, m);
        while i < j {
            let h = usize::midpoint(i, j);
            if !less(&items[m], &items[h]) { i = h + 1 } else { j = h }
        }
        items[i..=m].rotate_right(1);
        return;
    }
    let mid = usize::midpoint(a, b);
    let n = mid + m;
    let (mut start, mut r) = if m > mid { (n - b, mid) } else { (a, m) };
    let p = n - 1;
    while start < r {
        let c = usize::midpoint(start, r);
        if !less(&items[p - c], &items[c]) { start = c + 1 } else { r = c }
    }
    let end = n - start;
    if start < m && m < end {
        items[start..end].rotate_left(m - start);
    }
    if a < start && start < mid {
        sym_merge(items, a, start, mid, less);
    }
    if mid < end && end < b {
        sym_merge(items, mid, end, b, less);
    }
}

/// Splits a merged list into what a patch names and what only the server has.
pub(super) fn partition(merged: Vec<Json>, named: &[Json], by: By<'_>) -> Result<(Vec<Json>, Vec<Json>), PatchError> {
    if let By::Key(key) = by {
        check_keys(key, &[&merged])?;
        if let Some((i, _)) = named.iter().enumerate().find(|(_, n)| !n.is_object()) {
            return Err(PatchError::Other(format!("value for key {i} is not a map")));
        }
    }
    Ok(merged.into_iter().partition(|item| by.index(named, item).is_some()))
}

/// Whether the entries of a patch come in the order that `$setElementOrder` gives.
pub(super) fn check_order(patch: &[Json], order: &[Json], by: By<'_>) -> Result<(), PatchError> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let kept = match by {
        By::Key(_) => split_deletions(patch.to_vec())?.0,
        By::Value => patch.to_vec(),
    };
    let mut places = order.iter();
    let mut kept = kept.iter().filter(|i| i.get(DIRECTIVE).is_none());
    let mut next = kept.next();
    while let Some(item) = next {
        let Some(place) = places.next() else {
            return Err(PatchError::Other(format!(
                "The order in patch list:\n{}\n doesn't match {SET_ORDER} list:\n{}\n",
                go::display(&Json::Array(patch.to_vec())),
                go::display(&Json::Array(order.to_vec()))
            )));
        };
        if same_entry(item, place, by)? {
            next = kept.next();
        }
    }
    Ok(())
}

/// Whether two entries are of one merge key.
pub(super) fn same_entry(a: &Json, b: &Json, by: By<'_>) -> Result<bool, PatchError> {
    let By::Key(key) = by else { return Ok(a == b) };
    let value = |item: &Json| -> Result<Json, PatchError> {
        let map: &JsonMap = item.as_object().ok_or_else(|| bad_argument(MAP, item))?;
        map.get(key).cloned().ok_or_else(|| no_merge_key(map, key))
    };
    Ok(value(a)? == value(b)?)
}

/// Whether the entries of lists are maps. `Err`: they are not all of one sort, or lists.
pub(super) fn entries_are_maps(lists: &[&[Json]]) -> Result<bool, PatchError> {
    let mut first: Option<&Json> = None;
    for item in lists.iter().copied().flatten() {
        match first {
            None if item.is_array() => return Err(PatchError::ListOfLists),
            None => first = Some(item),
            Some(other) if go::type_name(other) == go::type_name(item) => {}
            Some(_) => {
                let lists = Json::Array(lists.iter().map(|l| Json::Array(l.to_vec())).collect());
                let message = format!("list element types are not identical: {}", go::display(&lists));
                return Err(PatchError::Other(message));
            }
        }
    }
    match first {
        Some(item) => Ok(item.is_object()),
        None => Err(PatchError::Other("no elements in any of the given slices".into())),
    }
}

/// Without second occurrences; the last entry takes the place of one that is left out, as in Kubernetes.
pub(super) fn deduplicated(mut items: Vec<Json>) -> Vec<Json> {
    let mut i = 0;
    while i + 1 < items.len() {
        let mut j = i + 1;
        while j < items.len() {
            if items[i] == items[j] {
                items.swap_remove(j);
            } else {
                j += 1;
            }
        }
        i += 1;
    }
    items
}
