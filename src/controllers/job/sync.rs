//! One look at a Job: what ended, whether that is its end, and how many pods are wanted.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff::{self, Record};
use super::indexes::Indexes;
use super::{COMPONENT, policy};
use crate::api::digest::Phase;
use crate::api::{Object, Random};
use crate::controllers::Decision;
use crate::controllers::conditions::{after, whole};
use crate::controllers::pods::PodView;

/// How often the pods of an index failed, those not counted apart. Source: indexed_job_utils.go, 1.32.
pub(super) const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const INDEX_IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// The number in an annotation, 0 where there is none.
pub(super) fn number(pod: &Object, annotation: &str) -> i32 {
    pod.annotation(annotation).and_then(|text| text.parse().ok()).filter(|n| *n >= 0).unwrap_or(0)
}

/// What is known of a Job while it is looked at. `status` is the one to be written.
pub(super) struct Sync<'a> {
    pub object: &'a Arc<Object>,
    pub spec: &'a JobSpec,
    pub status: JobStatus,
    pub before: JobStatus,
    /// By age, the oldest first, where some have ended or are to go; else by name.
    pub pods: Vec<PodView<'a>>,
    pub now: Timestamp,
    /// Pods of these uids were named in the status when the look began.
    pub named_succeeded: Vec<String>,
    pub named_failed: Vec<String>,
    /// Indexes that had succeeded when the look began, and with those of now.
    pub earlier_indexes: Indexes,
    pub succeeded_indexes: Indexes,
    pub failed_indexes: Option<Indexes>,
    /// Failed pods that are kept until their index has its next pod, which carries their count on.
    pub kept: HashMap<usize, PodView<'a>>,
    pub counts: Counts,
    /// The condition that the Job ends with.
    pub ending: Option<JobCondition>,
    pub decision: Decision,
}

/// How many pods there are, as the status will tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub active: usize,
    pub ready: usize,
    pub terminating: usize,
    pub succeeded: usize,
    pub failed: usize,
}

