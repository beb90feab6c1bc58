//! The kubelet's conditions of a pod, in its order.
//! Source: pkg/kubelet/status/generate.go.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::phase::Phase;
use super::resize;
use crate::api::requests::is_sidecar;

/// Conditions that belong to the kubelet, in the order in which it writes them.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// The condition of a pod that is ended for another's sake, which others set too, and its reason if the node has done so.
const DISRUPTION: &str = "DisruptionTarget";
const BY_KUBELET: &str = "TerminationByKubelet";

fn is_own(kind: &str) -> bool {
    OWN.contains(&kind) || matches!(kind, resize::PENDING | resize::IN_PROGRESS)
}

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
    let others: Vec<&PodCondition> = old.iter().filter(|c| !is_own(&c.type_)).collect();
    let network = if sandbox_ready { Verdict::yes(OWN[0]) } else { Verdict::no(OWN[0], "", String::new()) };
    let initialized = initialized(spec, statuses, init, phase);
    let containers_ready = containers_ready(spec, statuses, init, phase);
    // A gate may name what has been judged before it.
    let truth = |condition: &PodCondition| (condition.type_.clone(), condition.status.clone());
    let judged = [&network, &initialized].map(|v| (v.kind.to_owned(), word(v.status).to_owned()));
    let gates: Vec<(String, String)> = others.iter().copied().map(truth).chain(judged).collect();
    let ready = ready(spec, &gates, &containers_ready);
    let verdicts = [network, initialized, ready, containers_ready, Verdict::yes(OWN[4])];
    let generation = pod.metadata.generation;
    others.into_iter().cloned().chain(verdicts.into_iter().map(|v| timed(v, old, generation, now))).collect()
}

fn word(status: bool) -> &'static str {
    if status { "True" } else { "False" }
}

/// Marks a pod that this node has ended for another's sake, as soon as that shows; what somebody else has said about it before
/// gives way, but for its time. Source: pkg/kubelet/status/status_manager.go: mergePodStatus.
pub fn disrupt(status: &mut PodStatus, message: &str, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let before = conditions.iter().position(|c| c.type_ == DISRUPTION);
    let said = before.map(|at| &conditions[at]).filter(|c| c.status == "True");
    if said.is_some_and(|c| c.reason.as_deref() == Some(BY_KUBELET)) {
        return;
    }
    let condition = PodCondition {
        type_: DISRUPTION.into(),
        status: "True".into(),
        reason: Some(BY_KUBELET.into()),
        message: Some(message.to_owned()),
        last_transition_time: said.and_then(|c| c.last_transition_time.clone()).or(Some(Time(now))),
        ..PodCondition::default()
    };
    match before {
        Some(at) => conditions[at] = condition,
        None => {
            // Behind those of others.
            let at = conditions.iter().position(|c| is_own(&c.type_)).unwrap_or(conditions.len());
            conditions.insert(at, condition);
        }
    }
}

/// The time of the last change of status stays until the status changes.
fn timed(verdict: Verdict, old: &[PodCondition], generation: Option<i64>, now: Timestamp) -> PodCondition {
    let status = word(verdict.status);
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
    // One that waits to be started again does not count (pkg/kubelet/container/helpers.go: HasAnyRegularContainerStarted).
    let started = spec.containers.iter().filter_map(|c| status(statuses, &c.name)).any(|s| has_begun(s.state.as_ref()));
    let message = listed(&unknown, &incomplete, "incomplete");
    if started || message.is_empty() {
        return Verdict::yes(OWN[1]);
    }
    Verdict::no(OWN[1], "ContainersNotInitialized", message)
}

/// Whether a container has ever run.
pub fn has_started(status: &ContainerStatus) -> bool {
    has_begun(status.state.as_ref()) || has_begun(status.last_state.as_ref())
}

