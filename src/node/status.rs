//! The statuses of a pod's containers, and the whole status put together.
//! Source: pkg/kubelet/kubelet_pods.go: convertToAPIContainerStatuses, generateAPIPodStatus.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodIP, PodStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::memory::{Lost, PodMemory, Shown, Waiting};
use super::observed::{self, Seen};
use super::phase::Phase;
use super::identity::{self, Place};
use super::{Context, conditions, hosts, plan, resize};
use crate::api::requests::{is_sidecar, qos_class};
use crate::runtime::{self, Exit, Sandbox, SandboxState};

/// Text of a container that is not there any more (kubelet_pods.go).
const VANISHED: &str = "The container could not be located when the pod was deleted.  The container used to be Running";
/// Exit code where none is known: as after SIGKILL (kubelet_pods.go).
const VANISHED_CODE: i32 = 137;

/// What the statuses are made from.
pub struct View<'a> {
    pub pod: &'a Pod,
    pub observed: Option<&'a Sandbox>,
    pub memory: &'a PodMemory,
    pub runtime_name: &'a str,
    /// Show why tries to start did not go on.
    pub with_waiting: bool,
    pub now: Timestamp,
}

impl View<'_> {
    /// Statuses of containers (by name) and init containers (as in the spec).
    pub fn statuses(&self) -> Shown {
        let Some(spec) = &self.pod.spec else { return Shown::default() };
        let init = spec.init_containers.as_deref().unwrap_or_default();
        let initializing = !init.is_empty();
        let mut containers: Vec<_> = spec.containers.iter().map(|c| self.status(c, Place::Main, initializing)).collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(identity::as_container);
        let mut ephemeral: Vec<_> = ephemeral.map(|c| self.status(&c, Place::Ephemeral, initializing)).collect();
        ephemeral.sort_by(|a, b| a.name.cmp(&b.name));
        let begun = |c: &Container| observed::latest(self.observed, &c.name).is_some();
        let mut init_statuses: Vec<_> = init.iter().map(|c| self.status(c, Place::Init, true)).collect();
        for (index, status) in init_statuses.iter_mut().enumerate().filter(|(i, _)| !is_sidecar(&init[*i])) {
            // Before the next container begins, older attempts of an init container are removed.
            // Source: pkg/kubelet/kuberuntime/kuberuntime_container.go: pruneInitContainersBeforeStart.
            let ended_well = status.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0);
            if ended_well && init[index + 1..].iter().chain(&spec.containers).any(begun) {
                status.last_state = Some(ContainerState::default());
            }
        }
        Shown {
            containers,
            init_containers: init_statuses,
            ephemeral_containers: ephemeral,
        }
    }

    fn status(&self, container: &Container, place: Place, initializing: bool) -> ContainerStatus {
        let name = &container.name;
        let before = observed::status_of(self.pod, name);
        let memory = self.memory.containers.get(name);
        let mut status = ContainerStatus {
            name: name.clone(),
            image: container.image.clone().unwrap_or_default(),
            started: Some(false),
            state: Some(waiting(if initializing { "PodInitializing" } else { "ContainerCreating" }, "")),
            last_state: Some(ContainerState::default()),
            volume_mounts: volume_mounts(container),
            ..ContainerStatus::default()
        };
        let lost = observed::lost(self.pod, self.memory, name).cloned().or_else(|| before.and_then(observed::lost_of));
        let starts = |latest: &runtime::Container| {
            memory.and_then(|m| m.post_start.as_ref()).is_some_and(|p| p.id == latest.id) && runs(latest)
        };
        let seen = self.newest_begun(name);
        let shown_waiting = memory.and_then(|m| m.waiting.as_ref()?.at(self.now)).filter(|_| self.with_waiting);
        let newest_id = |id: Option<&str>| before.filter(|b| b.container_id.as_deref().is_some_and(|told| Some(told) == id));
        let ended = match (seen, &lost) {
            (Some(latest), _) => newest_id(Some(&self.id_text(&latest.id))).filter(|_| !runs(latest)),
            (None, Some(lost)) => newest_id(Some(&lost.id)),
            (None, None) => None,
        };
        if let Some(before) = ended.filter(|b| b.state.as_ref().is_some_and(|s| s.running.is_some()))
            && memory.is_some_and(|m| m.must_restart)
            && shown_waiting.is_none()
            && self.memory.ending.is_none()
        {
            // What the node ends and starts again it does in one go: nobody sees it ended. (The API would not have it run
            // again after an end with 0, unless it always restarts.)
            let mut kept = before.clone();
            resize::show(self.pod, place, &mut kept, seen, self.memory);
            return kept;
        }
        let told = seen.is_some() || lost.is_some();
        match (seen, lost, before) {
            // It counts as starting until its postStart hook has ended.
            (Some(latest), _, Some(before)) if starts(latest) => return before.clone(),
            (Some(latest), _, None) if starts(latest) => {}
            (Some(latest), lost, before) => {
                // Before an init container begins anew, its older attempts are removed.
                let lost = lost.filter(|_| place != Place::Init || is_sidecar(container));
                self.of_attempt(&mut status, latest, lost.as_ref(), before);
            }
            (None, Some(lost), before) => self.of_lost(&mut status, &lost, before),
            (None, None, Some(before)) => self.of_vanished(&mut status, before),
            (None, None, None) => {}
        }
        // An attempt that was shown is counted, though it may turn out never to have run.
        status.restart_count = status.restart_count.max(before.map_or(0, |b| b.restart_count));
        self.readiness(&mut status, container, place);
        if told {
            resize::show(self.pod, place, &mut status, seen, self.memory);
        }
        if let Some(why) = shown_waiting
            && self.waits(container, place)
        {
            wait(&mut status, why);
        }
        status
    }

    /// The newest attempt that was started; one that is only made is shown while there is no other.
    fn newest_begun(&self, name: &str) -> Option<&runtime::Container> {
        let latest = observed::latest(self.observed, name)?;
        let begun = !matches!(observed::of(latest, self.memory), Seen::Created(_));
        if begun { Some(latest) } else { observed::previous(self.observed, name).or(Some(latest)) }
    }

    /// Whether what the last try said is still the state of the container.
    fn waits(&self, container: &Container, place: Place) -> bool {
        let seen = observed::seen(self.pod, self.observed, self.memory, &container.name);
        !matches!(seen, Some(Seen::Running(_))) && plan::restarts(self.pod, self.observed, self.memory, container, place)
    }

    /// From the newest attempt, and the one before it.
    fn of_attempt(
        &self,
        status: &mut ContainerStatus,
        latest: &runtime::Container,
        lost: Option<&Lost>,
        before: Option<&ContainerStatus>,
    ) {
        status.container_id = Some(self.id_text(&latest.id));
        status.image_id = image_id(latest);
        status.restart_count = i32::try_from(latest.attempt).unwrap_or(i32::MAX);
        if let Some(state) = self.state(latest) {
            status.state = Some(state);
        }
        let previous = observed::before(self.observed, latest).and_then(|c| self.state(c));
        let previous = previous.filter(|s| s.terminated.is_some());
        let lost = lost.filter(|l| l.id != self.id_text(&latest.id) && l.attempt < latest.attempt);
        let told = before.and_then(|b| b.last_state.clone()).filter(|s| s.terminated.is_some());
        status.last_state = previous.or_else(|| lost.map(|l| terminated(&l.exit, false, &l.id))).or(told).or(status.last_state.take());
        if latest.attempt == 0 {
            status.last_state = Some(ContainerState::default());
        }
    }

    fn of_lost(&self, status: &mut ContainerStatus, lost: &Lost, before: Option<&ContainerStatus>) {
        status.container_id = Some(lost.id.clone());
        status.image.clone_from(&lost.image);
        status.image_id.clone_from(&lost.image_id);
        status.restart_count = i32::try_from(lost.attempt).unwrap_or(i32::MAX);
        status.state = Some(terminated(&lost.exit, false, &lost.id));
        if let Some(last) = before.and_then(|b| b.last_state.clone()) {
            status.last_state = Some(last);
        }
    }

    /// The API says that it ran, and there is nothing.
    fn of_vanished(&self, status: &mut ContainerStatus, before: &ContainerStatus) {
        status.restart_count = before.restart_count;
        status.last_state.clone_from(&before.last_state);
        if before.state.as_ref().is_none_or(|s| s.running.is_none()) {
            return;
        }
        if self.pod.metadata.deletion_timestamp.is_none() {
            // It is to run again, which is counted at once.
            status.restart_count = before.restart_count.saturating_add(1);
        }
        status.last_state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: Some(observed::UNLOCATED.into()),
                message: Some(VANISHED.into()),
                exit_code: VANISHED_CODE,
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
    }

    fn id_text(&self, id: &str) -> String {
        format!("{}://{id}", self.runtime_name)
    }

    /// `None`: it was made and has not run.
    fn state(&self, container: &runtime::Container) -> Option<ContainerState> {
        match observed::of(container, self.memory) {
            Seen::Created(_) => None,
            Seen::Running(container) => {
                let runtime::ContainerState::Running { started_at, .. } = &container.state else { return None };
                let running = ContainerStateRunning { started_at: Some(Time(*started_at)) };
                Some(ContainerState { running: Some(running), ..ContainerState::default() })
            }
            Seen::Exited { exit, start_error, .. } => {
                let mut state = terminated(&exit, start_error, &self.id_text(&container.id));
                if container.state == runtime::ContainerState::Unknown
                    && let Some(ended) = &mut state.terminated
                {
                    ended.reason = Some("Unknown".into());
                }
                Some(state)
            }
        }
    }

    fn readiness(&self, status: &mut ContainerStatus, container: &Container, place: Place) {
        if place == Place::Ephemeral {
            // Nobody asks whether it is ready.
            status.started = None;
            return;
        }
        let state = status.state.as_ref();
        let running = state.is_some_and(|s| s.running.is_some());
        let completed = state.and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0);
        if place == Place::Init && !is_sidecar(container) {
            status.started = Some(running);
            status.ready = completed;
            return;
        }
        let id = observed::latest(self.observed, &container.name).map(|c| c.id.as_str()).unwrap_or_default();
        let probes = self.memory.containers.get(&container.name).map(|m| &m.probes);
        let started = running && probes.map_or(container.startup_probe.is_none(), |p| p.started(container, id));
        status.started = Some(started);
        status.ready = started && probes.map_or(container.readiness_probe.is_none(), |p| p.ready(container, id));
        if container.startup_probe.is_some() && container.readiness_probe.is_none() {
            // That it has started is shown at once, that it is ready by the sync after.
            // Source: pkg/kubelet/status/status_manager.go: SetContainerStartup.
            let told = observed::status_of(self.pod, &container.name);
            let same = |b: &ContainerStatus| b.started == Some(true) && b.container_id == status.container_id;
            status.ready &= told.is_some_and(same);
        }
    }
}

