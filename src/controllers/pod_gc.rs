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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api::GroupResource;
    use crate::controllers::testing;

    fn put(state: &mut State, kind: &str, name: &str, node: &str, status: &str) -> Key {
        let namespace = if kind == "Pod" { "n" } else { "" };
        let object = Object::new(json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace, "uid": name},
            "spec": {"nodeName": node}, "status": {"phase": status},
        }));
        let key = key_of(if kind == "Pod" { &PODS } else { &NODES }, &object);
        state.put(key.clone(), object);
        key
    }

    /// What is done with a pod so many seconds after time began.
    fn done(collector: &PodGarbageCollector, state: &State, key: &Key, second: i64) -> Vec<String> {
        let at = Timestamp::from_second(second).expect("a time");
        let decision = testing::look_at(collector, state, key, at);
        let told = |write: &Write| match write {
            Write::UpdateStatus { object } => {
                format!("{} {}", text(object, &["status", "phase"]), object.json()["status"]["conditions"][0]["reason"])
            }
            Write::Delete { grace_seconds, uid, .. } => format!("delete {uid:?} {grace_seconds:?}"),
            other => format!("{other:?}"),
        };
        let wake = decision.wake_at.map(|at| format!("look at {}", at.as_second()));
        decision.writes.iter().map(told).chain(wake).collect()
    }

    #[test]
    fn pods_of_a_node_that_is_missing_for_forty_seconds_have_failed_and_go() {
        let (mut state, collector) = (State::new(), PodGarbageCollector::default());
        let running = put(&mut state, "Pod", "running", "gone", "Running");
        let over = put(&mut state, "Pod", "over", "gone", "Succeeded");
        let free = put(&mut state, "Pod", "free", "", "Pending");
        assert_eq!(done(&collector, &state, &running, 10), ["look at 50"]);
        assert_eq!(done(&collector, &state, &running, 49), ["look at 50"]);
        let deleted = |name: &str| format!("delete {:?} Some(0)", Some(name));
        assert_eq!(done(&collector, &state, &running, 50), ["Failed \"DeletionByPodGC\"".to_owned(), deleted("running")]);
        assert_eq!(done(&collector, &state, &over, 50), [deleted("over")]);
        assert_eq!(done(&collector, &state, &free, 50), [""; 0]);
    }

    #[test]
    fn a_node_that_comes_back_begins_anew_and_who_goes_already_is_left() {
        let (mut state, collector) = (State::new(), PodGarbageCollector::default());
        let pod = put(&mut state, "Pod", "a", "here", "Running");
        assert_eq!(done(&collector, &state, &pod, 0), ["look at 40"]);
        let node = put(&mut state, "Node", "here", "", "");
        assert_eq!(done(&collector, &state, &pod, 100), [""; 0]);
        state.remove(&node);
        assert_eq!(done(&collector, &state, &pod, 200), ["look at 240"]);
        let mut object = state.get(&pod).expect("the pod").as_ref().clone();
        object.json_mut()["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        state.put(pod.clone(), object);
        assert_eq!(done(&collector, &state, &pod, 300), [""; 0]);
    }

    #[test]
    fn nodes_that_come_or_go_wake_their_pods() {
        let mut state = State::new();
        let pod = put(&mut state, "Pod", "a", "here", "Running");
        put(&mut state, "Pod", "b", "elsewhere", "Running");
        let free = put(&mut state, "Pod", "c", "", "Pending");
        let node = put(&mut state, "Node", "here", "", "");
        let collector = PodGarbageCollector::default();
        let woken = |key: &Key, before: bool, after: bool| -> Vec<String> {
            let object = state.get(key).cloned();
            let side = |is: bool| object.clone().filter(|_| is);
            let change = Change { revision: 1, key: key.clone(), before: side(before), after: side(after) };
            collector.wakes(&state, &change).iter().map(|key| key.name.to_string()).collect()
        };
        assert_eq!(woken(&node, true, false), ["a"]);
        assert_eq!(woken(&node, false, true), ["a"]);
        assert_eq!(woken(&node, true, true), [""; 0]);
        assert_eq!(woken(&pod, true, true), ["a"]);
        assert_eq!(woken(&pod, true, false), [""; 0]);
        assert_eq!(woken(&free, false, true), [""; 0]);
        let secret = Key::new(GroupResource::new("", "secrets"), "n", "here");
        let change = Change { revision: 1, key: secret, before: None, after: Some(Arc::new(Object::new(json!({})))) };
        assert_eq!(collector.wakes(&state, &change), []);
    }
}
