//! Which fields differ between two trees of one type.

use std::collections::{BTreeMap, BTreeSet};

use super::atom::{Atom, List, Map, TypeRef};
use super::list_element;
use crate::api::{Json, JsonMap};
use crate::apply::fields::{Element, FieldSet, Path, Scalar};

/// What a new tree did to an old one. No path is in more than one of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
}

impl Comparison {
    /// The comparison without `fields` and what is below them.
    pub fn without(self, fields: &FieldSet) -> Self {
        if fields.is_empty() {
            return self;
        }
        Comparison {
            removed: self.removed.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            added: self.added.recursive_difference(fields),
        }
    }

    #[cfg(any(test, feature = "internals"))]
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }
}

/// Compares two trees that fit `kind`.
pub fn compare(old: &Json, new: &Json, kind: TypeRef<'_>) -> Comparison {
    let mut walk = Walk { path: Vec::new(), found: Comparison::default() };
    walk.pair(Some(old), Some(new), kind);
    walk.found
}

/// Whether two values are equal; numbers by value, absent is not null.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(_), Json::Number(_)) => Scalar(a.clone()) == Scalar(b.clone()),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

struct Walk {
    path: Path,
    found: Comparison,
}

impl Walk {
    fn below(&mut self, element: Element, left: Option<&Json>, right: Option<&Json>, kind: TypeRef<'_>) {
        self.path.push(element);
        self.pair(left, right, kind);
        self.path.pop();
    }

    fn pair(&mut self, left: Option<&Json>, right: Option<&Json>, kind: TypeRef<'_>) {
        let atom = kind.resolve();
        let (left_atom, right_atom) = (atom.narrowed(left), atom.narrowed(right));
        let was_leaf = match (left, right) {
            (None, None) => return,
            (_, None) => self.shaped(&left_atom, left, right),
            (None, _) => self.shaped(&right_atom, left, right),
            _ if left_atom.same_shape(&right_atom) => self.shaped(&right_atom, left, right),
            _ => {
                self.shaped(&left_atom, left, right);
                self.shaped(&right_atom, left, right)
            }
        };
        if !was_leaf {
            if left.is_none() {
                self.found.added.insert(&self.path);
            } else if right.is_none() {
                self.found.removed.insert(&self.path);
            }
        }
    }

    /// Returns whether the place was compared whole.
    fn shaped(&mut self, atom: &Atom<'_>, left: Option<&Json>, right: Option<&Json>) -> bool {
        if let Some(map) = &atom.map {
            self.maps(map, left, right)
        } else if let (None, Some(list)) = (&atom.scalar, &atom.list) {
            self.lists(list, left, right)
        } else {
            self.leaf(left, right)
        }
    }

    fn leaf(&mut self, left: Option<&Json>, right: Option<&Json>) -> bool {
        match (left, right) {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            (Some(left), Some(right)) if !same(left, right) => self.found.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn maps(&mut self, map: &Map<'_>, left: Option<&Json>, right: Option<&Json>) -> bool {
        let empty = JsonMap::new();
        let left_map = left.and_then(Json::as_object).unwrap_or(&empty);
        let right_map = right.and_then(Json::as_object).unwrap_or(&empty);
        if map.atomic || (left_map.is_empty() && right_map.is_empty()) {
            return self.leaf(left, right);
        }
        let keys: BTreeSet<&String> = left_map.keys().chain(right_map.keys()).collect();
        for key in keys {
            let kind = map.at(key).unwrap_or(TypeRef::Deduced);
            self.below(Element::field(key), left_map.get(key), right_map.get(key), kind);
        }
        false
    }

    fn lists(&mut self, list: &List<'_>, left: Option<&Json>, right: Option<&Json>) -> bool {
        let left_items = left.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let right_items = right.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        if list.atomic || (left_items.is_empty() && right_items.is_empty()) {
            return self.leaf(left, right);
        }
        let mut items: BTreeMap<Element, (Vec<&Json>, Vec<&Json>)> = BTreeMap::new();
        for item in left_items {
            if let Ok(element) = list_element(list, item) {
                items.entry(element).or_default().0.push(item);
            }
        }
        for item in right_items {
            if let Ok(element) = list_element(list, item) {
                items.entry(element).or_default().1.push(item);
            }
        }
        for (element, (left, right)) in items {
            self.entries(list, element, &left, &right);
        }
        false
    }

    /// Entries of one key. More than one of a key are owned whole, by the key alone.
    fn entries(&mut self, list: &List<'_>, element: Element, left: &[&Json], right: &[&Json]) {
        let mut path = self.path.clone();
        path.push(element.clone());
        match (left.len(), right.len()) {
            (0 | 1, 0 | 1) => {
                self.below(element, left.first().copied(), right.first().copied(), list.item);
            }
            (0 | 1, _) => {
                if let Some(one) = left.first() {
                    self.below(element, Some(one), None, list.item);
                }
                self.found.added.insert(&path);
            }
            (_, 0 | 1) => {
                if let Some(one) = right.first() {
                    self.below(element, None, Some(one), list.item);
                }
                self.found.removed.insert(&path);
            }
            _ => {
                let equal = left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r));
                if !equal {
                    self.found.modified.insert(&path);
                }
            }
        }
    }
}
