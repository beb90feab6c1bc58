//! Whether a pod fits on the one node, in the words of Kubernetes' scheduler and of the kubelet.
//! Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins, pkg/kubelet/lifecycle/predicate.go.

mod affinity;
mod critical;
mod fit;
mod occupants;
mod preemption;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

pub use critical::is_critical;
pub use occupants::{Occupant, Occupants};
pub use preemption::priority;

use self::preemption::Preemption;
use crate::api::volumes::own_claim;
use crate::api::{GroupResource, Key};
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
    let never = spec.preemption_policy.as_deref() == Some("Never");
    let hopeless = |why: &str| {
        let preemption = if never { NEVER.to_owned() } else { format!("{AVAILABLE}: 1 {NO_HELP}.") };
        Verdict::Unschedulable { message: format!("{AVAILABLE}: {why}. preemption: {preemption}") }
    };
    // What is found before any node is looked at is no node's reason.
    let named = nodes_named(spec);
    if named.as_ref().is_some_and(BTreeSet::is_empty) {
        return hopeless("pod affinity terms conflict");
    }
    if let Some(why) = claim_in_the_way(state, pod) {
        return hopeless(&why);
    }
    let name = node.metadata.name.clone().unwrap_or_default();
    if named.is_some_and(|named| !named.contains(name.as_str())) {
        return hopeless("1 node(s) didn't satisfy plugin(s) [NodeAffinity]");
    }
    let misfit = match fit::check(state, pod, node, others) {
        Ok(()) => return Verdict::Fits { node: name },
        Err(misfit) => misfit,
    };
    if never || !misfit.preemption_helps {
        return hopeless(&reasons(&misfit));
    }
    let message = format!("{AVAILABLE}: {}.", reasons(&misfit));
    let why = match preemption::victims(state, pod, node, others) {
        Preemption::Victims(victims) => return Verdict::Preempts { victims, message },
        Preemption::NobodyIsLess => "1 No preemption victims found for incoming pod".to_owned(),
        Preemption::StillNoRoom(misfit) => reasons(&misfit),
    };
    Verdict::Unschedulable { message: format!("{message} preemption: {AVAILABLE}: {why}.") }
}

/// How messages about the one node begin.
const AVAILABLE: &str = "0/1 nodes are available";
/// Source: pkg/scheduler/framework/preemption/preemption.go.
const NO_HELP: &str = "Preemption is not helpful for scheduling";
const NEVER: &str = "not eligible due to preemptionPolicy=Never.";

fn reasons(misfit: &Misfit) -> String {
    let mut reasons: Vec<String> = misfit.reasons.iter().map(|r| format!("1 {r}")).collect();
    reasons.sort();
    reasons.join(", ")
}

/// The nodes that the required affinity allows by their names, if each of its terms names some.
/// Source: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go: PreFilter.
fn nodes_named(spec: &PodSpec) -> Option<BTreeSet<&str>> {
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut all = BTreeSet::new();
    for term in terms {
        let fields = term.match_fields.iter().flatten().filter(|f| f.key == "metadata.name" && f.operator == "In");
        let sets = fields.map(|f| f.values.iter().flatten().map(String::as_str).collect::<BTreeSet<&str>>());
        all.extend(sets.reduce(|one, other| &one & &other)?);
    }
    Some(all)
}

