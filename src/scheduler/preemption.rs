//! Which less important pods have to go so that a pod fits.
//! Source: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go: SelectVictimsOnNode,
//! filterPodsWithPDBViolation.

use k8s_openapi::api::core::v1::{Node, Pod};

use super::{Misfit, Occupant, Occupants, fit};
use crate::api::GroupResource;
use crate::api::selector::LabelSelector;
use crate::api::tree::Tree;
use crate::state::State;

/// What the end of less important pods would do for one.
pub(super) enum Preemption {
    /// It fits without these, by their places, in that order; empty while enough of them are on their way out.
    Victims(Vec<usize>),
    NobodyIsLess,
    /// It would not fit without all of them either.
    StillNoRoom(Misfit),
}

/// Those whose going a disruption budget does not allow are spared where that is possible.
pub(super) fn victims(state: &State, pod: &Pod, node: &Node, all: &Occupants) -> Preemption {
    let (own, others) = (priority(pod), all.all());
    let mut lower: Vec<usize> = (0..others.len()).filter(|i| priority(&others[*i].pod) < own).collect();
    let leaves = |i: usize| others[i].pod.metadata.deletion_timestamp.is_some();
    let beside = |kept: &dyn Fn(usize) -> bool| {
        let beside = (0..others.len()).filter(|i| kept(*i)).map(|i| (others[i].uid.clone(), others[i].pod.clone())).collect();
        fit::check(state, pod, node, &beside)
    };
    let fits_beside = |kept: &dyn Fn(usize) -> bool| beside(kept).is_ok();
    if lower.is_empty() {
        return Preemption::NobodyIsLess;
    }
    if fits_beside(&|i| !(leaves(i) && lower.contains(&i))) {
        return Preemption::Victims(Vec::new());
    }
    if let Err(misfit) = beside(&|i| !lower.contains(&i)) {
        return Preemption::StillNoRoom(misfit);
    }
    // The most important are spared first: by priority, then those that were there first.
    lower.sort_by_key(|i| (std::cmp::Reverse(priority(&others[*i].pod)), started(&others[*i].pod)));
    let mut gone = lower.clone();
    let (protected, others_first) = by_budgets(state, others, &lower);
    for candidate in protected.into_iter().chain(others_first) {
        let without: Vec<usize> = gone.iter().copied().filter(|i| *i != candidate).collect();
        if fits_beside(&|i| !without.contains(&i)) {
            gone = without;
        }
    }
    gone.retain(|i| !leaves(*i));
    gone.sort_unstable();
    Preemption::Victims(gone)
}

/// Parts pods, most important first, into those whose going breaks a budget and the rest: each that is counted uses up one of
/// what its budgets allow.
fn by_budgets(state: &State, others: &[Occupant], candidates: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let budgets = GroupResource::new("policy", "poddisruptionbudgets");
    let mut allowed: Vec<_> = state
        .all(&budgets)
        .filter_map(|budget| {
            let selector = LabelSelector::of(budget.at("/spec/selector")).ok().filter(|s| !s.is_everything())?;
            Some((budget, selector, budget.json().field("status").int("disruptionsAllowed")))
        })
        .collect();
    candidates.iter().partition(|candidate| {
        let meta = &others[**candidate].pod.metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        let mut breaks = false;
        for (budget, selector, left) in &mut allowed {
            let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).map(String::as_str);
            let here = meta.namespace.as_deref().unwrap_or_default() == budget.namespace();
            let labelled = meta.labels.as_ref().is_some_and(|l| !l.is_empty());
            let evicted = budget.json().field("status").field("disruptedPods").get(name).is_some();
            if here && labelled && !evicted && selector.matches_by(label) {
                *left -= 1;
                breaks |= *left < 0;
            }
        }
        breaks
    })
}

/// How important a pod is.
pub fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0)
}

fn started(pod: &Pod) -> Option<jiff::Timestamp> {
    let began = pod.status.as_ref().and_then(|s| s.start_time.as_ref());
    began.or(pod.metadata.creation_timestamp.as_ref()).map(|t| t.0)
}
