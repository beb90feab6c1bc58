//! One look at one pod.
//! Source: pkg/kubelet/kubelet.go: SyncPod, SyncTerminatingPod, SyncTerminatedPod;
//! pkg/kubelet/kuberuntime/kuberuntime_manager.go: computePodActions.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};

use super::fields::Addresses;
use super::identity::{self, Place};
use super::images;
use super::memory::{Cause, Shown};
use super::observed;
use super::phase::{self, Phase};
use super::plan::{self, Plan};
use super::probe;
use super::start::{Next, Start};
use super::volumes::Obstacle;
use super::status::{self, Outline, View};
use super::{Context, NodeDecision, PodEvent, PodMemory, Step, Then, ending, resize, sandbox, volumes};
use crate::runtime::{Action, ContainerState, Sandbox};

/// So long a sidecar has to run before it counts as started for those after it.
const SETTLES: SignedDuration = SignedDuration::from_millis(600);

/// Looks at a pod and decides what comes next. `gone`: its API object is no more.
pub fn sync_pod(
    pod: &Pod,
    gone: bool,
    observed: Option<&Sandbox>,
    memory: &mut PodMemory,
    context: &Context<'_>,
) -> NodeDecision {
    if memory.admitted_at.is_none() {
        probe::resume(pod, observed, memory);
    }
    memory.admitted_at.get_or_insert(context.now);
    let mut events = Vec::new();
    let promised = resize::begin(pod, memory, &mut events);
    let retry_at = resize::retry_at(memory, context);
    let mut look = Look { pod: &promised, observed, memory, context, events, steps: Vec::new(), hooks: Vec::new(), wake_at: retry_at };
    let decision = look.decide(gone);
    if let Some(phase) = &decision.status.phase {
        look.memory.phase = Some(Phase::parse(Some(phase)));
    }
    // What is under way is not over because somebody looks meanwhile.
    let goes_on = look.memory.busy && look.memory.in_round;
    look.memory.in_round =
        goes_on || decision.steps.iter().any(|s| !s.quick()) || decision.hooks.iter().any(super::HookCall::blocks);
    decision
}

/// One look: what it sees, and what it has decided so far.
pub struct Look<'a> {
    pub(super) pod: &'a Pod,
    pub(super) observed: Option<&'a Sandbox>,
    pub(super) memory: &'a mut PodMemory,
    pub(super) context: &'a Context<'a>,
    pub(super) events: Vec<PodEvent>,
    pub(super) steps: Vec<Step>,
    pub(super) hooks: Vec<super::HookCall>,
    pub(super) wake_at: Option<Timestamp>,
}

