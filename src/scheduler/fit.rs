//! The filters, in the scheduler's order; the first that fails speaks.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Taint};

use super::{Misfit, Occupants, affinity};
use crate::api::placement::{node_matches, tolerated, untolerated};
use crate::api::requests::{self, Amounts};
use crate::state::State;

const NODE_AFFINITY: &str = "node(s) didn't match Pod's node affinity/selector";
const PORTS: &str = "node(s) didn't have free ports for the requested pod ports";

/// `Ok`: the pod may run on the node.
pub(super) fn check(state: &State, pod: &Pod, node: &Node, others: &Occupants) -> Result<(), Misfit> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let node_spec = node.spec.as_ref();
    let unschedulable = Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
    if node_spec.and_then(|s| s.unschedulable) == Some(true) && !tolerated(spec, &unschedulable) {
        return Err(Misfit::hard("node(s) were unschedulable"));
    }
    if let Some(taint) = untolerated(spec, node, &["NoSchedule", "NoExecute"]) {
        let value = taint.value.clone().unwrap_or_default();
        return Err(Misfit::hard(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)));
    }
    if !node_matches(spec, node) {
        return Err(Misfit::hard(NODE_AFFINITY));
    }
    if others.have_port_of(spec) {
        return Err(Misfit::soft(vec![PORTS.into()]));
    }
    let short = short_of(spec, node, others);
    if !short.is_empty() {
        return Err(Misfit::soft(short.into_iter().map(|s| s.text).collect()));
    }
    affinity::spread(pod, spec, node, others.all())?;
    affinity::pods(state, pod, spec, node, others)
}

/// Extended resources that the node does not know are not the kubelet's affair.
/// Source: pkg/kubelet/lifecycle/predicate.go: removeMissingExtendedResources; pkg/apis/core/v1/helper: IsExtendedResourceName.
pub(super) fn of_kubelet(short: &Short) -> bool {
    short.is_known || !short.name.contains('/') || short.name.contains("kubernetes.io/")
}

/// The kubelet's own check of room for what it is given.
pub(super) fn no_room(pod: &Pod, node: &Node, others: &Occupants) -> Option<(String, String)> {
    let short = short_of(pod.spec.as_ref()?, node, others);
    let short = short.iter().find(|s| of_kubelet(s))?;
    let message = format!(
        "Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}",
        short.name, short.asked, short.used, short.capacity
    );
    Some((format!("OutOf{}", short.name), message))
}

/// The kubelet's own check of what it is given, but for room.
pub(super) fn refusal(pod: &Pod, node: &Node, others: &Occupants) -> Option<(String, String)> {
    let spec = pod.spec.as_ref()?;
    let predicate = |reason: &str, message: &str| Some((reason.to_owned(), format!("Predicate {reason} failed: {message}")));
    if !node_matches(spec, node) {
        return predicate("NodeAffinity", NODE_AFFINITY);
    }
    if others.have_port_of(spec) {
        return predicate("NodePorts", PORTS);
    }
    let taint = untolerated(spec, node, &["NoExecute"])?;
    let value = taint.value.clone().unwrap_or_default();
    predicate("TaintToleration", &format!("node(s) had untolerated taint {{{}: {value}}}", taint.key))
}

/// A resource of which there is not enough, with amounts as [`requests::amount`] has them.
pub(super) struct Short {
    pub name: String,
    text: String,
    pub asked: i64,
    pub used: i64,
    pub capacity: i64,
    /// The node has some of it, or none by its own word.
    is_known: bool,
}

/// In the order in which they are looked at (plugins/noderesources/fit.go: fitsRequest).
pub(super) fn short_of(spec: &PodSpec, node: &Node, others: &Occupants) -> Vec<Short> {
    let allocatable = node.status.as_ref().and_then(|s| s.allocatable.clone()).unwrap_or_default();
    let allocatable: Amounts = allocatable.iter().map(|(name, q)| (name.clone(), requests::amount(name, q))).collect();
    let mut short = Vec::new();
    let pods = allocatable.get("pods").copied().unwrap_or(0);
    let count = i64::try_from(others.all().len()).unwrap_or(i64::MAX);
    if count >= pods {
        short.push(Short { name: "pods".into(), text: "Too many pods".into(), asked: 1, used: count, capacity: pods, is_known: true });
    }
    let mut wanted: Vec<(String, i64)> = requests::pod_requests(spec).into_iter().collect();
    wanted.sort_by_key(|(name, _)| ["cpu", "memory", "ephemeral-storage"].iter().position(|n| n == name).unwrap_or(usize::MAX));
    for (name, asked) in wanted {
        let found = allocatable.get(&name).copied();
        let (capacity, used) = (found.unwrap_or(0), others.used(&name));
        if asked > 0 && asked > capacity.saturating_sub(used) {
            short.push(Short { text: format!("Insufficient {name}"), name, asked, used, capacity, is_known: found.is_some() });
        }
    }
    short
}
