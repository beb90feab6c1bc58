//! Which pods go first when there are too many.
//! Source of the order: pkg/controller/controller_utils.go (ActivePodsWithRanks).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::api::Object;
use crate::api::digest::Phase;
use crate::controllers::ownership::controlled;
use crate::controllers::pods::PodView;
use crate::controllers::resources::PODS;
use crate::state::State;

/// Annotation by which a user says which pods are cheap to lose.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods that go first: unassigned, Pending, not ready, of low deletion cost, many on one
/// node, ready for less time, restarted more often, newer. Kubernetes compares times by the power of
/// two of their age and leaves the rest to chance; here the times themselves decide.
pub(super) fn choose<'s>(state: &State, set: &Arc<Object>, pods: &[PodView<'s>], count: usize) -> Vec<PodView<'s>> {
    if count == 0 {
        return Vec::new();
    }
    let mut sorted = pods.to_vec();
    if count < pods.len() {
        let on_node = related_by_node(state, set);
        sorted.sort_by_cached_key(|pod| Rank::of(pod, on_node.get(pod.node()).copied().unwrap_or(0)));
    }
    sorted.truncate(count);
    sorted
}

/// How many active pods of all sets with the same controller are on each node.
fn related_by_node(state: &State, set: &Arc<Object>) -> HashMap<String, usize> {
    let mut related = vec![set.clone()];
    if let Some(uid) = set.controller_uid() {
        let siblings = state.owned_by(uid).filter(|o| o.controller_uid() == Some(uid) && o.kind() == set.kind());
        related.extend(siblings.filter(|o| o.uid() != set.uid()).cloned());
    }
    let mut on_node = HashMap::new();
    for owner in &related {
        for pod in controlled(state, owner, &PODS).map(PodView::of).filter(PodView::is_active) {
            *on_node.entry(pod.node().to_owned()).or_insert(0) += 1;
        }
    }
    on_node
}

/// Less goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    assigned: bool,
    phase: u8,
    ready: bool,
    deletion_cost: i32,
    on_node: Reverse<usize>,
    ready_since: Reverse<Option<jiff::Timestamp>>,
    restarts: Reverse<(i32, i32)>,
    created: Reverse<Option<jiff::Timestamp>>,
    name: String,
}

impl Rank {
    fn of(pod: &PodView<'_>, on_node: usize) -> Self {
        Rank {
            assigned: !pod.node().is_empty(),
            phase: match pod.phase() {
                Phase::Unknown => 1,
                Phase::Running => 2,
                Phase::Unset | Phase::Pending | Phase::Succeeded | Phase::Failed | Phase::Other => 0,
            },
            ready: pod.is_ready(),
            deletion_cost: deletion_cost(pod),
            on_node: Reverse(on_node),
            ready_since: Reverse(pod.ready_since()),
            restarts: Reverse(pod.most_restarts()),
            created: Reverse(pod.facts.created_at.get()),
            name: pod.name().to_owned(),
        }
    }
}

/// 0 where the annotation is missing or no plain whole number of 32 bits.
fn deletion_cost(pod: &Object) -> i32 {
    let plain =
        |text: &&str| matches!(text.as_bytes(), [b'0'] | [b'-', b'1'..=b'9', ..] | [b'1'..=b'9', ..]);
    pod.annotation(DELETION_COST).filter(plain).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use serde_json::json;

    use super::*;
    use crate::api::{GroupResource, Key};

    fn pod(name: &str, change: impl FnOnce(&mut crate::api::Json)) -> Arc<Object> {
        let mut tree = json!({
            "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}]},
        });
        change(&mut tree);
        Arc::new(Object::new(tree))
    }

    fn first(pods: [Arc<Object>; 2]) -> String {
        let [a, b] = pods.each_ref().map(PodView::of);
        if Rank::of(&a, 1).cmp(&Rank::of(&b, 1)) == Ordering::Less { a.name().into() } else { b.name().into() }
    }

    #[test]
    fn the_least_useful_pod_goes_first() {
        let good = || pod("a-good", |_| ());
        assert_eq!(first([good(), pod("x", |p| p["spec"]["nodeName"] = json!(""))]), "x");
        assert_eq!(first([good(), pod("x", |p| p["status"]["phase"] = json!("Pending"))]), "x");
        assert_eq!(first([good(), pod("x", |p| p["status"]["conditions"] = json!([]))]), "x");
        let cheap = |p: &mut crate::api::Json| p["metadata"]["annotations"] = json!({DELETION_COST: "-3"});
        assert_eq!(first([good(), pod("x", cheap)]), "x");
        let signed = |p: &mut crate::api::Json| p["metadata"]["annotations"] = json!({DELETION_COST: "+3"});
        assert_eq!(first([good(), pod("x", signed)]), "a-good");
        let later = |p: &mut crate::api::Json| {
            p["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:00:20Z");
        };
        assert_eq!(first([good(), pod("x", later)]), "x");
        let newer = |p: &mut crate::api::Json| p["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:05Z");
        assert_eq!(first([good(), pod("x", newer)]), "x");
    }

    #[test]
    fn where_more_pods_of_the_same_owner_are_one_goes_first() {
        let mut state = State::new();
        let mut put = |kind: &str, name: &str, owner: &str, node: &str, phase: &str| {
            let mut tree = pod(name, |_| ()).json().clone();
            tree["kind"] = json!(kind);
            tree["metadata"]["namespace"] = json!("n");
            tree["metadata"]["uid"] = json!(name);
            tree["metadata"]["ownerReferences"] = json!([{"kind": "x", "name": owner, "uid": owner, "controller": true}]);
            tree["spec"]["nodeName"] = json!(node);
            tree["status"]["phase"] = json!(phase);
            let object = Object::new(tree);
            let resource = if kind == "Pod" { PODS.clone() } else { GroupResource::new("apps", "replicasets") };
            state.put(Key::new(resource, "n", name), object.clone());
            Arc::new(object)
        };
        let set = put("ReplicaSet", "new", "d", "", "");
        put("ReplicaSet", "old", "d", "", "");
        put("ReplicaSet", "stranger", "e", "", "");
        let pods = [put("Pod", "a", "new", "n1", "Running"), put("Pod", "b", "new", "n2", "Running")];
        put("Pod", "of-old", "old", "n2", "Running");
        for name in ["x", "y"] {
            put("Pod", name, "stranger", "n1", "Running");
        }
        for name in ["v", "w"] {
            put("Pod", name, "old", "n1", "Failed");
        }
        let pods = pods.each_ref().map(PodView::of);
        let goes = |count: usize| choose(&state, &set, &pods, count).iter().map(|pod| pod.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(goes(1), ["b"]);
        assert_eq!((goes(0), goes(2).len(), goes(3).len()), (vec![], 2, 2));
    }
}
