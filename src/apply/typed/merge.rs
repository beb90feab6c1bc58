//! Puts an applied tree into a live one: nothing is taken away, the applied values win, and lists
//! keep the order of the applied one where it says something.

use std::collections::{BTreeMap, BTreeSet};

use super::atom::{Atom, List, Map, TypeRef};
use super::list_element;
use crate::api::{Json, JsonMap};
use crate::apply::fields::Element;

/// `applied` merged into `live`. Both fit `kind`; `applied` has no list entry twice.
pub fn merge(live: &Json, applied: &Json, kind: TypeRef<'_>) -> Json {
    pair(Some(live), Some(applied), kind).unwrap_or(Json::Null)
}

/// `None`: nothing is left to say about this place.
fn pair(left: Option<&Json>, right: Option<&Json>, kind: TypeRef<'_>) -> Option<Json> {
    let atom = kind.resolve();
    let (left_atom, right_atom) = (atom.narrowed(left), atom.narrowed(right));
    match (left, right) {
        (None, None) => None,
        (_, None) => shaped(&left_atom, left, right),
        _ => shaped(&right_atom, left, right),
    }
}

fn shaped(atom: &Atom<'_>, left: Option<&Json>, right: Option<&Json>) -> Option<Json> {
    if let Some(map) = &atom.map {
        maps(map, left, right)
    } else if let (None, Some(list)) = (&atom.scalar, &atom.list) {
        lists(list, left, right)
    } else {
        leaf(left, right)
    }
}

fn leaf(left: Option<&Json>, right: Option<&Json>) -> Option<Json> {
    right.or(left).cloned()
}

fn maps(map: &Map<'_>, left: Option<&Json>, right: Option<&Json>) -> Option<Json> {
    let empty = JsonMap::new();
    let left_map = left.and_then(Json::as_object).unwrap_or(&empty);
    let right_map = right.and_then(Json::as_object).unwrap_or(&empty);
    if map.atomic || (left_map.is_empty() && right_map.is_empty()) {
        return leaf(left, right);
    }
    let mut out = JsonMap::new();
    let keys: BTreeSet<&String> = left_map.keys().chain(right_map.keys()).collect();
    for key in keys {
        let kind = map.at(key).unwrap_or(TypeRef::Deduced);
        if let Some(merged) = pair(left_map.get(key), right_map.get(key), kind) {
            out.insert(key.clone(), merged);
        }
    }
    (!out.is_empty()).then_some(Json::Object(out))
}

fn lists(list: &List<'_>, left: Option<&Json>, right: Option<&Json>) -> Option<Json> {
    let left_items = left.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let right_items = right.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    if list.atomic || (left_items.is_empty() && right_items.is_empty()) {
        return leaf(left, right);
    }
    let out = Lists::new(list, left_items, right_items).merge();
    (!out.is_empty()).then_some(Json::Array(out))
}

/// One side of a list merge: the steps in order, and the item of each step.
struct Side<'a> {
    steps: Vec<(Element, &'a Json)>,
    /// `None` where the step occurs more than once: such items are merged with nothing.
    items: BTreeMap<Element, Option<&'a Json>>,
}

impl<'a> Side<'a> {
    fn new(list: &List<'_>, items: &'a [Json]) -> Self {
        let mut side = Side { steps: Vec::with_capacity(items.len()), items: BTreeMap::new() };
        for item in items {
            let Ok(element) = list_element(list, item) else { continue };
            side.items.entry(element.clone()).and_modify(|i| *i = None).or_insert(Some(item));
            side.steps.push((element, item));
        }
        side
    }

    fn has(&self, element: &Element) -> bool {
        self.items.contains_key(element)
    }

    fn get(&self, element: &Element) -> Option<&'a Json> {
        self.items.get(element).copied().flatten()
    }
}

struct Lists<'a, 's> {
    list: &'a List<'s>,
    left: Side<'a>,
    right: Side<'a>,
    merged: BTreeSet<Element>,
    out: Vec<Json>,
}

impl<'a, 's> Lists<'a, 's> {
    fn new(list: &'a List<'s>, left: &'a [Json], right: &'a [Json]) -> Self {
        let (left, right) = (Side::new(list, left), Side::new(list, right));
        Lists { list, left, right, merged: BTreeSet::new(), out: Vec::new() }
    }

    fn push(&mut self, left: Option<&Json>, right: Option<&Json>) {
        self.out.extend(pair(left, right, self.list.item));
    }

    /// Takes the item of the right side, merged with the left item of the same step.
    fn take_right(&mut self, element: &Element) {
        self.merged.insert(element.clone());
        self.push(self.left.get(element), self.right.get(element));
    }

    fn merge(mut self) -> Vec<Json> {
        let shared: Vec<Element> =
            self.right.steps.iter().map(|(e, _)| e).filter(|e| self.left.has(e)).cloned().collect();
        let mut shared = shared.into_iter();
        let mut next_shared = shared.next();
        let (mut l, mut r) = (0, 0);
        while l < self.left.steps.len() || r < self.right.steps.len() {
            let left = self.left.steps.get(l).cloned();
            let right = self.right.steps.get(r).map(|(e, _)| e.clone());
            if let (Some((element, _)), Some(right)) = (&left, &right) {
                if element == right {
                    self.take_right(element);
                    (l, r) = (l + 1, r + 1);
                    next_shared = shared.next();
                    continue;
                }
                if self.right.has(element) && next_shared.as_ref().is_some_and(|next| next != element) {
                    // Shared, but its turn comes later.
                    l += 1;
                    continue;
                }
            }
            if let Some((element, item)) = left {
                if !self.right.has(&element) {
                    self.push(Some(item), None);
                    l += 1;
                    continue;
                }
                if self.merged.contains(&element) {
                    l += 1;
                }
            }
            if let Some(element) = right {
                self.take_right(&element);
                r += 1;
                if next_shared.as_ref() == Some(&element) {
                    next_shared = shared.next();
                }
            }
        }
        self.out
    }
}
