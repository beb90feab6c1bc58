//! RollingUpdate of a DaemonSet: old pods make room, or new ones come up beside them first.
//! Source of the rules: pkg/controller/daemon/update.go.

use super::revisions::HASH;
use super::sync::{OnNode, Sync};
use crate::controllers::pods::PodView;
use crate::controllers::quantities::scaled;
use crate::controllers::resources::dig;

/// The new and the old pod on a node. `None`: there are several of one.
fn pair<'p, 's>(on_node: &'p OnNode<'s>, hash: &str) -> Option<(Option<&'p PodView<'s>>, Option<&'p PodView<'s>>)> {
    let (mut new, mut old) = (None, None);
    for pod in on_node.pods.iter().filter(|pod| !pod.is_deleting()) {
        let place = if pod.label(HASH) == Some(hash) { &mut new } else { &mut old };
        if place.replace(pod).is_some() {
            return None;
        }
    }
    Some((new, old))
}

impl Sync<'_> {
    /// How many pods may be missing, and how many may be there beside the old ones.
    pub(super) fn allowances(&self) -> (i64, i64) {
        let wanted = i64::try_from(self.nodes.iter().filter(|n| n.fit.runs).count()).unwrap_or(i64::MAX);
        let rolling = dig(self.set.json(), &["spec", "updateStrategy", "rollingUpdate"]);
        let unavailable = scaled(dig(rolling, &["maxUnavailable"]), wanted, true).unwrap_or(0);
        let surge = scaled(dig(rolling, &["maxSurge"]), wanted, true).unwrap_or(0);
        if wanted > 0 && unavailable == 0 && surge == 0 { (1, 0) } else { (unavailable, surge) }
    }

    /// Whether a new pod may be there beside the old one of its node.
    pub(super) fn allows_surge(&self) -> bool {
        let surge = dig(self.set.json(), &["spec", "updateStrategy", "rollingUpdate", "maxSurge"]);
        scaled(surge, 1, true).is_some_and(|most| most > 0)
    }

    fn is_available(&self, pod: &PodView<'_>) -> bool {
        pod.is_available(self.min_ready(), self.now)
    }

    /// The names of pods to delete, and of nodes that get one more pod.
    pub(super) fn roll(&self, hash: &str) -> (Vec<String>, Vec<String>) {
        let (unavailable, surge) = self.allowances();
        if surge == 0 { (self.make_room(hash, unavailable), Vec::new()) } else { self.surge(hash, surge) }
    }

    fn make_room(&self, hash: &str, most: i64) -> Vec<String> {
        let mut down = 0;
        let (mut gone, mut candidates) = (Vec::new(), Vec::new());
        for on_node in self.nodes.iter().filter(|n| n.fit.runs || !n.pods.is_empty()) {
            match pair(on_node, hash) {
                None | Some((None, None) | (Some(_), Some(_))) => down += 1,
                Some((Some(new), None)) => down += i64::from(!self.is_available(new)),
                Some((None, Some(old))) if !self.is_available(old) => {
                    gone.push(old.name().to_owned());
                    down += 1;
                }
                Some((None, Some(old))) => candidates.push(old.name().to_owned()),
            }
        }
        let left = usize::try_from(most - down).unwrap_or(0);
        gone.extend(candidates.into_iter().take(left));
        gone
    }

    fn surge(&self, hash: &str, most: i64) -> (Vec<String>, Vec<String>) {
        let (mut gone, mut leaving) = (Vec::new(), Vec::new());
        let (mut allowed, mut candidates) = (Vec::new(), Vec::new());
        let (mut surging, mut available) = (0, 0);
        for on_node in self.nodes.iter().filter(|n| n.fit.runs || !n.pods.is_empty()) {
            let Some((new, old)) = pair(on_node, hash) else {
                surging += 1;
                continue;
            };
            available += usize::from(old.or(new).is_some_and(|pod| self.is_available(pod)));
            let Some(old) = old else { continue };
            match new {
                Some(new) if self.is_available(new) => gone.push(old.name().to_owned()),
                Some(_) => surging += 1,
                None if !self.is_available(old) && !on_node.fit.runs => gone.push(old.name().to_owned()),
                None if !self.is_available(old) => allowed.push(on_node.name.clone()),
                None if !on_node.fit.runs => leaving.push(old.name().to_owned()),
                None => candidates.push(on_node.name.clone()),
            }
        }
        // On a node that is left the pod goes once there are enough elsewhere.
        let wanted = self.nodes.iter().filter(|n| n.fit.runs).count();
        gone.extend(leaving.into_iter().take(available.saturating_sub(wanted)));
        let left = usize::try_from(most - surging).unwrap_or(0);
        allowed.extend(candidates.into_iter().take(left));
        (gone, allowed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api::Object;
    use crate::controllers::resources::{NODES, key_of};
    use crate::state::State;

    fn allowed(nodes: usize, unavailable: &str, surge: &str) -> ((i64, i64), bool) {
        let mut state = State::new();
        for number in 0..nodes {
            let node = Object::new(json!({"kind": "Node", "metadata": {"name": format!("n{number}")}}));
            state.put(key_of(&NODES, &node), node);
        }
        let set = Arc::new(Object::new(json!({"kind": "DaemonSet", "spec": {
            "template": {"spec": {"containers": []}},
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}},
        }})));
        let sync = Sync::new(&state, &set, Vec::new(), jiff::Timestamp::UNIX_EPOCH);
        (sync.allowances(), sync.allows_surge())
    }

    #[test]
    fn shares_are_of_the_nodes_that_want_a_pod() {
        assert_eq!(allowed(3, "50%", "0%"), ((2, 0), false));
        assert_eq!(allowed(3, "0%", "10%"), ((0, 1), true));
        assert_eq!(allowed(3, "0%", "0%"), ((1, 0), false));
        // Where no node wants one nothing is replaced, but two may stand on a node that is left.
        assert_eq!(allowed(0, "50%", "0%"), ((0, 0), false));
        assert_eq!(allowed(0, "0%", "50%"), ((0, 0), true));
    }
}