fn count(number: Option<i32>) -> usize {
    number.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

impl<'a> Sync<'a> {
    pub fn new(
        object: &'a Arc<Object>,
        spec: &'a JobSpec,
        status: JobStatus,
        mut pods: Vec<PodView<'a>>,
        now: Timestamp,
    ) -> Self {
        let mut counts = Counts::default();
        for pod in &pods {
            counts.active += usize::from(pod.is_active());
            counts.ready += usize::from(pod.is_active() && pod.is_ready());
            counts.terminating += usize::from(pod.is_deleting() && !pod.has_ended());
        }
        if counts.active < pods.len() {
            // They come by name, and keep that order where they are as old.
            pods.sort_by_key(|pod| pod.facts.created_at);
        }
        let before = status.clone();
        let mut sync = Sync {
            object,
            spec,
            status,
            before,
            pods,
            now,
            named_succeeded: Vec::new(),
            named_failed: Vec::new(),
            earlier_indexes: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            kept: HashMap::new(),
            counts,
            ending: None,
            decision: Decision::none(),
        };
        let named = sync.status.uncounted_terminated_pods.get_or_insert_default();
        sync.named_succeeded = named.succeeded.clone().unwrap_or_default();
        sync.named_failed = named.failed.clone().unwrap_or_default();
        sync
    }

    /// Runs the look; without a source of names no pod is made.
    pub fn run(mut self, record: &mut Record, names: Option<&mut dyn Random>, decision: Decision) -> Decision {
        self.decision = decision;
        self.count_ended(record);
        if self.status.start_time.is_none() && !self.is_suspended() {
            self.status.start_time = Some(Time(whole(self.now)));
        }
        self.find_ending();
        if self.ending.is_some() {
            self.delete_active();
        } else {
            if !self.object.is_deleting() {
                self.manage(record, names);
            }
            self.find_success();
        }
        self.track();
        self.decision
    }

    /// The pods that have neither ended nor are to go.
    pub fn active(&self) -> impl Iterator<Item = &PodView<'a>> {
        self.pods.iter().filter(|pod| pod.is_active())
    }

    pub fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    pub fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    pub fn completions(&self) -> usize {
        count(self.spec.completions)
    }

    /// The index of a pod, if the Job has that index.
    pub fn valid_index(&self, pod: &PodView<'_>) -> Option<usize> {
        pod.index().filter(|index| *index < self.completions())
    }

    /// Whether a pod takes part in the counting: tracked, and of an index that there is.
    fn is_countable(&self, pod: &PodView<'_>) -> bool {
        pod.facts.is_tracked && (!self.is_indexed() || self.valid_index(pod).is_some())
    }

    fn count_ended(&mut self, record: &mut Record) {
        let (mut succeeded, mut failed) = (0, 0);
        for pod in &self.pods {
            let counted_before = !pod.facts.is_tracked && pod.has_ended() && !pod.is_deleting();
            if !self.is_countable(pod) && !counted_before {
                continue;
            }
            if pod.phase() == Phase::Succeeded {
                record.note_success(pod);
                succeeded += usize::from(!counted_before && !self.named_succeeded.iter().any(|uid| uid == pod.uid()));
            } else if policy::is_failed(self.spec, pod) {
                record.note_failure(pod);
                let is_new = !counted_before && !self.named_failed.iter().any(|uid| uid == pod.uid());
                failed += usize::from(is_new && policy::counts(self.spec, pod));
            }
        }
        self.counts.succeeded = count(self.status.succeeded) + succeeded + self.named_succeeded.len();
        self.counts.failed = count(self.status.failed) + failed + self.named_failed.len();
        if self.is_indexed() {
            self.count_indexes();
        }
    }

    fn count_indexes(&mut self) {
        let completions = self.completions();
        let earlier = self.status.completed_indexes.as_deref().unwrap_or("");
        self.earlier_indexes = Indexes::parse(earlier, completions);
        let succeeded = self.pods.iter().filter(|pod| pod.facts.is_tracked && pod.phase() == Phase::Succeeded);
        self.succeeded_indexes = self.earlier_indexes.with(succeeded.filter_map(|pod| self.valid_index(pod)));
        self.counts.succeeded = self.succeeded_indexes.total();
        if let Some(limit) = self.spec.backoff_limit_per_index {
            let earlier = Indexes::parse(self.status.failed_indexes.as_deref().unwrap_or(""), completions);
            let failed = self.pods.iter().filter(|pod| self.fails_its_index(pod, limit));
            let failed = earlier.with(failed.filter_map(|pod| self.valid_index(pod)));
            self.kept = self.pods_to_keep(&failed);
            self.failed_indexes = Some(failed);
        }
    }

    fn fails_its_index(&self, pod: &PodView<'_>, limit: i32) -> bool {
        if !pod.facts.is_tracked || !policy::is_failed(self.spec, pod) {
            return false;
        }
        match policy::verdict(self.spec, pod) {
            Some((policy::Action::FailIndex, _)) => true,
            Some((policy::Action::Ignore, _)) => false,
            _ => number(pod, INDEX_FAILURES) >= limit,
        }
    }

    /// Of each index that is neither done nor running the last failed pod.
    fn pods_to_keep(&self, failed: &Indexes) -> HashMap<usize, PodView<'a>> {
        let failures = |pod: &PodView| number(pod, INDEX_FAILURES) + number(pod, INDEX_IGNORED);
        let mut kept: HashMap<usize, PodView<'a>> = HashMap::new();
        for pod in self.pods.iter().filter(|pod| pod.facts.is_tracked && policy::is_failed(self.spec, pod)) {
            let Some(index) = self.valid_index(pod) else { continue };
            let is_over = self.succeeded_indexes.has(index) || failed.has(index);
            if is_over || self.active().any(|active| active.index() == Some(index)) {
                continue;
            }
            let is_last = kept.get(&index).is_none_or(|last| {
                failures(last) <= failures(pod) && backoff::finished_at(pod) >= backoff::finished_at(last)
            });
            if is_last {
                kept.insert(index, *pod);
            }
        }
        kept
    }

    pub fn condition(&self, kind: &str, reason: &str, message: &str) -> JobCondition {
        let now = Some(Time(whole(self.now)));
        JobCondition {
            type_: kind.into(),
            status: "True".into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: now.clone(),
            last_transition_time: now,
        }
    }

    fn standing(&self, kind: &str) -> Option<&JobCondition> {
        let conditions = self.status.conditions.as_deref().unwrap_or(&[]);
        conditions.iter().find(|c| c.type_ == kind && c.status == "True")
    }

    /// What was decided before stands; then failures are looked for, in Kubernetes' order.
    fn find_ending(&mut self) {
        self.ending = if let Some(met) = self.standing("SuccessCriteriaMet") {
            Some(met.clone())
        } else if let Some(target) = self.standing("FailureTarget") {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            Some(self.condition("Failed", &text(&target.reason), &text(&target.message)))
        } else {
            self.failure()
                .map(|(reason, message)| self.condition("FailureTarget", reason, &message))
                .or_else(|| self.success_by_policy())
        };
        if self.ending.is_none()
            && let (Some(seconds), Some(start)) = (self.spec.active_deadline_seconds, &self.status.start_time)
            && !self.is_suspended()
        {
            self.decision.wake(after(start.0, seconds));
        }
    }

    fn failure(&self) -> Option<(&'static str, String)> {
        let failed = self.pods.iter().filter(|pod| policy::is_failed(self.spec, pod));
        let fatal = failed.filter_map(|pod| policy::verdict(self.spec, pod));
        if let Some((_, message)) = fatal.into_iter().find(|(action, _)| *action == policy::Action::FailJob) {
            return Some(("PodFailurePolicy", message));
        }
        if self.is_past_backoff_limit() {
            return Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit".into()));
        }
        let deadline = self.spec.active_deadline_seconds.zip(self.status.start_time.as_ref());
        if !self.is_suspended() && deadline.is_some_and(|(seconds, start)| after(start.0, seconds) <= self.now) {
            return Some(("DeadlineExceeded", "Job was active longer than specified deadline".into()));
        }
        let failed = self.failed_indexes.as_ref()?.total();
        if self.spec.max_failed_indexes.is_some_and(|most| failed > count(Some(most))) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(("MaxFailedIndexesExceeded", message.into()));
        }
        (failed > 0 && failed + self.succeeded_indexes.total() >= self.completions())
            .then(|| ("FailedIndexes", "Job has failed indexes".into()))
    }

    /// Too many failed pods, or too many restarts of containers where pods are restarted in place.
    fn is_past_backoff_limit(&self) -> bool {
        let limit = count(Some(self.spec.backoff_limit.unwrap_or(i32::MAX)));
        if self.counts.failed > limit {
            return true;
        }
        let template = self.spec.template.spec.as_ref();
        if template.and_then(|s| s.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let running = self.pods.iter().filter(|pod| matches!(pod.phase(), Phase::Running | Phase::Pending));
        let restarts: usize = running
            .flat_map(|pod| pod.init_container_statuses().iter().chain(pod.container_statuses()))
            .map(|status| count(Some(status.restart_count)))
            .sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    fn success_by_policy(&self) -> Option<JobCondition> {
        if !self.is_indexed() {
            return None;
        }
        let message =
            policy::succeeds(self.spec.success_policy.as_ref(), &self.succeeded_indexes, self.completions())?;
        Some(self.condition("SuccessCriteriaMet", "SuccessPolicy", &message))
    }

    /// Success by the number of completions; else whether the Job is suspended is told.
    fn find_success(&mut self) {
        let idle = self.counts.active == 0;
        let done = match self.spec.completions {
            None => self.counts.succeeded > 0 && idle,
            Some(wanted) => self.counts.succeeded >= count(Some(wanted)) && idle,
        };
        if done {
            let message = "Reached expected number of succeeded pods";
            self.ending = Some(self.condition("SuccessCriteriaMet", "CompletionsReached", message));
        } else if !self.object.is_deleting() {
            self.tell_suspension();
        }
    }

    fn tell_suspension(&mut self) {
        let suspended = self.is_suspended();
        let mut condition = if suspended {
            self.condition("Suspended", "JobSuspended", "Job suspended")
        } else {
            self.condition("Suspended", "JobResumed", "Job resumed")
        };
        if !suspended {
            condition.status = "False".into();
        }
        if !set(&mut self.status, condition) {
            return;
        }
        let (reason, message) = if suspended { ("Suspended", "Job suspended") } else { ("Resumed", "Job resumed") };
        self.decision.normal(COMPONENT, self.object, reason, message.into());
        if !suspended {
            // The time in which a Job is active begins anew.
            self.status.start_time = Some(Time(whole(self.now)));
        }
    }
}

/// Puts a condition in the place of the one of its type; whether that changes anything. One that is not
/// there is not added to say that it is not so.
pub(super) fn set(status: &mut JobStatus, condition: JobCondition) -> bool {
    let said = |c: &JobCondition| (c.status.clone(), c.reason.clone(), c.message.clone());
    let of_type = |c: &&mut JobCondition| c.type_ == condition.type_;
    match status.conditions.as_mut().and_then(|list| list.iter_mut().find(of_type)) {
        Some(old) if said(old) == said(&condition) => return false,
        Some(old) => *old = condition,
        None if condition.status == "False" => return false,
        None => status.conditions.get_or_insert_default().push(condition),
    }
    true
}
