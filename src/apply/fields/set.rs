//! A set of paths, kept as a tree. A path can be a member, have members below it, or both.

use std::collections::{BTreeMap, BTreeSet};

use super::element::{Element, Path};

/// A set of field paths.
#[derive(Clone, Debug, Default)]
pub struct FieldSet {
    pub(super) members: BTreeSet<Element>,
    pub(super) children: BTreeMap<Element, FieldSet>,
}

impl PartialEq for FieldSet {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
            && self.children.iter().filter(|(_, c)| !c.is_empty()).eq(other
                .children
                .iter()
                .filter(|(_, c)| !c.is_empty()))
    }
}

impl Eq for FieldSet {}

impl FromIterator<Path> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut set = FieldSet::default();
        for path in paths {
            set.insert(&path);
        }
        set
    }
}

impl FieldSet {
    pub fn new() -> Self {
        FieldSet::default()
    }

    /// A set of paths of plain field names, each written `metadata.name`.
    pub fn of_fields(paths: &[&str]) -> Self {
        paths.iter().map(|p| p.split('.').map(Element::field).collect::<Path>()).collect()
    }

    /// Adds a path; the empty path is nothing.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut set = self;
        for parent in parents {
            set = set.children.entry(parent.clone()).or_default();
        }
        set.members.insert(last.clone());
    }

    pub fn has(&self, path: &[Element]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let mut set = self;
        for parent in parents {
            match set.children.get(parent) {
                Some(child) => set = child,
                None => return false,
            }
        }
        set.members.contains(last)
    }

    /// Whether the one-step path is a member.
    pub fn has_member(&self, element: &Element) -> bool {
        self.members.contains(element)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }

    #[cfg(any(test, feature = "internals"))]
    pub fn len(&self) -> usize {
        self.members.len() + self.children.values().map(FieldSet::len).sum::<usize>()
    }

    /// What is below a step, if anything.
    pub fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.children.get(element).filter(|c| !c.is_empty())
    }

    /// Puts a set below a step, in place of what was there.
    pub fn put_below(&mut self, element: Element, below: FieldSet) {
        self.children.insert(element, below);
    }

    /// The steps that have members below them, in order.
    pub fn children(&self) -> impl Iterator<Item = (&Element, &FieldSet)> {
        self.children.iter()
    }

    /// The one-step members, in order.
    pub fn members(&self) -> impl Iterator<Item = &Element> {
        self.members.iter()
    }

    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        out.merge(other);
        out
    }

    fn merge(&mut self, other: &FieldSet) {
        self.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            self.children.entry(element.clone()).or_default().merge(child);
        }
    }

    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            let common = child.intersection(other.children.get(element)?);
            (!common.is_empty()).then(|| (element.clone(), common))
        });
        FieldSet { members, children: children.collect() }
    }

    /// What is in `self` and not, path by path, in `other`.
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            let rest = match other.children.get(element) {
                Some(theirs) => child.difference(theirs),
                None => child.clone(),
            };
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        FieldSet { members, children: children.collect() }
    }

    /// What is in `self` and neither in `other` nor below one of its paths.
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self.children.iter().filter(|(element, _)| !other.members.contains(element));
        let children = children.filter_map(|(element, child)| {
            let rest = match other.children.get(element) {
                Some(theirs) => child.recursive_difference(theirs),
                None => child.clone(),
            };
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        FieldSet { members, children: children.collect() }
    }

    /// All paths: at each level the members, then what is below.
    pub fn paths(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.walk(&mut Vec::new(), &mut found);
        found
    }

    fn walk(&self, prefix: &mut Path, found: &mut Vec<Path>) {
        for member in &self.members {
            let mut path = prefix.clone();
            path.push(member.clone());
            found.push(path);
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.walk(prefix, found);
            prefix.pop();
        }
    }
}
