//! The history of a DaemonSet's template. Source of the rules: pkg/controller/daemon/update.go.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;

use super::sync::Sync;
use crate::api::{Key, Object};
use crate::controllers::history;
use crate::controllers::resources::{CONTROLLER_REVISIONS, PODS, dig, int, key_of};

/// Label with the hash of the revision that a pod was made by.
pub(super) const HASH: &str = "controller-revision-hash";

impl Sync<'_> {
    /// Finds or makes the revision of the template; answers its hash and the other revisions.
    pub(super) fn history(&mut self, revisions: &[Arc<Object>]) -> (String, Vec<Arc<Object>>) {
        let data = history::data_of(dig(self.set.json(), &["spec", "template"]));
        let (mut current, old): (Vec<_>, Vec<_>) =
            revisions.iter().cloned().partition(|r| *dig(r.json(), &["data"]) == data);
        let next = old.iter().map(|r| history::number(r)).max().unwrap_or(0) + 1;
        history::sort(&mut current);
        let Some(kept) = current.pop() else {
            return (self.make_revision(next), old);
        };
        let hash = kept.label(HASH).unwrap_or(kept.name()).to_owned();
        if !current.is_empty() {
            self.join(&current, &hash);
        }
        if history::number(&kept) < next {
            let mut renumbered = kept.as_ref().clone();
            renumbered.json_mut()["revision"] = json!(next);
            self.decision.update(renumbered);
        }
        (hash, old)
    }

    /// Makes the revision; a hash that other content has taken counts as a collision.
    fn make_revision(&mut self, number: i64) -> String {
        let mut collisions = dig(self.set.json(), &["status", "collisionCount"]).as_i64();
        let before = collisions;
        let wanted = loop {
            let wanted = history::revision(self.set, HASH, number, collisions);
            let key = Key::new(CONTROLLER_REVISIONS.clone(), self.set.namespace(), wanted.name());
            match self.state.get(&key) {
                Some(taken) if history::is_same(taken, &wanted) => break wanted,
                Some(_) => collisions = Some(collisions.unwrap_or(0) + 1),
                None => {
                    self.decision.create(wanted.clone());
                    break wanted;
                }
            }
        };
        if collisions != before {
            self.collisions = collisions;
        }
        wanted.label(HASH).unwrap_or("").to_owned()
    }

    /// Of several revisions of the same template one is kept, and all pods are its.
    fn join(&mut self, superfluous: &[Arc<Object>], hash: &str) {
        for pod in self.pods.iter().filter(|pod| pod.label(HASH) != Some(hash)) {
            let known = superfluous.iter().any(|r| r.label(HASH) == pod.label(HASH));
            if known {
                self.decision.patch(key_of(&PODS, pod), json!({"metadata": {"labels": {HASH: hash}}}));
            }
        }
        for revision in superfluous {
            self.decision.delete(key_of(&CONTROLLER_REVISIONS, revision), revision);
        }
    }

    /// Deletes old revisions over the limit that no pod is of, the oldest first.
    pub(super) fn clean_up(&mut self, mut old: Vec<Arc<Object>>) {
        let limit = usize::try_from(int(self.set, &["spec", "revisionHistoryLimit"])).unwrap_or(0);
        let live: HashSet<&str> = self.pods.iter().filter_map(|pod| pod.label(HASH)).collect();
        let surplus = old.len().saturating_sub(limit);
        history::sort(&mut old);
        let dead = old.iter().filter(|r| r.label(HASH).is_none_or(|hash| !live.contains(hash)));
        for revision in dead.take(surplus) {
            self.decision.delete(key_of(&CONTROLLER_REVISIONS, revision), revision);
        }
    }
}
