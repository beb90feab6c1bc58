//! What holds of garbage collection, whoever owns whom.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use wl::api::{Key, Object, Random, Status};
use wl::controllers::{Propagation, Write};

use crate::api::{Dice, resource_of};
use crate::cluster::Cluster;

fn key(n: usize) -> Key {
    Key::new(resource_of("ConfigMap"), "space", &format!("o{n}"))
}

/// For each object its owners among those before it, and whether each of them waits for it.
type Owners = Vec<Vec<(usize, bool)>>;

fn any_owners() -> impl Strategy<Value = Owners> {
    let object = proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..3);
    proptest::collection::vec(object, 1..9).prop_map(|objects| {
        let of = |n: usize, owners: &[(prop::sample::Index, bool)]| {
            let mut seen = BTreeSet::new();
            let owners = owners.iter().filter(|_| n > 0).map(|(owner, blocks)| (owner.index(n), *blocks));
            owners.filter(|(owner, _)| seen.insert(*owner)).collect::<Vec<_>>()
        };
        objects.iter().enumerate().map(|(n, owners)| of(n, owners)).collect()
    })
}

fn made(cluster: &mut Cluster, owners: &Owners) -> Vec<String> {
    let mut uids: Vec<String> = Vec::new();
    for (n, of_one) in owners.iter().enumerate() {
        let references: Vec<Json> = of_one
            .iter()
            .map(|(owner, blocks)| {
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "name": format!("o{owner}"), "uid": uids[*owner],
                    "blockOwnerDeletion": blocks,
                })
            })
            .collect();
        let mut metadata = json!({"name": format!("o{n}"), "namespace": "space"});
        if !references.is_empty() {
            metadata["ownerReferences"] = json!(references);
        }
        let done = cluster.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
        uids.push(done.after.unwrap().uid().to_owned());
    }
    uids
}

/// What has to go with the first object: whatever has owners, all of which go.
fn doomed(owners: &Owners) -> BTreeSet<usize> {
    let mut gone = BTreeSet::from([0]);
    for (n, of_one) in owners.iter().enumerate() {
        if !of_one.is_empty() && of_one.iter().all(|(owner, _)| gone.contains(owner)) {
            gone.insert(n);
        }
    }
    gone
}

fn there(cluster: &Cluster) -> BTreeSet<usize> {
    let all = cluster.api.state.in_namespace(&resource_of("ConfigMap"), "space");
    all.map(|object| object.name()[1..].parse().unwrap()).collect()
}

fn names_owner(object: &Object, uid: &str, blocking_only: bool) -> bool {
    object.owner_references().iter().any(|r| r["uid"] == uid && (!blocking_only || r["blockOwnerDeletion"] == true))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_no_owner_holds_goes_and_nothing_else(
        owners in any_owners(), policy in 0..3usize, faults in 0..30u64, seed in any::<u64>(),
    ) {
        let policy = [Propagation::Background, Propagation::Foreground, Propagation::Orphan][policy];
        let mut cluster = Cluster::new("space", json!({}), "2026-01-01T00:00:00Z".parse().unwrap());
        cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}));
        let uids = made(&mut cluster, &owners);
        cluster.wait(10.0);
        prop_assert_eq!(there(&cluster).len(), owners.len(), "nothing goes while its owners are there");
        let mut dice = Dice(seed);
        cluster.refuse = Box::new(move |write| {
            let fails = !matches!(write, Write::Event(_)) && dice.next_u64() % 100 < faults;
            fails.then(|| Status::new(500, "InternalError", "the disk is full"))
        });
        let done = cluster.api.delete(&key(0), None, Some(policy), None).unwrap();
        cluster.written(&done);
        let end = cluster.api.now + SignedDuration::from_hours(1);
        cluster.run_until(end, &mut |cluster| {
            let root = cluster.api.get(&key(0)).is_ok();
            let objects = cluster.api.state.in_namespace(&resource_of("ConfigMap"), "space");
            let waiting = objects.filter(|object| names_owner(object, &uids[0], true)).count();
            assert!(root || policy != Propagation::Foreground || waiting == 0, "the owner went before {waiting} that it waits for");
            false
        });
        cluster.refuse = Box::new(|_| None);
        cluster.wait(3600.0);
        let gone = if policy == Propagation::Orphan { BTreeSet::from([0]) } else { doomed(&owners) };
        let kept: BTreeSet<usize> = (0..owners.len()).filter(|n| !gone.contains(n)).collect();
        prop_assert_eq!(there(&cluster), kept.clone());
        for n in kept {
            let object = cluster.api.get(&key(n)).unwrap();
            prop_assert!(!object.is_deleting());
            prop_assert!(!gone.iter().any(|owner| names_owner(&object, &uids[*owner], false)), "o{} names what is gone", n);
        }
        let writes = cluster.trace.len();
        cluster.wait(3600.0);
        prop_assert_eq!(writes, cluster.trace.len());
    }
}
