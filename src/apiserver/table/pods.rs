//! Rows of pods. Source: printPod.

use jiff::Timestamp;
use serde_json::json;

use super::view::{View, int, list, text};
use crate::api::{Json, shown};

/// What the statuses of a pod's containers add up to.
#[derive(Default)]
struct Sum {
    restarts: i64,
    last_restart: Option<Timestamp>,
    ready: usize,
}

impl Sum {
    fn add(&mut self, status: &Json) {
        self.restarts += int(status, "/restartCount");
        let ended = text(status, "/lastState/terminated/finishedAt").parse().ok();
        self.last_restart = self.last_restart.max(ended);
    }
}

fn is_sidecar(container: &Json) -> bool {
    text(container, "/restartPolicy") == "Always"
}

pub(super) fn cells(view: &View<'_>) -> Vec<Json> {
    let init = view.list("/spec/initContainers");
    let total = view.count("/spec/containers") + init.iter().filter(|c| is_sidecar(c)).count();
    let mut reason = view.text("/status/phase").to_owned();
    if !view.text("/status/reason").is_empty() {
        reason = view.text("/status/reason").to_owned();
    }
    if view.condition("PodScheduled").is_some_and(|c| text(c, "/reason") == "SchedulingGated") {
        reason = "SchedulingGated".into();
    }
    let (mut all, mut sidecars) = (Sum::default(), Sum::default());
    let waiting = initializing(view, init, &mut all, &mut sidecars);
    let mut sum = if waiting.is_some() { all } else { Sum::default() };
    let started = waiting.is_none() || view.is_true("Initialized");
    if let Some(waiting) = waiting {
        reason = waiting;
    }
    if started {
        let ready = sum.ready.max(sidecars.ready);
        sum = Sum { ready, ..sidecars };
        main_containers(view, &mut sum, &mut reason);
    }
    if view.is_deleting() && view.text("/status/reason") == "NodeLost" {
        reason = "Unknown".into();
    } else if view.is_deleting() && !matches!(view.text("/status/phase"), "Succeeded" | "Failed") {
        reason = "Terminating".into();
    }
    let restarts = match sum.last_restart.filter(|_| sum.restarts != 0) {
        Some(at) => format!("{} ({} ago)", sum.restarts, shown::human(view.now.duration_since(at))),
        None => sum.restarts.to_string(),
    };
    let ip = view.list("/status/podIPs").first().map(|ip| text(ip, "/ip")).filter(|ip| !ip.is_empty());
    vec![
        json!(format!("{}/{total}", sum.ready)),
        json!(reason),
        json!(restarts),
        view.own_age(),
        json!(ip.unwrap_or("<none>")),
        json!(view.text_or("/spec/nodeName", "<none>")),
        json!(view.text_or("/status/nominatedNodeName", "<none>")),
        json!(gates(view)),
    ]
}

/// What the pod waits for among its init containers; `None` when they are done.
fn initializing(view: &View<'_>, init: &[Json], all: &mut Sum, sidecars: &mut Sum) -> Option<String> {
    for (i, status) in view.list("/status/initContainerStatuses").iter().enumerate() {
        all.add(status);
        let spec = init.iter().find(|c| text(c, "/name") == text(status, "/name"));
        let sidecar = spec.is_some_and(is_sidecar);
        if sidecar {
            sidecars.add(status);
        }
        let exit = status.pointer("/state/terminated");
        let why = text(status, "/state/waiting/reason");
        if exit.is_some_and(|e| int(e, "/exitCode") == 0) {
            continue;
        }
        if sidecar && status.get("started").and_then(Json::as_bool) == Some(true) {
            if status.get("ready").and_then(Json::as_bool) == Some(true) {
                all.ready += 1;
                sidecars.ready += 1;
            }
            continue;
        }
        return Some(match exit {
            Some(exit) => format!("Init:{}", exit_reason(exit)),
            None if !why.is_empty() && why != "PodInitializing" => format!("Init:{why}"),
            None => format!("Init:{i}/{}", init.len()),
        });
    }
    None
}

fn exit_reason(exit: &Json) -> String {
    match (text(exit, "/reason"), int(exit, "/signal")) {
        ("", 0) => format!("ExitCode:{}", int(exit, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn main_containers(view: &View<'_>, sum: &mut Sum, reason: &mut String) {
    let mut running = false;
    for status in view.list("/status/containerStatuses").iter().rev() {
        sum.add(status);
        let why = text(status, "/state/waiting/reason");
        if !why.is_empty() {
            *reason = why.to_owned();
        } else if let Some(exit) = status.pointer("/state/terminated") {
            *reason = exit_reason(exit);
        } else if status.get("ready").and_then(Json::as_bool) == Some(true) && status.pointer("/state/running").is_some() {
            running = true;
            sum.ready += 1;
        }
    }
    if *reason == "Completed" && running {
        *reason = if view.is_true("Ready") { "Running".into() } else { "NotReady".into() };
    }
}

fn gates(view: &View<'_>) -> String {
    let gates = view.list("/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let met = gates.iter().filter(|gate| view.is_true(text(gate, "/conditionType"))).count();
    format!("{met}/{}", gates.len())
}

/// Pods that have ended are marked, so that clients can tell them apart.
pub(super) fn conditions(view: &View<'_>) -> Option<Json> {
    let (reason, message) = match view.text("/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// Names and images of containers, as wide tables show them.
pub(super) fn containers(view: &View<'_>, pointer: &str) -> [Json; 2] {
    let join = |field: &str| list(view.object, pointer).iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",");
    [json!(join("/name")), json!(join("/image"))]
}
