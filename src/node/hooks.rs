//! Lifecycle hooks without their I/O: when one is due, and what its end means.
//! Source: pkg/kubelet/lifecycle/handlers.go; pkg/kubelet/kuberuntime/kuberuntime_container.go: startContainer, executePreStopHook.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use super::identity::{self, Place};
use super::{PodEvent, PodMemory};
use crate::api::requests::is_sidecar;

/// A preStop hook gets at least this long, however short the grace
/// (kuberuntime_container.go: setTerminationGracePeriod, a forced deletion counts as one second).
pub const LEAST_TIME: SignedDuration = SignedDuration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    PostStart,
    PreStop,
}

/// One hook to be run now.
#[derive(Clone, Debug, PartialEq)]
pub struct HookCall {
    pub container: String,
    /// Runtime id of the container it is for.
    pub id: String,
    pub kind: HookKind,
}

impl HookCall {
    /// What is to be run.
    pub fn handler(&self, pod: &Pod) -> Option<(Container, LifecycleHandler)> {
        let (container, _) = identity::find(pod, &self.container)?;
        let handler = of(&container, self.kind)?.clone();
        Some((container.into_owned(), handler))
    }

    /// Whether nothing else of the pod begins before it ends.
    pub fn blocks(&self) -> bool {
        self.kind == HookKind::PostStart
    }
}

/// The container's hook of this kind.
pub fn of(container: &Container, kind: HookKind) -> Option<&LifecycleHandler> {
    let lifecycle = container.lifecycle.as_ref()?;
    match kind {
        HookKind::PostStart => lifecycle.post_start.as_ref(),
        HookKind::PreStop => lifecycle.pre_stop.as_ref(),
    }
}

/// A container that was started and whose postStart hook has not ended well.
#[derive(Clone, Debug, PartialEq)]
pub struct PostStart {
    /// Runtime id of the attempt.
    pub id: String,
    pub stage: PostStartStage,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PostStartStage {
    Due,
    Called,
    /// The container is to end because of it.
    Failed { message: String },
    /// That has begun.
    Ending,
}

/// How far a kill has come with the container's preStop hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreStop {
    #[default]
    None,
    Due,
    Called,
    Done,
}

impl PreStop {
    /// Whether the signal waits for it.
    pub fn is_awaited(self) -> bool {
        matches!(self, PreStop::Due | PreStop::Called)
    }
}

impl PodMemory {
    /// Takes in how a hook ended: `Err` with what the container's status says of it.
    pub fn hook_ended(&mut self, pod: &Pod, call: &HookCall, result: Result<(), String>) -> Vec<PodEvent> {
        let Some((_, place)) = identity::find(pod, &call.container) else { return Vec::new() };
        let path = identity::field_path(place, &call.container);
        match call.kind {
            HookKind::PreStop => {
                if let Some(kill) = self.kills.get_mut(&call.id) {
                    kill.pre_stop = PreStop::Done;
                }
                let failed = result.is_err();
                failed.then(|| PodEvent::warning("FailedPreStopHook", "PreStopHook failed", path)).into_iter().collect()
            }
            HookKind::PostStart => {
                let container = self.container(&call.container);
                if container.post_start.as_ref().is_none_or(|p| p.id != call.id) {
                    return Vec::new();
                }
                match result {
                    Ok(()) => {
                        container.post_start = None;
                        Vec::new()
                    }
                    Err(message) => {
                        let stage = PostStartStage::Failed { message };
                        container.post_start = Some(PostStart { id: call.id.clone(), stage });
                        vec![PodEvent::warning("FailedPostStartHook", "PostStartHook failed", path)]
                    }
                }
            }
        }
    }

    /// The postStart hook that is to run now, if one is: they run one after the other.
    pub(super) fn next_post_start(&mut self) -> Option<HookCall> {
        let (name, post_start) = self.containers.iter_mut().find_map(|(name, memory)| {
            Some((name, memory.post_start.as_mut().filter(|p| p.stage == PostStartStage::Due)?))
        })?;
        post_start.stage = PostStartStage::Called;
        Some(HookCall { container: name.clone(), id: post_start.id.clone(), kind: HookKind::PostStart })
    }

    /// Containers whose postStart hook has failed just now: name, id, and what to say of it.
    pub(super) fn failed_post_starts(&mut self) -> Vec<(String, String, String)> {
        let failed = self.containers.iter_mut().filter_map(|(name, memory)| {
            let post_start = memory.post_start.as_mut()?;
            let PostStartStage::Failed { message } = &post_start.stage else { return None };
            let failed = (name.clone(), post_start.id.clone(), message.clone());
            post_start.stage = PostStartStage::Ending;
            Some(failed)
        });
        failed.collect()
    }

    /// Notes that an attempt has been started: its hook is due, if it has one.
    pub(super) fn begin_post_start(&mut self, pod: &Pod, name: &str, id: &str) {
        let hook = identity::find(pod, name).is_some_and(|(c, _)| of(&c, HookKind::PostStart).is_some());
        if hook {
            self.container(name).post_start = Some(PostStart { id: id.to_owned(), stage: PostStartStage::Due });
        }
    }

    /// What a container that could not be started well is shown as; sidecars show only how they ended.
    pub(super) fn give_up_for_hook(&mut self, pod: &Pod, name: &str, message: String) {
        let sidecar = matches!(identity::find(pod, name), Some((c, Place::Init)) if is_sidecar(&c));
        if !sidecar {
            self.container(name).give_up("PostStartHookError", message, None);
        }
    }

    /// Forgets hooks of attempts that do not run any more.
    pub(super) fn forget_post_starts(&mut self, runs: impl Fn(&str) -> bool) {
        for memory in self.containers.values_mut() {
            let over = |p: &PostStart| p.stage == PostStartStage::Ending && !runs(&p.id);
            if memory.post_start.as_ref().is_some_and(over) {
                memory.post_start = None;
            }
        }
    }
}

/// Until when a kill that began at `since` waits for its preStop hook.
pub fn pre_stop_until(since: Timestamp, grace: SignedDuration) -> Timestamp {
    since + grace.max(LEAST_TIME)
}
