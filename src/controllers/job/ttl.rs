//! Jobs that are over go after the time their spec gives them, with their pods.
//! Source of the rules: pkg/controller/ttlafterfinished/ttlafterfinished_controller.go.

use super::ending;
use crate::api::Key;
use crate::controllers::conditions::{after, time};
use crate::controllers::resources::{JOBS, dig};
use crate::controllers::{Context, Controller, Decision, Propagation};
use crate::state::{Change, State};

/// Deletes ended Jobs with `ttlSecondsAfterFinished`.
pub(in crate::controllers) struct TtlAfterFinished;

impl Controller for TtlAfterFinished {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn wakes(&self, _state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *JOBS { vec![change.key.clone()] } else { Vec::new() }
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let Some(job) = state.get(key).filter(|job| !job.is_deleting()) else { return decision };
        let Some(seconds) = job.i64_at("/spec/ttlSecondsAfterFinished") else { return decision };
        let Some(since) = ending(job).and_then(|(_, condition)| time(dig(condition, &["lastTransitionTime"]))) else {
            return decision;
        };
        let due = after(since, seconds);
        if due > context.now {
            decision.wake(due);
        } else {
            decision.delete_with(key.clone(), job, Some(Propagation::Foreground));
        }
        decision
    }
}
