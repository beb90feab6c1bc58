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
