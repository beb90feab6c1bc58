//! The end of a pod that its node makes: it makes room for others, or stores more than it may (an emptyDir over its `sizeLimit`, a
//! container or the whole pod over its limit of `ephemeral-storage`).
//!
//! What a pod stores is measured now and then, and only where something of it is limited.
//! Source: pkg/kubelet/eviction/eviction_manager.go: localStorageEviction.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::sync::Look;
use super::{PodMemory, Step, backoff, identity, observed};
use crate::api::requests;
use crate::runtime::{Action, Outcome, RuntimeError, StorageUse};

/// Reason of the Event, and of the status of what has failed by it.
pub(super) const REASON: &str = "Evicted";
/// Between two measures (pkg/kubelet/kubelet.go: evictionMonitoringPeriod).
const PERIOD: SignedDuration = SignedDuration::from_secs(10);
/// What a container of such a pod gets to end (eviction_manager.go: immediateEvictionGracePeriodSeconds).
pub(super) const GRACE: SignedDuration = SignedDuration::from_secs(1);
const STORAGE: &str = "ephemeral-storage";

/// Reason and message of a pod that makes room for a critical one (pkg/kubelet/preemption/preemption.go).
const PREEMPTING: &str = "Preempting";
const PREEMPTED: &str = "Preempted in order to admit critical pod";
const DISRUPTION: &str = "Pod was preempted by Kubelet to accommodate a critical pod.";

/// Why this node ends a pod that nobody has deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Eviction {
    /// Of the Event, and of the status of what has failed by it.
    pub reason: &'static str,
    pub message: String,
    /// What its containers get to end; `None`: as their pod says.
    pub grace: Option<SignedDuration>,
    /// Message of the condition `DisruptionTarget`, if it gets that.
    pub disruption: Option<String>,
    /// Of the Event.
    pub annotations: BTreeMap<String, String>,
}

impl Eviction {
    /// A critical pod needs the room of this one.
    pub fn preemption() -> Self {
        let disruption = Some(DISRUPTION.to_owned());
        Eviction { reason: PREEMPTING, message: PREEMPTED.into(), grace: None, disruption, annotations: BTreeMap::new() }
    }
}

/// The node ends this pod; the first reason stays.
pub fn evict(memory: &mut PodMemory, eviction: Eviction) {
    memory.eviction.get_or_insert(eviction);
}

/// What is remembered of what a pod stores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageMemory {
    measuring: bool,
    next_at: Option<Timestamp>,
}

impl Look<'_> {
    /// Measures what the pod stores, when that is due and something limits it.
    pub(super) fn measure_storage(&mut self) {
        let (Some(spec), now) = (&self.pod.spec, self.context.now) else { return };
        let runs = observed::running(self.observed).next().is_some();
        if !runs || self.memory.storage.measuring || !is_limited(spec) {
            return;
        }
        let next_at = *self.memory.storage.next_at.get_or_insert(now + PERIOD);
        if next_at > now {
            self.wake(Some(next_at));
            return;
        }
        self.memory.storage.measuring = true;
        let containers = self.observed.iter().flat_map(|s| &s.containers);
        let newest = containers.filter(|c| observed::latest(self.observed, &c.name).is_some_and(|l| l.id == c.id));
        let action = Action::MeasureStorage {
            pod_uid: identity::uid(self.pod).to_owned(),
            containers: newest.map(|c| (c.name.clone(), c.id.clone())).collect(),
            volumes: on_disk(spec).map(|(name, _)| name.to_owned()).collect(),
        };
        self.steps.push(Step::new(action, "what the pod stores is limited"));
    }
}

/// The emptyDirs that lie on the disk (those in memory cannot outgrow their limit), with their limits.
pub(super) fn on_disk(spec: &PodSpec) -> impl Iterator<Item = (&str, Option<&Quantity>)> {
    let volumes = spec.volumes.iter().flatten();
    volumes.filter_map(|v| {
        let dir = v.empty_dir.as_ref().filter(|d| d.medium.as_deref().unwrap_or_default().is_empty())?;
        Some((v.name.as_str(), dir.size_limit.as_ref().filter(|q| requests::whole(q) > 0)))
    })
}

fn is_limited(spec: &PodSpec) -> bool {
    let limited = |c: &k8s_openapi::api::core::v1::Container| requests::container_limits(c).contains_key(STORAGE);
    on_disk(spec).any(|(_, limit)| limit.is_some()) || spec.containers.iter().any(limited)
}

/// Why a pod that stores this has to go, if it has to.
fn verdict(pod: &Pod, used: &StorageUse) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let over = |used: u64, limit: i64| i64::try_from(used).unwrap_or(i64::MAX) > limit;
    for (name, limit) in on_disk(spec) {
        let Some(limit) = limit else { continue };
        if used.volumes.get(name).is_some_and(|used| over(*used, requests::whole(limit))) {
            return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{}\". ", shown(limit)));
        }
    }
    let whole: u64 = used.containers.values().chain(used.volumes.values()).sum();
    if let Some(limit) = requests::pod_limits(spec).get(STORAGE).filter(|limit| over(whole, **limit)) {
        let text = crate::api::quantity::Quantity::from_i64(*limit, crate::api::quantity::Format::BinarySi);
        return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. "));
    }
    for container in &spec.containers {
        let limit = container.resources.as_ref().and_then(|r| r.limits.as_ref()?.get(STORAGE)).filter(|q| requests::whole(q) > 0);
        let Some(limit) = limit else { continue };
        if used.containers.get(&container.name).is_some_and(|used| over(*used, requests::whole(limit))) {
            let name = &container.name;
            return Some(format!("Container {name} exceeded its local ephemeral storage limit \"{}\". ", shown(limit)));
        }
    }
    None
}