fn runs(container: &runtime::Container) -> bool {
    matches!(container.state, runtime::ContainerState::Running { .. })
}

fn image_id(container: &runtime::Container) -> String {
    let reference = container.annotations.get(identity::IMAGE_REFERENCE).filter(|r| !r.is_empty());
    reference.cloned().unwrap_or_else(|| container.image_id.clone())
}

fn wait(status: &mut ContainerStatus, why: &Waiting) {
    if let Some(state) = status.state.take().filter(|s| s.terminated.is_some()) {
        status.last_state = Some(state);
    }
    status.state = Some(waiting(&why.reason, &why.message));
    status.ready = false;
    status.started = status.started.map(|_| false);
}

pub fn waiting(reason: &str, message: &str) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.into()),
        message: Some(message.to_owned()).filter(|m| !m.is_empty()),
    };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

pub fn terminated(exit: &Exit, start_error: bool, id: &str) -> ContainerState {
    let reason = match exit.code {
        _ if start_error => "StartError",
        _ if exit.oom_killed => "OOMKilled",
        0 => "Completed",
        _ => "Error",
    };
    let state = ContainerStateTerminated {
        container_id: Some(id.to_owned()).filter(|i| !i.is_empty()),
        exit_code: exit.code,
        finished_at: Some(Time(exit.finished_at)),
        message: Some(exit.message.clone()).filter(|m| !m.is_empty()),
        reason: Some(reason.into()),
        signal: None,
        started_at: Some(Time(exit.started_at.unwrap_or(exit.finished_at).min(exit.finished_at))),
    };
    ContainerState { terminated: Some(state), ..ContainerState::default() }
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref().filter(|m| !m.is_empty())?;
    let status = |m: &k8s_openapi::api::core::v1::VolumeMount| VolumeMountStatus {
        mount_path: m.mount_path.clone(),
        name: m.name.clone(),
        read_only: m.read_only.filter(|r| *r),
        recursive_read_only: m.read_only.filter(|r| *r).map(|_| m.recursive_read_only.clone().unwrap_or_else(|| "Disabled".into())),
        ..VolumeMountStatus::default()
    };
    Some(mounts.iter().map(status).collect())
}

