//! Rules of Jobs that the recordings do not show.

use super::*;
use crate::controllers::testing;

fn put(state: &mut State, object: Object) -> Key {
    let resource = if object.kind() == "Job" { &*JOBS } else { &*PODS };
    let key = key_of(resource, &object);
    state.put(key.clone(), object);
    key
}

fn job(state: &mut State, change: impl FnOnce(&mut Json)) -> Key {
    let mut tree = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "sums", "namespace": "n", "uid": "sums"},
        "spec": {
            "parallelism": 2, "completions": 2, "backoffLimit": 6, "selector": {"matchLabels": {"of": "sums"}},
            "template": {"metadata": {"labels": {"of": "sums"}}, "spec": {"containers": [], "restartPolicy": "Never"}},
        },
    });
    change(&mut tree);
    put(state, Object::new(tree))
}

fn pod(state: &mut State, number: usize, phase: &str) -> Key {
    put(state, Object::new(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("sums-{number}"), "namespace": "n", "uid": format!("pod-{number}"), "labels": {"of": "sums"},
            "annotations": {"batch.kubernetes.io/job-completion-index": number.to_string()}, "finalizers": [FINALIZER],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "sums", "uid": "sums", "controller": true}],
        },
        "spec": {"containers": []}, "status": {"phase": phase},
    })))
}

fn look(state: &State, key: &Key) -> Vec<Write> {
    testing::look(&JobController::default(), state, key)
}

fn lets_go(write: &Write) -> bool {
    matches!(write, Write::Patch { key, .. } if key.resource == *PODS)
}

#[test]
fn pods_of_a_job_of_another_controller_are_left_to_that() {
    for (by, expected) in [("example.com/jobs", 0), ("kubernetes.io/job-controller", 1)] {
        let mut state = State::new();
        job(&mut state, |job| {
            job["spec"]["managedBy"] = json!(by);
            job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        });
        let pod = pod(&mut state, 0, "Succeeded");
        assert_eq!(look(&state, &pod).iter().filter(|write| lets_go(write)).count(), expected, "{by}");
    }
}

#[test]
fn every_index_that_succeeded_is_told_at_once_though_its_pod_is_let_go_later() {
    let mut state = State::new();
    let key = job(&mut state, |job| {
        job["spec"]["completionMode"] = json!("Indexed");
        job["spec"]["completions"] = json!(501);
    });
    (0..501).for_each(|number| _ = pod(&mut state, number, "Succeeded"));
    let writes = look(&state, &key);
    assert_eq!(writes.iter().filter(|write| lets_go(write)).count(), 500);
    let told: Vec<&Json> = writes
        .iter()
        .filter_map(|write| match write {
            Write::UpdateStatus { object } => Some(dig(object.json(), &["status"])),
            _ => None,
        })
        .collect();
    assert!(told.iter().all(|status| status["completedIndexes"] == "0-500" && status["succeeded"] == 501));
    let is_over = |status: &&Json| status["conditions"].as_array().is_some_and(|list| list.iter().any(|c| c["type"] == "Complete"));
    assert!(!told.is_empty() && !told.iter().any(is_over), "the last pod is still to be let go");
}

#[test]
fn a_success_policy_is_fulfilled_by_all_its_indexes_or_by_enough_of_them() {
    let rule = |indexes: Option<&str>, count: Option<i32>| {
        let rule = json!({"succeededIndexes": indexes, "succeededCount": count});
        serde_json::from_value(json!({"rules": [{"succeededIndexes": "9"}, rule]})).expect("a policy")
    };
    let cases = [
        (Some("0-2"), None, "0-2", true),
        (Some("0-2"), None, "0,1,3", false),
        (Some("0-2"), Some(2), "0,1,3", true),
        (Some("0-2"), Some(2), "0,3,4", false),
        (Some("0-2"), Some(3), "0-4", true),
        (None, Some(2), "3,4", true),
        (None, Some(2), "3", false),
        (None, Some(2), "3-5", true),
        (None, None, "0-9", false),
        (Some("0-2"), Some(1), "", false),
    ];
    for (indexes, count, succeeded, expected) in cases {
        let policy = rule(indexes, count);
        let found = policy::succeeds(Some(&policy), &indexes::Indexes::parse(succeeded, 9), 9);
        let expected = expected.then(|| "Matched rules at index 1".to_owned());
        assert_eq!(found, expected, "{indexes:?} {count:?} of {succeeded:?}");
    }
    assert_eq!(policy::succeeds(None, &indexes::Indexes::parse("0-9", 9), 9), None);
}

#[test]
fn a_failed_pod_is_judged_by_the_first_rule_that_fits_it() {
    let spec: k8s_openapi::api::batch::v1::JobSpec = serde_json::from_value(json!({
        "template": {}, "backoffLimitPerIndex": 1,
        "podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3]}},
            {"action": "FailJob", "onExitCodes": {"containerName": "init", "operator": "NotIn", "values": [4, 5]}},
            {"action": "Count", "onExitCodes": {"operator": "In", "values": [4]}},
        ]},
    }))
    .expect("a spec");
    let judged = |container: &str, code: i32, disrupted: &str| {
        let ended = |name: &str, code: i32| json!({"name": name, "state": {"terminated": {"exitCode": code}}});
        let of_init = if container == "init" { code } else { 0 };
        let of_main = if container == "main" { code } else { 0 };
        let pod = Object::new(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": []},
            "status": {
                "phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": disrupted}],
                "containerStatuses": [ended("main", of_main)], "initContainerStatuses": [ended("init", of_init)],
            },
        }));
        policy::verdict(&spec, &PodView::of(&Arc::new(pod))).map(|(_, message)| message)
    };
    let cases = [
        ("main", 3, "True", Some("Pod n/p has condition DisruptionTarget matching Ignore rule at index 0")),
        ("main", 3, "False", Some("Container main for pod n/p failed with exit code 3 matching FailIndex rule at index 1")),
        ("init", 3, "False", Some("Container init for pod n/p failed with exit code 3 matching FailIndex rule at index 1")),
        ("init", 7, "False", Some("Container init for pod n/p failed with exit code 7 matching FailJob rule at index 2")),
        ("init", 4, "False", Some("Container init for pod n/p failed with exit code 4 matching Count rule at index 3")),
        ("main", 7, "False", None),
        ("main", 0, "False", None),
    ];
    for (container, code, disrupted, expected) in cases {
        assert_eq!(judged(container, code, disrupted).as_deref(), expected, "{container} {code} {disrupted}");
    }
}
