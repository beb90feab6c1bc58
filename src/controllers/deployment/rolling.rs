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
        let Some(unhealthy) = self.remove_unhealthy(sets, at_most) else { return false };
        let healthy = self.remove_available(sets, sets.available() - floor);
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

fn dig_status<'a>(look: &'a Look<'_>) -> &'a crate::api::Json {
    crate::controllers::resources::dig(look.deployment.json(), &["status"])
}
