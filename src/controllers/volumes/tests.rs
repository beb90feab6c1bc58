//! Which claims get which volumes.

use super::*;
use crate::controllers::resources::PODS;
use crate::controllers::{Write, testing};

fn put(state: &mut State, object: Object) -> Key {
    let resource = if object.kind() == "PersistentVolume" { &*VOLUMES } else { &*CLAIMS };
    let key = Key::new(resource.clone(), object.namespace(), object.name());
    state.put(key.clone(), object);
    key
}

fn claim(uid: &str) -> Object {
    Object::new(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default", "uid": uid},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
            "resources": {"requests": {"storage": "1Gi"}}},
    }))
}

/// Looks until nothing is left to write.
fn settle(state: &mut State, binder: &Binder, keys: &[Key]) {
    for _ in 0..10 {
        for key in keys {
            for write in testing::look(binder, state, key) {
                match write {
                    Write::Create { object } | Write::Update { object } | Write::UpdateStatus { object } => {
                        put(state, object);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_claim_gets_a_volume_of_the_machine_and_finds_it_again() {
    let binder = Binder::with_volumes_of_the_machine();
    let mut state = State::new();
    let first = put(&mut state, claim("1"));
    let volume = Key::new(VOLUMES.clone(), "", "default-data");
    let keys = [first.clone(), volume.clone()];
    settle(&mut state, &binder, &keys);
    let phase = |state: &State, key: &Key| text(state.get(key).unwrap(), &["status", "phase"]).to_owned();
    assert_eq!((phase(&state, &first), phase(&state, &volume)), ("Bound".into(), "Bound".into()));
    assert_eq!(text(state.get(&volume).unwrap(), &["spec", "csi", "volumeHandle"]), "default-data");
    state.remove(&first);
    settle(&mut state, &binder, &keys);
    assert_eq!(phase(&state, &volume), "Released");
    put(&mut state, claim("2"));
    settle(&mut state, &binder, &keys);
    assert_eq!((phase(&state, &first), phase(&state, &volume)), ("Bound".into(), "Bound".into()));
    assert_eq!(text(state.get(&volume).unwrap(), &["spec", "claimRef", "uid"]), "2");
}

#[test]
fn the_smallest_free_volume_that_fits_is_bound() {
    let binder = Binder::new();
    let mut state = State::new();
    let key = put(&mut state, claim("1"));
    for (name, size, class) in [("big", "9Gi", "fast"), ("small", "2Gi", "fast"), ("other", "1Gi", "slow"), ("tiny", "1Mi", "fast")] {
        put(&mut state, Object::new(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "uid": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": class},
        })));
    }
    settle(&mut state, &binder, std::slice::from_ref(&key));
    assert_eq!(text(state.get(&key).unwrap(), &["spec", "volumeName"]), "small");
}

fn volume(name: &str, change: impl FnOnce(&mut Json)) -> Object {
    let mut tree = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "uid": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "fast"},
    });
    change(&mut tree);
    Object::new(tree)
}

fn naming(volume: &str) -> Object {
    let mut claim = claim("1");
    claim.json_mut()["spec"]["volumeName"] = json!(volume);
    claim
}

fn look(state: &State, key: &Key) -> Vec<Write> {
    testing::look(&Binder::with_volumes_of_the_machine(), state, key)
}

/// What is told, and whether anything else is written.
fn told(writes: &[Write]) -> (Vec<String>, bool) {
    let note = |write: &Write| match write {
        Write::Event(note) => Some(format!("{}: {}", note.reason, note.message)),
        _ => None,
    };
    (writes.iter().filter_map(note).collect(), writes.iter().any(|write| note(write).is_none()))
}

#[test]
fn a_claim_does_not_get_a_volume_that_it_names_and_that_does_not_fit() {
    type Change = fn(&mut Json);
    let changes: [(Change, &str); 5] = [
        (|v| v["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"), "the volume is marked for deletion \"mine\""),
        (|v| v["spec"]["capacity"]["storage"] = json!("1Mi"), "requested PV is too small"),
        (|v| v["spec"]["storageClassName"] = json!("slow"), "storageClassName does not match"),
        (|v| v["spec"]["volumeMode"] = json!("Block"), "incompatible volumeMode"),
        (|v| v["spec"]["accessModes"] = json!(["ReadOnlyMany"]), "incompatible accessMode"),
    ];
    for (change, why) in changes {
        let mut state = State::new();
        let key = put(&mut state, naming("mine"));
        put(&mut state, volume("mine", change));
        let expected = format!("VolumeMismatch: Cannot bind to requested volume \"mine\": {why}");
        assert_eq!(told(&look(&state, &key)), (vec![expected], false));
    }
}

#[test]
fn a_claim_waits_for_the_volume_that_it_names() {
    let mut state = State::new();
    let key = put(&mut state, naming("mine"));
    assert_eq!(told(&look(&state, &key)), (vec![], false));
    put(&mut state, volume("mine", |v| v["spec"]["claimRef"] = json!({"namespace": "default", "name": "other"})));
    let expected = "FailedBinding: volume \"mine\" already bound to a different claim.";
    assert_eq!(told(&look(&state, &key)), (vec![expected.into()], false));
}

#[test]
fn of_volumes_that_fit_those_with_few_access_modes_come_first() {
    let mut state = State::new();
    let key = put(&mut state, claim("1"));
    let many = |v: &mut Json| v["spec"]["accessModes"] = json!(["ReadWriteOnce", "ReadOnlyMany"]);
    put(&mut state, volume("many", many));
    put(&mut state, volume("few", |v| v["spec"]["capacity"]["storage"] = json!("5Gi")));
    put(&mut state, volume("kept", |v| v["status"] = json!({"phase": "Released"})));
    put(&mut state, volume("small", |v| {
        v["spec"]["capacity"]["storage"] = json!("1Mi");
        v["spec"]["claimRef"] = json!({"namespace": "default", "name": "data"});
    }));
    settle(&mut state, &Binder::new(), std::slice::from_ref(&key));
    assert_eq!(text(state.get(&key).unwrap(), &["spec", "volumeName"]), "few");
}

#[test]
fn a_bound_claim_whose_volume_is_not_its_any_more_is_lost() {
    let bound = |volume: &str| {
        let mut claim = naming(volume);
        claim.json_mut()["metadata"]["annotations"] = json!({BOUND: "yes"});
        claim.json_mut()["status"] = json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"]});
        claim
    };
    let held = |uid: &str| {
        let reference = json!({"namespace": "default", "name": "data", "uid": uid});
        volume("mine", |v| v["spec"]["claimRef"] = reference)
    };
    for (name, held, expected) in [
        ("", None, Some("ClaimLost: Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")),
        ("mine", None, Some("ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!")),
        ("mine", Some(held("2")), Some("ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly")),
        ("mine", Some(held("1")), None),
    ] {
        let mut state = State::new();
        let key = put(&mut state, bound(name));
        held.into_iter().for_each(|volume| _ = put(&mut state, volume));
        let (events, _) = told(&look(&state, &key));
        assert_eq!(events.first().map(String::as_str), expected);
    }
}

#[test]
fn a_volume_whose_claim_is_bound_to_another_is_free_again() {
    for (by_controller, reference) in [(true, Json::Null), (false, json!({"namespace": "default", "name": "data"}))] {
        let mut state = State::new();
        put(&mut state, naming("other"));
        let key = put(&mut state, volume("mine", |v| {
            v["spec"]["claimRef"] = json!({"namespace": "default", "name": "data", "uid": "1"});
            v["status"] = json!({"phase": "Bound"});
            if by_controller {
                v["metadata"]["annotations"] = json!({BY_CONTROLLER: "yes"});
            }
        }));
        settle(&mut state, &Binder::new(), std::slice::from_ref(&key));
        let free = state.get(&key).unwrap();
        assert_eq!(*dig(free.json(), &["spec", "claimRef"]), reference);
        assert_eq!((text(free, &["status", "phase"]), free.annotation(BY_CONTROLLER)), ("Available", None));
    }
}

#[test]
fn a_volume_that_failed_stays_so_when_its_claim_is_gone() {
    for (before, after) in [("Bound", "Released"), ("Failed", "Failed")] {
        let mut state = State::new();
        let key = put(&mut state, volume("mine", |v| {
            v["spec"]["claimRef"] = json!({"namespace": "default", "name": "data", "uid": "1"});
            v["status"] = json!({"phase": before});
        }));
        settle(&mut state, &Binder::new(), std::slice::from_ref(&key));
        assert_eq!(text(state.get(&key).unwrap(), &["status", "phase"]), after);
    }
}

/// A pod on a node with a volume of its own.
fn pod_with_own_volume(state: &mut State, change: impl FnOnce(&mut Json)) -> Key {
    let template = json!({"metadata": {"labels": {"kind": "scratch"}}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    let mut tree = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "p"},
        "spec": {
            "nodeName": "n", "containers": [],
            "volumes": [{"name": "data", "ephemeral": {"volumeClaimTemplate": template}}],
        },
    });
    change(&mut tree);
    let object = Object::new(tree);
    let key = key_of(&PODS, &object);
    state.put(key.clone(), object);
    key
}

