//! Moves a recorded field set to the schema of today: fields below what is owned whole become the whole.
//! Source: sigs.k8s.io/structured-merge-diff/v6/typed/reconcile_schema.go.

use super::atom::TypeRef;
use crate::apply::fields::{Element, FieldSet, Path};

/// The set as the schema would have it now.
pub fn reconcile(set: &FieldSet, kind: TypeRef<'_>) -> FieldSet {
    let mut moved = FieldSet::new();
    walk(set, false, kind, &mut Vec::new(), &mut moved);
    if moved.is_empty() { set.clone() } else { set.recursive_difference(&moved).union(&moved) }
}

fn walk(set: &FieldSet, whole: bool, kind: TypeRef<'_>, path: &mut Path, moved: &mut FieldSet) {
    let atom = kind.resolve();
    let child_of = |element: &Element| match (element, &atom.map, &atom.list) {
        (Element::Field(name), Some(map), _) => map.at(name),
        (_, None, Some(list)) if atom.scalar.is_none() => Some(list.item),
        _ => None,
    };
    if kind.is_deduced_map() {
        return;
    }
    if let Some(map) = &atom.map {
        if !whole && map.atomic {
            if !set.is_empty() {
                moved.insert(path);
            }
            return;
        }
    } else if atom.scalar.is_some() {
        return;
    } else if let Some(list) = &atom.list
        && !whole
        && list.atomic
    {
        return moved.insert(path);
    }
    for (element, below) in set.children() {
        if let Some(child) = child_of(element) {
            path.push(element.clone());
            walk(below, false, child, path, moved);
            path.pop();
        }
    }
    // A member without anything below it owns its place whole; there is nothing to move.
    let empty = FieldSet::new();
    for element in set.members().filter(|m| set.below(m).is_none()) {
        if let Some(child) = child_of(element) {
            path.push(element.clone());
            walk(&empty, true, child, path, moved);
            path.pop();
        }
    }
}
