//! One look at a DaemonSet.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use super::placement::{Fit, add_tolerations, bind, fit, node_of};
use super::revisions::HASH;
use super::{COMPONENT, Pauses};
use crate::api::digest::Phase;
use crate::api::{Object, Random};
use crate::controllers::Decision;
use crate::controllers::pods::{PodView, from_template, next_available_at};
use crate::controllers::resources::{NODES, PODS, dig, int, key_of};
use crate::state::State;

/// Most pods made or deleted at a time. Source: BurstReplicas.
const BURST: usize = 250;
const GENERATION: &str = "deprecated.daemonset.template.generation";

/// A node, and the set's pods on it or for it, the oldest first.
pub(super) struct OnNode<'a> {
    pub name: String,
    pub fit: Fit,
    pub pods: Vec<PodView<'a>>,
}

pub(super) struct Sync<'a> {
    pub state: &'a State,
    pub set: &'a Arc<Object>,
    pub pods: Vec<PodView<'a>>,
    pub nodes: Vec<OnNode<'a>>,
    pub now: Timestamp,
    /// A new count of collisions, to be written with the status.
    pub collisions: Option<i64>,
    pub decision: Decision,
}

impl<'a> Sync<'a> {
    pub fn new(state: &'a State, set: &'a Arc<Object>, mut pods: Vec<PodView<'a>>, now: Timestamp) -> Self {
        pods.sort_by_cached_key(|pod| (pod.node().is_empty(), pod.facts.created_at, pod.name()));
        let mut nodes: Vec<OnNode<'a>> = state
            .all(&NODES)
            .filter_map(|node| {
                let typed = node.typed::<Node>().ok()?;
                Some(OnNode { name: node.name().to_owned(), fit: fit(set, &typed), pods: Vec::new() })
            })
            .collect();
        for pod in pods.iter().filter(|pod| !(pod.has_ended() && pod.is_deleting())) {
            let name = node_of(pod);
            if let Some(on_node) = nodes.iter_mut().find(|n| Some(n.name.as_str()) == name) {
                on_node.pods.push(*pod);
            }
        }
        Sync { state, set, pods, nodes, now, collisions: None, decision: Decision::none() }
    }

    pub fn min_ready(&self) -> i64 {
        int(self.set, &["spec", "minReadySeconds"])
    }

    pub fn run(mut self, revisions: Vec<Arc<Object>>, pauses: &mut Pauses, names: Option<&mut dyn Random>) -> Decision {
        let (hash, old) = self.history(&revisions);
        let before = self.decision.writes.len();
        let (gone, wanting) = self.place(&hash, pauses);
        let names = &mut { names };
        self.make_and_delete(&gone, &wanting, &hash, names.as_deref_mut());
        let is_rolling = dig(self.set.json(), &["spec", "updateStrategy", "type"]) != "OnDelete";
        // What was just made or deleted is waited for before anything is replaced.
        if is_rolling && self.decision.writes.len() == before {
            let (gone, wanting) = self.roll(&hash);
            self.make_and_delete(&gone, &wanting, &hash, names.as_deref_mut());
        }
        self.clean_up(old);
        self.write_status(&hash);
        if let Some(at) = next_available_at(&self.pods, self.min_ready(), self.now) {
            self.decision.wake(at);
        }
        self.decision
    }

    /// Which pods are too many, and which nodes lack one.
    fn place(&mut self, hash: &str, pauses: &mut Pauses) -> (Vec<String>, Vec<String>) {
        let surges = self.allows_surge();
        let (mut gone, mut wanting) = (Vec::new(), Vec::new());
        let nodes = std::mem::take(&mut self.nodes);
        for on_node in &nodes {
            if on_node.fit.runs && on_node.pods.is_empty() {
                wanting.push(on_node.name.clone());
            } else if on_node.fit.stays {
                let running = self.running_on(on_node, pauses, &mut gone);
                if surges {
                    if running.is_empty() && on_node.fit.runs {
                        wanting.push(on_node.name.clone());
                    } else if running.len() > 1 {
                        self.keep_two(&running, hash, &mut gone);
                    }
                } else {
                    gone.extend(running.iter().skip(1).map(|pod| pod.name().to_owned()));
                }
            } else {
                gone.extend(on_node.pods.iter().filter(|pod| !pod.is_deleting()).map(|pod| pod.name().to_owned()));
            }
        }
        // A pod for a node that is gone would wait for ever.
        let lost = self.pods.iter().filter(|pod| {
            pod.node().is_empty() && !pod.is_deleting() && node_of(pod).is_some_and(|n| nodes.iter().all(|x| x.name != n))
        });
        gone.extend(lost.map(|pod| pod.name().to_owned()));
        self.nodes = nodes;
        (gone, wanting)
    }

