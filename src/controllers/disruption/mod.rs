//! PodDisruptionBudgets: how many pods may be disrupted now.
//! Source: pkg/controller/disruption/disruption.go.

mod expected;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::conditions::{after, field, get, list, stamp, time, whole};
use super::pods::PodView;
use super::resources::{BUDGETS, PODS, dig, int, key_of, sides};
use super::selection::{self, matches};
use super::{Context, Controller, Decision};
use crate::api::{Json, Key, Object};
use crate::state::{Change, State};

const COMPONENT: &str = "controllermanager";
/// A pod that was evicted counts as gone so long, even while it is not deleted. Source: DeletionTimeout.
const DELETION_SECONDS: i64 = 120;
/// So long a pod keeps the mark of a disruption that does not come. Source: stalePodDisruptionTimeout.
const STALE_SECONDS: i64 = 120;

/// Keeps the budgets' statuses, and takes marks of disruptions off that never came.
pub(super) struct DisruptionController;

fn selects(budget: &Object, pod: &Object) -> bool {
    matches(dig(budget.json(), &["spec", "selector"]), dig(pod.json(), &["metadata", "labels"]))
}

/// Evicted pods that are not deleted yet, by name, and when the first of them will have been too long so.
struct Disrupted {
    pods: BTreeMap<String, Json>,
    recheck_at: Option<Timestamp>,
}

impl Disrupted {
    fn of(budget: &Object, pods: &[PodView<'_>], now: Timestamp, decision: &mut Decision) -> Self {
        let mut disrupted = Disrupted { pods: BTreeMap::new(), recheck_at: None };
        for pod in pods.iter().filter(|pod| !pod.is_deleting()) {
            let told = dig(budget.json(), &["status", "disruptedPods", pod.name()]);
            let Some(due_at) = time(told).map(|at| after(at, DELETION_SECONDS)) else { continue };
            if due_at < now {
                // The name that stands for the budget's is its namespace's, in Kubernetes too.
                let space = budget.namespace();
                let message = format!("Pod was expected by PDB {space}/{space} to be deleted but it wasn't");
                decision.warning(COMPONENT, pod, "NotDeleted", message);
            } else {
                disrupted.recheck_at = Some(disrupted.recheck_at.map_or(due_at, |at| at.min(due_at)));
                disrupted.pods.insert(pod.name().to_owned(), told.clone());
            }
        }
        disrupted
    }
}

/// Replaces the one condition of a budget. Source: pkg/controller/disruption + apimachinery's SetStatusCondition.
fn with_condition(conditions: &mut Vec<Json>, status: &str, reason: &str, message: &str, generation: i64, now: Timestamp) {
    let told = get(conditions, "DisruptionAllowed");
    let since = told.filter(|c| field(Some(c), "status") == status).map(|c| c["lastTransitionTime"].clone());
    let fresh = json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": since.unwrap_or_else(|| stamp(now)),
    });
    match conditions.iter_mut().find(|c| field(Some(c), "type") == "DisruptionAllowed") {
        Some(told) => *told = fresh,
        None => conditions.push(fresh),
    }
}