fn own_claim(owner: &str) -> Object {
    let mut claim = claim("1");
    claim.json_mut()["metadata"] = json!({
        "name": "p-data", "namespace": "default", "uid": "1", "finalizers": ["kubernetes.io/pvc-protection"],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner, "controller": true}],
    });
    claim
}

#[test]
fn a_volume_that_lives_as_long_as_its_pod_gets_a_claim_of_the_pods() {
    let mut state = State::new();
    let key = pod_with_own_volume(&mut state, |_| ());
    let writes = testing::look(&EphemeralVolumes, &state, &key);
    let [Write::Create { object }] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!((object.name(), object.controller_uid(), object.label("kind")), ("p-data", Some("p"), Some("scratch")));
    assert_eq!(*dig(object.json(), &["spec"]), json!({"accessModes": ["ReadWriteOnce"]}));
    put(&mut state, object.clone());
    assert!(testing::look(&EphemeralVolumes, &state, &key).is_empty());
}

#[test]
fn a_claim_that_somebody_else_made_is_not_the_pods() {
    let mut state = State::new();
    let key = pod_with_own_volume(&mut state, |_| ());
    put(&mut state, own_claim("earlier"));
    let expected = "FailedBinding: ephemeral volume data: PVC default/p-data was not created for pod default/p (pod is not owner)";
    assert_eq!(told(&testing::look(&EphemeralVolumes, &state, &key)), (vec![expected.into()], false));
    let going = |pod: &mut Json| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    pod_with_own_volume(&mut state, going);
    assert!(testing::look(&EphemeralVolumes, &state, &key).is_empty());
}

#[test]
fn a_claim_of_a_pods_own_stays_until_that_is_shut_down() {
    for (owner, grace, is_let_go) in [("p", Json::Null, false), ("p", json!(30), false), ("p", json!(0), true), ("x", Json::Null, true)] {
        let mut state = State::new();
        pod_with_own_volume(&mut state, |pod| pod["metadata"]["deletionGracePeriodSeconds"] = grace.clone());
        let key = put(&mut state, own_claim(owner));
        assert_eq!(!testing::look(&ClaimProtection, &state, &key).is_empty(), is_let_go, "{owner} {grace}");
    }
}

#[test]
fn a_claim_that_was_taken_away_is_made_again() {
    let mut state = State::new();
    let key = pod_with_own_volume(&mut state, |_| ());
    let gone = Arc::new(own_claim("p"));
    let change = Change { revision: 1, key: key_of(&CLAIMS, &gone), before: Some(gone), after: None };
    assert_eq!(EphemeralVolumes.wakes(&state, &change), [key]);
}
