//! How endpoints are spread over slices: what is there stays where it is, the fullest slices are filled
//! first, and no slice holds more than a hundred.
//! Source: k8s.io/endpointslice/reconciler.go (reconcileByPortMapping, finalize).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::super::resources::dig;
use crate::api::{Json, Object};

/// Source: cmd/kube-controller-manager (--max-endpoints-per-slice).
pub(super) const MOST: usize = 100;

/// What tells endpoints apart: addresses, host name, and what they are the addresses of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity(Vec<String>, String, String);

impl Identity {
    pub fn of(endpoint: &Json) -> Self {
        let text = |path: &[&str]| dig(endpoint, path).as_str().unwrap_or("").to_owned();
        let listed = dig(endpoint, &["addresses"]).as_array().into_iter().flatten();
        let mut addresses: Vec<String> = listed.filter_map(|a| a.as_str().map(str::to_owned)).collect();
        addresses.sort();
        let target = format!("{}/{}", text(&["targetRef", "namespace"]), text(&["targetRef", "name"]));
        Identity(addresses, text(&["hostname"]), target)
    }
}

/// Endpoints that are wanted, in order of their addresses.
pub(super) type Wanted = BTreeMap<Identity, Json>;

/// Whether two endpoints of one identity say the same.
pub(super) fn says_the_same(a: &Json, b: &Json) -> bool {
    let fields = ["nodeName", "zone", "conditions", "targetRef"];
    fields.iter().all(|field| {
        let without_version = |endpoint: &Json| {
            let mut value = dig(endpoint, &[field]).clone();
            value.as_object_mut().map(|fields| fields.remove("resourceVersion"));
            value
        };
        without_version(a) == without_version(b)
    })
}

pub(super) fn endpoints(slice: &Object) -> &[Json] {
    dig(slice.json(), &["endpoints"]).as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn set_endpoints(slice: &mut Object, endpoints: Vec<Json>) {
    slice.json_mut()["endpoints"] = json!(endpoints);
}

/// What becomes of slices.
#[derive(Default)]
pub(super) struct Changes {
    pub create: Vec<Object>,
    pub update: Vec<Object>,
    pub delete: Vec<Arc<Object>>,
}

impl Changes {
    pub fn append(&mut self, more: Changes) {
        self.create.extend(more.create);
        self.update.extend(more.update);
        self.delete.extend(more.delete);
    }

    /// Slices to be deleted are used for those to be created where `may` allows it.
    pub fn recycle(&mut self, may: impl Fn(&Object, &Object) -> bool) {
        let mut kept = Vec::new();
        for old in std::mem::take(&mut self.delete) {
            match self.create.last().filter(|new| may(&old, new)) {
                Some(_) => self.update.extend(self.create.pop().map(|new| renamed(new, &old))),
                None => kept.push(old),
            }
        }
        self.delete = kept;
    }
}

/// A new slice in the place of an old one.
fn renamed(new: Object, old: &Object) -> Object {
    let mut object = old.clone();
    for field in ["endpoints", "ports"] {
        object.json_mut()[field] = dig(new.json(), &[field]).clone();
    }
    for field in ["labels", "annotations", "ownerReferences"] {
        let value = dig(new.json(), &["metadata", field]).clone();
        let metadata = object.metadata_mut();
        metadata.remove(field);
        if !value.is_null() {
            metadata.insert(field.into(), value);
        }
    }
    object
}

/// Spreads the endpoints of one set of ports over its slices. `labels` says which labels a slice is to
/// have, and whether they differ; `empty` makes a new slice.
pub(super) fn pack(
    existing: &[Arc<Object>],
    mut wanted: Wanted,
    labels: impl Fn(&Object) -> (Json, bool),
    mut empty: impl FnMut() -> Object,
) -> Changes {
    let mut changes = Changes::default();
    let mut unchanged: Vec<&Arc<Object>> = Vec::new();
    for slice in existing {
        let (mut kept, mut news) = (Vec::new(), false);
        for endpoint in endpoints(slice) {
            if let Some(now) = wanted.remove(&Identity::of(endpoint)) {
                news |= !says_the_same(&now, endpoint);
                kept.push(now);
            }
        }
        news |= kept.len() != endpoints(slice).len();
        let (labels, relabeled) = labels(slice);
        if news && kept.is_empty() {
            changes.delete.push(slice.clone());
        } else if news || relabeled {
            let mut updated = slice.as_ref().clone();
            if news {
                set_endpoints(&mut updated, kept);
            }
            updated.metadata_mut().insert("labels".into(), labels);
            changes.update.push(updated);
        } else {
            unchanged.push(slice);
        }
    }
    changes.update.sort_by_key(|slice| std::cmp::Reverse(endpoints(slice).len()));
    for slice in &mut changes.update {
        fill(slice, &mut wanted);
    }
    while !wanted.is_empty() {
        let fits = |slice: &&&Arc<Object>| wanted.len() + endpoints(slice).len() <= MOST;
        let fullest = unchanged.iter().filter(fits).max_by_key(|slice| endpoints(slice).len()).map(|slice| slice.uid());
        let at = fullest.and_then(|uid| unchanged.iter().position(|slice| slice.uid() == uid));
        match at.filter(|_| wanted.len() < MOST) {
            Some(at) => {
                let mut slice = unchanged.remove(at).as_ref().clone();
                fill(&mut slice, &mut wanted);
                changes.update.push(slice);
            }
            None => {
                let mut slice = empty();
                fill(&mut slice, &mut wanted);
                changes.create.push(slice);
            }
        }
    }
    changes
}

fn fill(slice: &mut Object, wanted: &mut Wanted) {
    let mut list = endpoints(slice).to_vec();
    while list.len() < MOST {
        let Some((_, endpoint)) = wanted.pop_first() else { break };
        list.push(endpoint);
    }
    set_endpoints(slice, list);
}
