//! The managers of an object seen through its `scale`: only who owns the replicas counts there.
//! Source: scalehandler.go of k8s.io/apimachinery/pkg/util/managedfields.

use super::entries::{Managed, Owned};
use crate::api::Json;
use crate::apply::fields::{Element, FieldSet, Path};

const SCALE_VERSION: &str = "autoscaling/v1";

fn replicas() -> Path {
    vec![Element::field("spec"), Element::field("replicas")]
}

fn only(path: &Path) -> FieldSet {
    std::iter::once(path.clone()).collect()
}

/// The entries that a Scale shows of its parent's. `parent_version` is the parent's apiVersion.
pub fn scale_entries_to_scale(parent: &[Json], parent_version: &str) -> Option<Vec<Json>> {
    let mut scale = Managed::default();
    for (id, owned) in Managed::parse(parent)?.0 {
        if owned.api_version == parent_version && owned.set.has(&replicas()) {
            let owned = Owned { set: only(&replicas()), api_version: SCALE_VERSION.into(), time: owned.time };
            scale.0.insert(id, owned);
        }
    }
    Some(scale.print())
}

/// The parent's entries after its Scale was written with the entries `scale`.
pub fn scale_entries_to_parent(parent: &[Json], scale: &[Json], parent_version: &str) -> Option<Vec<Json>> {
    let mut scale = Managed::parse(scale)?;
    let mut out = Managed::default();
    let path = replicas();
    for (id, mut owned) in Managed::parse(parent)?.0 {
        if owned.api_version != parent_version {
            continue;
        }
        if owned.set.has(&path) && scale.0.remove(&id).is_none() {
            owned.set = owned.set.difference(&only(&path));
            if owned.set.is_empty() {
                continue;
            }
        }
        out.0.insert(id, owned);
    }
    for (mut id, owned) in scale.0 {
        if owned.set.has(&path) {
            if !id.api_version.is_empty() {
                id.api_version = parent_version.to_owned();
            }
            let owned = Owned { set: only(&path), api_version: parent_version.to_owned(), time: owned.time };
            out.0.insert(id, owned);
        }
    }
    Some(out.print())
}
