//! What controllers say of a write that is refused.

use serde_json::json;

use super::resources::{CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, JOBS, PODS, REPLICA_SETS, STATEFUL_SETS, key_of};
use super::testing::NoDice;
use super::*;
use crate::api::GroupResource;

fn owner(state: &mut State, resource: &GroupResource, kind: &str) -> Key {
    let object = Object::new(json!({
        "apiVersion": "x/v1", "kind": kind, "metadata": {"name": "web", "namespace": "n", "uid": "web"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "parallelism": 1, "completions": 1, "backoffLimit": 6,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}, "schedule": "@daily",
        },
    }));
    let key = key_of(resource, &object);
    state.put(key.clone(), object);
    key
}

/// A controller, whom it serves, what it makes, and what it says of what is refused: to make one, one whose name is taken, to delete one.
type Case<'c> = (&'c dyn Controller, &'c GroupResource, &'c str, &'c str, [Option<&'c str>; 3]);

fn told(decision: &Decision) -> Vec<String> {
    let warning = |write: &Write| match write {
        Write::Event(note) => Some(format!("{:?} {}: {}", note.kind, note.reason, note.message)),
        _ => None,
    };
    decision.writes.iter().filter_map(warning).collect()
}

#[test]
fn who_may_not_make_or_delete_says_so_but_where_that_is_no_news() {
    let made = |kind: &str| Write::Create {
        object: Object::new(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "web-0", "namespace": "n"}})),
    };
    let pod = Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "n", "uid": "web-0"}}));
    let deleted =
        Write::Delete { key: key_of(&PODS, &pod), uid: None, propagation: None, grace_seconds: None };
    let forbidden = Status::new(403, "Forbidden", "no");
    let leaving = Status::new(403, "Forbidden", "no").with_details(json!({"causes": [{"reason": "NamespaceTerminating"}]}));
    let there = Status::new(409, "AlreadyExists", "no");
    let gone = Status::new(404, "NotFound", "no");
    let replica_sets = replicaset::ReplicaSetController::new(replicaset::Flavor::ReplicaSet);
    let create = "Warning FailedCreate: Error creating: no";
    let delete = "Warning FailedDelete: Error deleting: no";
    let cases: [Case<'_>; 6] = [
        (
            &deployment::DeploymentController, &DEPLOYMENTS, "Deployment", "ReplicaSet",
            [Some("Warning ReplicaSetCreateError: Failed to create new replica set \"web-0\": no"), None, None],
        ),
        (&replica_sets, &REPLICA_SETS, "ReplicaSet", "Pod", [Some(create), Some(create), Some(delete)]),
        (
            &statefulset::StatefulSetController, &STATEFUL_SETS, "StatefulSet", "Pod",
            [
                Some("Warning FailedCreate: create Pod web-0 in StatefulSet web failed error: no"), None,
                Some("Warning FailedDelete: delete Pod web-0 in StatefulSet web failed error: no"),
            ],
        ),
        (&daemonset::DaemonSetController::default(), &DAEMON_SETS, "DaemonSet", "Pod", [Some(create), Some(create), Some(delete)]),
        (&job::JobController::default(), &JOBS, "Job", "Pod", [Some(create), Some(create), Some(delete)]),
        (
            &cronjob::CronJobController::default(), &CRON_JOBS, "CronJob", "Job",
            [Some("Warning FailedCreate: Error creating job: no"), None, Some("Warning FailedDelete: Deleted job: no")],
        ),
    ];
    for (controller, resource, kind, makes, [of_create, of_taken, of_delete]) in cases {
        let mut state = State::new();
        let key = owner(&mut state, resource, kind);
        state.put(key_of(&PODS, &pod), pod.clone());
        let refused = |write: &Write, why: &Status| {
            let context = &mut Context { now: Timestamp::UNIX_EPOCH, random: &mut NoDice };
            told(&controller.refused(&state, &key, write, why, context))
        };
        let expected = |text: Option<&str>| text.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let create = made(makes);
        assert_eq!(refused(&create, &forbidden), expected(of_create), "{kind}");
        assert_eq!(refused(&create, &leaving), [""; 0], "{kind}: the namespace is leaving");
        assert_eq!(refused(&create, &there), expected(of_taken), "{kind}: the name is taken");
        assert_eq!(refused(&deleted, &forbidden), expected(of_delete), "{kind}");
        assert_eq!(refused(&deleted, &gone), [""; 0], "{kind}: it is gone already");
    }
}

#[test]
fn a_claim_that_cannot_be_made_is_told_with_the_pod_that_it_is_for() {
    let mut state = State::new();
    let key = owner(&mut state, &STATEFUL_SETS, "StatefulSet");
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-web-2", "namespace": "n"}});
    let create = Write::Create { object: Object::new(claim) };
    let context = &mut Context { now: Timestamp::UNIX_EPOCH, random: &mut NoDice };
    let why = Status::new(403, "Forbidden", "no");
    let decision = statefulset::StatefulSetController.refused(&state, &key, &create, &why, context);
    let expected = "Warning FailedCreate: create Claim data-web-2 Pod web-2 in StatefulSet web failed error: no";
    assert_eq!(told(&decision), [expected]);
}