fn has_begun(state: Option<&ContainerState>) -> bool {
    state.is_some_and(|s| s.running.is_some() || s.terminated.is_some())
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

/// `judged`: types and states of the conditions that gates may name.
fn ready(spec: &PodSpec, judged: &[(String, String)], containers: &Verdict) -> Verdict {
    if !containers.status {
        return Verdict::no(OWN[2], containers.reason, containers.message.clone());
    }
    let mut missing = Vec::new();
    for gate in spec.readiness_gates.iter().flatten() {
        let name = &gate.condition_type;
        match judged.iter().find(|(kind, _)| kind == name) {
            None => missing.push(format!("corresponding condition of pod readiness gate \"{name}\" does not exist.")),
            Some((_, status)) if status != "True" => {
                missing.push(format!("the status of pod readiness gate \"{name}\" is not \"True\", but {status}"));
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() { Verdict::yes(OWN[2]) } else { Verdict::no(OWN[2], "ReadinessGatesNotReady", missing.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(pod: serde_json::Value, statuses: serde_json::Value, init: serde_json::Value, kind: &str) -> String {
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        let statuses: Vec<ContainerStatus> = serde_json::from_value(statuses).expect("statuses");
        let init: Vec<ContainerStatus> = serde_json::from_value(init).expect("statuses");
        let all = of(&pod, &statuses, &init, Phase::Running, true, Timestamp::UNIX_EPOCH);
        let found = all.into_iter().find(|c| c.type_ == kind).expect("a condition");
        let parts = [Some(found.status), found.reason, found.message];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn status(name: &str, state: serde_json::Value, more: serde_json::Value) -> serde_json::Value {
        let mut status = json!({"name": name, "state": state, "image": "", "imageID": "", "ready": false, "restartCount": 0});
        status.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        status
    }

    #[test]
    fn a_pod_without_a_main_container_that_runs_is_as_initialized_as_its_sidecars() {
        let pod = json!({"spec": {"containers": [{"name": "c"}],
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}});
        let ended = json!({"terminated": {"exitCode": 1}});
        let init = json!([
            status("i", json!({"terminated": {"exitCode": 0}}), json!({"ready": true})),
            status("s", json!({"waiting": {}}), json!({"lastState": ended, "started": false})),
        ]);
        let again = json!([status("c", json!({"waiting": {}}), json!({"lastState": ended}))]);
        let expected = "False ContainersNotInitialized containers with incomplete status: [s]";
        assert_eq!(told(pod.clone(), again, init.clone(), "Initialized"), expected);
        assert_eq!(told(pod, json!([status("c", ended, json!({}))]), init, "Initialized"), "True");
    }

    #[test]
    fn a_gate_sees_what_was_judged_before_it() {
        let gates = |names: &[&str]| {
            let gates: Vec<_> = names.iter().map(|name| json!({"conditionType": name})).collect();
            let conditions = json!([{"type": "mine", "status": "False"}, {"type": "ContainersReady", "status": "True"}]);
            json!({"spec": {"containers": [{"name": "c"}], "readinessGates": gates}, "status": {"conditions": conditions}})
        };
        let ready = json!([status("c", json!({"running": {}}), json!({"ready": true}))]);
        assert_eq!(told(gates(&["Initialized", "PodReadyToStartContainers"]), ready.clone(), json!([]), "Ready"), "True");
        let expected = "False ReadinessGatesNotReady the status of pod readiness gate \"mine\" is not \"True\", but False, \
                        corresponding condition of pod readiness gate \"ContainersReady\" does not exist.";
        assert_eq!(told(gates(&["mine", "ContainersReady"]), ready, json!([]), "Ready"), expected);
    }

    #[test]
    fn what_others_have_said_of_a_disruption_gives_way_when_the_node_ends_the_pod() {
        let after = |old: serde_json::Value| {
            let mut status: PodStatus = serde_json::from_value(json!({"conditions": old})).expect("a status");
            for _ in 0..2 {
                disrupt(&mut status, "text", Timestamp::UNIX_EPOCH);
            }
            let told = |c: PodCondition| format!("{} {} {}", c.type_, c.reason.unwrap_or_default(), c.last_transition_time.expect("a time").0);
            status.conditions.expect("conditions").into_iter().map(told).collect::<Vec<_>>()
        };
        let at = "2026-01-01T00:00:00Z";
        let one = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "lastTransitionTime": at});
        let new = "DisruptionTarget TerminationByKubelet 1970-01-01T00:00:00Z".to_owned();
        assert_eq!(after(json!([one("mine", "True"), one("Ready", "True")])), [format!("mine R {at}"), new.clone(), format!("Ready R {at}")]);
        let kept = format!("DisruptionTarget TerminationByKubelet {at}");
        assert_eq!(after(json!([one("DisruptionTarget", "True"), one("mine", "True")])), [kept, format!("mine R {at}")]);
        assert_eq!(after(json!([one("DisruptionTarget", "False")])), [new]);
    }
}
