//! Which less important pods have to go so that a pod fits.
//! Source: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go: SelectVictimsOnNode.

use k8s_openapi::api::core::v1::{Node, Pod};

use super::fit;

/// The victims among `others` by their places, in that order; empty while enough of them are on their way out. `None`: it
/// would not help.
pub(super) fn victims(pod: &Pod, node: &Node, others: &[&Pod]) -> Option<Vec<usize>> {
    let own = priority(pod);
    let mut lower: Vec<usize> = (0..others.len()).filter(|i| priority(others[*i]) < own).collect();
    let leaves = |i: usize| others[i].metadata.deletion_timestamp.is_some();
    let fits_beside = |kept: &dyn Fn(usize) -> bool| {
        let beside: Vec<&Pod> = (0..others.len()).filter(|i| kept(*i)).map(|i| others[i]).collect();
        fit::check(pod, node, &beside).is_ok()
    };
    if fits_beside(&|i| !(leaves(i) && lower.contains(&i))) {
        return Some(Vec::new());
    }
    if lower.is_empty() || !fits_beside(&|i| !lower.contains(&i)) {
        return None;
    }
    // The most important are spared first: by priority, then those that were there first.
    lower.sort_by_key(|i| (std::cmp::Reverse(priority(others[*i])), started(others[*i])));
    let mut gone = lower.clone();
    for candidate in lower {
        let without: Vec<usize> = gone.iter().copied().filter(|i| *i != candidate).collect();
        if fits_beside(&|i| !without.contains(&i)) {
            gone = without;
        }
    }
    gone.retain(|i| !leaves(*i));
    gone.sort_unstable();
    Some(gone)
}

/// How important a pod is.
pub fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0)
}

fn started(pod: &Pod) -> Option<jiff::Timestamp> {
    let began = pod.status.as_ref().and_then(|s| s.start_time.as_ref());
    began.or(pod.metadata.creation_timestamp.as_ref()).map(|t| t.0)
}
