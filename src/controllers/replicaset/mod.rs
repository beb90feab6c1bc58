//! ReplicaSet and ReplicationController: as many active pods as wanted.
//! Source of the rules: pkg/controller/replicaset/replica_set.go.

mod status;
mod victims;

use std::sync::Arc;

use super::ownership::{claim, controller_key};
use super::pods::{PodView, Questions, from_template, next_available_at};
use super::resources::{PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, dig, int, is_terminating_namespace, key_of, sides};
use super::selection::{self, contains, is_empty, matches};
use super::{Context, Controller, Decision, Write, conditions};
use crate::api::selector::LabelSelector;
use crate::api::{GroupResource, Json, Key, Object, Status};
use crate::state::{Change, State};

/// Of what is asked of a pod: whether it has all labels of the template.
const IS_FULLY_LABELED: usize = 1;
/// Most pods made or deleted in one look. Source: BurstReplicas.
const BURST: usize = 500;

/// Which of the two kinds; they differ in names and in the form of the selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    ReplicaSet,
    ReplicationController,
}

impl Flavor {
    fn resource(self) -> &'static GroupResource {
        match self {
            Flavor::ReplicaSet => &REPLICA_SETS,
            Flavor::ReplicationController => &REPLICATION_CONTROLLERS,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Flavor::ReplicaSet => "ReplicaSet",
            Flavor::ReplicationController => "ReplicationController",
        }
    }

    fn component(self) -> &'static str {
        match self {
            Flavor::ReplicaSet => "replicaset-controller",
            Flavor::ReplicationController => "replication-controller",
        }
    }

    fn selects(self, set: &Object, labels: &Json) -> bool {
        let selector = dig(set.json(), &["spec", "selector"]);
        match self {
            Flavor::ReplicaSet => !is_empty(selector) && matches(selector, labels),
            Flavor::ReplicationController => {
                selector.as_object().is_some_and(|map| !map.is_empty()) && contains(labels, selector)
            }
        }
    }

    /// The same for many pods: whom a set selects; one that is empty selects nothing.
    fn selector(self, set: &Object) -> LabelSelector {
        let selector = dig(set.json(), &["spec", "selector"]);
        let selector = match self {
            Flavor::ReplicaSet => selection::of(selector),
            Flavor::ReplicationController => LabelSelector::of_map(Some(selector)),
        };
        if selector.is_everything() { LabelSelector::nothing() } else { selector }
    }
}

/// The controller of one of the two kinds.
pub(super) struct ReplicaSetController {
    flavor: Flavor,
}

impl ReplicaSetController {
    pub fn new(flavor: Flavor) -> Self {
        ReplicaSetController { flavor }
    }

    fn wanted(set: &Object) -> usize {
        usize::try_from(dig(set.json(), &["spec", "replicas"]).as_i64().unwrap_or(1)).unwrap_or(0)
    }

    /// The active pods of the set, orphans that it takes in among them.
    fn active_pods<'s>(&self, state: &'s State, set: &Object, decision: &mut Decision) -> Vec<PodView<'s>> {
        let selector = self.flavor.selector(set);
        let template = dig(set.json(), &["spec", "template", "metadata", "labels"]);
        let labels = LabelSelector::of_map(Some(template));
        let questions = Questions::new(&[&selector, template], |pod| {
            [pod.is_selected_by(&selector), pod.is_selected_by(&labels)]
        });
        let active = |pod, owned| Some(questions.seen(pod, owned)).filter(PodView::is_active);
        claim(state, set, &PODS, active, PodView::is_owners, decision)
    }

    fn manage(&self, state: &State, set: &Arc<Object>, pods: &[PodView<'_>], context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let wanted = Self::wanted(set);
        for _ in 0..wanted.saturating_sub(pods.len()).min(BURST) {
            let pod = from_template(set, dig(set.json(), &["spec", "template"]), context.random);
            let message = format!("Created pod: {}", pod.name());
            decision.create(pod);
            decision.normal(self.flavor.component(), set, "SuccessfulCreate", message);
        }
        let surplus = pods.len().saturating_sub(wanted).min(BURST);
        for pod in victims::choose(state, set, pods, surplus) {
            decision.delete(key_of(&PODS, &pod), &pod);
            let message = format!("Deleted pod: {}", pod.name());
            decision.normal(self.flavor.component(), set, "SuccessfulDelete", message);
        }
        decision
    }
}

impl Controller for ReplicaSetController {
    fn name(&self) -> &'static str {
        self.flavor.component()
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let resource = self.flavor.resource();
        if change.key.resource == *resource {
            return vec![change.key.clone()];
        }
        if change.key.resource != *PODS {
            return Vec::new();
        }
        let mut keys = Vec::new();
        for pod in sides(change) {
            if pod.controller_ref().is_some() {
                keys.extend(controller_key(state, pod, self.flavor.kind(), resource));
            } else {
                let labels = dig(pod.json(), &["metadata", "labels"]);
                let sets = state.in_namespace(resource, pod.namespace());
                keys.extend(sets.filter(|s| self.flavor.selects(s, labels)).map(|s| key_of(resource, s)));
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let Some(set) = state.get(key) else { return Decision::none() };
        let mut decision = Decision::none();
        let pods = self.active_pods(state, set, &mut decision);
        if !decision.is_empty() {
            return decision;
        }
        if !set.is_deleting() {
            decision = self.manage(state, set, &pods, context);
        }
        if decision.is_empty()
            && let Some(updated) = status::updated(set, &pods, context.now)
        {
            decision.update_status(updated);
        }
        if let Some(at) = next_available_at(&pods, int(set, &["spec", "minReadySeconds"]), context.now) {
            decision.wake(at);
        }
        decision
    }

    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let Some(set) = state.get(key) else { return decision };
        let (reason, message) = match write {
            Write::Create { .. } if !is_terminating_namespace(why) => {
                ("FailedCreate", format!("Error creating: {}", why.message))
            }
            Write::Delete { .. } if why.code != 404 => ("FailedDelete", format!("Error deleting: {}", why.message)),
            Write::Create { .. }
            | Write::Delete { .. }
            | Write::Update { .. }
            | Write::UpdateStatus { .. }
            | Write::Finalize { .. }
            | Write::Patch { .. }
            | Write::Event(_) => return decision,
        };
        decision.warning(self.flavor.component(), set, reason, message);
        let pods = self.active_pods(state, set, &mut Decision::none());
        let failure = conditions::new("ReplicaFailure", "True", reason, &why.message, context.now);
        if let Some(updated) = status::failed(set, &pods, failure, context.now) {
            decision.update_status(updated);
        }
        decision
    }
}
