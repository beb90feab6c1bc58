//! Rolls workloads that asked for it when a ConfigMap or Secret has changed that their pods read by
//! environment or subPath, where nothing changes by itself.
//!
//! Kubernetes has no such controller. A workload asks by the annotation [`OPT_IN`]; what its pods have been
//! given is kept as a hash in [`HASH`], of the workload and, once it has changed, of its template.

pub mod reads;

use serde_json::json;

use super::names::hash;
use super::resources::{CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, SECRETS, STATEFUL_SETS, dig, key_of};
use super::{Context, Controller, Decision};
use crate::api::{GroupResource, Json, Key, Object};
use crate::state::{Change, State};
use reads::{Kind, Part, Read};

/// `"true"` on a Deployment, StatefulSet or DaemonSet.
pub const OPT_IN: &str = "podman.wl/roll-on-config-change";
const HASH: &str = "podman.wl/config-hash";

/// Whether a workload asked to be rolled when what its pods read once has changed.
pub fn has_opted_in(workload: &Object) -> bool {
    workload.annotation(OPT_IN) == Some("true")
}

/// Keeps the hashes.
pub(super) struct ConfigChanges;

fn resources() -> [&'static GroupResource; 3] {
    [&DEPLOYMENTS, &STATEFUL_SETS, &DAEMON_SETS]
}

fn fixed_reads(workload: &Object) -> Vec<Read> {
    let all = reads::of(dig(workload.json(), &["spec", "template", "spec"]));
    all.into_iter().filter(|read| read.is_fixed).collect()
}

/// What the pods are given, as one hash; `None` while something is not there that they cannot start without.
fn given(state: &State, workload: &Object) -> Option<String> {
    let mut all = Vec::new();
    for read in fixed_reads(workload) {
        let resource = if read.kind == Kind::ConfigMap { &*CONFIG_MAPS } else { &*SECRETS };
        let found = state.get(&Key::new(resource.clone(), workload.namespace(), &read.name));
        let Some(object) = found.filter(|object| !object.is_deleting()) else {
            if !read.is_optional {
                return None;
            }
            all.push(Json::Null);
            continue;
        };
        let contents = |field: &str| dig(object.json(), &[field]).clone();
        all.push(match &read.part {
            Part::Key(key) => json!([contents("data").get(key), contents("binaryData").get(key)]),
            Part::Whole => json!([contents("data"), contents("binaryData")]),
        });
    }
    Some(hash(&Json::Array(all), None))
}

impl Controller for ConfigChanges {
    fn name(&self) -> &'static str {
        "config-change-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let key = &change.key;
        if resources().contains(&&key.resource) {
            let asks = change.after.as_ref().is_some_and(|workload| has_opted_in(workload));
            return if asks { vec![key.clone()] } else { Vec::new() };
        }
        let kind = match &key.resource {
            resource if *resource == *CONFIG_MAPS => Kind::ConfigMap,
            resource if *resource == *SECRETS => Kind::Secret,
            _ => return Vec::new(),
        };
        let is_reader = |workload: &Object| {
            has_opted_in(workload)
                && fixed_reads(workload).iter().any(|read| read.kind == kind && *read.name == *key.name)
        };
        let of_resource = |resource: &'static GroupResource| {
            let all = state.in_namespace(resource, &key.namespace);
            all.filter(|workload| is_reader(workload)).map(|workload| key_of(resource, workload)).collect::<Vec<_>>()
        };
        resources().into_iter().flat_map(of_resource).collect()
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let workload = state.get(key).filter(|workload| !workload.is_deleting() && has_opted_in(workload));
        let Some(workload) = workload else { return decision };
        let Some(now) = given(state, workload) else { return decision };
        let kept = workload.annotation(HASH);
        if kept == Some(&*now) {
            return decision;
        }
        let annotations = json!({HASH: now});
        let mut patch = json!({"metadata": {"annotations": annotations}});
        // The pods that there are have been started with what is there: nothing rolls at first sight.
        if kept.is_some() {
            patch["spec"] = json!({"template": {"metadata": {"annotations": annotations}}});
        }
        decision.patch(key.clone(), patch);
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::{Write, testing};

    fn put(state: &mut State, resource: &GroupResource, tree: Json) -> Key {
        let object = Object::new(tree);
        let key = Key::new(resource.clone(), object.namespace(), object.name());
        state.put(key.clone(), object);
        key
    }

    fn config(state: &mut State, data: Json) {
        put(state, &CONFIG_MAPS, json!({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}));
    }

    fn workload(state: &mut State, opted_in: &str, env: Json) -> Key {
        put(state, &DEPLOYMENTS, json!({
            "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n", "uid": "d", "annotations": {OPT_IN: opted_in}},
            "spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "c", "env": env}]}}},
        }))
    }

    fn by_key(key: &str, optional: bool) -> Json {
        json!([{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": key, "optional": optional}}}])
    }

    /// What the next look writes; it is kept.
    fn look(state: &mut State, key: &Key) -> Option<Json> {
        let Some(Write::Patch { patch, .. }) = testing::look(&ConfigChanges, state, key).into_iter().next() else { return None };
        let mut object = state.get(key).unwrap().as_ref().clone();
        for pointer in ["/metadata/annotations", "/spec/template/metadata/annotations"] {
            let Some(Json::Object(annotations)) = patch.pointer(pointer) else { continue };
            let mut at = object.json_mut();
            for field in pointer.split('/').skip(1) {
                at = &mut at[field];
            }
            for (name, value) in annotations {
                at[name] = value.clone();
            }
        }
        state.put(key.clone(), object);
        Some(patch)
    }

    #[test]
    fn a_change_of_what_is_read_rolls_and_first_sight_does_not() {
        let mut state = State::new();
        config(&mut state, json!({"a": "1", "b": "1"}));
        let key = workload(&mut state, "true", by_key("a", false));
        assert!(look(&mut state, &key).unwrap().get("spec").is_none());
        assert_eq!(look(&mut state, &key), None);
        config(&mut state, json!({"a": "1", "b": "2"}));
        assert_eq!(look(&mut state, &key), None, "the pods do not read this key");
        config(&mut state, json!({"a": "2", "b": "2"}));
        assert!(look(&mut state, &key).unwrap().get("spec").is_some());
        assert_eq!(look(&mut state, &key), None);
    }

    #[test]
    fn what_is_missing_is_waited_for_unless_it_may_be() {
        let mut state = State::new();
        let key = workload(&mut state, "true", by_key("a", false));
        assert_eq!(look(&mut state, &key), None);
        config(&mut state, json!({"a": "1"}));
        assert!(look(&mut state, &key).unwrap().get("spec").is_none());
        let mut state = State::new();
        let key = workload(&mut state, "true", by_key("a", true));
        assert!(look(&mut state, &key).is_some());
        config(&mut state, json!({"a": "1"}));
        assert!(look(&mut state, &key).unwrap().get("spec").is_some());
    }

    #[test]
    fn who_has_not_asked_is_left_alone() {
        let mut state = State::new();
        config(&mut state, json!({"a": "1"}));
        let key = workload(&mut state, "yes", by_key("a", false));
        assert_eq!(look(&mut state, &key), None);
    }
}
