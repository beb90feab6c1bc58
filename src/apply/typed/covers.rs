//! Whether a tree has all of another one already: a look that is much cheaper than a merge.

use super::atom::{List, Map, TypeRef};
use super::list_element;
use crate::api::{Json, JsonMap};
use crate::apply::fields::Element;

/// Whether [`merge`](super::merge()) of `applied` into `live` surely leaves `live` as it is. `false` says nothing: lists whose
/// entries stand at other places, nulls and values that are written in another way are left to the merge.
pub fn covers(live: &Json, applied: &Json, kind: TypeRef<'_>) -> bool {
    let atom = kind.resolve().narrowed(Some(applied));
    match (live, applied, &atom.map, &atom.list) {
        (_, Json::Null, ..) => false,
        (Json::Object(live), Json::Object(applied), Some(map), _) if !map.atomic => covers_map(live, applied, map),
        (Json::Array(live), Json::Array(applied), None, Some(list)) if !list.atomic => covers_list(live, applied, list),
        _ => live == applied,
    }
}

fn covers_map(live: &JsonMap, applied: &JsonMap, map: &Map<'_>) -> bool {
    applied.iter().all(|(key, value)| {
        let kind = map.at(key).unwrap_or(TypeRef::Deduced);
        live.get(key).is_some_and(|live| covers(live, value, kind))
    })
}

fn covers_list(live: &[Json], applied: &[Json], list: &List<'_>) -> bool {
    let named = |items: &[Json]| items.iter().map(|item| list_element(list, item).ok()).collect::<Option<Vec<Element>>>();
    let Some(names) = named(applied).filter(|names| named(live).as_ref() == Some(names)) else { return false };
    let twice = |(n, name): (usize, &Element)| names[..n].contains(name);
    !names.iter().enumerate().any(twice) && live.iter().zip(applied).all(|(live, item)| covers(live, item, list.item))
}
