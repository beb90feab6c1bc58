//! Taints that keep new pods from a node that is not fit for them: by its conditions, and where it was cordoned.
//! Source of the rules: pkg/controller/nodelifecycle/node_lifecycle_controller.go (doNoScheduleTaintingPass).

use serde_json::json;

use super::conditions::{field, get, list, stamp};
use super::resources::{NODES, dig};
use super::{Context, Controller, Decision};
use crate::api::{Json, Key, Object};
use crate::state::{Change, State};

/// Condition, its status, and the taint that goes with it.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", "node.kubernetes.io/not-ready"),
    ("Ready", "Unknown", "node.kubernetes.io/unreachable"),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const EFFECT: &str = "NoSchedule";

/// Taints nodes.
pub(super) struct NodeTaints;

impl Controller for NodeTaints {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn wakes(&self, _: &State, change: &Change) -> Vec<Key> {
        let is_there = change.key.resource == *NODES && change.after.is_some();
        is_there.then(|| change.key.clone()).into_iter().collect()
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let Some(node) = state.get(key) else { return decision };
        let taints = dig(node.json(), &["spec", "taints"]).as_array().cloned().unwrap_or_default();
        let wanted = wanted(node);
        let has = |key: &str| taints.iter().any(|t| is(t, key));
        let goes = |taint: &Json| all().any(|key| is(taint, key) && !wanted.contains(&key));
        let missing: Vec<&str> = wanted.iter().copied().filter(|key| !has(key)).collect();
        if missing.is_empty() && !taints.iter().any(goes) {
            return decision;
        }
        let new = missing.into_iter().map(|key| json!({"key": key, "effect": EFFECT, "timeAdded": stamp(context.now)}));
        let left: Vec<Json> = taints.iter().filter(|t| !goes(t)).cloned().chain(new).collect();
        let mut changed = Object::clone(node);
        let spec = &mut changed.json_mut()["spec"];
        spec["taints"] = left.into();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, value| field != "taints" || *value != json!([]));
        }
        decision.update(changed);
        decision
    }
}

/// The keys that belong to this controller.
fn all() -> impl Iterator<Item = &'static str> {
    TAINTS.iter().map(|(.., key)| *key).chain([UNSCHEDULABLE])
}

fn is(taint: &Json, key: &str) -> bool {
    dig(taint, &["key"]) == key && dig(taint, &["effect"]) == EFFECT
}

/// Of these keys, those that the node is to have.
fn wanted(node: &Object) -> Vec<&'static str> {
    let conditions = list(node);
    let holds = |(kind, status, _): &&(&str, &str, &str)| field(get(&conditions, kind), "status") == *status;
    let cordoned = dig(node.json(), &["spec", "unschedulable"]) == true;
    TAINTS.iter().filter(holds).map(|(.., key)| *key).chain(cordoned.then_some(UNSCHEDULABLE)).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::controllers::{Write, testing};

    /// What the taints become; `None`: nothing is written.
    fn tainted(conditions: Json, spec: Json) -> Option<Json> {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": spec, "status": {"conditions": conditions}});
        let key = Key::new(NODES.clone(), "", "n");
        let mut state = State::new();
        state.put(key.clone(), Object::new(node));
        match &testing::look(&NodeTaints, &state, &key)[..] {
            [] => None,
            [Write::Update { object }] => Some(object.json()["spec"].get("taints").cloned().unwrap_or_default()),
            other => panic!("{other:?}"),
        }
    }

    fn taint(key: &str) -> Json {
        json!({"key": key, "effect": "NoSchedule", "timeAdded": "1970-01-01T00:00:00Z"})
    }

    #[test]
    fn taints_follow_the_conditions_and_leave_others_alone() {
        let under = json!([{"type": "MemoryPressure", "status": "False"}, {"type": "DiskPressure", "status": "True"},
            {"type": "Ready", "status": "True"}]);
        let own = json!({"key": "mine", "effect": "NoSchedule"});
        let disk = taint("node.kubernetes.io/disk-pressure");
        assert_eq!(tainted(under.clone(), json!({"taints": [own]})), Some(json!([own, disk])));
        assert_eq!(tainted(under, json!({"taints": [own, disk]})), None);
        let well = json!([{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}]);
        assert_eq!(tainted(well.clone(), json!({"taints": [disk, own]})), Some(json!([own])));
        assert_eq!(tainted(well.clone(), json!({"taints": [disk]})), Some(Json::Null));
        let executes = json!({"key": "node.kubernetes.io/disk-pressure", "effect": "NoExecute"});
        assert_eq!(tainted(well, json!({"taints": [executes]})), None);
    }

    #[test]
    fn a_cordoned_node_is_tainted_and_so_is_one_that_is_not_ready() {
        let cordoned = taint(UNSCHEDULABLE);
        assert_eq!(tainted(json!([]), json!({"unschedulable": true})), Some(json!([cordoned])));
        assert_eq!(tainted(json!([]), json!({"taints": [cordoned]})), Some(Json::Null));
        let unknown = json!([{"type": "Ready", "status": "Unknown"}]);
        assert_eq!(tainted(unknown, json!({})), Some(json!([taint("node.kubernetes.io/unreachable")])));
    }
}
