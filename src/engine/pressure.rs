//! Watches what the machine has left: shows it on the node, gives back what nobody needs, and has pods go.
//! Source: pkg/kubelet/eviction/eviction_manager.go (Start, synchronize).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::clock::{self, Clock};
use super::events::Extra;
use super::node::Shared;
use super::{node_object, scheduling};
use crate::api::{GroupResource, Key, Object};
use crate::controllers::{EventKind, EventNote};
use crate::node::pressure::{self, Candidate, Condition, Judge, Observations, Reclaim, Signal};
use crate::runtime::{Headroom, PodParts, PodUsage, Runtime, Sandbox, Shortage};
use crate::scheduler::is_critical;

/// Between two looks (pkg/kubelet/kubelet.go: evictionMonitoringPeriod).
const PERIOD: Duration = Duration::from_secs(10);
/// How long a pod that had to go is waited for, and how often it is looked for (eviction_manager.go: podCleanupTimeout,
/// podCleanupPollFreq).
const CLEANUP: Duration = Duration::from_secs(30);
const CLEANUP_POLL: Duration = Duration::from_secs(1);

/// What a look sees and comes to.
struct Look {
    headroom: Headroom,
    seen: Observations,
    verdict: pressure::Verdict,
}

async fn look<R: Runtime>(runtime: &R, judge: &mut Judge, clock: &Clock) -> Look {
    let headroom = runtime.headroom(&judge.config().shortages()).await;
    let seen = pressure::observe(&headroom);
    let verdict = judge.step(&seen, clock());
    Look { headroom, seen, verdict }
}

/// The conditions that the node has from its first moment on.
pub async fn at_first<R: Runtime>(runtime: &R, judge: &mut Judge, clock: &Clock) -> Vec<Condition> {
    look(runtime, judge, clock).await.verdict.conditions
}

/// Watches, for ever.
pub struct Watchman<R: Runtime> {
    shared: Arc<Shared<R>>,
    judge: Judge,
    /// What the Node was last seen to show; `None`: not known.
    shown: Option<Vec<Condition>>,
    /// Pods that have given back what they had.
    freed: HashSet<String>,
}

impl<R: Runtime> Watchman<R> {
    pub fn new(shared: Arc<Shared<R>>, judge: Judge) -> Self {
        Watchman { shared, judge, shown: None, freed: HashSet::new() }
    }

    pub async fn run(mut self) {
        let is_asked = !self.judge.config().thresholds.is_empty();
        // Where nothing is watched, what an earlier watch has shown goes.
        while is_asked || self.shown.is_none() {
            match self.round().await {
                Some(evicted) => self.until_cleaned_up(&evicted).await,
                None => clock::sleep(PERIOD).await,
            }
        }
        std::future::pending().await
    }

    /// Looks once. `Some`: a pod has to go.
    async fn round(&mut self) -> Option<String> {
        let shared = self.shared.clone();
        let Look { headroom, seen, verdict } = look(&*shared.runtime, &mut self.judge, &shared.clock).await;
        self.show(verdict.conditions).await;
        let reclaim = verdict.reclaim?;
        let message = format!("Attempting to reclaim {}", reclaim.resource().name());
        self.tell_of_node(EventKind::Warning, "EvictionThresholdMet", message);
        let signal = reclaim.threshold().signal;
        if signal.shortage() == Shortage::Disk {
            self.free().await;
            let now = pressure::observe(&shared.runtime.headroom(&self.judge.config().shortages()).await);
            if self.judge.is_relieved(&now) {
                return None;
            }
        }
        self.evict(&reclaim, &seen, headroom.has_image_disk).await
    }

    /// Brings the conditions to whoever asks for them, and onto the Node.
    async fn show(&mut self, conditions: Vec<Condition>) {
        self.shared.set_pressures(&conditions);
        if self.shown.as_ref() == Some(&conditions) {
            return;
        }
        let name = self.shared.config().node_name.clone();
        // What cannot be written now is tried again with the next look.
        if let Ok(changed) = node_object::show_pressures(&self.shared.store, &self.shared.clock, &name, &conditions).await {
            for condition in changed {
                let reason = condition.event(conditions.contains(&condition));
                let message = format!("Node {name} status is now: {reason}");
                self.tell_of_node(EventKind::Normal, &reason, message);
            }
            self.shown = Some(conditions);
        }
    }

    fn tell_of_node(&self, kind: EventKind, reason: &str, message: String) {
        let key = Key::new(GroupResource::new("", "nodes"), "", &self.shared.config().node_name);
        let Some(node) = self.shared.store.snapshot().get(&key).cloned() else { return };
        let regarding = scheduling::reference(&node, "");
        let note = EventNote { regarding, kind, reason: reason.to_owned(), message, component: "kubelet" };
        self.shared.recorder.record_all(&[note], &Extra::default());
    }

    /// Gives back what pods that have ended for good still have on the disk.
    async fn free(&mut self) {
        let Ok(sandboxes) = self.shared.runtime.observe().await else { return };
        let state = self.shared.store.snapshot();
        let pods = GroupResource::new("", "pods");
        let node = self.shared.config().node_name.clone();
        let ended = |pod: &&Arc<Object>| scheduling::is_final(pod) && pod.str_at("/spec/nodeName") == Some(&node);
        let ended: Vec<Arc<Pod>> = state.all(&pods).filter(ended).filter_map(|pod| pod.typed::<Pod>().ok()).collect();
        drop(state);
        for pod in ended {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let newest = |sandbox: &&Sandbox| sandbox.uid == uid;
            let sandbox = sandboxes.iter().filter(newest).max_by_key(|sandbox| sandbox.attempt);
            if sandbox.is_none() && self.freed.contains(&uid) {
                continue;
            }
            let Some(action) = pressure::free(&pod, sandbox) else { continue };
            if self.shared.runtime.execute(&action).await.is_ok() {
                self.freed.insert(uid);
            }
        }
    }

    /// Has the pod go that is worst in what is short.
    async fn evict(&self, reclaim: &Reclaim, seen: &Observations, has_image_disk: bool) -> Option<String> {
        let signal: Signal = reclaim.threshold().signal;
        let pods = self.shared.evictable(|pod| !is_critical(pod));
        if pods.is_empty() {
            return None;
        }
        let parts: Vec<PodParts> = pods.iter().map(|(_, pod)| pressure::parts(pod)).collect();
        let usage: BTreeMap<String, PodUsage> = self.shared.runtime.usage(&parts, signal.shortage()).await;
        let candidates: Vec<Candidate<'_>> =
            pods.iter().map(|(uid, pod)| Candidate { uid, pod, usage: usage.get(uid) }).collect();
        let worst = candidates[pressure::first(&candidates, signal, has_image_disk)?];
        let notice = pressure::notice(reclaim, seen, worst.pod, worst.usage);
        let eviction = pressure::eviction(notice, reclaim, worst.pod, self.judge.config());
        self.shared.evict(worst.uid, eviction);
        Some(worst.uid.to_owned())
    }

    async fn until_cleaned_up(&self, uid: &str) {
        for _ in 0..CLEANUP.as_secs() / CLEANUP_POLL.as_secs() {
            clock::sleep(CLEANUP_POLL).await;
            if !self.shared.has_taken(uid) {
                return;
            }
        }
    }
}
