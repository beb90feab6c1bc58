//! Where a DaemonSet's pods may be, and how a pod says which node it is for.
//! Source of the rules: pkg/controller/daemon/util/daemonset_util.go.

use k8s_openapi::api::core::v1::{Node, PodSpec};
use serde_json::json;

use crate::api::placement::{node_matches, untolerated};
use crate::api::{Json, Object};
use crate::controllers::pods::PodView;
use crate::controllers::resources::dig;

/// Tolerated by every pod of a DaemonSet.
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Adds what every such pod tolerates to the spec of a template.
pub(super) fn add_tolerations(spec: &mut Json) {
    let host_network = spec["hostNetwork"] == true;
    let mut list = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for (key, effect) in TOLERATED.iter().chain(host_network.then_some(&NETWORK)) {
        let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
        // One of the same meaning is replaced. Source: pkg/apis/core/v1/helper (AddOrUpdateTolerationInPodSpec).
        let same = |t: &Json| ["key", "operator", "effect"].iter().all(|f| t[*f] == toleration[*f]);
        match list.iter_mut().find(|t| same(t)) {
            Some(old) => *old = toleration,
            None => list.push(toleration),
        }
    }
    spec["tolerations"] = json!(list);
}

/// Binds the spec of a pod to a node by its name, in place of what it required of nodes.
pub(super) fn bind(spec: &mut Json, node: &str) {
    let terms = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]);
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] = terms;
}

/// The node that a pod is on or for.
pub(super) fn node_of<'s>(pod: &PodView<'s>) -> Option<&'s str> {
    if !pod.node().is_empty() {
        return Some(pod.node());
    }
    let path = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let terms = dig(pod.object.json(), &path).as_array()?;
    let fields = terms.iter().filter_map(|term| dig(term, &["matchFields"]).as_array()).flatten();
    let mut named = fields.filter(|f| dig(f, &["key"]) == "metadata.name" && dig(f, &["operator"]) == "In");
    named.next().and_then(|f| dig(f, &["values", "0"]).as_str().or(f["values"].get(0).and_then(Json::as_str)))
}

/// Whether a pod should be on a node, and whether one that is there may stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    pub runs: bool,
    pub stays: bool,
}

pub(super) fn fit(set: &Object, node: &Node) -> Fit {
    let mut spec = dig(set.json(), &["spec", "template", "spec"]).clone();
    let named = dig(&spec, &["nodeName"]).as_str().unwrap_or("").to_owned();
    add_tolerations(&mut spec);
    let Ok(spec) = serde_json::from_value::<PodSpec>(spec) else { return Fit::default() };
    if !named.is_empty() && node.metadata.name.as_ref() != Some(&named) || !node_matches(&spec, node) {
        return Fit::default();
    }
    Fit {
        runs: untolerated(&spec, node, &["NoSchedule", "NoExecute"]).is_none(),
        stays: untolerated(&spec, node, &["NoExecute"]).is_none(),
    }
}
