//! One look at a CronJob: which of its Jobs are over, which start is due, what the status says.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::COMPONENT;
use super::schedule::{Due, Starts};
use crate::api::cron::{self, Schedule};
use crate::api::{Key, Object};
use crate::controllers::conditions::after;
use crate::controllers::job::ending;
use crate::controllers::ownership::{controlled, controller_ref};
use crate::controllers::resources::{JOBS, dig, key_of};
use crate::controllers::{Decision, EventKind, Propagation, Write};
use crate::state::State;

/// For which start a Job was made, in RFC 3339.
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// What a look saw; Events that only repeat themselves are told once for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Situation {
    versions: Vec<String>,
    due: Option<Timestamp>,
}

/// A Job of the CronJob, and its typed view.
struct Held {
    object: Arc<Object>,
    job: Arc<Job>,
}

impl Held {
    fn start_time(&self) -> Option<Timestamp> {
        self.job.status.as_ref()?.start_time.as_ref().map(|t| t.0)
    }

    fn completion_time(&self) -> Option<Timestamp> {
        self.job.status.as_ref()?.completion_time.as_ref().map(|t| t.0)
    }
}

struct Note {
    kind: EventKind,
    reason: &'static str,
    message: String,
}

pub(super) struct Look<'a> {
    state: &'a State,
    cron: &'a Arc<Object>,
    typed: Arc<CronJob>,
    status: CronJobStatus,
    jobs: Vec<Held>,
    now: Timestamp,
    notes: Vec<Note>,
    decision: Decision,
}

impl<'a> Look<'a> {
    /// `None` where the CronJob is gone or cannot be read.
    pub fn new(state: &'a State, key: &Key, now: Timestamp) -> Option<Self> {
        let cron = state.get(key)?;
        let typed = cron.typed::<CronJob>().ok()?;
        let jobs = controlled(state, cron, &JOBS)
            .filter_map(|object| Some(Held { object: object.clone(), job: object.typed().ok()? }))
            .collect();
        let status = typed.status.clone().unwrap_or_default();
        Some(Look { state, cron, typed, status, jobs, now, notes: Vec::new(), decision: Decision::none() })
    }

    fn spec(&self) -> &CronJobSpec {
        &self.typed.spec
    }

    /// Nothing but the wait for the next start of a schedule that was just changed.
    pub fn wait(self) -> Decision {
        let mut decision = Decision::none();
        let next = self.schedule().ok().and_then(|schedule| self.starts(schedule)?.look_at(self.now));
        if let Some(at) = next {
            decision.wake(at);
        }
        decision
    }

    pub fn run(&mut self) -> Situation {
        self.clean_up();
        self.take_in_new();
        self.follow_jobs();
        let due = if self.cron.is_deleting() { None } else { self.start() };
        self.write_status();
        let version = |object: &Object| object.resource_version().to_owned();
        let versions = std::iter::once(version(self.cron)).chain(self.jobs.iter().map(|held| version(&held.object)));
        Situation { versions: versions.collect(), due }
    }

    /// What was decided. Events without any write are left out where they were told already.
    pub fn decision(mut self, is_new: bool) -> Decision {
        if is_new || !self.decision.is_empty() {
            for note in self.notes {
                let tell = match note.kind {
                    EventKind::Normal => Decision::normal,
                    EventKind::Warning => Decision::warning,
                };
                tell(&mut self.decision, COMPONENT, self.cron, note.reason, note.message);
            }
        }
        self.decision
    }

    fn note(&mut self, kind: EventKind, reason: &'static str, message: String) {
        self.notes.push(Note { kind, reason, message });
    }

    fn active(&mut self) -> &mut Vec<ObjectReference> {
        self.status.active.get_or_insert_default()
    }

    fn delete(&mut self, job: &Object) {
        self.decision.delete_with(key_of(&JOBS, job), job, Some(Propagation::Background));
        let uid = job.uid().to_owned();
        self.active().retain(|reference| reference.uid.as_ref() != Some(&uid));
        self.note(EventKind::Normal, "SuccessfulDelete", format!("Deleted job {}", job.name()));
    }

    /// Deletes the oldest ended Jobs over the limits of the history.
    fn clean_up(&mut self) {
        let limits = [("Complete", self.spec().successful_jobs_history_limit), ("Failed", self.spec().failed_jobs_history_limit)];
        for (kind, limit) in limits {
            let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
            let over = self.jobs.iter().filter(|held| ending(&held.object).is_some_and(|(type_, _)| type_ == kind));
            let mut over: Vec<_> = over
                .map(|held| (held.start_time().is_none(), held.start_time(), held.object.name().to_owned(), held.object.clone()))
                .collect();
            over.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
            let surplus = over.len().saturating_sub(limit);
            for (.., job) in over.into_iter().take(surplus).filter(|(.., job)| !job.is_deleting()) {
                self.delete(&job);
            }
        }
    }

