//! DaemonSets: one pod on each node that fits. Source of the rules: pkg/controller/daemon/daemon_controller.go.

mod placement;
mod revisions;
mod rolling;
mod sync;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::ownership::{claim, controller_key};
use super::pods::{PodView, Questions};
use super::resources::{CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, dig, is_terminating_namespace, key_of, sides};
use super::selection::{self, is_empty, selects};
use super::{Context, Controller, Decision, Write};
use crate::api::{Key, Object, Status};
use crate::state::{Change, State};

/// As events name it.
const COMPONENT: &str = "daemonset-controller";
/// Pauses before a failed pod is deleted again. Source: cmd/kube-controller-manager/app/apps.go.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);

fn fits(set: &Object, object: &Object) -> bool {
    let selector = dig(set.json(), &["spec", "selector"]);
    !is_empty(selector) && selects(selector, object)
}

/// When failed pods of a set were deleted on a node, and how long the next one waits.
#[derive(Default)]
struct Pauses(HashMap<String, (Timestamp, SignedDuration)>);

impl Pauses {
    /// Until when a failed pod has to wait; `None` where it may go now.
    fn until(&self, key: &str, now: Timestamp) -> Option<Timestamp> {
        let (at, pause) = self.0.get(key)?;
        let end = at.checked_add(*pause).unwrap_or(Timestamp::MAX);
        (now < end).then_some(end)
    }

    fn note(&mut self, key: &str, now: Timestamp) {
        let is_old = |at: &Timestamp| now.duration_since(*at) > LONGEST_PAUSE * 2;
        let next = match self.0.get(key) {
            Some((at, pause)) if !is_old(at) => (*pause * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.0.retain(|_, (at, _)| !is_old(at));
        self.0.insert(key.to_owned(), (now, next));
    }
}

/// The controller of DaemonSets.
#[derive(Default)]
pub(super) struct DaemonSetController {
    /// Only how fast failed pods are replaced depends on it.
    pauses: Mutex<Pauses>,
}

impl DaemonSetController {
    fn look(&self, state: &State, key: &Key, context: &mut Context<'_>, creates: bool) -> Decision {
        let mut decision = Decision::none();
        let Some(set) = state.get(key).filter(|set| !set.is_deleting()) else { return decision };
        let selector = dig(set.json(), &["spec", "selector"]);
        if is_empty(selector) {
            return decision;
        }
        let selector = selection::of(selector);
        let revisions =
            claim(state, set, &CONTROLLER_REVISIONS, |object, _| Some(object.clone()), |o| selector.matches(o), &mut decision);
        let questions = Questions::new(&[&selector], |pod| [pod.is_selected_by(&selector)]);
        let pods = |pod, owned| Some(questions.seen(pod, owned));
        let pods = claim(state, set, &PODS, pods, PodView::is_owners, &mut decision);
        if !decision.is_empty() {
            return decision;
        }
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        sync::Sync::new(state, set, pods, context.now).run(revisions, &mut pauses, creates.then_some(context.random))
    }
}

/// What of a node decides where pods go.
fn node_changed(change: &Change) -> bool {
    let Some((before, after)) = change.before.as_ref().zip(change.after.as_ref()) else { return true };
    let paths: [&[&str]; 3] = [&["metadata", "labels"], &["spec", "taints"], &["spec", "unschedulable"]];
    paths.iter().any(|path| dig(before.json(), path) != dig(after.json(), path))
}

impl Controller for DaemonSetController {
    fn name(&self) -> &'static str {
        "daemon-set-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *DAEMON_SETS {
            return vec![change.key.clone()];
        }
        let mut keys = Vec::new();
        if change.key.resource == *NODES && node_changed(change) {
            keys.extend(state.all(&DAEMON_SETS).map(|set| key_of(&DAEMON_SETS, set)));
        }
        if change.key.resource == *PODS || change.key.resource == *CONTROLLER_REVISIONS {
            for object in sides(change) {
                if object.controller_ref().is_some() {
                    keys.extend(controller_key(state, object, "DaemonSet", &DAEMON_SETS));
                } else {
                    let sets = state.in_namespace(&DAEMON_SETS, object.namespace());
                    keys.extend(sets.filter(|set| fits(set, object)).map(|set| key_of(&DAEMON_SETS, set)));
                }
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        self.look(state, key, context, true)
    }

    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, context: &mut Context<'_>) -> Decision {
        let mut told = Decision::none();
        let Some(set) = state.get(key) else { return told };
        match write {
            Write::Create { object } if object.kind() == "Pod" => {
                if !is_terminating_namespace(why) {
                    told.warning(COMPONENT, set, "FailedCreate", format!("Error creating: {}", why.message));
                }
                let counted = self.look(state, key, context, false);
                told.writes.extend(counted.writes);
                told.wake_at = counted.wake_at;
            }
            Write::Delete { .. } if why.code != 404 => {
                told.warning(COMPONENT, set, "FailedDelete", format!("Error deleting: {}", why.message));
            }
            Write::Create { .. }
            | Write::Delete { .. }
            | Write::Patch { .. }
            | Write::Update { .. }
            | Write::UpdateStatus { .. }
            | Write::Finalize { .. }
            | Write::Event(_) => (),
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_fails_again_and_again_waits_longer_each_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut pauses = Pauses::default();
        assert_eq!(pauses.until("n", at(0)), None);
        pauses.note("n", at(0));
        assert_eq!((pauses.until("n", at(0)), pauses.until("n", at(1))), (Some(at(1)), None));
        pauses.note("n", at(1));
        assert_eq!((pauses.until("n", at(2)), pauses.until("n", at(3))), (Some(at(3)), None));
        pauses.note("n", at(4000));
        assert_eq!(pauses.until("n", at(4000)), Some(at(4001)));
    }
}
