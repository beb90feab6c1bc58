//! How many pods each ReplicaSet gets when the Deployment's size changes.
//! Source of the rules: pkg/controller/deployment/sync.go.

use std::cmp::Reverse;

use serde_json::json;

use super::sets::{DESIRED, MAX, Set, Sets, annotate};
use super::{COMPONENT, Look, limits};
use crate::api::Object;
use crate::controllers::resources::{REPLICA_SETS, int, key_of};

impl Look<'_> {
    /// Notes the Deployment's size and its ceiling on a ReplicaSet.
    pub(super) fn annotate_sizes(&self, set: &mut Object) -> bool {
        let sizes = [(DESIRED, self.wanted()), (MAX, self.wanted() + self.max_surge())];
        let mut changed = false;
        for (name, size) in sizes {
            let size = size.to_string();
            if set.annotation(name) != Some(&size) {
                annotate(set, name, &size);
                changed = true;
            }
        }
        changed
    }

    /// Gives a ReplicaSet its size, with an event when that changes.
    fn resize(&mut self, set: &mut Set, size: i64) -> bool {
        let before = set.replicas();
        let annotated = self.annotate_sizes(&mut set.object);
        if before == size && !annotated {
            return false;
        }
        set.object.json_mut()["spec"]["replicas"] = json!(size);
        self.decision.update(set.object.clone());
        if before == size {
            return false;
        }
        let direction = if size > before { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {before} to {size}", set.name());
        self.decision.normal(COMPONENT, &self.deployment, "ScalingReplicaSet", message);
        true
    }

    /// The same, but nothing is done, not even noted, where the size stays.
    pub(super) fn scale_set(&mut self, set: &mut Set, size: i64) -> bool {
        set.replicas() != size && self.resize(set, size)
    }

    /// The size that the current set of `size` may have now that all sets together have `total`.
    pub(super) fn new_set_size(&self, total: i64, size: i64) -> i64 {
        if !self.is_rolling() {
            return self.wanted();
        }
        let ceiling = self.wanted() + self.max_surge();
        if total >= ceiling {
            return size;
        }
        size + (ceiling - total).min(self.wanted() - size)
    }

    /// Spreads a changed size over the ReplicaSets.
    pub(super) fn scale(&mut self, sets: &mut Sets) {
        let wanted = self.wanted();
        if let Some(only) = active_or_latest(sets) {
            self.scale_set(only, wanted);
        } else if self.is_saturated(sets) {
            for old in sets.old.iter_mut().filter(|s| s.replicas() > 0) {
                self.scale_set(old, 0);
            }
        } else if self.is_rolling() {
            self.scale_in_proportion(sets);
        }
    }

    fn is_saturated(&self, sets: &Sets) -> bool {
        let wanted = self.wanted();
        sets.new.as_ref().is_some_and(|new| {
            new.replicas() == wanted && new.desired() == Some(wanted) && new.available() == wanted
        })
    }

    /// Keeps the sets' shares, so that a risky new version does not get all of the growth; what rounding
    /// leaves over goes to the largest.
    fn scale_in_proportion(&mut self, sets: &mut Sets) {
        let allowed = if self.wanted() > 0 { self.wanted() + self.max_surge() } else { 0 };
        let to_add = allowed - sets.replicas();
        let mut active: Vec<&mut Set> =
            sets.old.iter_mut().chain(&mut sets.new).filter(|s| s.replicas() > 0).collect();
        if to_add > 0 {
            active.sort_by_cached_key(|s| (Reverse(s.replicas()), Reverse(s.age_key())));
        } else {
            active.sort_by_cached_key(|s| (Reverse(s.replicas()), s.age_key()));
        }
        let mut added = 0;
        let mut sizes = Vec::with_capacity(active.len());
        for set in &active {
            let share = self.share(set, to_add, added);
            sizes.push(set.replicas() + share);
            added += share;
        }
        if let Some(largest) = sizes.first_mut().filter(|_| to_add != 0) {
            *largest = (*largest + to_add - added).max(0);
        }
        for (set, size) in active.into_iter().zip(sizes) {
            self.resize(set, size);
        }
    }

    /// How many of the pods to add (or, negative, to remove) are this set's.
    fn share(&self, set: &Set, to_add: i64, added: i64) -> i64 {
        if to_add == 0 || to_add == added {
            return 0;
        }
        let (fraction, left) = (self.fraction(set), to_add - added);
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    fn fraction(&self, set: &Set) -> i64 {
        if self.wanted() == 0 {
            return -set.replicas();
        }
        let before = set.max().filter(|max| *max != 0).unwrap_or_else(|| int(&self.deployment, &["status", "replicas"]));
        if before == 0 {
            return 0;
        }
        let size = (set.replicas() * (self.wanted() + self.max_surge())) as f64 / before as f64;
        size.round() as i64 - set.replicas()
    }

    /// Deletes old, empty ReplicaSets over the history limit, the oldest revisions first.
    pub(super) fn clean_up(&mut self, sets: &Sets) {
        let Some(limit) = limits::history_limit(&self.deployment) else { return };
        let mut alive: Vec<&Set> = sets.old.iter().filter(|s| !s.object.is_deleting()).collect();
        let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        alive.sort_by_cached_key(|s| (s.revision(), s.age_key()));
        for set in alive.into_iter().take(surplus) {
            let observed = int(&set.object, &["status", "observedGeneration"]);
            if set.actual() == 0 && set.replicas() == 0 && set.object.generation() <= observed {
                self.decision.delete(key_of(&REPLICA_SETS, &set.object), &set.object);
            }
        }
    }
}

/// The only set with pods, or the newest where none has any.
fn active_or_latest(sets: &mut Sets) -> Option<&mut Set> {
    match sets.all().filter(|s| s.replicas() > 0).count() {
        0 => sets.new.as_mut().or(sets.old.last_mut()),
        1 => sets.old.iter_mut().chain(&mut sets.new).find(|s| s.replicas() > 0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::DeploymentController;
    use super::*;
    use crate::api::{Json, Key, Object};
    use crate::controllers::resources::{DEPLOYMENTS, dig};
    use crate::controllers::{Write, testing};
    use crate::state::State;

    fn template(image: &str) -> Json {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
    }

    /// Sets by name: revision, wanted size, available pods, the size that the Deployment had when it was last scaled. The last is current.
    fn sizes_after(wanted: i64, surge: i64, sets: &[(&str, i64, i64, i64)]) -> Vec<(String, i64)> {
        let mut state = State::new();
        let mut total = 0;
        for (at, (name, size, available, before)) in sets.iter().enumerate() {
            total += size;
            let object = Object::new(json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {
                    "name": name, "namespace": "n", "uid": name, "labels": {"app": "web"},
                    "creationTimestamp": format!("2026-01-01T00:00:0{at}Z"),
                    "annotations": {
                        "deployment.kubernetes.io/revision": (at + 1).to_string(),
                        "deployment.kubernetes.io/desired-replicas": before.to_string(),
                        "deployment.kubernetes.io/max-replicas": (before + surge).to_string(),
                    },
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true}],
                },
                "spec": {"replicas": size, "selector": {"matchLabels": {"app": "web"}}, "template": template(name)},
                "status": {"replicas": size, "availableReplicas": available},
            }));
            state.put(key_of(&REPLICA_SETS, &object), object);
        }
        let deployment = Object::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "d", "namespace": "n", "uid": "d", "generation": 2,
                "annotations": {"deployment.kubernetes.io/revision": sets.len().to_string()},
            },
            "spec": {
                "replicas": wanted, "selector": {"matchLabels": {"app": "web"}}, "template": template(sets[sets.len() - 1].0),
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1}},
            },
            "status": {"replicas": total},
        }));
        let key: Key = key_of(&DEPLOYMENTS, &deployment);
        state.put(key.clone(), deployment);
        let size = |write: Write| match write {
            Write::Update { object } => Some((object.name().to_owned(), dig(object.json(), &["spec", "replicas"]).as_i64()?)),
            _ => None,
        };
        let mut sizes: Vec<(String, i64)> = testing::look(&DeploymentController, &state, &key).into_iter().filter_map(size).collect();
        sizes.sort();
        sizes
    }

    fn named(sizes: &[(&str, i64)]) -> Vec<(String, i64)> {
        sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
    }

    #[test]
    fn each_set_keeps_its_share_when_a_rollout_is_scaled() {
        // Source of the numbers: the Deployment's documentation, "Proportional scaling".
        let of_ten = [("a", 8, 8, 10), ("b", 5, 0, 10)];
        assert_eq!(sizes_after(15, 3, &of_ten), named(&[("a", 11), ("b", 7)]));
        assert_eq!(sizes_after(5, 3, &of_ten), named(&[("a", 5), ("b", 3)]));
        assert_eq!(sizes_after(0, 3, &of_ten), named(&[("a", 0), ("b", 0)]));
    }

    #[test]
    fn what_rounding_leaves_over_goes_to_the_largest() {
        // Source: deployment_util_test.go and sync_test.go: TestScale.
        let thirds = [("a", 2, 2, 6), ("b", 2, 2, 6), ("c", 2, 0, 6)];
        assert_eq!(sizes_after(7, 0, &thirds), named(&[("a", 2), ("b", 2), ("c", 3)]), "the newest of equal ones grows");
        assert_eq!(sizes_after(5, 0, &thirds), named(&[("a", 1), ("b", 2), ("c", 2)]), "the oldest of equal ones shrinks");
    }

    #[test]
    fn the_only_set_with_pods_takes_the_whole_change() {
        assert_eq!(sizes_after(4, 1, &[("a", 0, 0, 2), ("b", 2, 2, 2)]), named(&[("b", 4)]));
        assert_eq!(sizes_after(4, 1, &[("a", 2, 2, 2), ("b", 0, 0, 2)]), named(&[("a", 4)]));
    }

    #[test]
    fn where_none_has_pods_the_current_set_takes_them() {
        assert_eq!(sizes_after(3, 1, &[("a", 0, 0, 2), ("b", 0, 0, 2)]), named(&[("b", 3)]));
    }
}
