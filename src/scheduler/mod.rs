//! Whether a pod fits on the one node, in the words of Kubernetes' scheduler and of the kubelet.
//! Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins, pkg/kubelet/lifecycle/predicate.go.

mod affinity;
mod critical;
mod fit;
mod occupants;
mod preemption;

use k8s_openapi::api::core::v1::{Node, Pod};

pub use critical::is_critical;
pub use occupants::{Occupant, Occupants};
pub use preemption::priority;

use crate::api::GroupResource;
use crate::state::State;

/// What the scheduler says about a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may be bound to this node.
    Fits { node: String },
    /// It stays Pending; the text of the event and of the condition.
    Unschedulable { message: String },
    /// It would fit without these of the others, which are less important: they are to go. None: those that are to go are on
    /// their way out.
    Preempts { victims: Vec<usize>, message: String },
    /// Another scheduler's, or gated.
    NotMine,
}

/// Why a node does not take a pod, and whether removing other pods could help.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Misfit {
    pub reasons: Vec<String>,
    pub preemption_helps: bool,
}

impl Misfit {
    pub(crate) fn hard(reason: impl Into<String>) -> Self {
        Misfit { reasons: vec![reason.into()], preemption_helps: false }
    }

    pub(crate) fn soft(reasons: Vec<String>) -> Self {
        Misfit { reasons, preemption_helps: true }
    }
}

/// Decides for one pod that has no node. `others`: the pods on the node that have not finished.
pub fn schedule(state: &State, pod: &Pod, node: Option<&Node>, others: &Occupants) -> Verdict {
    let Some(spec) = &pod.spec else { return Verdict::NotMine };
    let scheduler = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
    let gated = spec.scheduling_gates.as_deref().is_some_and(|g| !g.is_empty());
    if scheduler != "default-scheduler" || gated {
        return Verdict::NotMine;
    }
    let Some(node) = node else {
        return Verdict::Unschedulable { message: "no nodes available to schedule pods".into() };
    };
    if let Some(missing) = missing_claim(state, pod) {
        let message = format!(
            "0/1 nodes are available: {missing}. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        );
        return Verdict::Unschedulable { message };
    }
    match fit::check(pod, node, others) {
        Ok(()) => Verdict::Fits { node: node.metadata.name.clone().unwrap_or_default() },
        Err(misfit) => {
            let never = spec.preemption_policy.as_deref() == Some("Never");
            let victims = (misfit.preemption_helps && !never).then(|| preemption::victims(state, pod, node, others)).flatten();
            match victims {
                Some(victims) => Verdict::Preempts { victims, message: format!("0/1 nodes are available: {}.", reasons(&misfit)) },
                None => Verdict::Unschedulable { message: wording(&misfit, never) },
            }
        }
    }
}

fn reasons(misfit: &Misfit) -> String {
    let mut reasons: Vec<String> = misfit.reasons.iter().map(|r| format!("1 {r}")).collect();
    reasons.sort();
    reasons.join(", ")
}

/// Source: pkg/scheduler/framework/types.go: FitError; preemption/preemption.go.
fn wording(misfit: &Misfit, never_preempts: bool) -> String {
    let preemption = if never_preempts {
        "not eligible due to preemptionPolicy=Never.".to_owned()
    } else if misfit.preemption_helps {
        "0/1 nodes are available: 1 No preemption victims found for incoming pod.".to_owned()
    } else {
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling.".to_owned()
    };
    format!("0/1 nodes are available: {}. preemption: {preemption}", reasons(misfit))
}

fn missing_claim(state: &State, pod: &Pod) -> Option<String> {
    let claims = GroupResource::new("", "persistentvolumeclaims");
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let volumes = pod.spec.as_ref()?.volumes.as_deref().unwrap_or_default();
    let names = volumes.iter().filter_map(|v| v.persistent_volume_claim.as_ref()).map(|c| c.claim_name.as_str());
    let mut missing = names.filter(|name| state.get(&crate::api::Key::new(claims.clone(), namespace, name)).is_none());
    missing.next().map(|name| format!("persistentvolumeclaim \"{name}\" not found"))
}

/// What the kubelet says of a pod that it was given, by the scheduler or without.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    Takes,
    Refuses { reason: String, message: String },
    /// It is critical, and there is room when these of the others, by their places, have gone.
    After(Vec<usize>),
}

