//! In-place resize: what a pod was promised, what its containers run with, and how one becomes the other.
//!
//! Three amounts are told apart, as the kubelet does: what the spec *asks for*, what the node has *promised* (from then on
//! the pod counts with that, and new containers are made with it), and what a container *runs with*. The spec becomes the
//! promise when there is room ([`judge`]); the steps that follow make the containers run with it.
//! Source: pkg/kubelet/allocation/allocation_manager.go, pkg/kubelet/kuberuntime/kuberuntime_manager.go.

mod amounts;
mod promise;
mod steps;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::identity::Place;
use super::{Context, PodEvent, PodMemory, observed};
use crate::runtime::{self, Sandbox};

pub use promise::{Verdict, judge};
pub(super) use steps::{needs_restart, record};

/// Condition of a pod whose resize waits for room, or can never be.
pub const PENDING: &str = "PodResizePending";
/// Condition of a pod whose containers are being changed.
pub const IN_PROGRESS: &str = "PodResizeInProgress";
/// Before a resize without room is looked at again though nothing has gone (allocation_manager.go: retryDelay).
const RETRY: SignedDuration = SignedDuration::from_mins(3);

/// What is remembered of a pod's resizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResizeMemory {
    /// What the pod was promised; `None` until it is first looked at.
    promise: Option<promise::Promise>,
    pending: Option<Pending>,
    progress: Option<Progress>,
    /// What was changed while it ran: the start of the attempt and what it runs with, by container id.
    changed: BTreeMap<String, (Timestamp, ResourceRequirements)>,
    /// The step that is under way.
    sent: Option<steps::Sent>,
    /// What was said of what the spec asks for now.
    verdict: Option<Verdict>,
}

/// A resize that has no promise.
#[derive(Clone, Debug, PartialEq)]
struct Pending {
    /// `Deferred` or `Infeasible`.
    reason: String,
    message: String,
    generation: i64,
}

/// A promise that not all containers run with yet.
#[derive(Clone, Debug, Default, PartialEq)]
struct Progress {
    generation: i64,
    /// The pod's cgroup has room for the larger of before and after.
    raised: bool,
    /// The pod's cgroup is as promised.
    settled: bool,
    error: Option<String>,
    retry_at: Option<Timestamp>,
}

/// Whether the spec asks for something else than the pod was promised, so that somebody has to [`judge`].
pub fn is_requested(pod: &Pod, memory: &mut PodMemory) -> bool {
    let live = memory.ending.is_none() && pod.metadata.deletion_timestamp.is_none() && !is_final(pod);
    live && !memory.busy && *take_up(pod, memory) != promise::Promise::of_spec(pod)
}

/// What was judged, for the next look.
pub fn decided(memory: &mut PodMemory, verdict: Verdict) {
    memory.resize.verdict = Some(verdict);
}

/// Whether the pod's resize waits for others to go.
pub fn is_deferred(memory: &PodMemory) -> bool {
    memory.resize.pending.as_ref().is_some_and(|p| p.reason == "Deferred")
}

fn is_final(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// What the pod was promised; after a restart of this process, as the API's status tells.
fn take_up<'m>(pod: &Pod, memory: &'m mut PodMemory) -> &'m promise::Promise {
    let resize = &mut memory.resize;
    if resize.promise.is_none() {
        let generation = generation(pod);
        let told = |kind: &str| pod.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == "True");
        resize.pending = told(PENDING).map(|c| Pending {
            reason: c.reason.clone().unwrap_or_default(),
            message: c.message.clone().unwrap_or_default(),
            generation: c.observed_generation.unwrap_or(generation),
        });
        resize.progress = told(IN_PROGRESS).map(|c| Progress {
            generation: c.observed_generation.unwrap_or(generation),
            error: c.message.clone().filter(|m| !m.is_empty()),
            ..Progress::default()
        });
    }
    let of_this = resize.progress.as_ref().is_some_and(|p| p.generation == generation(pod));
    resize.promise.get_or_insert_with(|| if of_this { promise::Promise::of_spec(pod) } else { promise::Promise::told(pod) })
}

fn generation(pod: &Pod) -> i64 {
    pod.metadata.generation.unwrap_or(0)
}

/// Takes in what was judged: the spec becomes the promise, or the pod waits. Gives the pod as it is promised.
pub(super) fn begin<'p>(pod: &'p Pod, memory: &mut PodMemory, events: &mut Vec<PodEvent>) -> Cow<'p, Pod> {
    take_up(pod, memory);
    if is_requested(pod, memory) {
        match memory.resize.verdict.take() {
            None => {}
            Some(Verdict::Fits) => accept(pod, memory, events),
            Some(Verdict::Deferred(message)) => wait(pod, memory, "Deferred", message, events),
            Some(Verdict::Infeasible(message)) => wait(pod, memory, "Infeasible", message, events),
        }
    } else if !memory.busy {
        memory.resize.pending = None;
    }
    memory.resize.promise.as_ref().map_or(Cow::Borrowed(pod), |promise| promise.put_into(pod))
}