    /// A Job that was made for a start later than the last one on record goes on record.
    fn take_in_new(&mut self) {
        let last = self.status.last_schedule_time.as_ref().map(|t| t.0);
        let scheduled = |job: &Object| job.annotation(SCHEDULED_AT)?.parse::<Timestamp>().ok();
        let made = self.jobs.iter().filter_map(|held| {
            let at = scheduled(&held.object)?;
            let is_ours = held.object.name() == name_at(self.cron, at) && last.is_none_or(|last| at > last);
            is_ours.then(|| (at, held.object.clone()))
        });
        let mut made: Vec<_> = made.collect();
        made.sort_by_key(|(at, _)| *at);
        let replaces = self.spec().concurrency_policy.as_deref() == Some("Replace");
        for (at, job) in made {
            if replaces {
                // Those before it were deleted to make room.
                self.active().clear();
            }
            self.active().push(reference(&job));
            self.status.last_schedule_time = Some(Time(at));
        }
    }

    fn follow_jobs(&mut self) {
        let jobs: Vec<_> = self.jobs.iter().map(|held| (held.object.clone(), held.completion_time())).collect();
        for (job, completed) in &jobs {
            let known = self.active().iter().any(|r| r.uid.as_deref() == Some(job.uid()));
            match ending(job) {
                None if !known => {
                    let name = job.name();
                    let message = format!("Saw a job that the controller did not create or forgot: {name}");
                    self.note(EventKind::Warning, "UnexpectedJob", message);
                }
                None => (),
                Some((kind, _)) => {
                    if known {
                        self.active().retain(|r| r.uid.as_deref() != Some(job.uid()));
                        let message = format!("Saw completed job: {}, condition: {kind}", job.name());
                        self.note(EventKind::Normal, "SawCompletedJob", message);
                    }
                    let last = self.status.last_successful_time.as_ref().map(|t| t.0);
                    if kind == "Complete" && completed.is_some_and(|at| last.is_none_or(|last| at > last)) {
                        self.status.last_successful_time = completed.map(Time);
                    }
                }
            }
        }
        let (state, namespace) = (self.state, self.cron.namespace());
        let is_there = |r: &ObjectReference| {
            jobs.iter().any(|(job, _)| r.uid.as_deref() == Some(job.uid()))
                || state.get(&Key::new(JOBS.clone(), namespace, r.name.as_deref().unwrap_or(""))).is_some()
        };
        let (there, missing): (Vec<_>, Vec<_>) = std::mem::take(self.active()).into_iter().partition(is_there);
        *self.active() = there;
        for reference in missing {
            let name = reference.name.unwrap_or_default();
            self.note(EventKind::Normal, "MissingJob", format!("Active job went missing: {name}"));
        }
    }

    fn schedule(&self) -> Result<Schedule, String> {
        Schedule::parse(&self.spec().schedule)
    }

    /// `None` where the time zone is unknown.
    fn starts(&self, schedule: Schedule) -> Option<Starts> {
        let spec = self.spec();
        let zone = match (zone_in(&spec.schedule), spec.time_zone.as_deref()) {
            (Some(named), _) | (None, Some(named)) => cron::zone(named)?,
            (None, None) => jiff::tz::TimeZone::system(),
        };
        let last = self.status.last_schedule_time.as_ref().map(|t| t.0);
        Some(Starts {
            schedule,
            zone,
            since: last.or_else(|| self.cron.creation_timestamp()).unwrap_or(self.now),
            deadline: spec.starting_deadline_seconds,
        })
    }

