//! The kubelet's conditions of a pod, in its order.
//! Source: pkg/kubelet/status/generate.go.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::phase::Phase;
use super::resize;
use crate::api::requests::is_sidecar;

/// Conditions that belong to the kubelet, in the order in which it writes them.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// A condition without its time.
struct Verdict {
    kind: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes(kind: &'static str) -> Self {
        Verdict { kind, status: true, reason: "", message: String::new() }
    }

    fn no(kind: &'static str, reason: &'static str, message: String) -> Self {
        Verdict { kind, status: false, reason, message }
    }
}

/// All conditions: those of others first, as they are, then the kubelet's.
pub fn of(
    pod: &Pod,
    statuses: &[ContainerStatus],
    init: &[ContainerStatus],
    phase: Phase,
    sandbox_ready: bool,
    now: Timestamp,
) -> Vec<PodCondition> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let old = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let containers_ready = containers_ready(spec, statuses, init, phase);
    let ready = ready(spec, old, &containers_ready);
    let verdicts = [
        if sandbox_ready { Verdict::yes(OWN[0]) } else { Verdict::no(OWN[0], "", String::new()) },
        initialized(spec, statuses, init, phase),
        ready,
        containers_ready,
        Verdict::yes(OWN[4]),
    ];
    let own = |kind: &str| OWN.contains(&kind) || matches!(kind, resize::PENDING | resize::IN_PROGRESS);
    let others = old.iter().filter(|c| !own(&c.type_)).cloned();
    let generation = pod.metadata.generation;
    others.chain(verdicts.into_iter().map(|v| timed(v, old, generation, now))).collect()
}

/// Marks a pod that this node has ended for another's sake, as soon as that shows (pkg/kubelet/status/status_manager.go:
/// mergePodStatus).
pub fn disrupt(status: &mut PodStatus, message: &str, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    if conditions.iter().any(|c| c.type_ == "DisruptionTarget" && c.status == "True") {
        return;
    }
    conditions.retain(|c| c.type_ != "DisruptionTarget");
    let condition = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("TerminationByKubelet".into()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    conditions.insert(0, condition);
}

/// The time of the last change of status stays until the status changes.
fn timed(verdict: Verdict, old: &[PodCondition], generation: Option<i64>, now: Timestamp) -> PodCondition {
    let status = if verdict.status { "True" } else { "False" };
    let before = old.iter().find(|c| c.type_ == verdict.kind);
    let kept = before.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
    let text = |t: String| Some(t).filter(|t| !t.is_empty());
    PodCondition {
        type_: verdict.kind.to_owned(),
        status: status.to_owned(),
        reason: text(verdict.reason.to_owned()),
        message: text(verdict.message),
        last_probe_time: None,
        last_transition_time: Some(kept.unwrap_or(Time(now))),
        observed_generation: generation.filter(|g| *g > 0),
    }
}

fn status<'a>(list: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    list.iter().find(|s| s.name == name)
}

fn listed(unknown: &[&str], incomplete: &[&str], what: &str) -> String {
    let mut parts = Vec::new();
    if !unknown.is_empty() {
        parts.push(format!("containers with unknown status: [{}]", unknown.join(" ")));
    }
    if !incomplete.is_empty() {
        parts.push(format!("containers with {what} status: [{}]", incomplete.join(" ")));
    }
    parts.join(", ")
}

fn initialized(spec: &PodSpec, statuses: &[ContainerStatus], init: &[ContainerStatus], phase: Phase) -> Verdict {
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    let list = spec.init_containers.as_deref().unwrap_or_default();
    for container in list {
        let name = container.name.as_str();
        match status(init, name) {
            None => unknown.push(name),
            Some(s) if is_sidecar(container) && s.started != Some(true) => incomplete.push(name),
            Some(s) if !is_sidecar(container) && !s.ready => incomplete.push(name),
            Some(_) => {}
        }
    }
    if phase == Phase::Succeeded && unknown.is_empty() {
        return Verdict { reason: "PodCompleted", ..Verdict::yes(OWN[1]) };
    }
    let started = spec.containers.iter().filter_map(|c| status(statuses, &c.name)).any(has_started);
    let message = listed(&unknown, &incomplete, "incomplete");
    if started || message.is_empty() {
        return Verdict::yes(OWN[1]);
    }
    Verdict::no(OWN[1], "ContainersNotInitialized", message)
}

/// Whether a container has ever run.
pub fn has_started(status: &ContainerStatus) -> bool {
    let ran = |s: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        s.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some())
    };
    ran(&status.state) || ran(&status.last_state)
}

fn containers_ready(spec: &PodSpec, statuses: &[ContainerStatus], init: &[ContainerStatus], phase: Phase) -> Verdict {
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c)).map(|c| (c, init));
    for (container, list) in sidecars.chain(spec.containers.iter().map(|c| (c, statuses))) {
        match status(list, &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(s) if !s.ready => unready.push(container.name.as_str()),
            Some(_) => {}
        }
    }
    if phase == Phase::Succeeded && unknown.is_empty() {
        return Verdict::no(OWN[3], "PodCompleted", String::new());
    }
    if phase == Phase::Failed {
        return Verdict::no(OWN[3], "PodFailed", String::new());
    }
    let message = listed(&unknown, &unready, "unready");
    if message.is_empty() { Verdict::yes(OWN[3]) } else { Verdict::no(OWN[3], "ContainersNotReady", message) }
}

fn ready(spec: &PodSpec, old: &[PodCondition], containers: &Verdict) -> Verdict {
    if !containers.status {
        return Verdict::no(OWN[2], containers.reason, containers.message.clone());
    }
    let mut missing = Vec::new();
    for gate in spec.readiness_gates.iter().flatten() {
        let name = &gate.condition_type;
        match old.iter().find(|c| &c.type_ == name) {
            None => missing.push(format!("corresponding condition of pod readiness gate \"{name}\" does not exist.")),
            Some(c) if c.status != "True" => {
                missing.push(format!("the status of pod readiness gate \"{name}\" is not \"True\", but {}", c.status));
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() { Verdict::yes(OWN[2]) } else { Verdict::no(OWN[2], "ReadinessGatesNotReady", missing.join(", ")) }
}
