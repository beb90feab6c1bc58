//! The scheduler's loop: pods without a node, one after the other, oldest and most important first.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;
use tokio::sync::Notify;

use super::clock::Clock;
use super::events::{Extra, Recorder};
use super::requests;
use crate::api::{GroupResource, Json, Key, Object};
use crate::controllers::{EventKind, EventNote};
use crate::node::statics;
use crate::registry::Verb;
use crate::scheduler::{self, Occupant, Occupants, Verdict, schedule};
use crate::state::{Change, State};
use crate::store::Store;
use crate::store::failpoint::{self, Point};

const AGENT: &str = "default-scheduler";

/// The pods of a node that have not finished.
pub fn on_node(state: &State, node: &str) -> Occupants {
    let pods = GroupResource::new("", "pods");
    state.all(&pods).filter(|pod| is_on(pod, node)).filter_map(|p| Some((place_of(p).to_owned(), p.typed().ok()?))).collect()
}

/// Whether a pod has been given to a node, and has not finished.
fn is_on(pod: &Object, node: &str) -> bool {
    pod.str_at("/spec/nodeName") == Some(node) && !is_final(pod)
}

/// The uid by which a node knows a pod: a picture of a static pod has that of its file.
pub fn place_of(pod: &Object) -> &str {
    statics::mirrored(pod).unwrap_or(pod.uid())
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

/// What the scheduler has to look at, kept along with the changes: which pods wait, and what is on the node.
pub struct Desk {
    node: String,
    woken: Notify,
    papers: Mutex<Papers>,
}

#[derive(Default)]
struct Papers {
    waiting: BTreeSet<Key>,
    /// With those whose binding is on its way.
    others: Occupants,
}

impl Desk {
    pub fn new(node: &str) -> Self {
        Desk { node: node.to_owned(), woken: Notify::new(), papers: Mutex::default() }
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scheduler begins, or changes were missed.
    pub fn everything(&self, state: &State) {
        let pods = GroupResource::new("", "pods");
        let waiting = state.all(&pods).filter(|pod| is_waiting(pod)).map(|pod| key_of(pod)).collect();
        *self.papers() = Papers { waiting, others: on_node(state, &self.node) };
        self.woken.notify_one();
    }

    pub fn changed(&self, change: &Change) {
        let resource = &*change.key.resource.resource;
        if !matches!(resource, "pods" | "nodes" | "persistentvolumeclaims") {
            return;
        }
        let mut papers = self.papers();
        if resource == "pods" && change.key.resource.group.is_empty() {
            papers.changed(change, &self.node);
        }
        if !papers.waiting.is_empty() {
            self.woken.notify_one();
        }
    }

    /// What became of the bindings and of who has to go: who was refused is not on the node, unless somebody else has brought him
    /// there; who goes already makes room for nobody else.
    fn settle(&self, state: &State, touched: impl Iterator<Item = Arc<Object>>) {
        let mut papers = self.papers();
        for pod in touched {
            let here = state.get(&key_of(&pod)).filter(|now| now.uid() == pod.uid() && is_on(now, &self.node));
            match here.and_then(|now| now.typed().ok()) {
                Some(typed) => papers.others.put(place_of(&pod).to_owned(), typed),
                None => papers.others.remove(place_of(&pod)),
            }
        }
    }
}

impl Papers {
    fn changed(&mut self, change: &Change, node: &str) {
        match change.after.as_ref().filter(|pod| is_waiting(pod)) {
            Some(_) => self.waiting.insert(change.key.clone()),
            None => self.waiting.remove(&change.key),
        };
        match (&change.before, &change.after) {
            (_, Some(pod)) if is_on(pod, node) => {
                if let Ok(typed) = pod.typed() {
                    self.others.put(place_of(pod).to_owned(), typed);
                }
            }
            (Some(gone), None) => self.others.remove(place_of(gone)),
            (_, Some(pod)) if is_final(pod) => self.others.remove(place_of(pod)),
            _ => {}
        }
    }
}

fn key_of(pod: &Object) -> Key {
    Key::new(GroupResource::new("", "pods"), pod.namespace(), pod.name())
}

fn is_waiting(pod: &Object) -> bool {
    pod.str_at("/spec/nodeName").unwrap_or_default().is_empty() && !pod.is_deleting() && !is_final(pod)
}

/// Runs for ever. `has_agent`: the node is about to be registered here, and waited for.
pub async fn run(store: Store, recorder: Arc<Recorder>, clock: Clock, desk: Arc<Desk>, has_agent: bool) {
    let mut told: HashMap<String, String> = HashMap::new();
    loop {
        round(&store, &recorder, &clock, &desk, has_agent, &mut told).await;
        desk.woken.notified().await;
    }
}

/// Looks for pods without a node, once.
async fn round(
    store: &Store,
    recorder: &Arc<Recorder>,
    clock: &Clock,
    desk: &Desk,
    has_agent: bool,
    told: &mut HashMap<String, String>,
) {
    let state = store.snapshot();
    let mut waiting: Vec<Arc<Object>> = {
        let papers = desk.papers();
        papers.waiting.iter().filter_map(|key| state.get(key)).filter(|pod| is_waiting(pod)).cloned().collect()
    };
    waiting.sort_by_key(|p| {
        let priority = std::cmp::Reverse(p.i64_at("/spec/priority").unwrap_or(0));
        (
            priority,
            p.str_at("/metadata/creationTimestamp").map(str::to_owned),
            p.namespace().to_owned(),
            p.name().to_owned(),
        )
    });
    if told.len() > waiting.len() {
        let uids: HashSet<&str> = waiting.iter().map(|pod| pod.uid()).collect();
        told.retain(|uid, _| uids.contains(uid.as_str()));
    }
    let node = Key::new(GroupResource::new("", "nodes"), "", &desk.node);
    if !waiting.is_empty() && (!has_agent || state.get(&node).is_some()) {
        look(store, &state, recorder, clock, desk, &waiting, told).await;
    }
}

/// What one round over all that wait comes to.
#[derive(Default)]
struct Round {
    writes: Vec<crate::registry::Request>,
    /// The pods that the writes bind.
    bound: Vec<Arc<Object>>,
    /// Those that the writes make go for others.
    victims: Vec<Arc<Object>>,
    notes: Vec<EventNote>,
    failures: Vec<EventNote>,
    preempted: Vec<EventNote>,
}

/// One round: what is bound in it counts for the next.
async fn look(
    store: &Store,
    state: &State,
    recorder: &Arc<Recorder>,
    clock: &Clock,
    desk: &Desk,
    waiting: &[Arc<Object>],
    told: &mut HashMap<String, String>,
) {
    let round = judge(state, clock, desk, waiting, told);
    failpoint::reach(Point::Bind);
    let answers = store.write_all(round.writes).await;
    failpoint::reach(Point::Bound);
    desk.settle(&store.snapshot(), round.bound.into_iter().chain(round.victims));
    if answers.iter().any(Result::is_err) {
        // What was refused (the pod has changed or gone) comes again with its change.
        told.clear();
    }
    recorder.record_all(&round.notes, &Extra { action: Some("Binding"), ..Extra::default() });
    recorder.record_all(&round.failures, &Extra { action: Some("Scheduling"), ..Extra::default() });
    recorder.record_all(&round.preempted, &Extra { action: Some("Preempting"), ..Extra::default() });
}

fn judge(state: &State, clock: &Clock, desk: &Desk, waiting: &[Arc<Object>], told: &mut HashMap<String, String>) -> Round {
    let node_name = desk.node.as_str();
    let node =
        state.get(&Key::new(GroupResource::new("", "nodes"), "", node_name)).and_then(|n| n.typed::<Node>().ok());
    let mut papers = desk.papers();
    // Pods that keep the place that their victims leave hold it for this round alone.
    let mut reserved: Option<Occupants> = None;
    let mut round = Round::default();
    for object in waiting {
        let Ok(pod) = object.typed::<Pod>() else { continue };
        let others = reserved.as_ref().unwrap_or(&papers.others);
        match schedule(state, &pod, node.as_deref(), others) {
            Verdict::NotMine => {}
            Verdict::Fits { node } => {
                round.bound.push(object.clone());
                round.writes.push(binding(object, &node));
                let message = format!("Successfully assigned {}/{} to {node}", object.namespace(), object.name());
                round.notes.push(note(object, EventKind::Normal, "Scheduled", message));
                if let Some(reserved) = &mut reserved {
                    reserved.put(object.uid().to_owned(), pod.clone());
                }
                papers.others.put(object.uid().to_owned(), pod);
            }
            Verdict::Unschedulable { message } => {
                if told.get(object.uid()) != Some(&message) {
                    told.insert(object.uid().to_owned(), message.clone());
                    round.writes.push(unschedulable(object, &message, None, clock));
                    round.failures.push(note(object, EventKind::Warning, "FailedScheduling", message));
                }
            }
            Verdict::Preempts { victims, message } => {
                for victim in victims.iter().map(|place| others.all()[*place].pod.clone()) {
                    preempt(state, &victim, object, node_name, clock, &mut round);
                }
                if !victims.is_empty() {
                    told.insert(object.uid().to_owned(), message.clone());
                    round.writes.push(unschedulable(object, &message, Some(node_name), clock));
                    round.failures.push(note(object, EventKind::Warning, "FailedScheduling", message));
                }
                // Its place is kept: who comes after it does not get what its victims leave.
                let stays = |one: &Occupant| {
                    one.pod.metadata.deletion_timestamp.is_none() || scheduler::priority(&one.pod) >= scheduler::priority(&pod)
                };
                let mut left = others.only(stays);
                left.put(object.uid().to_owned(), pod.clone());
                reserved = Some(left);
            }
        }
    }
    round
}

/// A pod has to make room for a more important one.
/// Source: pkg/scheduler/framework/preemption/preemption.go: prepareCandidate.
fn preempt(
    state: &State,
    victim: &Pod,
    by: &Object,
    node_name: &str,
    clock: &Clock,
    round: &mut Round,
) {
    let (namespace, name) = (victim.metadata.namespace.as_deref(), victim.metadata.name.as_deref());
    let key = Key::new(GroupResource::new("", "pods"), namespace.unwrap_or_default(), name.unwrap_or_default());
    let Some(object) = state.get(&key) else { return };
    let tree = with_condition(object, json!({
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
        "lastTransitionTime": now(clock),
    }));
    round.writes.push(requests::on_core(Verb::Update, "pods", Some("status"), &key.namespace, &key.name, tree, AGENT));
    round.writes.extend(requests::delete(state, &key, Some(object.uid()), None, None, AGENT));
    round.victims.push(object.clone());
    let message = format!("Preempted by pod {} on node {node_name}", by.uid());
    round.preempted.push(note(object, EventKind::Normal, "Preempted", message));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(objects: &[Json]) -> State {
        let mut state = State::new();
        for tree in objects {
            let resource = if tree["kind"] == "Node" { "nodes" } else { "pods" };
            let object = Object::new(tree.clone());
            state.put(Key::new(GroupResource::new("", resource), object.namespace(), object.name()), object);
        }
        state
    }

    fn pod(name: &str, priority: i64) -> Json {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "uid": name},
            "spec": {"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
        })
    }

    #[test]
    fn a_victim_goes_once_whatever_is_heard_of_its_deletion() {
        let room = json!({"cpu": "1500m", "memory": "1Gi", "pods": "9"});
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"allocatable": room, "capacity": room},
        });
        let (mut low, high) = (pod("low", 0), pod("high", 10));
        low["spec"]["nodeName"] = json!("n");
        let before = state_of(&[node.clone(), low.clone(), high.clone()]);
        low["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z");
        let after = state_of(&[node, low, high]);
        let (clock, desk) = (super::super::clock::system(), Desk::new("n"));
        desk.everything(&before);
        let waiting = |state: &State| state.all(&GroupResource::new("", "pods")).filter(|p| is_waiting(p)).cloned().collect::<Vec<_>>();
        let mut told = HashMap::new();
        let first = judge(&before, &clock, &desk, &waiting(&before), &mut told);
        assert_eq!(first.preempted.len(), 1);
        desk.settle(&after, first.victims.into_iter());
        let second = judge(&after, &clock, &desk, &waiting(&after), &mut told);
        assert_eq!(second.preempted, []);
    }
}