/// Everything but the containers that goes into the status.
pub struct Outline {
    /// The phase by the states of the containers.
    pub phase: Phase,
    /// A final phase is not shown yet: something may still run.
    pub held: bool,
    pub reason: Option<String>,
    pub message: Option<String>,
    /// Of what has ended only the last attempts are shown, as older ones are removed by then.
    /// Source: pkg/kubelet/pod_container_deletor.go: getContainersToDeleteInPod.
    pub last_only: bool,
}

/// The whole status; `before`: the phase that is shown while the new one is held back.
pub fn compose(
    pod: &Pod,
    observed: Option<&Sandbox>,
    shown: Shown,
    outline: Outline,
    before: Phase,
    context: &Context<'_>,
) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    let now = context.now;
    let ready_sandbox = observed.is_some_and(|s| s.state == SandboxState::Ready);
    let mut shown = shown;
    if outline.last_only {
        for status in shown.containers.iter_mut().chain(&mut shown.init_containers) {
            let ended = status.state.as_ref().and_then(|s| s.terminated.as_ref());
            if ended.is_some_and(|t| t.reason.as_deref() != Some(observed::UNLOCATED)) {
                status.last_state = Some(ContainerState::default());
            }
        }
    }
    let conditions = conditions::of(pod, &shown.containers, &shown.init_containers, outline.phase, ready_sandbox, now);
    let held = outline.held && outline.phase.is_final();
    let phase = if held { before } else { outline.phase };
    let (reason, message) = if held { (old.reason.clone(), old.message.clone()) } else { (outline.reason, outline.message) };
    let mut status = PodStatus {
        phase: Some(phase.name().into()),
        conditions: Some(conditions),
        reason,
        message,
        start_time: old.start_time.clone().or(Some(Time(now))),
        container_statuses: Some(bounded(pod, shown.containers)),
        init_container_statuses: Some(bounded(pod, shown.init_containers)).filter(|l| !l.is_empty()),
        ephemeral_container_statuses: Some(bounded(pod, shown.ephemeral_containers)).filter(|l| !l.is_empty()),
        qos_class: pod.spec.as_ref().map(|s| qos_class(s).to_owned()),
        observed_generation: pod.metadata.generation.filter(|g| *g > 0),
        ..old
    };
    addresses(pod, observed, context, &mut status);
    status
}

