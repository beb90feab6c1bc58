//! Affinity to other pods, and spreading.
//! Source: plugins/interpodaffinity, podtopologyspread.

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Misfit, Occupant, Occupants};
use crate::api::selector::LabelSelector as Selector;
use crate::api::{GroupResource, Json, Key};
use crate::state::State;

fn selects(selector: Option<&LabelSelector>, pod: &Pod) -> bool {
    let Some(selector) = selector else { return false };
    let labels = serde_json::to_value(pod.metadata.labels.clone().unwrap_or_default()).unwrap_or_default();
    matches(selector, Some(&labels))
}

/// Whether labels are those that are asked for; an invalid selector asks for nothing that there is.
fn matches(selector: &LabelSelector, labels: Option<&Json>) -> bool {
    let tree = serde_json::to_value(selector).unwrap_or_default();
    Selector::of(Some(&tree)).is_ok_and(|s| s.matches_map(labels))
}

/// Whether `other` is one of those that a term of `owner` speaks of.
/// Source: pkg/scheduler/framework/types.go: AffinityTerm, getNamespacesFromPodAffinityTerm.
fn speaks_of(state: &State, term: &PodAffinityTerm, owner: &Pod, other: &Pod) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let own = owner.metadata.namespace.as_deref().unwrap_or_default();
    let theirs = other.metadata.namespace.as_deref().unwrap_or_default();
    let in_reach = match &term.namespace_selector {
        None if named.is_empty() => own == theirs,
        None => named.iter().any(|n| n == theirs),
        Some(selector) => named.iter().any(|n| n == theirs) || is_selected(state, selector, theirs),
    };
    in_reach && selects(term.label_selector.as_ref(), other)
}

/// Whether a namespace has the labels that are asked for.
fn is_selected(state: &State, selector: &LabelSelector, namespace: &str) -> bool {
    let object = state.get(&Key::new(GroupResource::new("", "namespaces"), "", namespace));
    matches(selector, object.and_then(|o| o.at("/metadata/labels")))
}

fn has_label(node: &Node, key: &str) -> bool {
    node.metadata.labels.as_ref().is_some_and(|l| l.contains_key(key))
}

pub(super) fn avoids(pod: &Pod) -> impl Iterator<Item = &PodAffinityTerm> {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()).and_then(|a| a.pod_anti_affinity.as_ref());
    affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default().iter()
}

/// Required affinity and anti-affinity between pods.
pub(super) fn pods(state: &State, pod: &Pod, spec: &PodSpec, node: &Node, all: &Occupants) -> Result<(), Misfit> {
    let others = all.all();
    let seeks = spec.affinity.as_ref().and_then(|a| a.pod_affinity.as_ref());
    let seeks = seeks.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
    // One that is found is so by all terms together. The first of a group that seeks its own kind may come.
    let all_speak_of = |other: &Pod| seeks.iter().all(|term| speaks_of(state, term, pod, other));
    let found = || others.iter().any(|other| all_speak_of(&other.pod)) || all_speak_of(pod);
    if seeks.iter().any(|term| !has_label(node, &term.topology_key)) || !(seeks.is_empty() || found()) {
        return Err(Misfit::hard("node(s) didn't match pod affinity rules"));
    }
    let meets = |term: &PodAffinityTerm, owner: &Pod, other: &Pod| has_label(node, &term.topology_key) && speaks_of(state, term, owner, other);
    if avoids(pod).any(|term| others.iter().any(|other| meets(term, pod, &other.pod))) {
        return Err(Misfit::soft(vec!["node(s) didn't match pod anti-affinity rules".into()]));
    }
    if all.avoid_others() && others.iter().any(|other| avoids(&other.pod).any(|term| meets(term, &other.pod, pod))) {
        return Err(Misfit::soft(vec!["node(s) didn't satisfy existing pods anti-affinity rules".into()]));
    }
    Ok(())
}

/// Topology spread over the one domain that there is.
pub(super) fn spread(pod: &Pod, spec: &PodSpec, node: &Node, others: &[Occupant]) -> Result<(), Misfit> {
    let hard = spec.topology_spread_constraints.iter().flatten().filter(|c| c.when_unsatisfiable == "DoNotSchedule");
    let stays = |other: &&Occupant| other.pod.metadata.deletion_timestamp.is_none();
    for constraint in hard {
        if !has_label(node, &constraint.topology_key) {
            return Err(Misfit::hard("node(s) didn't match pod topology spread constraints (missing required label)"));
        }
        // With one domain the least count is its own, unless more domains are asked for than there are.
        let namespace = &pod.metadata.namespace;
        let same = |other: &&Occupant| {
            &other.pod.metadata.namespace == namespace && selects(constraint.label_selector.as_ref(), &other.pod)
        };
        let count = i32::try_from(others.iter().filter(stays).filter(same).count()).unwrap_or(i32::MAX);
        let least = if constraint.min_domains.unwrap_or(1) > 1 { 0 } else { count };
        let own = i32::from(selects(constraint.label_selector.as_ref(), pod));
        if count.saturating_add(own).saturating_sub(least) > constraint.max_skew {
            return Err(Misfit::soft(vec!["node(s) didn't match pod topology spread constraints".into()]));
        }
    }
    Ok(())
}
