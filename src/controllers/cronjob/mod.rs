//! CronJobs: a Job at each time of a schedule. Source of the rules: pkg/controller/cronjob/cronjob_controllerv2.go.

mod look;
mod schedule;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use self::look::{Look, Situation};
use super::ownership::controller_key;
use super::resources::{CRON_JOBS, JOBS, dig, is_terminating_namespace, sides};
use super::{Context, Controller, Decision, Write};
use crate::api::{Key, Status};
use crate::state::{Change, State};

/// As events name it.
const COMPONENT: &str = "cronjob-controller";

/// The controller of CronJobs.
#[derive(Default)]
pub(super) struct CronJobController {
    memory: Mutex<Memory>,
}

/// What only this process knows. Without it nothing goes wrong: an Event may be told once more, and a
/// start that the new schedule would have had already is made up.
#[derive(Default)]
struct Memory {
    /// CronJobs whose schedule was changed: they wait for its next start.
    rescheduled: HashSet<Key>,
    /// In which situation Events were last told of a CronJob.
    told: HashMap<Key, Situation>,
}

fn schedule_changed(change: &Change) -> bool {
    let Some((before, after)) = change.before.as_ref().zip(change.after.as_ref()) else { return false };
    ["schedule", "timeZone"].iter().any(|field| dig(before.json(), &["spec", field]) != dig(after.json(), &["spec", field]))
}

impl Controller for CronJobController {
    fn name(&self) -> &'static str {
        COMPONENT
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *CRON_JOBS {
            if schedule_changed(change) {
                let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.rescheduled.insert(change.key.clone());
            }
            return vec![change.key.clone()];
        }
        if change.key.resource != *JOBS {
            return Vec::new();
        }
        let mut keys: Vec<Key> =
            sides(change).filter_map(|job| controller_key(state, job, "CronJob", &CRON_JOBS)).collect();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let rescheduled = memory.rescheduled.remove(key);
        let Some(mut look) = Look::new(state, key, context.now) else {
            memory.told.remove(key);
            return Decision::none();
        };
        if rescheduled {
            return look.wait();
        }
        let situation = look.run();
        let is_new = memory.told.get(key) != Some(&situation);
        memory.told.insert(key.clone(), situation);
        look.decision(is_new)
    }

    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, _context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let Some(cron) = state.get(key) else { return decision };
        match write {
            Write::Create { .. } if why.reason != "AlreadyExists" && !is_terminating_namespace(why) => {
                decision.warning(COMPONENT, cron, "FailedCreate", format!("Error creating job: {}", why.message));
            }
            Write::Delete { .. } if why.code != 404 => {
                decision.warning(COMPONENT, cron, "FailedDelete", format!("Deleted job: {}", why.message));
            }
            Write::Create { .. }
            | Write::Delete { .. }
            | Write::Update { .. }
            | Write::UpdateStatus { .. }
            | Write::Finalize { .. }
            | Write::Patch { .. }
            | Write::Event(_) => (),
        }
        decision
    }
}