impl Look<'_> {
    fn decide(&mut self, gone: bool) -> NodeDecision {
        if let Some((reason, message)) = self.is_new().then(|| self.refusal()).flatten() {
            return self.refuse(&reason, &message);
        }
        let news = observed::news(self.pod, self.observed, self.memory);
        self.memory.take_news(&news, self.context.now);
        let shown = self.statuses(true);
        let plan = plan::make(self.pod, self.observed, self.memory);
        let mut computed = self.phase(&shown, false);
        let goes_on = match &plan {
            Plan::Containers { start, .. } => !start.is_empty(),
            Plan::Sandbox { .. } | Plan::ReplaceSandbox => true,
            Plan::Nothing | Plan::EndPod => false,
        };
        if computed.is_final() && !self.was_final() && goes_on {
            computed = Phase::Running;
        }
        if self.memory.ending.is_none()
            && let Some(cause) = self.wants_to_end(gone, computed, &plan)
            && !self.memory.busy
        {
            if self.memory.in_round && cause != Cause::Finished {
                // What was begun is brought to its end first.
                self.wake(Some(self.context.now));
            } else {
                self.begin_end(cause);
            }
        }
        if self.memory.ending.is_some() {
            self.cancel_for(gone);
            return self.end();
        }
        self.resume_paused();
        if self.memory.busy {
            self.signals();
        } else {
            self.go_on(plan);
        }
        self.measure_storage();
        self.wake(status::deadline(self.pod));
        let held = computed.is_final();
        let status = self.compose(shown, Outline { phase: computed, held, reason: None, message: None, last_only: false });
        if computed.is_final() {
            self.wake(Some(self.context.now));
        }
        self.finish(status, Then::GoOn)
    }

    pub(super) fn finish(&mut self, status: PodStatus, then: Then) -> NodeDecision {
        NodeDecision {
            steps: std::mem::take(&mut self.steps),
            status,
            events: std::mem::take(&mut self.events),
            hooks: std::mem::take(&mut self.hooks),
            wake_at: self.wake_at,
            then,
        }
    }

    pub(super) fn wake(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
        }
    }

    fn is_new(&self) -> bool {
        let status = self.pod.status.as_ref();
        self.observed.is_none() && self.memory.ending.is_none() && status.is_none_or(|s| s.start_time.is_none() && s.phase.as_deref() != Some("Failed"))
            && self.pod.metadata.deletion_timestamp.is_none()
    }

    /// Why the pod is not taken, if it is not: reason and message.
    /// Source of the order: pkg/kubelet/kubelet.go: NewMainKubelet (admitHandlers); pkg/kubelet/lifecycle/predicate.go.
    fn refusal(&self) -> Option<(String, String)> {
        let allowed = &self.context.config.unsafe_sysctls;
        if let Some(message) = sandbox::forbidden_sysctl(self.pod, allowed) {
            return Some(("SysctlForbidden".into(), message));
        }
        if let Some(refusal) = self.context.refusal {
            return Some((refusal.reason.clone(), refusal.message.clone()));
        }
        // The label that pods are selected by may name the node's system, as that of the node does.
        let label = self.pod.metadata.labels.as_ref().and_then(|l| l.get("kubernetes.io/os"));
        if label.is_some_and(|os| os != "linux") {
            let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
            return Some(("PodOSSelectorNodeLabelDoesNotMatch".into(), message.into()));
        }
        let os = self.pod.spec.as_ref().and_then(|s| s.os.as_ref());
        if os.is_some_and(|os| os.name != "linux") {
            return Some(("PodOSNotSupported".into(), "Failed to admit pod as the OS field doesn't match node OS".into()));
        }
        if !self.context.machine.apparmor && wants_apparmor(self.pod) {
            return Some(("AppArmor".into(), "Cannot enforce AppArmor: AppArmor is not enabled on the host".into()));
        }
        None
    }

    fn refuse(&mut self, reason: &str, message: &str) -> NodeDecision {
        self.events.push(PodEvent::warning(reason.to_owned(), message, ""));
        let old = self.pod.status.clone().unwrap_or_default();
        let status = PodStatus {
            phase: Some("Failed".into()),
            reason: Some(reason.into()),
            message: Some(format!("Pod was rejected: {message}")),
            start_time: old.start_time.clone().or(Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.context.now))),
            conditions: None,
            ..old
        };
        self.finish(status, Then::GoOn)
    }

    pub(super) fn statuses(&self, with_waiting: bool) -> Shown {
        let runtime_name = &self.context.machine.runtime_name;
        View { pod: self.pod, observed: self.observed, memory: self.memory, runtime_name, with_waiting, now: self.context.now }.statuses()
    }

    pub(super) fn phase(&self, shown: &Shown, ends: bool) -> Phase {
        let before = self.phase_before();
        if before.is_final() {
            return before;
        }
        self.pod.spec.as_ref().map_or(Phase::Pending, |spec| phase::of(spec, &shown.containers, &shown.init_containers, ends))
    }

    pub(super) fn compose(&self, shown: Shown, outline: Outline) -> PodStatus {
        let mut status = status::compose(self.pod, self.observed, shown, outline, self.phase_before(), self.context);
        resize::show_conditions(self.pod, &mut status, self.memory, self.context.now);
        status
    }

    pub(super) fn was_final(&self) -> bool {
        self.phase_before().is_final()
    }

    /// That of the last look, or of the API where this is the first.
    pub(super) fn phase_before(&self) -> Phase {
        self.memory.phase.unwrap_or_else(|| Phase::parse(self.pod.status.as_ref().and_then(|s| s.phase.as_deref())))
    }

    fn wants_to_end(&self, gone: bool, computed: Phase, plan: &Plan) -> Option<Cause> {
        if gone {
            Some(Cause::Gone)
        } else if self.pod.metadata.deletion_timestamp.is_some() {
            Some(Cause::Deleted)
        } else if self.was_final() {
            Some(Cause::Finished)
        } else if status::deadline(self.pod).is_some_and(|at| at <= self.context.now) {
            Some(Cause::Deadline)
        } else if self.memory.eviction.is_some() {
            Some(Cause::Evicted)
        } else if computed.is_final() || *plan == Plan::EndPod {
            Some(Cause::Finished)
        } else {
            None
        }
    }

    /// The pod is to run: kills under way, volumes, sandbox, containers.
    fn go_on(&mut self, plan: Plan) {
        self.failed_hooks();
        self.signals();
        if !self.memory.kills.is_empty() {
            return;
        }
        if let Some(call) = self.memory.next_post_start() {
            self.hooks.push(call);
            return;
        }
        match plan {
            Plan::EndPod | Plan::Nothing => {}
            Plan::Sandbox { attempt } => {
                if self.volumes() {
                    self.run_sandbox(attempt);
                }
            }
            Plan::ReplaceSandbox => self.replace_sandbox(),
            Plan::Containers { kill, start } => {
                self.tell_missing_pull_secrets();
                self.tell_cut_dns();
                self.volumes();
                for order in kill {
                    self.kill(&order);
                }
                if self.memory.kills.is_empty() {
                    if !self.resize() {
                        self.start(&start);
                    }
                } else {
                    self.signals();
                }
                self.sweep();
            }
        }
    }

    pub(super) fn signals(&mut self) {
        let signals = ending::signals(self.pod, self.observed, self.memory, self.context);
        self.steps.extend(signals.steps);
        self.hooks.extend(signals.hooks);
        self.wake(signals.wake_at);
    }

    /// A container whose postStart hook has failed ends, and its restart policy decides.
    fn failed_hooks(&mut self) {
        let observed = self.observed;
        self.memory.forget_post_starts(|id| observed::running(observed).any(|c| c.id == id));
        for (name, id, message) in self.memory.failed_post_starts() {
            let running = observed::running(self.observed).find(|c| c.id == id).cloned();
            let place = identity::find(self.pod, &name).map_or(Place::Main, |(_, place)| place);
            let (grace, text) = (ending::spec_grace(self.pod), "FailedPostStartHook");
            match running {
                Some(container) => ending::begin(self.pod, &container, grace, text, self.memory, self.context.now, &mut self.events),
                None => self.events.push(PodEvent::normal("Killing", text, identity::field_path(place, &name))),
            }
            self.memory.give_up_for_hook(self.pod, &name, message);
        }
    }

    /// A pull secret that is not there is told at each sync, whether or not anything is pulled.
    /// Source: pkg/kubelet/kubelet_pods.go: getPullSecretsForPod.
    fn tell_missing_pull_secrets(&mut self) {
        let (_, missing) = images::credentials(self.pod, self.context);
        if !missing.is_empty() && self.memory.tell("pull secrets", self.context.now) {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.events.push(PodEvent::warning("FailedToRetrieveImagePullSecret", message, ""));
        }
    }

    /// What the resolver's configuration leaves out is told at each sync, as that makes the whole configuration again.
    /// Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go: SyncPod (generatePodSandboxConfig).
    fn tell_cut_dns(&mut self) {
        let (_, events) = super::hosts::dns(self.pod, self.context);
        let runs = observed::running(self.observed).next().is_some();
        if !events.is_empty() && self.memory.tell(if runs { "resolver of what runs" } else { "resolver" }, self.context.now) {
            self.events.extend(events);
        }
    }

    fn kill(&mut self, order: &plan::KillOrder) {
        let found = observed::running(self.observed).find(|c| c.id == order.id).cloned();
        let Some(container) = found else { return };
        if order.restart {
            // Judged by the run before: the one that ends now has not ended yet when the sync begins.
            let before = observed::previous(self.observed, &container.name).and_then(|c| match &c.state {
                ContainerState::Exited(exit) => Some(exit.finished_at),
                ContainerState::Created | ContainerState::Running { .. } | ContainerState::Unknown => None,
            });
            let memory = self.memory.container(&container.name);
            memory.must_restart = true;
            memory.judged_by = Some(before);
        }
        let grace = order.grace.unwrap_or_else(|| ending::spec_grace(self.pod));
        ending::begin(self.pod, &container, grace, &order.message, self.memory, self.context.now, &mut self.events);
    }

    /// Writes what has to be written; true when all volumes are there.
    fn volumes(&mut self) -> bool {
        let now = self.context.now;
        let ips: Vec<std::net::IpAddr> = self.observed.map(|s| s.ips.clone()).unwrap_or_default();
        let addresses = Addresses::of(self.pod, self.context, &ips);
        let mut all = true;
        let list = volumes::wanted(self.pod, &addresses, self.context);
        let mut unmounted: Vec<String> = list.iter().map(|w| w.name.clone()).collect();
        unmounted.retain(|name| self.memory.volumes.get(name).is_none_or(|m| m.written.is_none()));
        unmounted.sort();
        for wanted in list {
            let memory = self.memory.volumes.entry(wanted.name.clone()).or_default();
            let waits = memory.retry_at.filter(|at| *at > now);
            let there = memory.written.is_some();
            match wanted.content {
                Ok(content) if memory.written.as_deref() == Some(&volumes::content_hash(&content)) => {}
                Ok(content) => {
                    all &= there;
                    if waits.is_none() {
                        let reason = if there { "the content of a volume has changed" } else { "the pod needs its volume" };
                        self.steps.push(Step::new(Action::WriteVolume(Box::new(content)), reason));
                    }
                }
                Err(obstacle) => {
                    all &= there;
                    match obstacle {
                        _ if waits.is_some() => {}
                        Obstacle::SetUp(why) => self.memory.volume_failed(&wanted.name, &why, now, &mut self.events),
                        Obstacle::Claim(why) => {
                            let event = self.memory.claim_failed(&wanted.name, &unmounted, &why, now);
                            self.events.push(event);
                        }
                    }
                }
            }
            let retry_at = self.memory.volumes.get(&wanted.name).and_then(|m| m.retry_at).filter(|at| *at > now);
            self.wake(retry_at);
        }
        all
    }

    /// One step for the first container that can take one.
    fn start(&mut self, names: &[String]) {
        let Some(sandbox) = self.observed else { return };
        // A try of what is not wanted any more is over.
        let tries = self.memory.containers.iter_mut().filter(|(name, memory)| memory.trying && !names.contains(name));
        tries.for_each(|(_, memory)| memory.end_try());
        for name in names {
            let Some((container, place)) = identity::find(self.pod, name) else { continue };
            if let Some(until) = self.settling(name) {
                self.wake(Some(until));
                continue;
            }
            let field_path = identity::field_path(place, name);
            let start = Start { pod: self.pod, container: &container, field_path, observed: sandbox };
            let before = self.memory.containers.get(name).and_then(|m| m.waiting.clone());
            match start.next(self.memory, self.context, &mut self.events) {
                Next::Step(step) => {
                    self.steps.push(step);
                    return;
                }
                Next::Wait(at) => {
                    self.wake(at);
                    // What was just found is shown by the next look.
                    let now = self.context.now;
                    let waiting = self.memory.containers.get(name).and_then(|m| m.waiting.clone());
                    let from = waiting.as_ref().and_then(|w| w.from).filter(|from| *from > now);
                    let fresh = (waiting != before).then(|| now + SignedDuration::from_millis(500));
                    self.wake(from.or(fresh));
                    if place == Place::Init && !crate::api::requests::is_sidecar(&container) {
                        return;
                    }
                }
            }
        }
    }

    /// Until when a container that never ran waits for what the sidecars before it make of their start: one that ends at
    /// once holds back what follows. The kubelet sees that a second later.
    fn settling(&self, name: &str) -> Option<Timestamp> {
        if observed::latest(self.observed, name).is_some() {
            return None;
        }
        let init = self.pod.spec.as_ref()?.init_containers.as_deref()?;
        let position = init.iter().position(|c| c.name == name).unwrap_or(init.len());
        let sidecars = init[..position].iter().filter(|c| crate::api::requests::is_sidecar(c) && c.startup_probe.is_none());
        let begun = sidecars.filter_map(|c| match observed::latest(self.observed, &c.name)?.state {
            ContainerState::Running { started_at, .. } => Some(started_at + SETTLES),
            ContainerState::Created | ContainerState::Exited(_) | ContainerState::Unknown => None,
        });
        begun.max().filter(|until| *until > self.context.now)
    }

    /// Removes attempts older than the one before the newest.
    fn sweep(&mut self) {
        let Some(sandbox) = self.observed else { return };
        for container in &sandbox.containers {
            let newer = sandbox.containers.iter().filter(|c| c.name == container.name && c.attempt > container.attempt).count();
            if newer >= 2 && !matches!(container.state, ContainerState::Running { .. }) {
                let action = Action::RemoveContainer { id: container.id.clone(), pod_uid: identity::uid(self.pod).into() };
                self.steps.push(Step::new(action, format!("an old attempt of container {}", container.name)));
            }
        }
    }

    pub(super) fn resume_paused(&mut self) {
        for container in observed::running(self.observed) {
            if matches!(container.state, ContainerState::Running { paused: true, .. }) {
                let action = Action::ResumeContainer { id: container.id.clone(), pod_uid: identity::uid(self.pod).into() };
                self.steps.push(Step::new(action, format!("container {} was paused by somebody", container.name)));
            }
        }
    }
}

/// Whether any container is to be confined, by its own word or by the pod's.
/// Source: pkg/security/apparmor/validate.go: isRequired.
fn wants_apparmor(pod: &Pod) -> bool {
    let of_pod = pod.spec.as_ref().and_then(|s| s.security_context.as_ref()?.app_armor_profile.clone());
    identity::all(pod).any(|(container, _)| {
        let own = container.security_context.as_ref().and_then(|s| s.app_armor_profile.as_ref());
        own.or(of_pod.as_ref()).is_some_and(|profile| profile.type_ != "Unconfined")
    })
}
