//! The end of a whole pod: signals, the last status, and letting go of what the runtime has.
//! Source: pkg/kubelet/kubelet.go: SyncTerminatingPod, SyncTerminatedPod; pkg/kubelet/status/status_manager.go.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Pod, PodStatus};

use super::identity::{self, Place};
use super::memory::{Cause, Ending};
use super::phase::Phase;
use super::status::{self, Outline};
use super::sync::Look;
use super::{NodeDecision, PodEvent, Step, Then, conditions, ending, observed};
use crate::runtime::{Action, SandboxState};

/// What the status says of a pod past its `activeDeadlineSeconds`.
const DEADLINE_REASON: &str = "DeadlineExceeded";
const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// So long after a container has ended the one before it may still be there: the kubelet's list is a second old at most.
/// Source: pkg/kubelet/pod_container_deletor.go.
const UNSEEN: SignedDuration = SignedDuration::from_secs(1);

impl Look<'_> {
    pub(super) fn begin_end(&mut self, cause: Cause) {
        let of_request = self.pod.metadata.deletion_grace_period_seconds.map(SignedDuration::from_secs);
        let grace = match cause {
            Cause::Gone => SignedDuration::ZERO,
            Cause::Deleted => of_request.unwrap_or_else(|| ending::spec_grace(self.pod)),
            Cause::Evicted => self.memory.eviction.as_ref().and_then(|e| e.grace).unwrap_or_else(|| ending::spec_grace(self.pod)),
            Cause::Deadline | Cause::Finished => ending::spec_grace(self.pod),
        };
        if cause == Cause::Deadline {
            self.events.push(PodEvent::normal(DEADLINE_REASON, DEADLINE_MESSAGE, ""));
        }
        if let Some(eviction) = self.memory.eviction.as_ref().filter(|_| cause == Cause::Evicted) {
            let annotations = eviction.annotations.clone();
            self.events.push(PodEvent { annotations, ..PodEvent::warning(eviction.reason, eviction.message.clone(), "") });
        }
        let is_static = super::statics::is_static_pod(self.pod);
        for container in self.memory.containers.values_mut() {
            container.end_try();
            match &mut container.waiting {
                waiting if matches!(cause, Cause::Deleted | Cause::Gone) && !is_static => *waiting = None,
                // What is known is shown, whatever made the pod be looked at.
                Some(waiting) => waiting.from = None,
                None => {}
            }
        }
        let shown = self.statuses(true);
        let ready = self.observed.is_some_and(|s| s.state == SandboxState::Ready);
        let runs = observed::running(self.observed).any(|c| matches!(identity::find(self.pod, &c.name), Some((_, Place::Main | Place::Init))));
        let killed = cause == Cause::Finished && self.observed.is_some() && (runs || !ready);
        let since = self.context.now;
        let ending = Ending {
            cause,
            since,
            grace,
            shown,
            killed,
            told: false,
            begun_shown: false,
            ended_shown: false,
            settled: false,
            deadlines: 1,
            released: false,
            retry_at: None,
        };
        self.memory.ending = Some(ending);
    }

    /// A pod that ends by itself may be deleted on the way: what is left to do grows.
    pub(super) fn cancel_for(&mut self, gone: bool) {
        let deleted = self.pod.metadata.deletion_timestamp.is_some();
        let now = self.context.now;
        let of_request = self.pod.metadata.deletion_grace_period_seconds.map(SignedDuration::from_secs);
        let Some(ending) = &mut self.memory.ending else { return };
        if gone && ending.cause != Cause::Gone {
            ending.cause = Cause::Gone;
            ending.released = false;
        } else if deleted && matches!(ending.cause, Cause::Finished | Cause::Deadline | Cause::Evicted) {
            ending.released = false;
            ending.ended_shown = false;
            ending.settled = false;
            ending.cause = Cause::Deleted;
            if let Some(grace) = of_request.filter(|g| *g < ending.grace) {
                ending.grace = grace;
                ending.since = now;
            }
        }
    }

    /// The pod ends: signals, then the last status, then its sandbox goes.
    pub(super) fn end(&mut self) -> NodeDecision {
        let now = self.context.now;
        let Some(state) = self.memory.ending.clone() else { return self.finish(PodStatus::default(), Then::GoOn) };
        let running: Vec<_> = observed::running(self.observed).cloned().collect();
        if !running.is_empty() {
            for container in &running {
                let message = format!("Stopping container {}", container.name);
                ending::begin(self.pod, container, state.grace, &message, self.memory, now, &mut self.events);
            }
            self.resume_paused();
            self.signals();
            let status = self.status_while_ending(&state);
            return self.finish(status, Then::GoOn);
        }
        self.memory.kills.clear();
        self.tell_deadline(&state);
        if state.cause != Cause::Gone && !state.begun_shown && !self.was_final() {
            let status = self.status_while_ending(&state);
            self.wake(Some(now));
            return self.finish(status, Then::GoOn);
        }
        let released = state.released || self.observed.is_none_or(|s| s.state != SandboxState::Ready);
        let status = if state.killed && !released { self.before() } else { self.last_status(&state) };
        if let Some(ending) = self.memory.ending.as_mut().filter(|_| state.killed && released && !state.told) {
            ending.told = true;
            self.wake(Some(now));
        }
        let release = self.release(&state);
        let then = if release { Then::GoOn } else { self.after_release(&state) };
        self.finish(status, then)
    }

    /// What the API has.
    fn before(&self) -> PodStatus {
        self.pod.status.clone().unwrap_or_default()
    }

    /// A pod past its deadline says so at each sync of its end, of which the kubelet has two to four.
    fn tell_deadline(&mut self, state: &Ending) {
        let due = if state.released { 3 } else { 2 };
        if let Some(ending) = self.memory.ending.as_mut().filter(|e| e.cause == Cause::Deadline && e.deadlines < due) {
            ending.deadlines = due;
            self.events.push(PodEvent::normal(DEADLINE_REASON, DEADLINE_MESSAGE, ""));
        }
    }

    /// Container states stay as they were until all have ended; only readiness may change.
    fn status_while_ending(&mut self, state: &Ending) -> PodStatus {
        if let Some(ending) = &mut self.memory.ending {
            ending.begun_shown = true;
        }
        let mut shown = state.shown.clone();
        let fresh = self.statuses(false);
        for (old, new) in shown.containers.iter_mut().zip(&fresh.containers).chain(shown.init_containers.iter_mut().zip(&fresh.init_containers)) {
            let both_run = [&*old, new].iter().all(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
            if both_run && !identity_is_init(self.pod, &old.name) {
                old.ready = new.ready;
            }
        }
        let (computed, reason) = match state.cause {
            Cause::Deadline => (Phase::Failed, Some(DEADLINE_REASON.to_owned())),
            Cause::Finished | Cause::Evicted | Cause::Deleted | Cause::Gone => (self.phase(&shown, false), None),
        };
        let message = reason.as_ref().map(|_| DEADLINE_MESSAGE.to_owned());
        // Once an end has been seen, the attempt before it goes.
        let ends = self.observed.into_iter().flat_map(|s| &s.containers).filter_map(|c| observed::ran(c)?.1);
        let is_fresh = ends.max().is_some_and(|at| at + UNSEEN > state.since);
        let last_only = observed::running(self.observed).next().is_none() && state.cause == Cause::Deleted && !is_fresh;
        self.compose(shown, Outline { phase: computed, held: true, reason, message, last_only })
    }

    fn last_status(&mut self, state: &Ending) -> PodStatus {
        let before = self.before();
        let old = Phase::parse(before.phase.as_deref());
        if old.is_final() && state.settled {
            // Nothing of it changes any more, whatever is added to the pod.
            return before;
        }
        if old.is_final() && !state.ended_shown {
            let mut status = before;
            if let Some(conditions) = &mut status.conditions {
                for condition in conditions.iter_mut().filter(|c| c.type_ == "PodReadyToStartContainers" && c.status != "False") {
                    condition.status = "False".into();
                    condition.last_transition_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.context.now));
                }
            }
            return status;
        }
        let mut shown = self.statuses(true);
        if super::statics::is_static_pod(self.pod) && matches!(state.cause, Cause::Deleted | Cause::Gone) {
            // Its file is gone; in the API nobody has deleted anything.
            let phase = self.phase(&shown, false);
            let outline = Outline { phase, held: false, reason: None, message: None, last_only: true };
            return status::compose(self.pod, None, shown, outline, self.phase_before(), self.context);
        }
        let up = self.observed.is_some_and(|s| s.state == SandboxState::Ready);
        let held = !matches!(state.cause, Cause::Deleted | Cause::Gone)
            && ((!state.released && up) || (state.killed && !state.told));
        let by_states = self.phase(&shown, true);
        let settled = !held && state.ended_shown;
        if let Some(ending) = self.memory.ending.as_mut().filter(|_| settled) {
            ending.settled = true;
            status::settle(self.pod, &state.shown, &mut shown);
        } else if let Some(ending) = self.memory.ending.as_mut().filter(|_| !held) {
            ending.ended_shown = true;
            self.wake(Some(self.context.now));
        }
        let (mut phase, mut reason, mut message) = (self.phase(&shown, true), None, None);
        if !phase.is_final() && (settled || matches!(state.cause, Cause::Finished | Cause::Evicted)) {
            phase = Phase::Failed;
        }
        if state.cause == Cause::Deadline {
            phase = Phase::Failed;
            reason = Some(DEADLINE_REASON.to_owned());
            message = Some(DEADLINE_MESSAGE.to_owned());
        }
        let eviction = self.memory.eviction.clone().filter(|_| state.cause == Cause::Evicted);
        if let Some(eviction) = eviction.as_ref().filter(|_| phase == Phase::Failed) {
            // What has ended well has succeeded all the same (kubelet_pods.go: generateAPIPodStatus).
            reason = Some(eviction.reason.to_owned());
            message = Some(eviction.message.clone());
        }
        // In the last status the conditions follow the phase that the containers alone would give.
        let by_states = if by_states.is_final() { phase } else { by_states };
        let of_conditions = if state.cause == Cause::Deadline { phase } else { by_states };
        let no_sandbox = if held && !state.killed { self.observed } else { None };
        let (why, text) = (reason.clone(), message.clone());
        let outline = Outline { phase: of_conditions, held, reason: why, message: text, last_only: true };
        let mut status = status::compose(self.pod, no_sandbox, shown, outline, self.phase_before(), self.context);
        if let Some(disruption) = eviction.and_then(|e| e.disruption).filter(|_| !held) {
            conditions::disrupt(&mut status, &disruption, self.context.now);
        }
        if !held {
            status.phase = Some(phase.name().into());
            status.reason = reason;
            status.message = message;
        }
        status
    }

    /// Lets go of what the runtime still has; true while there is something.
    fn release(&mut self, state: &Ending) -> bool {
        if self.memory.busy {
            return true;
        }
        if let Some(at) = state.retry_at.filter(|at| *at > self.context.now) {
            self.wake(Some(at));
            return true;
        }
        let uid = identity::uid(self.pod).to_owned();
        let forget = matches!(state.cause, Cause::Deleted | Cause::Gone);
        match self.observed {
            _ if state.released => false,
            sandbox if forget => {
                let id = sandbox.map(|s| s.id.clone()).unwrap_or_default();
                let action = Action::RemoveSandbox { id, pod_uid: uid, forget_pod: true };
                self.steps.push(Step::new(action, "the pod is deleted"));
                true
            }
            Some(sandbox) if sandbox.state == SandboxState::Ready => {
                let action = Action::StopSandbox { id: sandbox.id.clone(), pod_uid: uid };
                self.steps.push(Step::new(action, "the pod has finished"));
                true
            }
            Some(_) | None => false,
        }
    }

    fn after_release(&mut self, state: &Ending) -> Then {
        match state.cause {
            Cause::Deleted | Cause::Gone => Then::Finalize,
            Cause::Deadline | Cause::Evicted | Cause::Finished => Then::GoOn,
        }
    }
}

fn identity_is_init(pod: &Pod, name: &str) -> bool {
    matches!(identity::find(pod, name), Some((container, Place::Init)) if !crate::api::requests::is_sidecar(&container))
}
