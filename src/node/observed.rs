//! What is known of a pod's containers: from the runtime, from this process, from the API's last status.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::PodMemory;
use super::memory::Lost;
use crate::runtime::{Action, Container, ContainerState, Exit, Outcome, Sandbox, SandboxState};

/// The newest attempt of a container, as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<'a> {
    /// Made and not started.
    Created(&'a Container),
    Running(&'a Container),
    /// Ended, or the runtime could not start it.
    Exited { container: Option<&'a Container>, exit: Cow<'a, Exit>, start_error: bool },
}

/// The newest attempt of a container.
pub fn latest<'a>(observed: Option<&'a Sandbox>, name: &str) -> Option<&'a Container> {
    observed?.containers.iter().filter(|c| c.name == name).max_by_key(|c| c.attempt)
}

/// The attempt before the newest.
pub fn previous<'a>(observed: Option<&'a Sandbox>, name: &str) -> Option<&'a Container> {
    before(observed, latest(observed, name)?)
}

/// The attempt before this one.
pub fn before<'a>(observed: Option<&'a Sandbox>, attempt: &Container) -> Option<&'a Container> {
    let older = observed?.containers.iter().filter(|c| c.name == attempt.name && c.attempt < attempt.attempt);
    older.max_by_key(|c| c.attempt)
}

/// How the newest attempt of a container stands; `None`: there never was one, or it vanished.
pub fn seen<'a>(pod: &Pod, observed: Option<&'a Sandbox>, memory: &'a PodMemory, name: &str) -> Option<Seen<'a>> {
    if let Some(container) = latest(observed, name) {
        return Some(of(container, memory));
    }
    if let Some(lost) = lost(pod, memory, name) {
        return Some(Seen::Exited { container: None, exit: Cow::Borrowed(&lost.exit), start_error: false });
    }
    let exit = lost_of(status_of(pod, name)?)?.exit;
    Some(Seen::Exited { container: None, exit: Cow::Owned(exit), start_error: false })
}

/// The attempt that went with its sandbox, as long as none after it was shown.
pub fn lost<'a>(pod: &Pod, memory: &'a PodMemory, name: &str) -> Option<&'a Lost> {
    let lost = memory.containers.get(name)?.lost.as_ref()?;
    let later = status_of(pod, name).is_some_and(|told| i64::from(told.restart_count) > i64::from(lost.attempt));
    (!later).then_some(lost)
}

/// Whether no container runs.
pub fn all_ended(observed: Option<&Sandbox>) -> bool {
    running(observed).next().is_none()
}

/// How one attempt stands.
pub fn of<'a>(container: &'a Container, memory: &PodMemory) -> Seen<'a> {
    match &container.state {
        ContainerState::Running { .. } => Seen::Running(container),
        ContainerState::Exited(exit) => {
            Seen::Exited { container: Some(container), exit: Cow::Borrowed(exit), start_error: false }
        }
        ContainerState::Unknown => {
            let exit = unknown_exit(container.created_at);
            Seen::Exited { container: Some(container), exit: Cow::Owned(exit), start_error: false }
        }
        ContainerState::Created => {
            let error = memory.containers.get(&container.name).and_then(|m| m.start_errors.get(&container.id));
            match error {
                None => Seen::Created(container),
                Some(error) => {
                    // containerd's way to say that nothing ever ran: code 128, started at the epoch.
                    let exit = Exit {
                        code: 128,
                        started_at: Some(Timestamp::UNIX_EPOCH),
                        finished_at: error.at,
                        oom_killed: false,
                        message: error.message.clone(),
                    };
                    Seen::Exited { container: Some(container), exit: Cow::Owned(exit), start_error: true }
                }
            }
        }
    }
}

/// What containerd says of a container that it lost (after a reboot).
fn unknown_exit(at: Timestamp) -> Exit {
    Exit { code: 255, started_at: None, finished_at: at, oom_killed: false, message: String::new() }
}

/// The status that the API has of a container.
pub fn status_of<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let main = status.container_statuses.iter().flatten();
    let others = status.init_container_statuses.iter().chain(&status.ephemeral_container_statuses).flatten();
    main.chain(others).find(|s| s.name == name)
}

/// Reason of a state that says no more than that nobody knows how a container ended.
pub const UNLOCATED: &str = "ContainerStatusUnknown";

/// An attempt of which only the API's status is left.
pub fn lost_of(status: &ContainerStatus) -> Option<Lost> {
    let ended = status.state.as_ref()?.terminated.as_ref().filter(|t| t.reason.as_deref() != Some(UNLOCATED))?;
    Some(Lost {
        attempt: u32::try_from(status.restart_count).unwrap_or(0),
        id: ended.container_id.clone().unwrap_or_default(),
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        exit: Exit {
            code: ended.exit_code,
            started_at: ended.started_at.as_ref().map(|t| t.0),
            finished_at: ended.finished_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            oom_killed: ended.reason.as_deref() == Some("OOMKilled"),
            message: ended.message.clone().unwrap_or_default(),
        },
    })
}

