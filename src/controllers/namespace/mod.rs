//! The end of a namespace: what is in it goes, then it goes itself.
//! Source: pkg/controller/namespace/{namespace_controller.go,deletion/namespaced_resources_deleter.go}.

mod conditions;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::conditions::{after, time};
use super::resources::{NAMESPACES, PODS, dig, int, text};
use super::{Context, Controller, Decision, Propagation, Write};
use crate::api::{GroupResource, Json, Key, Object};
use crate::state::{Change, State};

/// The finalizer of the API server's own that this controller takes off.
const FINALIZER: &str = "kubernetes";
/// How long the manager lets what is under way arrive. Source: namespaceDeletionGracePeriod.
const GRACE: SignedDuration = SignedDuration::from_secs(5);
/// How long finalizers may take. Source: finalizerEstimateSeconds.
const FINALIZER_SECONDS: i64 = 15;

/// Empties namespaces that are being deleted.
pub(super) struct NamespaceController {
    /// With Kubernetes' pause before each look: until when a namespace is left alone, by uid.
    pauses: Option<Mutex<HashMap<String, Timestamp>>>,
}

impl NamespaceController {
    /// Looks when Kubernetes' does: five seconds after each change of the namespace.
    pub fn new() -> Self {
        NamespaceController { pauses: Some(Mutex::default()) }
    }

    /// Looks at once, and again as soon as something in the namespace has gone: here no write is on its
    /// way that was let through before the deletion.
    pub fn at_once() -> Self {
        NamespaceController { pauses: None }
    }

    /// The time to look at, if that is not now.
    fn pause(&self, namespace: &Object, now: Timestamp) -> Option<Timestamp> {
        let mut pauses = self.pauses.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let until = *pauses.entry(namespace.uid().to_owned()).or_insert(now.saturating_add(GRACE).unwrap_or(now));
        if until > now {
            return Some(until);
        }
        pauses.remove(namespace.uid());
        None
    }

    fn pause_until(&self, namespace: &Object, until: Timestamp) {
        if let Some(pauses) = &self.pauses {
            pauses.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.uid().to_owned(), until);
        }
    }

    fn empty(&self, state: &State, namespace: &Arc<Object>, now: Timestamp) -> Decision {
        let mut decision = Decision::none();
        let left = Left::of(state, namespace.name());
        for (key, object) in &left.objects {
            if !object.is_deleting() || has_garbage_finalizer(object) {
                let uid = Some(object.uid().to_owned());
                let propagation = Some(Propagation::Background);
                decision.writes.push(Write::Delete { key: key.clone(), uid, propagation, grace_seconds: None });
            }
        }
        // What holds an object is known once its deletion has been asked for.
        if !decision.is_empty() {
            return decision;
        }
        if let Some(told) = conditions::updated(namespace, &left, now) {
            decision.update_status(told);
        }
        if left.objects.is_empty() {
            finalize(namespace, &mut decision);
        } else if decision.is_empty() {
            let until = after(now, left.seconds(namespace, now) / 2 + 1);
            self.pause_until(namespace, until);
            decision.wake(until);
        }
        decision
    }
}

/// A deletion in the background takes these back.
fn has_garbage_finalizer(object: &Object) -> bool {
    object.finalizers().any(|f| f == "orphan" || f == "foregroundDeletion")
}

/// Takes the namespace's own finalizer off, which is the end of it where it was the last.
fn finalize(namespace: &Object, decision: &mut Decision) {
    let held = dig(namespace.json(), &["spec", "finalizers"]).as_array().cloned().unwrap_or_default();
    let kept: Vec<Json> = held.iter().filter(|f| *f != FINALIZER).cloned().collect();
    if kept.len() < held.len() {
        let mut object = namespace.clone();
        object.json_mut()["spec"]["finalizers"] = json!(kept);
        decision.finalize(object);
    }
}

/// What is still in a namespace.
struct Left {
    objects: Vec<(Key, Arc<Object>)>,
}

impl Left {
    /// Workloads before their pods, so that nothing is made anew on the way.
    fn of(state: &State, namespace: &str) -> Self {
        let mut resources: Vec<&GroupResource> = state.resources().collect();
        resources.sort_by_key(|resource| (**resource == *PODS, resource.group.is_empty(), resource.to_string()));
        let of_one = |resource: &GroupResource| -> Vec<_> {
            let key = |object: &Object| Key::new(resource.clone(), namespace, object.name());
            state.in_namespace(resource, namespace).map(|object| (key(object), object.clone())).collect()
        };
        let namespaced = resources.into_iter().filter(|_| !namespace.is_empty());
        Left { objects: namespaced.flat_map(of_one).collect() }
    }

    fn by_resource(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (key, _) in &self.objects {
            *counts.entry(format!("{}.{}", key.resource.resource, key.resource.group)).or_default() += 1;
        }
        counts
    }

