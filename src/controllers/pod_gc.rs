//! Pods bound to a node that is not there: nobody runs them, so they go.
//! Source of the rules: pkg/controller/podgc/gc_controller.go (gcOrphaned, markFailedAndDeletePodWithCondition).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::conditions::{after, list, new, set_last};
use super::pods::PodView;
use super::resources::{NODES, PODS, key_of, text};
use super::{Context, Controller, Decision, Write};
use crate::api::{Key, Object};
use crate::state::{Change, State};

/// How long a node may be missing, which may have its object made anew. Source: quarantineTime.
const QUARANTINE_SECONDS: i64 = 40;

/// Deletes pods whose node has been missing for a while.
#[derive(Default)]
pub(super) struct PodGarbageCollector {
    /// Nodes that pods name and that are not there: since when that is known.
    missing: Mutex<HashMap<String, Timestamp>>,
}

impl PodGarbageCollector {
    fn missing_since(&self, node: &str, now: Timestamp) -> Timestamp {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner).entry(node.to_owned()).or_insert(now)
    }

    fn is_back(&self, node: &str) {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

impl Controller for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *PODS {
            let pod = change.after.as_ref().filter(|pod| !node_of(pod).is_empty());
            return pod.map(|_| change.key.clone()).into_iter().collect();
        }
        if change.key.resource != *NODES || change.after.is_some() == change.before.is_some() {
            return Vec::new();
        }
        let bound = state.all(&PODS).filter(|pod| node_of(pod) == &*change.key.name);
        bound.map(|pod| key_of(&PODS, pod)).collect()
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let Some(pod) = state.get(key).map(PodView::of) else { return decision };
        let goes = pod.i64_at("/metadata/deletionGracePeriodSeconds") == Some(0);
        if pod.node().is_empty() || goes {
            return decision;
        }
        if state.get(&Key::new(NODES.clone(), "", pod.node())).is_some() {
            self.is_back(pod.node());
            return decision;
        }
        let due = after(self.missing_since(pod.node(), context.now), QUARANTINE_SECONDS);
        if due > context.now {
            decision.wake(due);
            return decision;
        }
        if !pod.has_ended() {
            decision.update_status(failed(&pod, context.now));
        }
        let uid = Some(pod.uid().to_owned());
        decision.writes.push(Write::Delete { key: key.clone(), uid, propagation: None, grace_seconds: Some(0) });
        decision
    }
}

fn node_of(pod: &Object) -> &str {
    text(pod, &["spec", "nodeName"])
}

/// The pod as one that was disrupted: nobody can say how it ended.
fn failed(pod: &Object, now: Timestamp) -> Object {
    let mut conditions = list(pod);
    set_last(&mut conditions, new("DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists", now));
    let mut object = pod.clone();
    let status = &mut object.json_mut()["status"];
    status["phase"] = "Failed".into();
    status["conditions"] = conditions.into();
    object
}
