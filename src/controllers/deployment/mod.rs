//! Deployments: which ReplicaSet is the current one, and how many pods each of them may have.
//! Source of the rules: pkg/controller/deployment.

mod limits;
mod recreate;
mod revisions;
mod rollback;
mod rolling;
mod scale;
mod sets;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use self::sets::{Set, Sets};
use super::ownership::{claim, controller_key};
use super::resources::{DEPLOYMENTS, PODS, REPLICA_SETS, dig, int, is_terminating_namespace, key_of, sides, text};
use super::selection::{self, is_empty, selects};
use super::{Context, Controller, Decision, Write, conditions};
use crate::api::{Json, Key, Object, Status};
use crate::state::{Change, State};

/// Whose events these are.
const COMPONENT: &str = "deployment-controller";

/// The Deployment controller.
pub(super) struct DeploymentController;

/// The look is over: what was written has to be committed before the next step is decided.
struct Done;

type Step<T = ()> = Result<T, Done>;

/// One look at one Deployment.
struct Look<'a> {
    state: &'a State,
    /// With the conditions and annotations that this look has given it so far.
    deployment: Object,
    sets: Vec<Arc<Object>>,
    decision: Decision,
    now: Timestamp,
}

impl Look<'_> {
    fn wanted(&self) -> i64 {
        dig(self.deployment.json(), &["spec", "replicas"]).as_i64().unwrap_or(1)
    }

    fn name(&self) -> &str {
        self.deployment.name()
    }

    fn is_rolling(&self) -> bool {
        text(&self.deployment, &["spec", "strategy", "type"]) != "Recreate"
    }

    fn is_paused(&self) -> bool {
        dig(self.deployment.json(), &["spec", "paused"]) == true
    }

    /// Writes the Deployment's status as this look has it, and ends the look.
    fn write_status<T>(&mut self) -> Step<T> {
        self.decision.update_status(self.deployment.clone());
        Err(Done)
    }

    fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let mut list = conditions::list(&self.deployment);
        conditions::set_last(&mut list, status::condition(kind, status, reason, message, self.now));
        status::put(&mut self.deployment, "conditions", Json::Array(list));
    }

    fn run(&mut self) -> Step {
        if is_empty(dig(self.deployment.json(), &["spec", "selector"])) {
            return self.refuse_to_select_all();
        }
        if self.deployment.is_deleting() {
            let sets = self.current_sets()?;
            return self.sync_status(&sets);
        }
        self.check_paused()?;
        if self.is_paused() {
            let sets = self.current_sets()?;
            return self.sync(sets);
        }
        if let Some(revision) = rollback::wanted(&self.deployment) {
            return self.roll_back(revision);
        }
        let sets = self.current_sets()?;
        if self.is_scaling(&sets) {
            return self.sync(sets);
        }
        if self.is_rolling() { self.roll(sets) } else { self.recreate(sets) }
    }

    fn refuse_to_select_all(&mut self) -> Step {
        if int(&self.deployment, &["status", "observedGeneration"]) >= self.deployment.generation() {
            return Ok(());
        }
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.decision.warning(COMPONENT, &self.deployment, "SelectingAll", message.into());
        let generation = json!(self.deployment.generation());
        status::put(&mut self.deployment, "observedGeneration", generation);
        self.write_status()
    }

    /// Says in the Progressing condition that the Deployment was paused or resumed, so that paused time
    /// does not count against the progress deadline.
    fn check_paused(&mut self) -> Step {
        if limits::progress_deadline(&self.deployment).is_none() {
            return Ok(());
        }
        let list = conditions::list(&self.deployment);
        let reason = conditions::field(conditions::get(&list, "Progressing"), "reason");
        let told = reason == "DeploymentPaused";
        if reason == "ProgressDeadlineExceeded" || told == self.is_paused() {
            return Ok(());
        }
        if told {
            self.set_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
        } else {
            self.set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
        }
        self.write_status()
    }

    /// Whether the Deployment's size was changed since its ReplicaSets were last sized.
    fn is_scaling(&self, sets: &Sets) -> bool {
        sets.all().filter(|s| s.replicas() > 0).filter_map(Set::desired).any(|d| d != self.wanted())
    }

    /// Brings the sizes in line without rolling anything out.
    fn sync(&mut self, mut sets: Sets) -> Step {
        self.scale(&mut sets);
        if self.is_paused() && rollback::wanted(&self.deployment).is_none() {
            self.clean_up(&sets);
        }
        self.sync_status(&sets)
    }
}

impl Controller for DeploymentController {
    fn name(&self) -> &'static str {
        COMPONENT
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let mut keys = Vec::new();
        if change.key.resource == *DEPLOYMENTS {
            keys.push(change.key.clone());
        } else if change.key.resource == *REPLICA_SETS {
            for set in sides(change) {
                keys.extend(of_set(state, set));
            }
        } else if change.key.resource == *PODS {
            keys.extend(sides(change).filter_map(|pod| recreated_with(state, pod)));
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let Some(deployment) = state.get(key) else { return Decision::none() };
        let mut decision = Decision::none();
        let selector = dig(deployment.json(), &["spec", "selector"]);
        let mut sets = Vec::new();
        if !is_empty(selector) {
            let selector = selection::of(selector);
            let seen = |set: &Arc<Object>, _: Option<&_>| Some(set.clone());
            sets = claim(state, deployment, &REPLICA_SETS, seen, |set| selector.matches(set), &mut decision);
        }
        if !decision.is_empty() {
            return decision;
        }
        let mut look =
            Look { state, deployment: deployment.as_ref().clone(), sets, decision, now: context.now };
        let _ = look.run();
        look.decision
    }

    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, context: &mut Context<'_>) -> Decision {
        let (Some(deployment), Write::Create { object }) = (state.get(key), write) else { return Decision::none() };
        if why.reason == "AlreadyExists" || is_terminating_namespace(why) {
            return Decision::none();
        }
        let mut look = Look {
            state,
            deployment: deployment.as_ref().clone(),
            sets: Vec::new(),
            decision: Decision::none(),
            now: context.now,
        };
        let message = format!("Failed to create new replica set \"{}\": {}", object.name(), why.message);
        look.decision.warning(COMPONENT, deployment, "ReplicaSetCreateError", message.clone());
        if limits::progress_deadline(deployment).is_some() {
            let before = conditions::list(deployment);
            look.set_condition("Progressing", "False", "ReplicaSetCreateError", &message);
            if conditions::list(&look.deployment) != before {
                let _ = look.write_status::<()>();
            }
        }
        look.decision
    }
}

/// The Deployments that a ReplicaSet concerns: its owner, or those that could take it in.
fn of_set(state: &State, set: &Object) -> Vec<Key> {
    if set.controller_ref().is_some() {
        return controller_key(state, set, "Deployment", &DEPLOYMENTS).into_iter().collect();
    }
    let deployments = state.in_namespace(&DEPLOYMENTS, set.namespace());
    let fitting = deployments.filter(|d| {
        let selector = dig(d.json(), &["spec", "selector"]);
        !is_empty(selector) && selects(selector, set)
    });
    fitting.map(|d| key_of(&DEPLOYMENTS, d)).collect()
}

/// The Deployment that waits for its last old pod to be gone before it makes new ones.
fn recreated_with(state: &State, pod: &Object) -> Option<Key> {
    let set = controller_key(state, pod, "ReplicaSet", &REPLICA_SETS)?;
    let key = controller_key(state, state.get(&set)?, "Deployment", &DEPLOYMENTS)?;
    (text(state.get(&key)?, &["spec", "strategy", "type"]) == "Recreate").then_some(key)
}
