//! The scheduler's loop: pods without a node, one after the other, oldest and most important first.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;
use tokio::sync::Notify;

use super::clock::Clock;
use super::events::{Extra, Recorder};
use super::requests;
use crate::api::{GroupResource, Json, Key, Object};
use crate::controllers::{EventKind, EventNote};
use crate::registry::Verb;
use crate::scheduler::{self, Verdict, schedule};
use crate::state::State;
use crate::store::Store;
use crate::store::failpoint::{self, Point};

const AGENT: &str = "default-scheduler";

/// The pods of a node that have not finished.
pub fn on_node(state: &State, node: &str) -> Vec<Arc<Pod>> {
    let pods = GroupResource::new("", "pods");
    let here = state.all(&pods).filter(|p| p.str_at("/spec/nodeName") == Some(node) && !is_final(p));
    here.filter_map(|p| p.typed::<Pod>().ok()).collect()
}

/// Whether a pod has finished.
pub fn is_final(pod: &Object) -> bool {
    matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed"))
}

/// An object as Events name it.
pub fn reference(object: &Object, field_path: &str) -> Json {
    let mut reference = json!({
        "apiVersion": object.api_version(), "kind": object.kind(), "namespace": object.namespace(),
        "name": object.name(), "uid": object.uid(), "resourceVersion": object.resource_version(),
    });
    if !field_path.is_empty() {
        reference["fieldPath"] = json!(field_path);
    }
    reference
}

/// Runs for ever; `woken` says that a pod or the node has changed. `has_agent`: the node is about to be registered here,
/// and waited for.
pub async fn run(
    store: Store,
    recorder: Arc<Recorder>,
    clock: Clock,
    node_name: String,
    has_agent: bool,
    woken: Arc<Notify>,
) {
    let mut told: HashMap<String, String> = HashMap::new();
    loop {
        round(&store, &recorder, &clock, &node_name, has_agent, &mut told).await;
        woken.notified().await;
    }
}

/// Looks for pods without a node, once.
async fn round(
    store: &Store,
    recorder: &Arc<Recorder>,
    clock: &Clock,
    node_name: &str,
    has_agent: bool,
    told: &mut HashMap<String, String>,
) {
    let state = store.snapshot();
    let mut waiting: Vec<Arc<Object>> = state
        .all(&GroupResource::new("", "pods"))
        .filter(|p| p.str_at("/spec/nodeName").unwrap_or_default().is_empty() && !p.is_deleting() && !is_final(p))
        .cloned()
        .collect();
    waiting.sort_by_key(|p| {
        let priority = std::cmp::Reverse(p.i64_at("/spec/priority").unwrap_or(0));
        (
            priority,
            p.str_at("/metadata/creationTimestamp").map(str::to_owned),
            p.namespace().to_owned(),
            p.name().to_owned(),
        )
    });
    told.retain(|uid, _| waiting.iter().any(|p| p.uid() == uid));
    let node = Key::new(GroupResource::new("", "nodes"), "", node_name);
    if !waiting.is_empty() && (!has_agent || state.get(&node).is_some()) {
        look(store, &state, recorder, clock, node_name, &waiting, told).await;
    }
}