/// The number of the next attempt of a container.
pub fn next_attempt(pod: &Pod, observed: Option<&Sandbox>, memory: &PodMemory, name: &str) -> u32 {
    let seen = latest(observed, name).map(|c| c.attempt);
    let lost = memory.containers.get(name).and_then(|m| m.lost.as_ref()).map(|l| l.attempt);
    let told = status_of(pod, name).filter(|s| ever_ran(s)).and_then(|s| {
        // That one which is missed is to run again has been counted already.
        let counted = is_missed(s) && s.restart_count > 0;
        u32::try_from(s.restart_count).ok().map(|count| if counted { count - 1 } else { count })
    });
    [seen, lost, told].into_iter().flatten().max().map_or(0, |last| last.saturating_add(1))
}

/// Whether it is told that nobody knows where the last attempt has gone, and that there is no other.
fn is_missed(status: &ContainerStatus) -> bool {
    let last = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    status.container_id.is_none() && last.is_some_and(|t| t.reason.as_deref() == Some(UNLOCATED))
}

pub fn ever_ran(status: &ContainerStatus) -> bool {
    status.container_id.as_deref().is_some_and(|id| !id.is_empty())
        || status.last_state.as_ref().is_some_and(|s| s.terminated.is_some())
}

/// When an attempt began to run, if it did, and when it ended.
pub fn ran(container: &Container) -> Option<(Timestamp, Option<Timestamp>)> {
    match &container.state {
        ContainerState::Running { started_at, .. } => Some((*started_at, None)),
        ContainerState::Exited(exit) => Some((exit.started_at?, Some(exit.finished_at))),
        ContainerState::Created | ContainerState::Unknown => None,
    }
}

/// The containers that run (or are paused).
pub fn running(observed: Option<&Sandbox>) -> impl Iterator<Item = &Container> {
    let all = observed.into_iter().flat_map(|s| s.containers.iter());
    all.filter(|c| matches!(c.state, ContainerState::Running { .. }))
}

/// All that makes the kubelet look at a pod again, in one text: what the newest attempts do, which of them are ready, and what
/// others may change of the object. Source: pkg/kubelet/kubelet.go: syncLoopIteration.
pub fn news(pod: &Pod, observed: Option<&Sandbox>, memory: &PodMemory) -> String {
    let mut text = String::new();
    for (container, _) in super::identity::all(pod) {
        let Some(newest) = latest(observed, &container.name) else { continue };
        let kind = match of(newest, memory) {
            Seen::Created(_) => continue,
            Seen::Running(_) => "runs",
            Seen::Exited { .. } => "ended",
        };
        let probes = memory.containers.get(&container.name).map(|m| &m.probes);
        let ready = kind == "runs" && probes.is_none_or(|p| p.ready(&container, &newest.id));
        text.push_str(&format!("{} {kind} {ready}\n", newest.id));
    }
    let meta = &pod.metadata;
    text.push_str(&format!("{:?} {:?} {:?}", meta.generation, meta.labels, meta.annotations));
    text
}

/// Takes over into `observed` what an action has just done, so that the next look need not wait for
/// the runtime's answer. What cannot be known (pids, times of exits) comes with the next observation.
pub fn apply(observed: &mut Option<Sandbox>, action: &Action, outcome: &Outcome, now: Timestamp) {
    match (action, outcome) {
        (Action::RunSandbox(config), Outcome::Sandbox { id, ips }) => {
            *observed = Some(Sandbox {
                uid: config.uid.clone(),
                namespace: config.namespace.clone(),
                name: config.name.clone(),
                id: id.clone(),
                state: SandboxState::Ready,
                attempt: config.attempt,
                created_at: now,
                ips: ips.clone(),
                pid: None,
                containers: Vec::new(),
                annotations: config.annotations.clone(),
            });
        }
        (Action::CreateContainer(config), Outcome::Container { id }) => {
            let Some(sandbox) = observed else { return };
            sandbox.containers.push(Container {
                id: id.clone(),
                name: config.name.clone(),
                attempt: config.attempt,
                state: ContainerState::Created,
                image: config.image.clone(),
                image_id: String::new(),
                spec_hash: config.spec_hash.clone(),
                created_at: now,
                log_path: String::new(),
                annotations: config.annotations.clone(),
            });
        }
        (Action::StartContainer { id, .. }, _) => {
            let containers = observed.iter_mut().flat_map(|s| s.containers.iter_mut());
            for container in containers.filter(|c| &c.id == id && c.state == ContainerState::Created) {
                container.state = ContainerState::Running { started_at: now, pid: 0, paused: false };
            }
        }
        (Action::RemoveContainer { id, .. }, _) => {
            if let Some(sandbox) = observed {
                sandbox.containers.retain(|c| &c.id != id);
            }
        }
        (Action::StopSandbox { .. }, _) => {
            if let Some(sandbox) = observed {
                sandbox.state = SandboxState::NotReady;
            }
        }
        (Action::RemoveSandbox { .. }, _) => *observed = None,
        _ => {}
    }
}
