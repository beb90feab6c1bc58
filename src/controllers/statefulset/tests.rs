//! Rules of StatefulSets that the recordings do not show.

use serde_json::json;

use super::*;
use crate::api::Json;
use crate::controllers::testing;

fn put(state: &mut State, tree: Json) -> Key {
    let object = Object::new(tree);
    let resource = match object.kind() {
        "StatefulSet" => &*STATEFUL_SETS,
        "Pod" => &*PODS,
        _ => &*CLAIMS,
    };
    let key = key_of(resource, &object);
    state.put(key.clone(), object);
    key
}

fn set(state: &mut State, policy: &str, replicas: i64, retention: Json) -> Key {
    put(state, json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "n", "uid": "web", "generation": 1},
        "spec": {
            "replicas": replicas, "podManagementPolicy": policy, "selector": {"matchLabels": {"app": "web"}},
            "persistentVolumeClaimRetentionPolicy": retention, "revisionHistoryLimit": 10,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
        },
    }))
}

fn claim(state: &mut State, ordinal: i64, change: impl FnOnce(&mut Json)) -> Key {
    let mut tree = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": format!("data-web-{ordinal}"), "namespace": "n", "uid": format!("claim-{ordinal}")},
    });
    change(&mut tree);
    put(state, tree)
}

fn pod(state: &mut State, ordinal: i64, phase: &str) -> Key {
    put(state, json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("web-{ordinal}"), "namespace": "n", "uid": format!("pod-{ordinal}"),
            "labels": {"app": "web", "statefulset.kubernetes.io/pod-name": format!("web-{ordinal}")},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "web", "controller": true}],
        },
        "spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": format!("data-web-{ordinal}")}}]},
        "status": {"phase": phase},
    }))
}

fn going(claim: &mut Json) {
    claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
}

fn look(state: &State, key: &Key) -> Vec<Write> {
    testing::look(&StatefulSetController, state, key)
}

fn made<'w>(writes: &'w [Write]) -> Vec<&'w str> {
    let pod = |write: &'w Write| match write {
        Write::Create { object } if object.kind() == "Pod" => Some(object.name()),
        _ => None,
    };
    writes.iter().filter_map(pod).collect()
}

fn warnings(writes: &[Write]) -> Vec<String> {
    let warning = |write: &Write| match write {
        Write::Event(note) if note.kind == crate::controllers::EventKind::Warning => {
            Some(format!("{}: {}", note.reason, note.message))
        }
        _ => None,
    };
    writes.iter().filter_map(warning).collect()
}

#[test]
fn a_claim_that_is_going_away_keeps_its_pod_from_being_made() {
    let mut state = State::new();
    let key = set(&mut state, "OrderedReady", 2, Json::Null);
    claim(&mut state, 0, going);
    let writes = look(&state, &key);
    assert_eq!(made(&writes), [""; 0]);
    assert_eq!(
        warnings(&writes),
        ["FailedCreate: create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"]
    );
}

#[test]
fn of_pods_that_wait_for_nobody_the_batches_after_a_failure_are_not_begun() {
    for (ordinal, expected) in [(0, vec![]), (1, vec!["web-0", "web-2"]), (2, vec!["web-0", "web-1"])] {
        let mut state = State::new();
        let key = set(&mut state, "Parallel", 5, Json::Null);
        claim(&mut state, ordinal, going);
        assert_eq!(made(&look(&state, &key)), expected, "{ordinal}");
    }
}

#[test]
fn the_claims_of_a_pod_that_waits_become_whose_they_should_be() {
    let mut state = State::new();
    let key = set(&mut state, "OrderedReady", 1, json!({"whenDeleted": "Delete", "whenScaled": "Retain"}));
    let held = claim(&mut state, 0, |_| ());
    pod(&mut state, 0, "Pending");
    let writes = look(&state, &key);
    let owner = writes.iter().find_map(|write| match write {
        Write::Patch { key, patch, .. } if *key == held => Some(&patch["metadata"]["ownerReferences"][0]["uid"]),
        _ => None,
    });
    assert_eq!(owner, Some(&json!("web")));
    let tells = |write: &Write| matches!(write, Write::Event(note) if note.reason == "SuccessfulUpdate");
    assert!(!writes.iter().any(tells));
}

#[test]
fn a_claim_of_somebody_else_is_told_of_and_left_alone() {
    let mut state = State::new();
    let key = set(&mut state, "OrderedReady", 1, json!({"whenDeleted": "Delete", "whenScaled": "Delete"}));
    let held = claim(&mut state, 0, |claim| {
        claim["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "example.com/v1", "kind": "Database", "name": "d", "uid": "d", "controller": true}]);
    });
    pod(&mut state, 0, "Pending");
    let writes = look(&state, &key);
    assert_eq!(warnings(&writes), [
        "ConflictingController: PersistentVolumeClaim data-web-0 has a conflicting OwnerReference that acts as a manging \
         controller, the retention policy is ignored for this claim"
    ]);
    assert!(!writes.iter().any(|write| matches!(write, Write::Patch { key, .. } if *key == held)));
}

fn deleted<'w>(writes: &'w [Write]) -> Vec<&'w str> {
    let pod = |write: &'w Write| match write {
        Write::Delete { key, .. } if key.resource == *PODS => Some(&*key.name),
        _ => None,
    };
    writes.iter().filter_map(pod).collect()
}

/// Five pods of an earlier revision, some of which are not ready.
fn to_update(update: Json, unready: &[i64]) -> (State, Key) {
    let mut state = State::new();
    let key = set(&mut state, "Parallel", 5, Json::Null);
    for ordinal in 0..5 {
        claim(&mut state, ordinal, |_| ());
        let pod = pod(&mut state, ordinal, "Running");
        let mut object = state.get(&pod).expect("the pod").as_ref().clone();
        let ready = if unready.contains(&ordinal) { "False" } else { "True" };
        object.json_mut()["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
        object.json_mut()["metadata"]["labels"]["controller-revision-hash"] = json!("web-before");
        object.json_mut()["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
        state.put(pod, object);
    }
    let mut object = state.get(&key).expect("the set").as_ref().clone();
    object.json_mut()["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": update});
    state.put(key.clone(), object);
    (state, key)
}

#[test]
fn as_many_pods_are_replaced_at_once_as_may_be_missing_the_highest_first() {
    let cases: [(Json, &[i64], &[&str]); 8] = [
        (json!({}), &[], &["web-4"]),
        (json!({"maxUnavailable": 1}), &[], &["web-4"]),
        (json!({"maxUnavailable": 2}), &[], &["web-4", "web-3"]),
        (json!({"maxUnavailable": 2}), &[0], &["web-4"]),
        (json!({"maxUnavailable": 2}), &[0, 1], &[]),
        (json!({"maxUnavailable": "50%"}), &[], &["web-4", "web-3", "web-2"]),
        (json!({"maxUnavailable": 9, "partition": 3}), &[], &["web-4", "web-3"]),
        (json!({"partition": 5}), &[], &[]),
    ];
    for (update, unready, expected) in cases {
        let (mut state, key) = to_update(update.clone(), unready);
        // The first look makes the revision.
        for write in look(&state, &key) {
            if let Write::Create { object } = write {
                state.put(key_of(&CONTROLLER_REVISIONS, &object), object);
            }
        }
        assert_eq!(deleted(&look(&state, &key)), expected, "{update} {unready:?}");
    }
}