    /// Makes the Job of the start that is due, if one is; answers which start that is.
    fn start(&mut self) -> Option<Timestamp> {
        if let Some(zone) = self.spec().time_zone.clone().filter(|zone| cron::zone(zone).is_none()) {
            let message = format!("invalid timeZone: {zone:?}: unknown time zone {zone}");
            self.note(EventKind::Warning, "UnknownTimeZone", message);
            return None;
        }
        if self.spec().suspend == Some(true) {
            return None;
        }
        let text = self.spec().schedule.clone();
        if text.contains("TZ") {
            let message = format!("CRON_TZ or TZ used in schedule {text:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
            self.note(EventKind::Warning, "UnsupportedSchedule", message);
        }
        let schedule = match self.schedule() {
            Ok(schedule) => schedule,
            Err(why) => {
                let message = format!("unparseable schedule: {text:?} : {why}");
                self.note(EventKind::Warning, "UnparseableSchedule", message);
                return None;
            }
        };
        let starts = self.starts(schedule)?;
        let Ok(due) = starts.due(self.now) else {
            let message = format!("invalid schedule: {text} : time difference between two schedules is less than 1 second");
            self.note(EventKind::Warning, "InvalidSchedule", message);
            return None;
        };
        if let Some(at) = starts.look_at(self.now) {
            self.decision.wake(at);
        }
        self.start_at(due)
    }

    fn start_at(&mut self, due: Due) -> Option<Timestamp> {
        let at = due.at?;
        if due.has_missed_many() {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.note(EventKind::Warning, "TooManyMissedTimes", message.into());
        }
        if self.spec().starting_deadline_seconds.is_some_and(|seconds| after(at, seconds) < self.now) {
            let when = at.strftime("%a, %d %b %Y %H:%M:%S +0000");
            self.note(EventKind::Warning, "MissSchedule", format!("Missed scheduled time to start a job: {when}"));
            return Some(at);
        }
        let name = name_at(self.cron, at);
        let last = self.status.last_schedule_time.as_ref().map(|t| t.0);
        if last == Some(at) || self.active().iter().any(|r| r.name.as_ref() == Some(&name)) {
            return Some(at);
        }
        let policy = self.spec().concurrency_policy.clone();
        if policy.as_deref() == Some("Forbid") && !self.active().is_empty() {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            self.note(EventKind::Normal, "JobAlreadyActive", message.into());
            return Some(at);
        }
        if policy.as_deref() == Some("Replace") {
            let active = self.active().clone();
            let is_active = |job: &Object| active.iter().any(|r| r.uid.as_deref() == Some(job.uid()));
            let running: Vec<_> = self.jobs.iter().map(|held| held.object.clone()).filter(|job| is_active(job)).collect();
            running.iter().for_each(|job| self.delete(job));
        }
        let job = self.job_at(at, &name);
        self.decision.create(job);
        self.note(EventKind::Normal, "SuccessfulCreate", format!("Created job {name}"));
        Some(at)
    }

    fn job_at(&self, at: Timestamp, name: &str) -> Object {
        let template = dig(self.cron.json(), &["spec", "jobTemplate"]);
        let zone = self.spec().time_zone.as_deref().and_then(cron::zone).unwrap_or(jiff::tz::TimeZone::UTC);
        let local = at.to_zoned(zone);
        let stamp = if local.offset().is_zero() { at.to_string() } else { local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string() };
        let mut metadata = json!({
            "name": name,
            "namespace": self.cron.namespace(),
            "annotations": dig(template, &["metadata", "annotations"]).clone(),
            "ownerReferences": [controller_ref(self.cron)],
        });
        metadata["annotations"][SCHEDULED_AT] = json!(stamp);
        if let Some(labels) = dig(template, &["metadata", "labels"]).as_object() {
            metadata["labels"] = json!(labels);
        }
        Object::new(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": metadata,
            "spec": dig(template, &["spec"]),
        }))
    }

    /// Writes what changed, unless a Job is made: then the status is written with that Job in it.
    fn write_status(&mut self) {
        let makes = self.decision.writes.iter().any(|write| matches!(write, Write::Create { .. }));
        if self.status.active.as_ref().is_some_and(Vec::is_empty) {
            self.status.active = None;
        }
        if makes {
            // What is told now of ended and missing Jobs is told with that write.
            self.notes.retain(|note| !matches!(note.reason, "SawCompletedJob" | "MissingJob"));
            return;
        }
        let before = self.typed.status.clone().unwrap_or_default();
        if self.status == before {
            return;
        }
        let Ok(tree) = serde_json::to_value(&self.status) else { return };
        let mut cron = self.cron.as_ref().clone();
        cron.json_mut()["status"] = tree;
        self.decision.update_status(cron);
    }
}

/// The name of the Job of a start: the minute since 1970. Source: getJobName.
fn name_at(cron: &Object, at: Timestamp) -> String {
    format!("{}-{}", cron.name(), at.as_second().div_euclid(60))
}

/// The zone that a schedule names itself: `TZ=Europe/Paris 0 3 * * *`.
fn zone_in(schedule: &str) -> Option<&str> {
    let rest = schedule.strip_prefix("CRON_TZ=").or_else(|| schedule.strip_prefix("TZ="))?;
    rest.split_whitespace().next()
}

fn reference(job: &Object) -> ObjectReference {
    let text = |text: &str| Some(text.to_owned());
    ObjectReference {
        api_version: text("batch/v1"),
        kind: text("Job"),
        name: text(job.name()),
        namespace: text(job.namespace()),
        uid: text(job.uid()),
        resource_version: text(job.resource_version()),
        field_path: None,
    }
}
