//! The fields that a tree sets, and trees cut down to a set of fields or freed of one.

use std::collections::BTreeMap;

use super::atom::{List, Map, TypeRef};
use super::list_element;
use crate::api::{Json, JsonMap};
use crate::apply::fields::{Element, FieldSet, Path};

/// Every leaf and every list entry that the tree mentions: what an apply of it owns.
pub fn field_set(value: &Json, kind: TypeRef<'_>) -> FieldSet {
    let mut set = FieldSet::new();
    collect(value, kind, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Json, kind: TypeRef<'_>, path: &mut Path, set: &mut FieldSet) {
    let atom = kind.resolve().narrowed(Some(value));
    if let Some(map) = &atom.map {
        collect_map(value, map, path, set);
    } else if atom.scalar.is_some() {
        set.insert(path);
    } else if let Some(list) = &atom.list {
        collect_list(value, list, path, set);
    }
}

fn collect_map(value: &Json, map: &Map<'_>, path: &mut Path, set: &mut FieldSet) {
    if map.atomic {
        return set.insert(path);
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        path.push(Element::field(key));
        collect(item, map.at(key).unwrap_or(TypeRef::Deduced), path, set);
        let empty = item.is_null() || item.as_object().is_some_and(JsonMap::is_empty);
        if empty || map.field(key).is_none() {
            set.insert(path);
        }
        path.pop();
    }
}

fn collect_list(value: &Json, list: &List<'_>, path: &mut Path, set: &mut FieldSet) {
    if list.atomic {
        return set.insert(path);
    }
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<_> = items.iter().filter_map(|i| Some((list_element(list, i).ok()?, i))).collect();
    let mut count: BTreeMap<&Element, usize> = BTreeMap::new();
    for (element, _) in &named {
        *count.entry(element).or_default() += 1;
    }
    for (element, item) in &named {
        path.push(element.clone());
        if count.get(element) == Some(&1) {
            collect(item, list.item, path, set);
        }
        set.insert(path);
        path.pop();
    }
}

/// The tree without `fields`. What becomes empty becomes null.
pub fn remove_items(value: &Json, fields: &FieldSet, kind: TypeRef<'_>) -> Json {
    let atom = kind.resolve().narrowed(Some(value));
    match (value, &atom.map, &atom.list) {
        (Json::Object(entries), Some(map), _) => cut_map(entries, map, fields),
        (_, Some(_), _) => Json::Null,
        _ if atom.scalar.is_some() => value.clone(),
        (Json::Array(items), None, Some(list)) => cut_list(items, list, fields),
        _ => Json::Null,
    }
}

fn cut_list(items: &[Json], list: &List<'_>, fields: &FieldSet) -> Json {
    if items.is_empty() || list.atomic {
        return Json::Null;
    }
    let mut out = Vec::new();
    for item in items {
        let element = list_element(list, item).ok();
        if element.as_ref().is_some_and(|e| fields.has_member(e)) {
            continue;
        }
        out.push(match element.as_ref().and_then(|e| fields.below(e)) {
            Some(below) => remove_items(item, below, list.item),
            None => item.clone(),
        });
    }
    if out.is_empty() { Json::Null } else { Json::Array(out) }
}

fn cut_map(entries: &JsonMap, map: &Map<'_>, fields: &FieldSet) -> Json {
    if entries.is_empty() || map.atomic {
        return Json::Null;
    }
    let mut out = JsonMap::new();
    for (key, item) in entries {
        let element = Element::field(key);
        let kind = map.at(key).unwrap_or(TypeRef::Deduced);
        if fields.has_member(&element) {
            continue;
        }
        let kept = match fields.below(&element) {
            Some(below) => remove_items(item, below, kind),
            None => item.clone(),
        };
        out.insert(key.clone(), kept);
    }
    if out.is_empty() { Json::Null } else { Json::Object(out) }
}

/// The set with every declared field that has members below it as a member too.
pub fn with_named_fields(set: &FieldSet, kind: Option<TypeRef<'_>>) -> FieldSet {
    let atom = kind.map(TypeRef::resolve).unwrap_or_default();
    let mut out: FieldSet = set.members().map(|m| vec![m.clone()]).collect();
    for (element, below) in set.children() {
        let child = match (element, &atom.map, &atom.list) {
            (Element::Field(name), Some(map), _) => {
                if map.field(name).is_some() {
                    out.insert(std::slice::from_ref(element));
                }
                map.at(name)
            }
            (Element::Key(_), _, Some(list)) => Some(list.item),
            _ => None,
        };
        out.put_below(element.clone(), with_named_fields(below, child));
    }
    out
}
