//! Whom a node ends to take a critical pod that it was given without room for it.
//! Source: pkg/kubelet/preemption/preemption.go, pkg/kubelet/types/pod_update.go.

use k8s_openapi::api::core::v1::{Node, Pod};

use super::{Occupant, Occupants, fit, preemption::priority};
use crate::api::pod::{CONFIG_MIRROR, CONFIG_SOURCE};
use crate::api::requests;

/// The priority of `system-cluster-critical`, from which on a pod is critical
/// (pkg/apis/scheduling/types.go: SystemCriticalPriority).
const CRITICAL: i32 = 2_000_000_000;

/// What is missing of a resource.
#[derive(Clone, Debug, PartialEq)]
struct Missing {
    resource: String,
    amount: i64,
}

/// Whether a pod is critical: of a file, or important enough.
pub fn is_critical(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.iter().flatten();
    let of_file = annotations.into_iter().any(|(key, value)| key == CONFIG_MIRROR || (key == CONFIG_SOURCE && value != "api"));
    of_file || priority(pod) >= CRITICAL
}

/// The pods among `others` that have to go, by their places, so that there is room for a critical pod; none where nothing is
/// missing. `Err`: why that cannot be, in the kubelet's words.
pub(super) fn victims(pod: &Pod, node: &Node, all: &Occupants) -> Result<Vec<usize>, String> {
    let Some(spec) = &pod.spec else { return Ok(Vec::new()) };
    let short = fit::short_of(spec, node, all);
    let others = all.all();
    let of_kubelet = short.iter().filter(|s| fit::of_kubelet(s));
    let missing = of_kubelet.map(|s| Missing { resource: s.name.clone(), amount: s.asked - (s.capacity - s.used) });
    let missing: Vec<Missing> = missing.collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let mut classes: [Vec<usize>; 3] = Default::default();
    for (place, other) in others.iter().enumerate().filter(|(_, other)| gives_way(pod, &other.pod)) {
        let class = other.pod.spec.as_ref().map_or("BestEffort", requests::qos_class);
        let class = ["BestEffort", "Burstable", "Guaranteed"].iter().position(|c| *c == class).unwrap_or(0);
        classes[class].push(place);
    }
    let [best_effort, burstable, guaranteed] = classes;
    let without = |sets: &[&[usize]]| subtract(&missing, sets.iter().flat_map(|set| set.iter()).map(|i| others[*i].pod.as_ref()));
    let unmet = without(&[&best_effort, &burstable, &guaranteed]);
    if !unmet.is_empty() {
        let all: String = unmet.iter().map(|m| format!("(res: {}, q: {}), ", m.resource, m.amount)).collect();
        return Err(format!("preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [{all}]"));
    }
    // As few of the better classes as there can be, if all of the lesser ones go.
    let of_guaranteed = nearest(others, guaranteed, without(&[&best_effort, &burstable]));
    let of_burstable = nearest(others, burstable, without(&[&best_effort, &of_guaranteed]));
    let of_best_effort = nearest(others, best_effort, without(&[&of_burstable, &of_guaranteed]));
    Ok([of_best_effort, of_burstable, of_guaranteed].concat())
}

fn gives_way(pod: &Pod, other: &Pod) -> bool {
    let both = [pod, other].iter().all(|p| p.spec.as_ref().is_some_and(|s| s.priority.is_some()));
    (is_critical(pod) && !is_critical(other)) || (both && priority(pod) > priority(other))
}

/// What a pod holds of a resource.
fn held(pod: &Pod, resource: &str) -> i64 {
    if resource == "pods" { 1 } else { requests::scheduled(pod).get(resource).copied().unwrap_or(0) }
}

/// What is still missing when these have gone.
fn subtract<'p>(missing: &[Missing], gone: impl Iterator<Item = &'p Pod> + Clone) -> Vec<Missing> {
    let rest = missing.iter().map(|m| {
        let freed: i64 = gone.clone().map(|pod| held(pod, &m.resource)).sum();
        Missing { resource: m.resource.clone(), amount: m.amount - freed }
    });
    rest.filter(|m| m.amount > 0).collect()
}

