//! What the status says. Source: pkg/controller/replicaset/replica_set_utils.go.

use jiff::Timestamp;
use serde_json::json;

use super::IS_FULLY_LABELED;
use crate::api::{Json, Object};
use crate::controllers::conditions;
use crate::controllers::pods::PodView;
use crate::controllers::resources::{dig, int, without_zeros};

/// The set with the status that these pods give it, when that differs; failures are over.
pub(super) fn updated(set: &Object, pods: &[PodView<'_>], now: Timestamp) -> Option<Object> {
    let mut conditions = conditions::list(set);
    conditions::remove(&mut conditions, "ReplicaFailure");
    with_status(set, pods, conditions, now)
}

/// The same after a write was refused; a failure that is already told stays as it was told first.
pub(super) fn failed(set: &Object, pods: &[PodView<'_>], failure: Json, now: Timestamp) -> Option<Object> {
    let mut conditions = conditions::list(set);
    if conditions::get(&conditions, "ReplicaFailure").is_none() {
        conditions.push(failure);
    }
    with_status(set, pods, conditions, now)
}

fn with_status(set: &Object, pods: &[PodView<'_>], conditions: Vec<Json>, now: Timestamp) -> Option<Object> {
    let min_ready = int(set, &["spec", "minReadySeconds"]);
    let count = |test: &dyn Fn(&PodView<'_>) -> bool| pods.iter().filter(|pod| test(pod)).count();
    let mut status = without_zeros(&json!({
        "fullyLabeledReplicas": count(&|pod| pod.answer(IS_FULLY_LABELED)),
        "readyReplicas": count(&|pod| pod.is_ready()),
        "availableReplicas": count(&|pod| pod.is_available(min_ready, now)),
        "observedGeneration": set.generation(),
        "conditions": conditions,
    }));
    status["replicas"] = json!(pods.len());
    let current = dig(set.json(), &["status"]);
    if without_zeros(current) == without_zeros(&status) {
        return None;
    }
    let mut updated = set.clone();
    updated.json_mut()["status"] = status;
    Some(updated)
}