/// A claim that does not let the pod be scheduled, in the scheduler's words.
/// Source: pkg/scheduler/framework/plugins/volumebinding/volume_binding.go: podHasPVCs.
fn claim_in_the_way(state: &State, pod: &Pod) -> Option<String> {
    let claims = GroupResource::new("", "persistentvolumeclaims");
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for volume in pod.spec.as_ref()?.volumes.iter().flatten() {
        let (name, is_ephemeral) = match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(claim), _) => (claim.claim_name.clone(), false),
            (None, Some(_)) => (own_claim(pod.metadata.name.as_deref().unwrap_or_default(), &volume.name), true),
            (None, None) => continue,
        };
        let Some(claim) = state.get(&Key::new(claims.clone(), namespace, &name)) else {
            return Some(if is_ephemeral {
                format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\"")
            } else {
                format!("persistentvolumeclaim \"{name}\" not found")
            });
        };
        if claim.str_at("/status/phase") == Some("Lost") {
            let volume = claim.str_at("/spec/volumeName").unwrap_or_default();
            return Some(format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""));
        }
        if claim.is_deleting() {
            return Some(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
    }
    None
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
    use crate::api::Object;

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
    fn nodes_that_are_named_are_looked_at_alone() {
        let n = node(json!({}));
        let fields = |terms: serde_json::Value| {
            pod(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}))
        };
        let named = |name: &str| json!({"key": "metadata.name", "operator": "In", "values": [name]});
        assert_eq!(message(&fields(json!([{"matchFields": [named("n1")]}])), &n, &[]), "fits");
        let text = format!("0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity]. {NO_HELP}");
        assert_eq!(message(&fields(json!([{"matchFields": [named("n2")]}])), &n, &[]), text);
        let text = format!("0/1 nodes are available: pod affinity terms conflict. {NO_HELP}");
        assert_eq!(message(&fields(json!([{"matchFields": [named("n1"), named("n2")]}])), &n, &[]), text);
        let either = json!([{"matchFields": [named("n2")]}, {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]);
        assert_eq!(message(&fields(either), &n, &[]), "fits", "terms that name no node allow all");
        let mut never = fields(json!([{"matchFields": [named("n2")]}]));
        never.spec.as_mut().unwrap().preemption_policy = Some("Never".into());
        assert!(message(&never, &n, &[]).ends_with("[NodeAffinity]. preemption: not eligible due to preemptionPolicy=Never."));
    }

    #[test]
    fn claims_are_asked_for_before_any_node() {
        let mut state = State::new();
        let mut claim = |name: &str, extra: serde_json::Value| {
            let mut tree = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "ns"}});
            for (key, value) in extra.as_object().unwrap() {
                tree[key] = value.clone();
            }
            state.put(Key::new(GroupResource::new("", "persistentvolumeclaims"), "ns", name), Object::new(tree));
        };
        claim("good", json!({"status": {"phase": "Bound"}}));
        claim("lost", json!({"status": {"phase": "Lost"}, "spec": {"volumeName": "pv"}}));
        claim("leaves", json!({"metadata": {"name": "leaves", "namespace": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        let told = |volume: serde_json::Value| match schedule(&state, &pod(json!({"volumes": [volume]})), Some(&node(json!({}))), &beside(&[])) {
            Verdict::Unschedulable { message } => message,
            other => format!("{other:?}"),
        };
        let of = |name: &str| json!({"name": "v", "persistentVolumeClaim": {"claimName": name}});
        assert!(told(of("good")).starts_with("Fits"));
        for (volume, why) in [
            (of("none"), "persistentvolumeclaim \"none\" not found"),
            (of("lost"), "persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"pv\""),
            (of("leaves"), "persistentvolumeclaim \"leaves\" is being deleted"),
            (json!({"name": "v", "ephemeral": {}}), "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-v\""),
        ] {
            assert_eq!(told(volume), format!("0/1 nodes are available: {why}. {NO_HELP}"));
        }
    }

    #[test]
    fn what_is_missing_without_the_less_important_is_told() {
        let n = node(json!({}));
        let mut low = asks("900m", "1Mi");
        low.spec.as_mut().unwrap().priority = Some(-1);
        let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu.";
        assert_eq!(message(&asks("3", "1Mi"), &n, &[&low]), text);
        let text = "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/1 nodes are available: 1 Insufficient memory.";
        assert_eq!(message(&asks("1900m", "2Gi"), &n, &[&low]), text);
    }

    #[test]
    fn one_pod_has_to_meet_all_terms_of_affinity() {
        let n = node(json!({}));
        let of = |labels: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "o", "namespace": "ns", "labels": labels}, "spec": {"containers": []}})).unwrap()
        };
        let term = |key: &str| json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {key: "x"}}});
        let seeks = pod(json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term("a"), term("b")]}}}));
        let text = format!("0/1 nodes are available: 1 node(s) didn't match pod affinity rules. {NO_HELP}");
        assert_eq!(message(&seeks, &n, &[&of(json!({"a": "x"})), &of(json!({"b": "x"}))]), text);
        assert_eq!(message(&seeks, &n, &[&of(json!({"a": "x", "b": "x"}))]), "fits");
    }

    #[test]
    fn affinity_reaches_namespaces_by_their_labels() {
        let n = node(json!({}));
        let mut state = State::new();
        let tree = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "far", "labels": {"team": "a"}}});
        state.put(Key::new(GroupResource::new("", "namespaces"), "", "far"), Object::new(tree));
        let other: Pod = serde_json::from_value(json!({"metadata": {"name": "o", "namespace": "far", "labels": {"app": "p"}}, "spec": {"containers": []}})).unwrap();
        let told = |reach: serde_json::Value| {
            let mut term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "p"}}});
            term.as_object_mut().unwrap().extend(reach.as_object().unwrap().clone());
            let pod = pod(json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}));
            matches!(schedule(&state, &pod, Some(&n), &beside(&[&other])), Verdict::Fits { .. })
        };
        for (reach, fits) in [
            (json!({}), true),
            (json!({"namespaces": ["far"]}), false),
            (json!({"namespaceSelector": {}}), false),
            (json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}), false),
            (json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}), true),
            (json!({"namespaces": ["far"], "namespaceSelector": {"matchLabels": {"team": "b"}}}), false),
        ] {
            assert_eq!(told(reach.clone()), fits, "{reach}");
        }
    }

    #[test]
    fn pods_on_their_way_out_are_not_spread() {
        let n = node(json!({}));
        let spread = pod(json!({"topologySpreadConstraints": [{"maxSkew": 1, "minDomains": 2, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "p"}}}]}));
        let mut other = pod(json!({}));
        assert!(message(&spread, &n, &[&other]).contains("1 node(s) didn't match pod topology spread constraints."));
        other.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(message(&spread, &n, &[&other]), "fits");
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
        let wants = |resources: serde_json::Value| pod(json!({"containers": [{"name": "c", "resources": {"requests": resources}}]}));
        let message = "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824";
        refused(&wants(json!({"ephemeral-storage": "1", "memory": "2Gi", "example.test/x": "1"})), "OutOfmemory", message);
        let message = "Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, capacity: 0";
        refused(&wants(json!({"hugepages-2Mi": "2Mi"})), "OutOfhugepages-2Mi", message);
        assert_eq!(admission(&wants(json!({"example.test/x": "1"})), &n, &Occupants::default()), Admission::Takes);
        let known = node(json!({"status": {"allocatable": {"pods": "3", "example.test/x": "1"}}}));
        assert_eq!(admission(&wants(json!({"example.test/x": "1"})), &known, &Occupants::default()), Admission::Takes);
        assert_ne!(admission(&wants(json!({"example.test/x": "2"})), &known, &Occupants::default()), Admission::Takes);
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        refused(&pod(json!({"nodeSelector": {"a": "b"}})), "NodeAffinity", message);
        let mut critical = asks("100", "1Mi");
        critical.spec.as_mut().unwrap().priority = Some(2_000_000_000);
        let message = "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to \
                       preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 98000), ]";
        refused(&critical, "UnexpectedAdmissionError", message);
    }
}
