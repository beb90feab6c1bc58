//! Jobs: pods that run to an end, each counted once. Source of the rules: pkg/controller/job/job_controller.go.

mod backoff;
mod indexes;
mod manage;
mod policy;
mod sync;
#[cfg(test)]
mod tests;
mod track;
mod ttl;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

pub(super) use ttl::TtlAfterFinished;

use self::backoff::Record;
use super::ownership::{claim_tracked, controller_key};
use super::pods::{PodView, Questions};
use super::resources::{JOBS, PODS, dig, is_terminating_namespace, key_of, sides};
use super::selection::{self, selects};
use super::{Context, Controller, Decision, Write};
use crate::api::digest::JOB_TRACKING;
use crate::api::{Json, Key, Object, Status};
use crate::state::{Change, State};

/// As events name it.
const COMPONENT: &str = "job-controller";
/// Keeps an ended pod until it is counted.
const FINALIZER: &str = JOB_TRACKING;

/// Whether a pod is still to be counted.
fn is_tracked(pod: &Object) -> bool {
    pod.finalizers().any(|f| f == FINALIZER)
}

/// Whether the Job is another controller's.
fn is_foreign(job: &Object) -> bool {
    job.str_at("/spec/managedBy").is_some_and(|by| by != "kubernetes.io/job-controller")
}

/// The condition that says a Job is over: its type and since when.
pub(super) fn ending(job: &Object) -> Option<(&str, &Json)> {
    let conditions = dig(job.json(), &["status", "conditions"]).as_array()?;
    let ended = |c: &&Json| dig(c, &["status"]) == "True" && matches!(dig(c, &["type"]).as_str(), Some("Complete" | "Failed"));
    let condition = conditions.iter().find(ended)?;
    Some((dig(condition, &["type"]).as_str()?, condition))
}

/// The controller of Jobs.
#[derive(Default)]
pub(super) struct JobController {
    /// How pods ended that are gone by now, by the Job's uid. Only the pause before the next pod depends on
    /// it; without it the pods that are still there decide.
    records: Mutex<HashMap<String, Record>>,
}

impl JobController {
    /// Lets go of a pod that no unfinished Job counts any more; one of another controller's Job is left to that.
    fn free(state: &State, key: &Key) -> Decision {
        let mut decision = Decision::none();
        let Some(pod) = state.get(key).filter(|pod| is_tracked(pod)) else { return decision };
        if let Some(reference) = pod.controller_ref() {
            if dig(reference, &["kind"]) != "Job" || dig(reference, &["apiVersion"]) != "batch/v1" {
                return decision;
            }
            let job = controller_key(state, pod, "Job", &JOBS).and_then(|key| state.get(&key));
            if job.is_some_and(|job| is_foreign(job) || ending(job).is_none()) {
                return decision;
            }
        }
        decision.patch(key.clone(), without_finalizer(pod));
        decision
    }

    fn look(&self, state: &State, object: &Arc<Object>, context: &mut Context<'_>, creates: bool) -> Decision {
        let mut decision = Decision::none();
        let Ok(job) = object.typed::<Job>() else { return decision };
        let Some(spec) = &job.spec else { return decision };
        if is_foreign(object) {
            return decision;
        }
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if ending(object).is_some() {
            records.remove(object.uid());
            return decision;
        }
        let selector = selection::of(dig(object.json(), &["spec", "selector"]));
        let questions = Questions::new(&[&selector], |pod| [pod.is_selected_by(&selector)]);
        let seen = |pod, owned| Some(questions.seen(pod, owned));
        let pods = claim_tracked(state, object, &PODS, seen, PodView::is_owners, Some(FINALIZER), &mut decision);
        if !decision.is_empty() {
            return decision;
        }
        let record = records.entry(object.uid().to_owned()).or_default();
        sync::Sync::new(object, spec, job.status.clone().unwrap_or_default(), pods, context.now)
            .run(record, creates.then_some(&mut *context.random), decision)
    }
}

/// The patch that takes the tracking finalizer off a pod.
fn without_finalizer(pod: &Object) -> Json {
    let left: Vec<&str> = pod.finalizers().filter(|f| *f != FINALIZER).collect();
    let left = if left.is_empty() { Json::Null } else { json!(left) };
    json!({"metadata": {"uid": pod.uid(), "finalizers": left}})
}

impl Controller for JobController {
    fn name(&self) -> &'static str {
        COMPONENT
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let mut keys = Vec::new();
        if change.key.resource == *JOBS {
            keys.push(change.key.clone());
            let over = change.after.as_ref().is_none_or(|job| ending(job).is_some());
            if let Some(job) = sides(change).last().filter(|_| over) {
                keys.extend(state.keys_owned_by(job.uid()).filter(|key| key.resource == *PODS).cloned());
            }
        }
        if change.key.resource == *PODS {
            for pod in sides(change) {
                if pod.controller_ref().is_some() {
                    keys.extend(controller_key(state, pod, "Job", &JOBS));
                } else {
                    let jobs = state.in_namespace(&JOBS, pod.namespace());
                    let fit = jobs.filter(|job| selects(dig(job.json(), &["spec", "selector"]), pod));
                    keys.extend(fit.map(|job| key_of(&JOBS, job)));
                }
            }
            if change.after.as_ref().is_some_and(|pod| is_tracked(pod)) {
                keys.push(change.key.clone());
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        if key.resource == *PODS {
            return Self::free(state, key);
        }
        match state.get(key) {
            Some(job) => self.look(state, job, context, true),
            None => {
                let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                records.retain(|uid, _| state.with_uid(uid).is_some());
                Decision::none()
            }
        }
    }

    /// A pod that cannot be made or deleted is told of; what ended meanwhile is counted all the same.
    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, context: &mut Context<'_>) -> Decision {
        let Some(job) = state.get(key).filter(|_| key.resource == *JOBS) else { return Decision::none() };
        let mut told = Decision::none();
        match write {
            Write::Create { .. } if !is_terminating_namespace(why) => {
                told.warning(COMPONENT, job, "FailedCreate", format!("Error creating: {}", why.message));
            }
            Write::Delete { .. } if why.code != 404 => {
                told.warning(COMPONENT, job, "FailedDelete", format!("Error deleting: {}", why.message));
            }
            Write::Create { .. } => (),
            Write::Delete { .. }
            | Write::Update { .. }
            | Write::UpdateStatus { .. }
            | Write::Finalize { .. }
            | Write::Patch { .. }
            | Write::Event(_) => return told,
        }
        if matches!(write, Write::Create { .. }) {
            let counted = self.look(state, job, context, false);
            told.writes.extend(counted.writes);
            told.wake_at = counted.wake_at;
        }
        told
    }
}