/// One round over all that wait: what is bound in it counts for the next.
async fn look(
    store: &Store,
    state: &State,
    recorder: &Arc<Recorder>,
    clock: &Clock,
    node_name: &str,
    waiting: &[Arc<Object>],
    told: &mut HashMap<String, String>,
) {
    let node =
        state.get(&Key::new(GroupResource::new("", "nodes"), "", node_name)).and_then(|n| n.typed::<Node>().ok());
    let mut others = on_node(state, node_name);
    let (mut writes, mut notes, mut failures, mut preempted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for object in waiting {
        let Ok(pod) = object.typed::<Pod>() else { continue };
        let beside: Vec<&Pod> = others.iter().map(AsRef::as_ref).collect();
        match schedule(state, &pod, node.as_deref(), &beside) {
            Verdict::NotMine => {}
            Verdict::Fits { node } => {
                writes.push(binding(object, &node));
                let message = format!("Successfully assigned {}/{} to {node}", object.namespace(), object.name());
                notes.push(note(object, EventKind::Normal, "Scheduled", message));
                others.push(pod);
            }
            Verdict::Unschedulable { message } => {
                if told.get(object.uid()) != Some(&message) {
                    told.insert(object.uid().to_owned(), message.clone());
                    writes.push(unschedulable(object, &message, None, clock));
                    failures.push(note(object, EventKind::Warning, "FailedScheduling", message));
                }
            }
            Verdict::Preempts { victims, message } => {
                for victim in victims.iter().map(|place| others[*place].clone()) {
                    preempt(state, &victim, object, node_name, clock, (&mut writes, &mut preempted));
                }
                if !victims.is_empty() {
                    told.insert(object.uid().to_owned(), message.clone());
                    writes.push(unschedulable(object, &message, Some(node_name), clock));
                    failures.push(note(object, EventKind::Warning, "FailedScheduling", message));
                }
                // Its place is kept: who comes after it does not get what its victims leave.
                others.retain(|o| o.metadata.deletion_timestamp.is_none() || scheduler::priority(o) >= scheduler::priority(&pod));
                others.push(pod);
            }
        }
    }
    failpoint::reach(Point::Bind);
    let answers = store.write_all(writes).await;
    failpoint::reach(Point::Bound);
    if answers.iter().any(Result::is_err) {
        // What was refused (the pod has changed or gone) comes again with its change.
        told.clear();
    }
    recorder.record_all(&notes, &Extra { action: Some("Binding") });
    recorder.record_all(&failures, &Extra { action: Some("Scheduling") });
    recorder.record_all(&preempted, &Extra { action: Some("Preempting") });
}

/// A pod has to make room for a more important one.
/// Source: pkg/scheduler/framework/preemption/preemption.go: prepareCandidate.
fn preempt(
    state: &State,
    victim: &Pod,
    by: &Object,
    node_name: &str,
    clock: &Clock,
    (writes, notes): (&mut Vec<crate::registry::Request>, &mut Vec<EventNote>),
) {
    let (namespace, name) = (victim.metadata.namespace.as_deref(), victim.metadata.name.as_deref());
    let key = Key::new(GroupResource::new("", "pods"), namespace.unwrap_or_default(), name.unwrap_or_default());
    let Some(object) = state.get(&key) else { return };
    let tree = with_condition(object, json!({
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
        "lastTransitionTime": now(clock),
    }));
    writes.push(requests::on_core(Verb::Update, "pods", Some("status"), &key.namespace, &key.name, tree, AGENT));
    writes.extend(requests::delete(state, &key, Some(object.uid()), None, None, AGENT));
    let message = format!("Preempted by pod {} on node {node_name}", by.uid());
    notes.push(note(object, EventKind::Normal, "Preempted", message));
}

fn note(pod: &Object, kind: EventKind, reason: &str, message: String) -> EventNote {
    EventNote { regarding: reference(pod, ""), kind, reason: reason.to_owned(), message, component: AGENT }
}

fn binding(pod: &Object, node: &str) -> crate::registry::Request {
    let tree = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()},
        "target": {"kind": "Node", "name": node},
    });
    requests::on_core(Verb::Create, "pods", Some("binding"), pod.namespace(), pod.name(), tree, AGENT)
}

fn now(clock: &Clock) -> String {
    clock().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn conditions(pod: &Object) -> impl Iterator<Item = &Json> {
    pod.at("/status/conditions").and_then(Json::as_array).into_iter().flatten()
}

/// The pod with this condition, last, in the place of the one of its type.
fn with_condition(pod: &Object, condition: Json) -> Json {
    let mut all: Vec<Json> = conditions(pod).filter(|c| c["type"] != condition["type"]).cloned().collect();
    all.push(condition);
    let mut tree = pod.json().clone();
    tree["status"]["conditions"] = json!(all);
    tree
}

fn unschedulable(pod: &Object, message: &str, nominated: Option<&str>, clock: &Clock) -> crate::registry::Request {
    let before = conditions(pod).find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
    let since = before.and_then(|c| c["lastTransitionTime"].as_str().map(str::to_owned)).unwrap_or_else(|| now(clock));
    let mut tree = with_condition(pod, json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": since,
    }));
    if let Some(node) = nominated {
        tree["status"]["nominatedNodeName"] = json!(node);
    }
    requests::on_core(Verb::Update, "pods", Some("status"), pod.namespace(), pod.name(), tree, AGENT)
}