/// One after the other the pod whose going leaves least missing; of equals the smaller one.
fn nearest(others: &[Occupant], mut from: Vec<usize>, mut missing: Vec<Missing>) -> Vec<usize> {
    let mut chosen = Vec::new();
    while !missing.is_empty() && !from.is_empty() {
        let mut best = (f64::INFINITY, 0);
        for (at, place) in from.iter().enumerate() {
            let far = distance(&missing, &others[*place].pod);
            if far < best.0 || (far == best.0 && is_smaller(&others[*place].pod, &others[from[best.1]].pod)) {
                best = (far, at);
            }
        }
        let place = from.swap_remove(best.1);
        missing = subtract(&missing, std::iter::once(others[place].pod.as_ref()));
        chosen.push(place);
    }
    chosen
}

/// The sum of the squares of the shares that would still be missing.
#[expect(clippy::cast_precision_loss, reason = "shares of amounts, as the kubelet takes them")]
fn distance(missing: &[Missing], pod: &Pod) -> f64 {
    let left = missing.iter().map(|m| (m.amount - held(pod, &m.resource)).max(0) as f64 / m.amount as f64);
    left.map(|share| share * share).sum()
}

fn is_smaller(pod: &Pod, than: &Pod) -> bool {
    for resource in ["memory", "cpu"] {
        let (one, other) = (held(pod, resource), held(than, resource));
        if one != other {
            return one < other;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn node() -> Node {
        serde_json::from_value(json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "5"}}})).unwrap()
    }

    fn pod(priority: i32, requests: serde_json::Value, limits: serde_json::Value) -> Pod {
        let resources = json!({"requests": requests, "limits": limits});
        let spec = json!({"priority": priority, "containers": [{"name": "c", "resources": resources}]});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn burstable(cpu: &str) -> Pod {
        pod(0, json!({"cpu": cpu}), json!({}))
    }

    fn critical(cpu: &str) -> Pod {
        pod(CRITICAL, json!({"cpu": cpu}), json!({}))
    }

    fn chosen(pod: &Pod, others: &[Pod]) -> Result<Vec<usize>, String> {
        victims(pod, &node(), &others.iter().enumerate().map(|(n, other)| (n.to_string(), Arc::new(other.clone()))).collect())
    }

    #[test]
    fn the_one_that_leaves_least_missing_goes_and_of_equals_the_smaller() {
        assert_eq!(chosen(&critical("500m"), &[burstable("1")]), Ok(vec![]), "there is room");
        let others = [burstable("300m"), burstable("900m"), burstable("700m")];
        assert_eq!(chosen(&critical("700m"), &others), Ok(vec![2]));
        assert_eq!(chosen(&critical("1200m"), &others), Ok(vec![1, 0]), "first the nearest");
    }

    #[test]
    fn lesser_classes_go_before_better_ones() {
        let guaranteed = pod(0, json!({"cpu": "1", "memory": "1Mi"}), json!({"cpu": "1", "memory": "1Mi"}));
        let others = [guaranteed, burstable("1"), pod(0, json!({}), json!({}))];
        assert_eq!(chosen(&critical("1"), &others), Ok(vec![1]));
        assert_eq!(chosen(&critical("2"), &others), Ok(vec![1, 0]));
        let crowd = [burstable("1m"), burstable("1m"), pod(0, json!({}), json!({})), burstable("1m"), burstable("1m")];
        assert_eq!(chosen(&critical("1m"), &crowd), Ok(vec![2]), "a place among the pods");
    }

    #[test]
    fn critical_pods_do_not_give_way_to_their_equals() {
        let why = "preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: \
                   [(res: cpu, q: 500), ]";
        assert_eq!(chosen(&critical("1"), &[critical("1500m")]), Err(why.to_owned()));
        let mut of_file = burstable("1500m");
        of_file.metadata.annotations = Some([(CONFIG_MIRROR.to_owned(), "x".to_owned())].into());
        assert_eq!(chosen(&critical("1"), &[of_file.clone()]), Ok(vec![0]), "by priority, where both have one");
        of_file.spec.as_mut().unwrap().priority = None;
        assert!(chosen(&critical("1"), &[of_file]).is_err());
        let above = pod(CRITICAL + 1, json!({"cpu": "1"}), json!({}));
        assert_eq!(chosen(&above, &[critical("1500m")]), Ok(vec![0]), "but to those above them");
    }
}