fn shown(quantity: &Quantity) -> String {
    crate::api::quantity::Quantity::parse(&quantity.0).map_or_else(|_| quantity.0.clone(), |q| q.to_string())
}

/// Takes in what was measured.
pub(super) fn record(pod: &Pod, result: &Result<Outcome, RuntimeError>, memory: &mut PodMemory, now: Timestamp) {
    memory.storage.measuring = false;
    // What could not be measured is measured again later.
    let pause = if result.is_ok() { PERIOD } else { backoff::RETRY };
    memory.storage.next_at = Some(now + pause);
    if let Ok(Outcome::Storage(used)) = result {
        let of_storage = |message| Eviction { reason: REASON, message, grace: Some(GRACE), disruption: None, annotations: BTreeMap::new() };
        memory.eviction = memory.eviction.take().or_else(|| verdict(pod, used).map(of_storage));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::node::tests::Play;

    fn pod(limit: &str, volume: &str) -> serde_json::Value {
        json!({
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "c", "image": "i", "imagePullPolicy": "IfNotPresent", "resources": {"limits": {"ephemeral-storage": limit}}},
                {"name": "d", "image": "i", "imagePullPolicy": "IfNotPresent", "resources": {"limits": {"ephemeral-storage": "1Gi"}}}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": volume}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        })
    }

    fn judged(limit: &str, volume: &str, c: u64, v: u64) -> Option<String> {
        let pod = serde_json::from_value(json!({"spec": pod(limit, volume)})).unwrap();
        let used = StorageUse { containers: [("c".to_owned(), c)].into(), volumes: [("v".to_owned(), v)].into() };
        verdict(&pod, &used)
    }

    #[test]
    fn each_limit_is_told_in_the_kubelets_words() {
        let mib = 1 << 20;
        assert_eq!(judged("5Mi", "1Mi", 5 * mib, mib), None, "up to the limit");
        assert_eq!(judged("5Mi", "1Mi", 0, mib + 1).unwrap(), "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
        assert_eq!(judged("5Mi", "2Gi", 6 * mib, 0).unwrap(), "Container c exceeded its local ephemeral storage limit \"5Mi\". ");
        let text = "Pod ephemeral local storage usage exceeds the total limit of containers 1029Mi. ";
        assert_eq!(judged("5Mi", "2Gi", 0, 1030 * mib).unwrap(), text);
        assert_eq!(judged("5Mi", "0", 0, 3 * mib), None, "a limit of 0 is none");
    }

    #[test]
    fn a_pod_that_stores_too_much_is_ended_and_told() {
        for (code, phase, reason) in [(143, "Failed", Some("Evicted")), (0, "Succeeded", None)] {
            let mut play = Play::new(pod("5Mi", "1Gi"));
            let behaviour = crate::runtime::simulated::Behaviour { exit_code_on_signal: code, ..Default::default() };
            play.node.behave("i", vec![behaviour]);
            play.run(25);
            assert_eq!(play.count("Evicted"), 0);
            play.node.stores("c", 6 << 20);
            play.run(25);
            assert_eq!(play.count("Evicted Container c exceeded its local ephemeral storage limit \"5Mi\". "), 1, "{:?}", play.events);
            assert_eq!(play.count("Killing Stopping container"), 2);
            let status = play.pod.status.clone().unwrap();
            assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some(phase), reason), "{:?}", play.seen);
            play.no_breach();
        }
    }

    #[test]
    fn a_pod_makes_room_for_a_critical_one() {
        for (code, phase, reason) in [(1, "Failed", Some("Preempting")), (0, "Succeeded", None)] {
            let mut play = Play::new(json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
                "containers": [{"name": "c", "image": "i", "imagePullPolicy": "IfNotPresent"}]}));
            let behaviour = crate::runtime::simulated::Behaviour { exit_code_on_signal: code, ..Default::default() };
            play.node.behave("i", vec![behaviour]);
            play.run(5);
            evict(&mut play.memory, Eviction::preemption());
            play.run(10);
            assert_eq!(play.count("Preempting Preempted in order to admit critical pod"), 1, "{:?}", play.events);
            let status = play.pod.status.clone().unwrap();
            assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some(phase), reason), "{:?}", play.seen);
            let first = &status.conditions.as_ref().unwrap()[0];
            assert_eq!((first.type_.as_str(), first.reason.as_deref()), ("DisruptionTarget", Some("TerminationByKubelet")));
            play.no_breach();
        }
    }

    #[test]
    fn what_has_no_limits_is_never_measured() {
        let mut play = Play::new(json!({"containers": [{"name": "c", "image": "i", "imagePullPolicy": "IfNotPresent"}],
            "volumes": [{"name": "v", "emptyDir": {}}]}));
        play.run(100);
        assert!(!play.node.take_log().iter().any(|line| line.starts_with("measure")));
    }
}