    fn by_finalizer(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for finalizer in self.objects.iter().flat_map(|(_, object)| object.finalizers()) {
            *counts.entry(finalizer.to_owned()).or_default() += 1;
        }
        counts
    }

    /// In how many seconds it may have gone: the longest grace of a pod, as long as that is not over.
    fn seconds(&self, namespace: &Object, now: Timestamp) -> i64 {
        let pods = self.objects.iter().filter(|(key, _)| key.resource == *PODS).map(|(_, pod)| pod);
        let running = pods.filter(|pod| !matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed"));
        let grace = running.map(|pod| int(pod, &["spec", "terminationGracePeriodSeconds"])).max().unwrap_or(0);
        let deleted_at = time(dig(namespace.json(), &["metadata", "deletionTimestamp"])).unwrap_or(now);
        if after(deleted_at, grace) > now { grace } else { FINALIZER_SECONDS }
    }
}

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let key = &change.key;
        if key.resource == *NAMESPACES {
            let going = change.after.as_ref().is_some_and(|namespace| namespace.is_deleting());
            return if going { vec![key.clone()] } else { Vec::new() };
        }
        let namespace = Key::new(NAMESPACES.clone(), "", &key.namespace);
        let is_going = || state.get(&namespace).is_some_and(|namespace| namespace.is_deleting());
        if self.pauses.is_none() && !key.namespace.is_empty() && is_going() {
            return vec![namespace];
        }
        Vec::new()
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let Some(namespace) = state.get(key).filter(|namespace| namespace.is_deleting()) else {
            return Decision::none();
        };
        if let Some(until) = self.pause(namespace, context.now) {
            let mut decision = Decision::none();
            decision.wake(until);
            return decision;
        }
        self.empty(state, namespace, context.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(state: &mut State, group: &str, resource: &str, tree: Json) -> Key {
        let object = Object::new(tree);
        let namespace = object.namespace().to_owned();
        let key = Key::new(GroupResource::new(group, resource), &namespace, object.name());
        state.put(key.clone(), object);
        key
    }

    fn going(state: &mut State) -> Key {
        put(state, "", "namespaces", json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "n", "uid": "n", "deletionTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"finalizers": ["example.com/mine", "kubernetes"]}, "status": {"phase": "Terminating"},
        }))
    }

    fn look(controller: &NamespaceController, state: &State, key: &Key, second: i64) -> Decision {
        let now = Timestamp::from_second(second).unwrap();
        crate::controllers::testing::look_at(controller, state, key, now)
    }

    #[test]
    fn workloads_go_before_their_pods_and_what_is_elsewhere_stays() {
        let mut state = State::new();
        let key = going(&mut state);
        for namespace in ["n", "other"] {
            let meta = |name: &str| json!({"name": name, "namespace": namespace, "uid": format!("{namespace}/{name}")});
            put(&mut state, "", "pods", json!({"kind": "Pod", "metadata": meta("p")}));
            put(&mut state, "apps", "deployments", json!({"kind": "Deployment", "metadata": meta("d")}));
            put(&mut state, "", "configmaps", json!({"kind": "ConfigMap", "metadata": meta("c")}));
        }
        let decision = look(&NamespaceController::at_once(), &state, &key, 0);
        let deleted: Vec<String> = decision.writes.iter().map(|write| match write {
            Write::Delete { key, .. } => format!("{}/{}", key.namespace, key.name),
            other => panic!("{other:?}"),
        }).collect();
        assert_eq!(deleted, ["n/d", "n/c", "n/p"]);
    }

    #[test]
    fn only_its_own_finalizer_is_taken_off_at_the_end() {
        let mut state = State::new();
        let key = going(&mut state);
        let decision = look(&NamespaceController::at_once(), &state, &key, 0);
        assert!(matches!(&decision.writes[0], Write::UpdateStatus { .. }));
        let Write::Finalize { object } = &decision.writes[1] else { panic!("{:?}", decision.writes) };
        assert_eq!(dig(object.json(), &["spec", "finalizers"]), &json!(["example.com/mine"]));
    }

    #[test]
    fn the_manager_waits_five_seconds_and_then_for_the_pods() {
        let mut state = State::new();
        let key = going(&mut state);
        put(&mut state, "", "pods", json!({
            "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "p", "deletionTimestamp": "1970-01-01T00:00:30Z"},
            "spec": {"terminationGracePeriodSeconds": 30},
        }));
        let controller = NamespaceController::new();
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        assert_eq!(look(&controller, &state, &key, 0).wake_at, at(5));
        let told = look(&controller, &state, &key, 5);
        let [Write::UpdateStatus { object }] = told.writes.as_slice() else { panic!("{:?}", told.writes) };
        state.put(key.clone(), object.clone());
        assert_eq!(look(&controller, &state, &key, 5).wake_at, at(10));
        assert_eq!(look(&controller, &state, &key, 10).wake_at, at(26), "half of the grace, and a second");
        assert_eq!(look(&controller, &state, &key, 26).wake_at, at(42));
    }
}