    /// The pods on a node that live; those that ended go, one that failed not too soon after the last.
    fn running_on(&mut self, on_node: &OnNode<'a>, pauses: &mut Pauses, gone: &mut Vec<String>) -> Vec<PodView<'a>> {
        let mut running = Vec::new();
        for pod in on_node.pods.iter().filter(|pod| !pod.is_deleting()) {
            let whose = format!("{}/{} on node {}", pod.namespace(), pod.name(), on_node.name);
            match pod.phase() {
                Phase::Failed => {
                    let generation = int(self.set, &["status", "observedGeneration"]);
                    let key = format!("{}/{generation}/{}", self.set.uid(), on_node.name);
                    if let Some(until) = pauses.until(&key, self.now) {
                        self.decision.wake(until);
                        continue;
                    }
                    pauses.note(&key, self.now);
                    let message = format!("Found failed daemon pod {whose}, will try to kill it");
                    self.decision.warning(COMPONENT, self.set, "FailedDaemonPod", message);
                    gone.push(pod.name().to_owned());
                }
                Phase::Succeeded => {
                    let message = format!("Found succeeded daemon pod {whose}, will try to delete it");
                    self.decision.normal(COMPONENT, self.set, "SucceededDaemonPod", message);
                    gone.push(pod.name().to_owned());
                }
                Phase::Unset | Phase::Pending | Phase::Running | Phase::Unknown | Phase::Other => running.push(*pod),
            }
        }
        running
    }

    /// With surge one old and one new pod may be there, until the new one is available or the old one not ready.
    fn keep_two(&self, running: &[PodView<'_>], hash: &str, gone: &mut Vec<String>) {
        let (mut new, mut old) = (None, None);
        for pod in running {
            let place = if pod.label(HASH) == Some(hash) { &mut new } else { &mut old };
            if place.is_none() {
                *place = Some(pod);
            } else {
                gone.push(pod.name().to_owned());
            }
        }
        if let (Some(new), Some(old)) = (new, old)
            && (!old.is_ready() || new.is_available(self.min_ready(), self.now))
        {
            gone.push(old.name().to_owned());
        }
    }

    fn make_and_delete(
        &mut self,
        gone: &[String],
        wanting: &[String],
        hash: &str,
        names: Option<&mut (dyn Random + '_)>,
    ) {
        if let Some(names) = names {
            for node in wanting.iter().take(BURST) {
                let pod = self.new_pod(node, hash, names);
                let message = format!("Created pod: {}", pod.name());
                self.decision.create(pod);
                self.decision.normal(COMPONENT, self.set, "SuccessfulCreate", message);
            }
        }
        for name in gone.iter().take(BURST) {
            let Some(pod) = self.pods.iter().find(|pod| pod.name() == name) else { continue };
            self.decision.delete(key_of(&PODS, pod), pod);
            self.decision.normal(COMPONENT, self.set, "SuccessfulDelete", format!("Deleted pod: {name}"));
        }
    }

    fn new_pod(&self, node: &str, hash: &str, names: &mut dyn Random) -> Object {
        let mut template = dig(self.set.json(), &["spec", "template"]).clone();
        template["metadata"]["labels"][HASH] = json!(hash);
        if let Some(generation) = self.set.annotation(GENERATION).filter(|text| text.parse::<i64>().is_ok()) {
            template["metadata"]["labels"]["pod-template-generation"] = json!(generation);
        }
        add_tolerations(&mut template["spec"]);
        bind(&mut template["spec"], node);
        from_template(self.set, &template, names)
    }

    fn write_status(&mut self, hash: &str) {
        let count = |test: &dyn Fn(&OnNode<'_>) -> bool| self.nodes.iter().filter(|n| test(n)).count();
        let first = |n: &OnNode<'_>, test: &dyn Fn(&PodView<'_>) -> bool| n.fit.runs && n.pods.first().is_some_and(test);
        let wanted = count(&|n| n.fit.runs);
        let available = count(&|n| first(n, &|pod| pod.is_available(self.min_ready(), self.now)));
        let numbers = [
            ("currentNumberScheduled", count(&|n| first(n, &|_| true)), true),
            ("numberMisscheduled", count(&|n| !n.fit.runs && !n.pods.is_empty()), true),
            ("desiredNumberScheduled", wanted, true),
            ("numberReady", count(&|n| first(n, &|pod| pod.is_ready())), true),
            ("updatedNumberScheduled", count(&|n| first(n, &|pod| pod.label(HASH) == Some(hash))), false),
            ("numberAvailable", available, false),
            ("numberUnavailable", wanted - available, false),
        ];
        let before = dig(self.set.json(), &["status"]);
        let is_same = numbers.iter().all(|(name, n, _)| before[*name].as_u64().unwrap_or(0) == *n as u64);
        let is_observed = int(self.set, &["status", "observedGeneration"]) >= self.set.generation();
        if is_same && is_observed && self.collisions.is_none() {
            return;
        }
        let mut status = if before.is_object() { before.clone() } else { json!({}) };
        status["observedGeneration"] = json!(self.set.generation());
        if let Some(collisions) = self.collisions {
            status["collisionCount"] = json!(collisions);
        }
        for (name, number, is_always_told) in numbers {
            if number > 0 || is_always_told {
                status[name] = json!(number);
            } else if let Some(fields) = status.as_object_mut() {
                fields.remove(name);
            }
        }
        let mut set = self.set.as_ref().clone();
        set.json_mut()["status"] = status;
        self.decision.update_status(set);
    }
}
