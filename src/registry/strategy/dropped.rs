//! Kinds that differ from the plain ones in fields alone that are dropped, whoever sends them.
//! Source: pkg/registry/discovery/endpointslice/strategy.go, pkg/registry/coordination/lease/strategy.go.

use super::{Part, Rules, Strategy, plain, rules};
use crate::api::Object;
use crate::api::tree::{items, remove};
use crate::registry::run::Run;

pub(crate) struct Slices;
pub(crate) struct Leases;

impl Strategy for Slices {
    fn rules(&self) -> &'static Rules {
        rules::rules("discovery.k8s.io", "endpointslices")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, slice: &mut Object) {
        drop_topology(slice);
        plain::prepare_create(self.rules(), slice);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        drop_topology(new);
        plain::prepare_update(self.rules(), new, old, part);
    }
}

/// The field is of v1beta1, and v1 only shows it (dropTopologyOnV1).
fn drop_topology(slice: &mut Object) {
    items(slice.json_mut(), "endpoints").for_each(|endpoint| remove(endpoint, "deprecatedTopology"));
}

impl Strategy for Leases {
    fn rules(&self) -> &'static Rules {
        rules::rules("coordination.k8s.io", "leases")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, lease: &mut Object) {
        drop_election(lease);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, _old: &Object, _part: Part) {
        drop_election(new);
    }
}

/// The gate CoordinatedLeaderElection is off.
fn drop_election(lease: &mut Object) {
    if let Some(spec) = lease.json_mut().get_mut("spec") {
        remove(spec, "strategy");
        remove(spec, "preferredHolder");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_old_versions_and_closed_gates_are_dropped() {
        let mut slice = Object::new(json!({"endpoints": [{"addresses": ["10.0.0.1"], "deprecatedTopology": {"a": "b"}}]}));
        drop_topology(&mut slice);
        assert_eq!(slice.json(), &json!({"endpoints": [{"addresses": ["10.0.0.1"]}]}));
        let mut lease = Object::new(json!({"spec": {"holderIdentity": "h", "strategy": "s", "preferredHolder": "p"}}));
        drop_election(&mut lease);
        assert_eq!(lease.json(), &json!({"spec": {"holderIdentity": "h"}}));
    }
}