/// Whether the kubelet takes a pod.
/// Source: pkg/kubelet/lifecycle/predicate.go: Admit.
pub fn admission(pod: &Pod, node: &Node, others: &Occupants) -> Admission {
    let refused = |(reason, message)| Admission::Refuses { reason, message };
    if !is_critical(pod) {
        let why = fit::no_room(pod, node, others).or_else(|| fit::refusal(pod, node, others));
        return why.map_or(Admission::Takes, refused);
    }
    if let Some(why) = fit::refusal(pod, node, others) {
        return refused(why);
    }
    match critical::victims(pod, node, others) {
        Ok(victims) if victims.is_empty() => Admission::Takes,
        Ok(victims) => Admission::After(victims),
        Err(why) => {
            let message = format!("Unexpected error while attempting to recover from admission failure: {why}");
            Admission::Refuses { reason: "UnexpectedAdmissionError".into(), message }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api::{Key, Object};

    fn node(extra: serde_json::Value) -> Node {
        let mut node = json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "zone": "a"}},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}}});
        if let (Some(node), Some(extra)) = (node.as_object_mut(), extra.as_object()) {
            node.extend(extra.clone());
        }
        serde_json::from_value(node).unwrap()
    }

    fn pod(spec: serde_json::Value) -> Pod {
        let mut spec = spec;
        if spec.get("containers").is_none() {
            spec["containers"] = json!([{"name": "c"}]);
        }
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns", "labels": {"app": "p"}}, "spec": spec})).unwrap()
    }

    fn asks(cpu: &str, memory: &str) -> Pod {
        pod(json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}))
    }

    fn beside(others: &[&Pod]) -> Occupants {
        others.iter().enumerate().map(|(n, pod)| (n.to_string(), Arc::new((*pod).clone()))).collect()
    }

    fn message(pod: &Pod, node: &Node, others: &[&Pod]) -> String {
        match schedule(&State::new(), pod, Some(node), &beside(others)) {
            Verdict::Fits { .. } => "fits".into(),
            Verdict::Unschedulable { message } => message,
            Verdict::Preempts { victims, message } => format!("{message} {victims:?}"),
            Verdict::NotMine => "not mine".into(),
        }
    }

    const NO_VICTIMS: &str = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    const NO_HELP: &str = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";

    #[test]
    fn the_least_important_that_are_in_the_way_have_to_go() {
        let n = node(json!({}));
        let with = |cpu: &str, priority: i32| {
            let mut pod = asks(cpu, "1Mi");
            pod.spec.as_mut().unwrap().priority = Some(priority);
            pod
        };
        let (low, mid, high) = (with("900m", 10), with("900m", 20), with("900m", 1000));
        assert_eq!(message(&high, &n, &[&low, &mid]), "0/1 nodes are available: 1 Insufficient cpu. [0]");
        assert_eq!(message(&high, &n, &[&mid, &low]), "0/1 nodes are available: 1 Insufficient cpu. [1]");
        assert_eq!(message(&with("1900m", 1000), &n, &[&low, &mid]), "0/1 nodes are available: 1 Insufficient cpu. [0, 1]");
        assert!(message(&with("900m", 15), &n, &[&mid, &mid]).ends_with(NO_VICTIMS));
        let mut leaving = low.clone();
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        leaving.metadata.deletion_timestamp = Some(now);
        assert_eq!(message(&high, &n, &[&leaving, &mid]), "0/1 nodes are available: 1 Insufficient cpu. []");
        let mut never = high.clone();
        never.spec.as_mut().unwrap().preemption_policy = Some("Never".into());
        assert!(message(&never, &n, &[&low, &mid]).ends_with("not eligible due to preemptionPolicy=Never."));
    }

    #[test]
    fn a_budget_spares_what_would_have_gone() {
        let with = |name: &str, app: &str, priority: i32| {
            let mut pod = asks("900m", "1Mi");
            pod.metadata.name = Some(name.into());
            pod.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
            pod.spec.as_mut().unwrap().priority = Some(priority);
            pod
        };
        let n = node(json!({}));
        let (kept, other, high) = (with("kept", "kept", 10), with("other", "other", 20), with("high", "high", 1000));
        let victims = |status: serde_json::Value, namespace: &str| {
            let mut state = State::new();
            let tree = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": namespace},
                "spec": {"selector": {"matchLabels": {"app": "kept"}}}, "status": status});
            state.put(Key::new(GroupResource::new("policy", "poddisruptionbudgets"), namespace, "b"), Object::new(tree));
            match schedule(&state, &high, Some(&n), &beside(&[&kept, &other])) {
                Verdict::Preempts { victims, .. } => victims,
                verdict => panic!("{verdict:?}"),
            }
        };
        assert_eq!(victims(json!({"disruptionsAllowed": 0}), "ns"), [1]);
        assert_eq!(victims(json!({"disruptionsAllowed": 1}), "ns"), [0]);
        assert_eq!(victims(json!({"disruptionsAllowed": 0, "disruptedPods": {"kept": null}}), "ns"), [0]);
        assert_eq!(victims(json!({"disruptionsAllowed": 0}), "elsewhere"), [0]);
    }

    #[test]
    fn says_what_is_short() {
        let n = node(json!({}));
        assert_eq!(message(&asks("1", "1Mi"), &n, &[]), "fits");
        let text = message(&asks("3", "2Gi"), &n, &[]);
        assert_eq!(text, format!("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. {NO_VICTIMS}"));
        let other = asks("1500m", "1Mi");
        let text = message(&asks("600m", "1Mi"), &n, &[&other]);
        assert_eq!(text, format!("0/1 nodes are available: 1 Insufficient cpu. {NO_VICTIMS}"));
        let text = message(&asks("0", "0"), &n, &[&other, &other, &other]);
        assert_eq!(text, format!("0/1 nodes are available: 1 Too many pods. {NO_VICTIMS}"));
        let never = pod(json!({"preemptionPolicy": "Never", "containers": [{"name": "c", "resources": {"requests": {"cpu": "9"}}}]}));
        assert_eq!(message(&never, &n, &[]), "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.");
    }

    #[test]
    fn selectors_and_affinity_read_the_nodes_labels() {
        let n = node(json!({}));
        let text = format!("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {NO_HELP}");
        assert_eq!(message(&pod(json!({"nodeSelector": {"disk": "ssd"}})), &n, &[]), text);
        let affinity = |operator: &str, values: serde_json::Value| {
            pod(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}]}}}}))
        };
        assert_eq!(message(&affinity("In", json!(["a", "b"])), &n, &[]), "fits");
        assert_eq!(message(&affinity("NotIn", json!(["a"])), &n, &[]), text);
        assert_eq!(message(&affinity("Exists", json!([])), &n, &[]), "fits");
    }

    #[test]
    fn taints_hold_off_what_does_not_tolerate_them() {
        let n = node(json!({"spec": {"taints": [{"key": "ded", "value": "x", "effect": "NoSchedule"}]}}));
        let text = format!("0/1 nodes are available: 1 node(s) had untolerated taint {{ded: x}}. {NO_HELP}");
        assert_eq!(message(&pod(json!({})), &n, &[]), text);
        let tolerant = pod(json!({"tolerations": [{"key": "ded", "operator": "Equal", "value": "x"}]}));
        assert_eq!(message(&tolerant, &n, &[]), "fits");
        let n = node(json!({"spec": {"unschedulable": true}}));
        let text = format!("0/1 nodes are available: 1 node(s) were unschedulable. {NO_HELP}");
        assert_eq!(message(&pod(json!({})), &n, &[]), text);
    }

    #[test]
    fn ports_of_the_host_are_had_once() {
        let n = node(json!({}));
        let port = |ip: &str| {
            pod(json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": ip}]}]}))
        };
        let text = format!("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. {NO_VICTIMS}");
        assert_eq!(message(&port(""), &n, &[&port("127.0.0.1")]), text);
        assert_eq!(message(&port("127.0.0.2"), &n, &[&port("127.0.0.1")]), "fits");
    }

    #[test]
    fn pods_that_avoid_each_other_do_not_share_the_node() {
        let n = node(json!({}));
        let avoiding = pod(json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "p"}}}]}}}));
        let text = format!("0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. {NO_VICTIMS}");
        assert_eq!(message(&avoiding, &n, &[]), "fits");
        assert_eq!(message(&avoiding, &n, &[&pod(json!({}))]), text);
        let text = format!("0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules. {NO_VICTIMS}");
        assert_eq!(message(&pod(json!({})), &n, &[&avoiding]), text);
    }

    #[test]
    fn spreading_needs_the_label_on_the_node() {
        let n = node(json!({}));
        let spread = |key: &str| {
            pod(json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "p"}}}]}))
        };
        assert_eq!(message(&spread("zone"), &n, &[]), "fits");
        let text = format!("0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label). {NO_HELP}");
        assert_eq!(message(&spread("rack"), &n, &[]), text);
    }

    #[test]
    fn the_kubelet_refuses_in_its_own_words() {
        let n = node(json!({}));
        let refused = |pod: &Pod, reason: &str, message: &str| {
            let expected = Admission::Refuses { reason: reason.into(), message: message.into() };
            assert_eq!(admission(pod, &n, &Occupants::default()), expected);
        };
        let message = "Node didn't have enough resource: cpu, requested: 100000, used: 0, capacity: 2000";
        refused(&asks("100", "1Mi"), "OutOfcpu", message);
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        refused(&pod(json!({"nodeSelector": {"a": "b"}})), "NodeAffinity", message);
        let mut critical = asks("100", "1Mi");
        critical.spec.as_mut().unwrap().priority = Some(2_000_000_000);
        let message = "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to \
                       preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 98000), ]";
        refused(&critical, "UnexpectedAdmissionError", message);
    }
}