impl DisruptionController {
    fn sync(state: &State, budget: &Object, now: Timestamp) -> Decision {
        let mut decision = Decision::none();
        let selector = selection::of(dig(budget.json(), &["spec", "selector"]));
        let pods = state.in_namespace(&PODS, budget.namespace()).map(PodView::of);
        let pods: Vec<PodView<'_>> = pods.filter(|pod| pod.is_selected_by(&selector)).collect();
        if pods.is_empty() {
            decision.normal(COMPONENT, budget, "NoPods", "No matching pods found".into());
        }
        match expected::of(state, budget, &pods) {
            Ok(expected) => Self::tell(budget, &pods, &expected, now, &mut decision),
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                decision.warning(COMPONENT, budget, "CalculateExpectedPodCountFailed", message);
                let mut status = dig(budget.json(), &["status"]).clone();
                status["disruptionsAllowed"] = json!(0);
                let mut conditions = list(budget);
                let generation = int(budget, &["status", "observedGeneration"]);
                with_condition(&mut conditions, "False", "SyncFailed", &why, generation, now);
                status["conditions"] = json!(conditions);
                write(budget, status, &mut decision);
            }
        }
        decision
    }

    fn tell(
        budget: &Object,
        pods: &[PodView<'_>],
        expected: &expected::Expected,
        now: Timestamp,
        decision: &mut Decision,
    ) {
        if expected.some_are_unmanaged {
            let selector = expected::shown(dig(budget.json(), &["spec", "selector"]));
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the \
                 status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for \
                 these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
            );
            decision.warning(COMPONENT, budget, "UnmanagedPods", message);
        }
        let disrupted = Disrupted::of(budget, pods, now, decision);
        let is_healthy = |pod: &&PodView<'_>| {
            !pod.is_deleting() && !disrupted.pods.contains_key(pod.name()) && pod.is_ready()
        };
        let healthy = i64::try_from(pods.iter().filter(is_healthy).count()).unwrap_or(i64::MAX);
        let spare = healthy - expected.healthy;
        // A budget whose first pods are about to come allows none.
        let allowed = if expected.pods <= 0 { 0 } else { spare.max(0) };
        let mut conditions = list(budget);
        let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        with_condition(&mut conditions, status, reason, "", budget.generation(), now);
        let mut fresh = json!({
            "observedGeneration": budget.generation(), "disruptionsAllowed": allowed, "currentHealthy": healthy,
            "desiredHealthy": expected.healthy, "expectedPods": expected.pods, "conditions": conditions,
        });
        if !disrupted.pods.is_empty() {
            fresh["disruptedPods"] = json!(disrupted.pods);
        }
        write(budget, fresh, decision);
        if let Some(at) = disrupted.recheck_at {
            decision.wake(after(at, 1));
        }
    }

    /// Takes the mark off a pod that nobody has deleted for two minutes.
    fn clean(pod: &PodView<'_>, now: Timestamp) -> Decision {
        let mut decision = Decision::none();
        let Some(marked_at) = marked_at(pod) else { return decision };
        let due_at = after(marked_at, STALE_SECONDS);
        if due_at > now {
            decision.wake(due_at);
            return decision;
        }
        let mut object = pod.object.as_ref().clone();
        let conditions = object.json_mut()["status"]["conditions"].as_array_mut();
        for condition in conditions.into_iter().flatten().filter(|c| field(Some(c), "type") == "DisruptionTarget") {
            *condition = json!({"type": "DisruptionTarget", "status": "False", "lastTransitionTime": stamp(whole(now))});
        }
        decision.update_status(object);
        decision
    }
}

/// Since when a pod is marked to be disrupted. The node's own mark stays, and that of a pod that has ended.
fn marked_at(pod: &PodView<'_>) -> Option<Timestamp> {
    let mark = pod.condition("DisruptionTarget").filter(|c| c.status == "True")?;
    if pod.is_deleting() || pod.has_ended() || mark.reason.as_deref() == Some("TerminationByKubelet") {
        return None;
    }
    mark.last_transition_time.as_ref().map(|at| at.0)
}

fn write(budget: &Object, status: Json, decision: &mut Decision) {
    if *dig(budget.json(), &["status"]) != status {
        let mut object = budget.clone();
        object.json_mut()["status"] = status;
        decision.update_status(object);
    }
}

impl Controller for DisruptionController {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *BUDGETS {
            return vec![change.key.clone()];
        }
        if change.key.resource != *PODS {
            return Vec::new();
        }
        let budgets = state.in_namespace(&BUDGETS, &change.key.namespace);
        let fitting = budgets.filter(|budget| sides(change).any(|pod| selects(budget, pod)));
        let mut keys: Vec<Key> = fitting.map(|budget| key_of(&BUDGETS, budget)).collect();
        if change.after.as_ref().map(PodView::of).as_ref().and_then(marked_at).is_some() {
            keys.push(change.key.clone());
        }
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let Some(object) = state.get(key) else { return Decision::none() };
        if key.resource == *PODS {
            return Self::clean(&PodView::of(object), context.now);
        }
        Self::sync(state, object, context.now)
    }
}

#[cfg(test)]
mod tests;
