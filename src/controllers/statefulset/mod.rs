//! StatefulSets: pods with names of their own, one after the other.
//! Source of the rules: pkg/controller/statefulset/stateful_set_control.go.

mod claims;
mod identity;
mod retention;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::ownership::{claim, controller_key};
use super::resources::{CLAIMS, CONTROLLER_REVISIONS, PODS, STATEFUL_SETS, dig, is_terminating_namespace, key_of, sides};
use super::selection::{self, selects};
use super::{Context, Controller, Decision, Write};
use crate::api::{Key, Object, Status};
use crate::state::{Change, State};

/// As events name it.
const COMPONENT: &str = "statefulset-controller";

fn fits(set: &Object, object: &Object) -> bool {
    selects(dig(set.json(), &["spec", "selector"]), object)
}

/// The controller of StatefulSets.
pub(super) struct StatefulSetController;

impl StatefulSetController {
    fn look(state: &State, key: &Key, context: &Context<'_>, creates: bool) -> Decision {
        let mut decision = Decision::none();
        let Some(set) = state.get(key) else { return decision };
        let selector = selection::of(dig(set.json(), &["spec", "selector"]));
        let revision = |object: &Arc<Object>, _: Option<&_>| Some(object.clone());
        let revisions =
            claim(state, set, &CONTROLLER_REVISIONS, revision, |found| selector.matches(found), &mut decision);
        let Some(mut sync) = sync::Sync::new(state, set, revisions, context.now) else { return decision };
        sync.claim_pods(&selector, &mut decision);
        if decision.is_empty() { sync.run(creates) } else { decision }
    }
}

impl Controller for StatefulSetController {
    fn name(&self) -> &'static str {
        COMPONENT
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *STATEFUL_SETS {
            return vec![change.key.clone()];
        }
        let mut keys = Vec::new();
        if change.key.resource == *PODS {
            for pod in sides(change) {
                if pod.controller_ref().is_some() {
                    keys.extend(controller_key(state, pod, "StatefulSet", &STATEFUL_SETS));
                } else {
                    let sets = state.in_namespace(&STATEFUL_SETS, pod.namespace());
                    keys.extend(sets.filter(|set| fits(set, pod)).map(|set| key_of(&STATEFUL_SETS, set)));
                }
            }
        }
        if change.key.resource == *CLAIMS && change.after.is_none() {
            let sets = state.in_namespace(&STATEFUL_SETS, &change.key.namespace);
            let waiting = sets.filter(|set| identity::could_claim(set, &change.key.name));
            keys.extend(waiting.map(|set| key_of(&STATEFUL_SETS, set)));
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        Self::look(state, key, context, true)
    }

    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, context: &mut Context<'_>) -> Decision {
        let mut told = Decision::none();
        let Some(set) = state.get(key) else { return told };
        let (verb, about) = match write {
            Write::Create { object } if why.reason != "AlreadyExists" && !is_terminating_namespace(why) => {
                ("Create", object.clone())
            }
            Write::Delete { key, .. } if why.code != 404 => match state.get(key) {
                Some(object) => ("Delete", object.as_ref().clone()),
                None => return told,
            },
            Write::Patch { key, .. } if key.resource == *PODS => match state.get(key) {
                Some(object) => ("Update", object.as_ref().clone()),
                None => return told,
            },
            Write::Create { .. }
            | Write::Delete { .. }
            | Write::Patch { .. }
            | Write::Update { .. }
            | Write::UpdateStatus { .. }
            | Write::Finalize { .. }
            | Write::Event(_) => return told,
        };
        let verb_in_text = verb.to_lowercase();
        let what = match about.kind() {
            "PersistentVolumeClaim" => format!("Claim {} Pod {}", about.name(), pod_of_claim(set, about.name())),
            kind => format!("{kind} {}", about.name()),
        };
        let message = format!("{verb_in_text} {what} in StatefulSet {} failed error: {}", set.name(), why.message);
        told.warning(COMPONENT, set, &format!("Failed{verb}"), message);
        if verb == "Create" {
            let counted = Self::look(state, key, context, false);
            told.writes.extend(counted.writes);
            told.wake_at = counted.wake_at;
        }
        told
    }
}

/// The name of the pod that a claim is made for.
fn pod_of_claim<'n>(set: &Object, claim: &'n str) -> &'n str {
    claim.rfind(&format!("-{}-", set.name())).map_or(claim, |at| &claim[at + 1..])
}
