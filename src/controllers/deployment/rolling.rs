//! RollingUpdate: the current set grows up to the ceiling, the old ones shrink down to the floor.
//! Source of the rules: pkg/controller/deployment/rolling.go.

use super::sets::{Set, Sets};
use super::{Look, Step, status};

impl Look<'_> {
    pub(super) fn roll(&mut self, sets: Sets) -> Step {
        let mut sets = self.or_new_set(sets)?;
        if self.grow(&mut sets) || self.shrink(&mut sets) {
            return self.sync_rollout_status(&sets);
        }
        if status::is_complete(&self.deployment, dig_status(self), self.wanted()) {
            self.clean_up(&sets);
        }
        self.sync_rollout_status(&sets)
    }

    /// Sizes the current set.
    fn grow(&mut self, sets: &mut Sets) -> bool {
        let total = sets.replicas();
        let wanted = self.wanted();
        let Some(new) = &mut sets.new else { return false };
        let size = if new.replicas() > wanted { wanted } else { self.new_set_size(total, new.replicas()) };
        self.scale_set(new, size)
    }

    /// Takes from the old sets what is more than the floor, first what is not healthy anyway.
    fn shrink(&mut self, sets: &mut Sets) -> bool {
        if sets.old.iter().map(Set::replicas).sum::<i64>() == 0 {
            return false;
        }
        let floor = self.wanted() - self.max_unavailable();
        let pending = sets.new.as_ref().map_or(0, |new| new.replicas() - new.available());
        let at_most = sets.replicas() - floor - pending;
        if at_most <= 0 {
            return false;
        }
        // Of a set that is empty by now the pods that it still tells of are on their way out.
        let available: i64 = sets.all().filter(|set| is_counted(set, sets)).map(Set::available).sum();
        let Some(unhealthy) = self.remove_unhealthy(sets, at_most) else { return false };
        let healthy = self.remove_available(sets, available - floor);
        unhealthy + healthy > 0
    }

    /// `None` where a set tells of more available pods than it should have: it has not yet acted on its last
    /// size, and taking more away by those numbers would go below the floor.
    fn remove_unhealthy(&mut self, sets: &mut Sets, at_most: i64) -> Option<i64> {
        let mut removed = 0;
        for set in sets.old.iter_mut().filter(|set| set.replicas() != 0) {
            if removed >= at_most {
                break;
            }
            let unhealthy = set.replicas() - set.available();
            if unhealthy < 0 {
                return None;
            }
            let count = unhealthy.min(at_most - removed);
            if count > 0 {
                self.scale_set(set, set.replicas() - count);
                removed += count;
            }
        }
        Some(removed)
    }

    fn remove_available(&mut self, sets: &mut Sets, at_most: i64) -> i64 {
        let mut removed = 0;
        for set in &mut sets.old {
            let count = set.replicas().min(at_most - removed);
            if count > 0 {
                self.scale_set(set, set.replicas() - count);
                removed += count;
            }
        }
        removed
    }
}

/// Whether the pods that a set tells of are there to stay: it is the current one, or has not been emptied.
fn is_counted(set: &Set, sets: &Sets) -> bool {
    set.replicas() > 0 || sets.new.as_ref().is_some_and(|new| new.name() == set.name())
}

fn dig_status<'a>(look: &'a Look<'_>) -> &'a crate::api::Json {
    crate::controllers::resources::dig(look.deployment.json(), &["status"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::DeploymentController;
    use crate::api::{Json, Key, Object};
    use crate::controllers::resources::{DEPLOYMENTS, REPLICA_SETS, dig, key_of};
    use crate::controllers::{Write, testing};
    use crate::state::State;

    fn template(image: &str) -> Json {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
    }

    fn set(state: &mut State, image: &str, revision: &str, size: i64, available: i64) {
        let object = Object::new(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": image, "namespace": "n", "uid": image, "labels": {"app": "web"},
                "creationTimestamp": format!("2026-01-01T00:00:0{}Z", revision.len()),
                "annotations": {
                    "deployment.kubernetes.io/revision": revision,
                    "deployment.kubernetes.io/desired-replicas": "2", "deployment.kubernetes.io/max-replicas": "3",
                },
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true}],
            },
            "spec": {"replicas": size, "selector": {"matchLabels": {"app": "web"}}, "template": template(image)},
            "status": {"replicas": size.max(available), "availableReplicas": available},
        }));
        state.put(key_of(&REPLICA_SETS, &object), object);
    }

    fn deployment(state: &mut State) -> Key {
        let object = Object::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "d", "namespace": "n", "uid": "d", "generation": 1,
                "annotations": {"deployment.kubernetes.io/revision": "3"},
            },
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("third"),
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            },
        }));
        let key = key_of(&DEPLOYMENTS, &object);
        state.put(key.clone(), object);
        key
    }

    fn sized(state: &State, key: &Key) -> Vec<(String, i64)> {
        let size = |write: Write| match write {
            Write::Update { object } => Some((object.name().to_owned(), dig(object.json(), &["spec", "replicas"]).as_i64()?)),
            _ => None,
        };
        testing::look(&DeploymentController, state, key).into_iter().filter_map(size).collect()
    }

    #[test]
    fn pods_of_a_set_that_is_empty_by_now_do_not_hold_the_floor() {
        let mut state = State::new();
        set(&mut state, "first", "1", 0, 1);
        set(&mut state, "second", "2", 2, 1);
        set(&mut state, "third", "3", 1, 1);
        let key = deployment(&mut state);
        // The one that is not available goes; the other stays, or there would be one in place of two.
        assert_eq!(sized(&state, &key), [("second".to_owned(), 1)]);
    }

    #[test]
    fn a_revision_that_is_no_number_stays() {
        let mut state = State::new();
        set(&mut state, "third", "mine", 2, 2);
        set(&mut state, "second", "2", 0, 0);
        let key = deployment(&mut state);
        assert_eq!(sized(&state, &key), []);
    }
}