fn accept(pod: &Pod, memory: &mut PodMemory, events: &mut Vec<PodEvent>) {
    let generation = generation(pod);
    memory.resize.promise = Some(promise::Promise::of_spec(pod));
    memory.resize.pending = None;
    memory.resize.progress = Some(Progress { generation, ..Progress::default() });
    let message = amounts::message("Pod resize started", pod, generation, "");
    events.push(PodEvent::normal("ResizeStarted", message, ""));
}

fn wait(pod: &Pod, memory: &mut PodMemory, reason: &str, message: String, events: &mut Vec<PodEvent>) {
    let pending = Pending { reason: reason.to_owned(), message, generation: generation(pod) };
    if memory.resize.pending.as_ref() == Some(&pending) {
        return;
    }
    let text = amounts::message(&format!("Pod resize {reason}"), pod, pending.generation, &pending.message);
    let kind = if reason == "Infeasible" { "ResizeInfeasible" } else { "ResizeDeferred" };
    events.push(PodEvent::warning(kind, text, ""));
    memory.resize.pending = Some(pending);
}

/// When a pod without room is judged again, if nothing goes before.
pub(super) fn retry_at(memory: &PodMemory, context: &Context<'_>) -> Option<Timestamp> {
    is_deferred(memory).then(|| context.now + RETRY)
}

/// What a container runs with. `pod`: as it was promised.
fn runs_with(pod: &Pod, container: &runtime::Container, memory: &PodMemory) -> ResourceRequirements {
    let runtime::ContainerState::Running { started_at, .. } = &container.state else {
        return promise::of(pod, &container.name);
    };
    if let Some((_, has)) = memory.resize.changed.get(&container.id).filter(|(at, _)| at == started_at) {
        return has.clone();
    }
    let same_run = |status: &&ContainerStatus| {
        let began = status.state.as_ref().and_then(|s| s.running.as_ref()).and_then(|r| r.started_at.as_ref());
        status.container_id.as_deref().is_some_and(|id| id.ends_with(&container.id))
            && began.is_some_and(|at| at.0.as_second() == started_at.as_second())
    };
    let told = observed::status_of(pod, &container.name).filter(same_run).and_then(|s| s.resources.clone());
    let made = || serde_json::from_str(container.annotations.get(super::identity::RESOURCES)?).ok();
    told.or_else(made).unwrap_or_else(|| promise::of(pod, &container.name))
}

/// Writes into a container's status what it was promised and what it runs with. `pod`: as it was promised.
/// Source: pkg/kubelet/kubelet_pods.go: convertContainerStatusResources.
pub(super) fn show(pod: &Pod, place: Place, status: &mut ContainerStatus, latest: Option<&runtime::Container>, memory: &PodMemory) {
    if place == Place::Ephemeral {
        return;
    }
    let promised = promise::of(pod, &status.name);
    if promise::is_resizable(pod, &status.name) {
        status.allocated_resources.clone_from(&promised.requests);
    }
    let running = status.state.as_ref().is_some_and(|s| s.running.is_some());
    status.resources = Some(match latest.filter(|_| running) {
        Some(container) => runs_with(pod, container, memory),
        None => promised,
    });
}

/// The conditions of a resize, before those that every pod has.
pub(super) fn show_conditions(pod: &Pod, status: &mut PodStatus, memory: &PodMemory, now: Timestamp) {
    let old = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let condition = |kind: &str, reason: &str, message: &str, generation: i64| {
        let since = old.iter().find(|c| c.type_ == kind && c.status == "True").and_then(|c| c.last_transition_time.clone());
        let text = |t: &str| Some(t.to_owned()).filter(|t| !t.is_empty());
        PodCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: text(reason),
            message: text(message),
            last_probe_time: None,
            last_transition_time: Some(since.unwrap_or(Time(now))),
            observed_generation: Some(generation).filter(|g| *g > 0),
        }
    };
    let pending = memory.resize.pending.as_ref().map(|p| condition(PENDING, &p.reason, &p.message, p.generation));
    let progress = memory.resize.progress.as_ref().map(|p| {
        let message = p.error.as_deref().unwrap_or_default();
        condition(IN_PROGRESS, if message.is_empty() { "" } else { "Error" }, message, p.generation)
    });
    let Some(conditions) = &mut status.conditions else { return };
    let first = conditions.iter().position(|c| c.type_ == "PodReadyToStartContainers").unwrap_or(conditions.len());
    conditions.splice(first..first, pending.into_iter().chain(progress));
    if let Some(whole) = pod.spec.as_ref().and_then(|s| s.resources.clone()) {
        status.allocated_resources.clone_from(&whole.requests);
        status.resources = Some(whole);
    }
}

/// Forgets what is known of containers that do not run any more.
fn forget_ended(memory: &mut PodMemory, observed: Option<&Sandbox>) {
    memory.resize.changed.retain(|id, _| observed::running(observed).any(|c| &c.id == id));
}
