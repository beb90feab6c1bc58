//! Recreate: all old pods go, and only when they are gone the new ones come.
//! Source of the rules: pkg/controller/deployment/recreate.go.

use super::sets::{Set, Sets};
use super::{Look, Step, status};
use crate::controllers::ownership::controlled;
use crate::controllers::pods::PodView;
use crate::controllers::resources::{PODS, dig};

impl Look<'_> {
    pub(super) fn recreate(&mut self, mut sets: Sets) -> Step {
        let mut scaled = false;
        for old in sets.old.iter_mut().filter(|s| s.replicas() > 0) {
            scaled |= self.scale_set(old, 0);
        }
        if scaled || self.old_pods_run(&sets) {
            return self.sync_rollout_status(&sets);
        }
        let mut sets = self.or_new_set(sets)?;
        let wanted = self.wanted();
        if let Some(new) = &mut sets.new {
            self.scale_set(new, wanted);
        }
        let current = dig(self.deployment.json(), &["status"]);
        if status::is_complete(&self.deployment, current, wanted) {
            self.clean_up(&sets);
        }
        self.sync_rollout_status(&sets)
    }

    /// Whether a pod of an old set is still there and has not ended.
    fn old_pods_run(&self, sets: &Sets) -> bool {
        sets.old.iter().map(Set::actual).sum::<i64>() > 0
            || sets.old.iter().any(|set| {
                controlled(self.state, &set.object, &PODS).map(PodView::of).any(|pod| !pod.has_ended())
            })
    }
}