fn addresses(pod: &Pod, observed: Option<&Sandbox>, context: &Context<'_>, status: &mut PodStatus) {
    let host = hosts::node_addresses(context.machine, context.config);
    let host: Vec<String> = host.iter().map(ToString::to_string).collect();
    if let Some(first) = host.first() {
        status.host_ip = Some(first.clone());
        status.host_ips = Some(host.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    }
    let ips: Vec<String> = if hosts::host_network(pod) {
        host
    } else {
        observed.filter(|s| s.state == SandboxState::Ready).map(|s| s.ips.iter().map(ToString::to_string).collect()).unwrap_or_default()
    };
    if let Some(first) = ips.first() {
        status.pod_ip = Some(first.clone());
        status.pod_ips = Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect());
    }
}

/// All termination messages of a pod together (pkg/kubelet/container: MaxPodTerminationMessageLogLength).
const MESSAGES: usize = 12 * 1024;

fn bounded(pod: &Pod, mut statuses: Vec<ContainerStatus>) -> Vec<ContainerStatus> {
    let spec = pod.spec.as_ref();
    let count = spec.map_or(0, |s| {
        s.containers.len()
            + s.init_containers.as_deref().map_or(0, <[_]>::len)
            + s.ephemeral_containers.as_deref().map_or(0, <[_]>::len)
    });
    let each = MESSAGES / count.max(1);
    for status in &mut statuses {
        for state in [&mut status.state, &mut status.last_state].into_iter().flatten() {
            if let Some(message) = state.terminated.as_mut().and_then(|t| t.message.as_mut()) {
                cut(message, each);
            }
        }
    }
    statuses
}

fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
}

/// The last status of a pod that ends: what never ran, or was lost, has failed. `before`: as it was when the end began,
/// which tells whether the pod had got past its init containers.
/// Source: pkg/kubelet/status/status_manager.go: TerminatePod, hasPodInitialized.
pub fn settle(pod: &Pod, before: &Shown, shown: &mut Shown) {
    let Some(spec) = &pod.spec else { return };
    let sidecar = |name: &str| spec.init_containers.iter().flatten().any(|c| c.name == name && is_sidecar(c));
    let initialized = before.init_containers.last().is_none_or(|last| {
        let ended_well = |state: Option<&ContainerState>| state.and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0);
        if sidecar(&last.name) {
            last.started == Some(true) || conditions::has_started(last)
        } else {
            ended_well(last.state.as_ref()) || ended_well(last.last_state.as_ref())
        }
    });
    if initialized || before.containers.iter().any(conditions::has_started) {
        shown.containers.iter_mut().for_each(locate);
    }
    let tried = shown.init_containers.iter().rposition(|s| {
        s.state.as_ref().is_none_or(|st| st.waiting.is_none()) || s.last_state.as_ref().is_some_and(|l| l.terminated.is_some())
    });
    // The first is told of in any case.
    shown.init_containers.iter_mut().take(tried.map_or(1, |last| last + 1)).for_each(locate);
}

fn locate(status: &mut ContainerStatus) {
    if status.state.as_ref().is_some_and(|s| s.terminated.is_some()) {
        return;
    }
    let gone = ContainerStateTerminated {
        reason: Some(observed::UNLOCATED.into()),
        message: Some("The container could not be located when the pod was terminated".into()),
        exit_code: VANISHED_CODE,
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState { terminated: Some(gone), ..ContainerState::default() });
    status.ready = false;
    status.started = Some(false);
}

/// When a pod's start time plus its deadline is, if it has one.
pub fn deadline(pod: &Pod) -> Option<Timestamp> {
    let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
    let started = pod.status.as_ref()?.start_time.as_ref()?.0;
    started.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}
