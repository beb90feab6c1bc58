//! Rules of budgets that the recordings do not show.

use super::*;
use crate::api::GroupResource;
use crate::controllers::{Write, testing};

fn put(state: &mut State, group: &str, resource: &str, tree: Json) -> Key {
    let object = Object::new(tree);
    let key = Key::new(GroupResource::new(group, resource), object.namespace(), object.name());
    state.put(key.clone(), object);
    key
}

fn budget(state: &mut State, spec: Json, status: Json) -> Key {
    put(state, "policy", "poddisruptionbudgets", json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "b", "namespace": "n", "uid": "b", "generation": 1}, "spec": spec, "status": status,
    }))
}

fn pod(state: &mut State, name: &str, owner: Option<(&str, &str)>, conditions: Json) -> Key {
    let owners: Vec<Json> = owner
        .iter()
        .map(|(kind, uid)| json!({"apiVersion": "apps/v1", "kind": kind, "name": uid, "uid": uid, "controller": true}))
        .collect();
    put(state, "", "pods", json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "web"}, "ownerReferences": owners},
        "spec": {"containers": []}, "status": {"phase": "Running", "conditions": conditions},
    }))
}

fn ready() -> Json {
    json!([{"type": "Ready", "status": "True"}])
}

fn look(state: &State, key: &Key, second: i64) -> Decision {
    let now = Timestamp::from_second(second).unwrap();
    testing::look_at(&DisruptionController, state, key, now)
}

fn status(decision: &Decision) -> Json {
    let told = decision.writes.iter().find_map(|write| match write {
        Write::UpdateStatus { object } => Some(dig(object.json(), &["status"]).clone()),
        _ => None,
    });
    told.expect("a status is written")
}

fn events(decision: &Decision) -> Vec<String> {
    let reason = |write: &Write| if let Write::Event(note) = write { Some(note.reason.clone()) } else { None };
    decision.writes.iter().filter_map(reason).collect()
}

fn all() -> Json {
    json!({"matchLabels": {"app": "web"}})
}

#[test]
fn pods_of_a_kind_without_scale_fail_the_budget_closed() {
    let mut state = State::new();
    pod(&mut state, "p", Some(("DaemonSet", "d")), ready());
    let key = budget(&mut state, json!({"selector": all(), "maxUnavailable": 1}), json!({"disruptionsAllowed": 3}));
    let decision = look(&state, &key, 0);
    assert_eq!(events(&decision), ["CalculateExpectedPodCountFailed"]);
    let told = status(&decision);
    assert_eq!(told["disruptionsAllowed"], 0);
    assert_eq!(told["conditions"][0]["reason"], "SyncFailed");
    assert_eq!(told["conditions"][0]["message"], "daemonsets.apps does not implement the scale subresource");
}

#[test]
fn a_share_is_of_the_deployment_above_the_replica_sets() {
    let mut state = State::new();
    put(&mut state, "apps", "deployments", json!({
        "kind": "Deployment", "metadata": {"name": "d", "namespace": "n", "uid": "d"}, "spec": {"replicas": 10},
    }));
    for set in ["old", "new"] {
        put(&mut state, "apps", "replicasets", json!({
            "kind": "ReplicaSet",
            "metadata": {"name": set, "namespace": "n", "uid": set,
                "ownerReferences": [{"kind": "Deployment", "name": "d", "uid": "d", "controller": true}]},
            "spec": {"replicas": 7},
        }));
        pod(&mut state, &format!("{set}-1"), Some(("ReplicaSet", set)), ready());
    }
    let key = budget(&mut state, json!({"selector": all(), "minAvailable": "15%"}), json!({}));
    let told = status(&look(&state, &key, 0));
    assert_eq!((told["expectedPods"].as_i64(), told["desiredHealthy"].as_i64()), (Some(10), Some(2)));
}

#[test]
fn an_evicted_pod_counts_as_gone_for_two_minutes() {
    let mut state = State::new();
    pod(&mut state, "a", None, ready());
    pod(&mut state, "b", None, ready());
    let evicted = json!({"disruptedPods": {"a": "1970-01-01T00:00:00Z", "gone": "1970-01-01T00:00:00Z"}});
    let key = budget(&mut state, json!({"selector": all(), "minAvailable": 1}), evicted);
    let decision = look(&state, &key, 60);
    let told = status(&decision);
    assert_eq!((told["currentHealthy"].as_i64(), told["disruptionsAllowed"].as_i64()), (Some(1), Some(0)));
    assert_eq!(told["disruptedPods"], json!({"a": "1970-01-01T00:00:00Z"}), "what is not there is forgotten");
    assert_eq!(decision.wake_at, Some(Timestamp::from_second(121).unwrap()));
    let decision = look(&state, &key, 121);
    let told = status(&decision);
    assert_eq!((told["currentHealthy"].as_i64(), told.get("disruptedPods")), (Some(2), None));
    assert_eq!(events(&decision), ["NotDeleted"]);
}

#[test]
fn nothing_is_written_once_the_status_says_it() {
    let mut state = State::new();
    pod(&mut state, "a", None, ready());
    let key = budget(&mut state, json!({"selector": all(), "minAvailable": 1}), json!({}));
    let first = look(&state, &key, 0);
    let mut told = state.get(&key).unwrap().as_ref().clone();
    told.json_mut()["status"] = status(&first);
    state.put(key.clone(), told);
    assert!(look(&state, &key, 500).writes.is_empty());
}

#[test]
fn a_mark_of_a_disruption_that_never_came_is_taken_off() {
    let mut state = State::new();
    let mark = |reason: &str| json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": "1970-01-01T00:00:00Z"}]);
    let key = pod(&mut state, "a", None, mark("EvictionByEvictionAPI"));
    let by_node = pod(&mut state, "b", None, mark("TerminationByKubelet"));
    assert_eq!(look(&state, &key, 10).wake_at, Some(Timestamp::from_second(120).unwrap()));
    let told = status(&look(&state, &key, 120));
    assert_eq!(told["conditions"][0]["status"], "False");
    assert_eq!(told["conditions"][0].get("reason"), None);
    assert!(look(&state, &by_node, 500).writes.is_empty());
}

#[test]
fn a_selector_is_shown_as_go_prints_it() {
    let selector = json!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]});
    assert_eq!(
        expected::shown(&selector),
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{\
         LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
    );
}
