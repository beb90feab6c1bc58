//! The node agent: a task for each pod of this node, and what they share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::clock::{Clock, sleep_until};
use super::departures::Departures;
use super::events::{Extra, Recorder};
use super::mirror::Fixed;
use super::pod::{Bell, PodTask};
use super::resizing::Room;
use super::{Rotation, look, requests, scheduling};
use crate::api::{GroupResource, Json, Key, Object};
use crate::controllers::{EventKind, EventNote};
use crate::network::{PodIps, PodSubnet};
use crate::node::pressure::{self, Condition};
use crate::node::{Eviction, NodeConfig, Refusal, objects_used, statics};
use crate::runtime::{Hint, Machine, Runtime, Sandbox};
use crate::scheduler::{self, Admission, Occupants, is_critical};
use crate::state::{Change, State};
use crate::store::Store;

/// Between two full lists of the runtime that nobody asked for. A runtime whose hints may miss something asks oftener, as often as
/// its lists are cheap.
const RELIST: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// How many signals are on their way to containers.
const SIGNALS_AT_ONCE: usize = 2;

/// What all pods' tasks use.
pub struct Shared<R: Runtime> {
    pub store: Store,
    pub runtime: Arc<R>,
    pub recorder: Arc<Recorder>,
    pub clock: Clock,
    pub permits: Semaphore,
    /// For other signals to containers, which need not wait behind all else.
    pub signals: Semaphore,
    /// For the signals that end whole pods, and their removal.
    pub departures: Departures,
    pub rotation: Rotation,
    pub room: Room,
    /// Pods that this node ends, by uid, and why.
    pub evictions: watch::Sender<BTreeMap<String, Eviction>>,
    /// Of what the machine has too little.
    pressures: RwLock<Vec<Condition>>,
    /// The pods that the node has taken and that have not finished.
    taken: Mutex<Occupants>,
    pod_subnet: Option<PodSubnet>,
    /// `None` until it is known which are in use, and for ever where the runtime chooses.
    pod_ips: Mutex<Option<PodIps>>,
    machine: RwLock<Arc<Machine>>,
    config: RwLock<Arc<NodeConfig>>,
}

impl<R: Runtime> Shared<R> {
    #[expect(clippy::too_many_arguments, reason = "all that the pods' tasks share is given once")]
    pub fn new(
        store: Store,
        runtime: Arc<R>,
        recorder: Arc<Recorder>,
        clock: Clock,
        at_once: usize,
        pod_subnet: Option<PodSubnet>,
        rotation: Rotation,
        machine: Machine,
        config: NodeConfig,
        pressures: Vec<Condition>,
    ) -> Self {
        Shared {
            store,
            runtime,
            recorder,
            clock,
            permits: Semaphore::new(at_once),
            signals: Semaphore::new(SIGNALS_AT_ONCE),
            departures: Departures::new(at_once + at_once / 3),
            rotation,
            room: Room::default(),
            evictions: watch::Sender::default(),
            pressures: RwLock::new(pressures),
            taken: Mutex::default(),
            pod_subnet,
            pod_ips: Mutex::new(None),
            machine: RwLock::new(Arc::new(machine)),
            config: RwLock::new(Arc::new(config)),
        }
    }

    fn pod_ips(&self) -> MutexGuard<'_, Option<PodIps>> {
        self.pod_ips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses that a pod keeps for its life, one of each family; none where the runtime chooses, or none is left.
    pub fn address_of(&self, uid: &str) -> Vec<IpAddr> {
        let mut ips = self.pod_ips();
        let address = ips.as_mut().and_then(|ips| ips.allocate(uid).ok());
        self.all_of(address)
    }

    fn all_of(&self, address: Option<Ipv4Addr>) -> Vec<IpAddr> {
        address.zip(self.pod_subnet).map(|(address, subnet)| subnet.all_of(address)).unwrap_or_default()
    }

    /// Its address is another's: it may be given away, later.
    pub fn release_address(&self, uid: &str) {
        if let Some(ips) = self.pod_ips().as_mut() {
            let address = ips.of(uid);
            ips.release(uid);
            self.rotation.back(&self.all_of(address));
        }
    }

    /// The pod is gone.
    pub fn forget(&self, uid: &str) {
        self.room.forget(uid);
        self.departures.over(uid);
        self.taken().remove(uid);
        self.evictions.send_if_modified(|all| {
            all.remove(uid);
            false
        });
        self.release_address(uid);
    }

    pub fn machine(&self) -> Arc<Machine> {
        self.machine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn config(&self) -> Arc<NodeConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of what the machine has too little.
    pub fn pressures(&self) -> Vec<Condition> {
        self.pressures.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_pressures(&self, conditions: &[Condition]) {
        let mut pressures = self.pressures.write().unwrap_or_else(PoisonError::into_inner);
        if *pressures != conditions {
            *pressures = conditions.to_vec();
        }
    }

    /// Ends a pod that the node has taken.
    pub fn evict(&self, uid: &str, eviction: Eviction) {
        self.evictions.send_modify(|all| {
            all.entry(uid.to_owned()).or_insert(eviction);
        });
    }

    /// The pods that the node has taken, that nobody has told to end yet, and of which `may_go` says that they may.
    pub fn evictable(&self, may_go: impl Fn(&Pod) -> bool) -> Vec<(String, Arc<Pod>)> {
        let goes = |pod: &Pod| pod.metadata.deletion_timestamp.is_none() && may_go(pod);
        // In this order, as who admits a critical pod has them.
        let taken = self.taken();
        let evicted = self.evictions.borrow();
        let stay = taken.all().iter().filter(|one| !evicted.contains_key(&one.uid) && goes(&one.pod));
        stay.map(|one| (one.uid.clone(), one.pod.clone())).collect()
    }

    /// Whether a pod is on the node and has not ended.
    pub fn has_taken(&self, uid: &str) -> bool {
        self.taken().has(uid)
    }

    pub fn clock_is_behind(&self, at: Option<Timestamp>) -> bool {
        at.is_some_and(|at| (self.clock)() < at)
    }

    fn taken(&self) -> MutexGuard<'_, Occupants> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node takes a pod that it was given: for good, or `None` while others go to make room for it. One after the
    /// other, each beside those that were taken before it, as a kubelet does
    /// (pkg/kubelet/kubelet.go: HandlePodAdditions).
    pub fn admit(&self, uid: &str, pod: &Arc<Pod>, state: &State) -> Option<Option<Refusal>> {
        if !is_critical(pod)
            && let Some(refusal) = pressure::refusal(pod, &self.pressures())
        {
            return Some(Some(refusal));
        }
        let key = Key::new(GroupResource::new("", "nodes"), "", &self.config().node_name);
        let Some(node) = state.get(&key).and_then(|node| node.typed::<Node>().ok()) else { return Some(None) };
        let mut taken = self.taken();
        let verdict = if is_critical(pod) { self.admit_critical(pod, &node, &taken)? } else { scheduler::admission(pod, &node, &taken) };
        match verdict {
            Admission::Refuses { reason, message } => Some(Some(Refusal { reason, message })),
            Admission::Takes => {
                taken.put(uid.to_owned(), pod.clone());
                Some(None)
            }
            Admission::After(_) => None,
        }
    }

    /// `None`: those that make room are still there.
    fn admit_critical(&self, pod: &Pod, node: &Node, taken: &Occupants) -> Option<Admission> {
        let stay = taken.only(|other| !self.evictions.borrow().contains_key(&other.uid));
        let verdict = scheduler::admission(pod, node, &stay);
        match &verdict {
            Admission::Takes if stay.all().len() < taken.all().len() => {
                return (scheduler::admission(pod, node, taken) == Admission::Takes).then_some(verdict);
            }
            Admission::After(places) => {
                let going = places.iter().map(|place| (stay.all()[*place].uid.clone(), Eviction::preemption()));
                self.evictions.send_modify(|all| all.extend(going));
            }
            _ => {}
        }
        Some(verdict)
    }

    /// Which pods the node has taken, after it began or missed changes: those that say that they have begun, and those that it
    /// knows to have taken.
    fn relearn_taken(&self, state: &State) {
        let all = scheduling::on_node(state, &self.config().node_name);
        let mut taken = self.taken();
        let now = all.only(|one| has_begun(&one.pod) || taken.has(&one.uid));
        *taken = now;
    }

    /// The same for one pod that has changed.
    fn learn_taken(&self, newest: &Object, is_there: bool) {
        let uid = scheduling::place_of(newest);
        let mut taken = self.taken();
        if scheduling::is_final(newest) || (!is_there && uid == newest.uid()) {
            taken.remove(uid);
        } else if is_there {
            let is_here = newest.str_at("/spec/nodeName") == Some(&self.config().node_name);
            let is_taken = taken.has(uid) || (is_here && newest.at("/status/startTime").is_some());
            if let (true, Ok(pod)) = (is_taken, newest.typed::<Pod>()) {
                taken.put(uid.to_owned(), pod);
            }
        }
    }
}

/// Whether a node has said that it took the pod.
pub fn has_begun(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.start_time.is_some())
}

/// Whether others may get what a pod had: it is gone, has finished, or has been given other resources.
fn frees_room(change: &Change) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return change.after.is_none() };
    let resources = |pod: &Object| pod.at("/status/containerStatuses").cloned().unwrap_or_default();
    let allocated = |pod: &Object| -> Vec<Json> {
        resources(pod).as_array().into_iter().flatten().map(|s| s["allocatedResources"].clone()).collect()
    };
    (scheduling::is_final(after) && !scheduling::is_final(before)) || allocated(before) != allocated(after)
}

/// What the dispatcher and the runtime tell the agent.
pub enum News {
    Changed(Arc<Change>),
    /// Changes were missed: everything is to be looked at.
    Everything,
    Hint(Hint),
    /// All static pods, as their files are now.
    Static(Vec<Object>),
}

/// The agent: keeps the pods' tasks.
pub struct Agent<R: Runtime> {
    shared: Arc<Shared<R>>,
    tasks: JoinSet<String>,
    bells: HashMap<String, Arc<Bell>>,
    /// Objects that pods use → the pods' uids.
    users: HashMap<Key, HashSet<String>>,
    uses: BTreeMap<String, Vec<Key>>,
    /// Static pods that have a task, by uid.
    fixed: HashMap<String, Arc<Fixed>>,
    /// Static pods whose name is still another's.
    next: Vec<Arc<Object>>,
    /// Whether the files have been read: before, nothing is known of what should not be.
    has_read: bool,
    /// Pods of the runtime that no store knows, and that somebody was told of.
    reported: HashSet<String>,
}

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

impl<R: Runtime> Agent<R> {
    pub fn new(shared: Arc<Shared<R>>) -> Self {
        Agent {
            shared,
            tasks: JoinSet::new(),
            bells: HashMap::new(),
            users: HashMap::new(),
            uses: BTreeMap::new(),
            fixed: HashMap::new(),
            next: Vec::new(),
            has_read: false,
            reported: HashSet::new(),
        }
    }

    /// Runs until a pod's task fails, which no task should.
    pub async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>) -> Result<(), String> {
        self.look_at_everything().await;
        let mut relist_at = (self.shared.clock)() + RELIST;
        loop {
            let clock = self.shared.clock.clone();
            tokio::select! {
                received = news.recv() => match received {
                    None => return Ok(()),
                    Some(News::Changed(change)) => self.changed(&change),
                    Some(News::Everything) | Some(News::Hint(Hint::All)) => self.look_at_everything().await,
                    Some(News::Static(pods)) => self.files_changed(pods).await,
                    Some(News::Hint(Hint::Pod { uid })) => {
                        if let Some(bell) = self.bells.get(&uid) {
                            bell.ring_to_look();
                        }
                    }
                },
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => match ended {
                    Ok(uid) => self.ended(&uid),
                    Err(error) => return Err(format!("the task of a pod failed: {error}")),
                },
                () = sleep_until(&clock, Some(relist_at)) => {
                    relist_at = clock() + RELIST;
                    self.look_at_everything().await;
                }
            }
        }
    }

    fn ended(&mut self, uid: &str) {
        self.bells.remove(uid);
        self.fixed.remove(uid);
        std::mem::take(&mut self.next).into_iter().for_each(|pod| self.take_on_static(pod));
        for key in self.uses.remove(uid).unwrap_or_default() {
            if let Some(users) = self.users.get_mut(&key) {
                users.remove(uid);
                if users.is_empty() {
                    self.users.remove(&key);
                }
            }
        }
        // The same name may have come again under another uid while this one ended.
        let state = self.shared.store.snapshot();
        let node = self.shared.config().node_name.clone();
        let again: Vec<_> = state
            .all(&pods())
            .filter(|p| p.uid() == uid && p.str_at("/spec/nodeName") == Some(&node))
            .cloned()
            .collect();
        again.into_iter().for_each(|pod| self.take_on(pod, None));
    }

    /// Compares all pods of the API with all that the runtime has.
    async fn look_at_everything(&mut self) {
        let state = self.shared.store.snapshot();
        let node = self.shared.config().node_name.clone();
        let observed = self.shared.runtime.observe().await;
        self.shared.relearn_taken(&state);
        self.learn_addresses(&state, &node, observed.as_deref().unwrap_or_default());
        let known: Vec<Arc<Object>> =
            state.all(&pods()).filter(|p| p.str_at("/spec/nodeName") == Some(&node)).cloned().collect();
        known.into_iter().for_each(|pod| self.take_on(pod, None));
        if let Ok(sandboxes) = observed {
            for sandbox in sandboxes {
                match self.bells.get(&sandbox.uid) {
                    Some(_) => {}
                    None => self.unknown(&state, sandbox).await,
                }
            }
        }
        self.bells.values().for_each(|bell| bell.ring_to_look());
    }

    /// Which addresses are in use is learned once, before any is given.
    fn learn_addresses(&self, state: &State, node: &str, sandboxes: &[Sandbox]) {
        let mut ips = self.shared.pod_ips();
        let (Some(subnet), true) = (self.shared.pod_subnet, ips.is_none()) else { return };
        let running = sandboxes.iter().flat_map(|s| s.ips.iter().map(|ip| (s.uid.clone(), *ip)));
        let pods = pods();
        let told = state.all(&pods).filter(|p| p.str_at("/spec/nodeName") == Some(node));
        let told = told.filter_map(|p| Some((p.uid().to_owned(), p.str_at("/status/podIP")?.parse().ok()?)));
        let held =
            running.chain(told).filter_map(|(uid, ip)| if let IpAddr::V4(ip) = ip { Some((uid, ip)) } else { None });
        *ips = Some(PodIps::new(subnet, held));
    }

    /// The runtime has a pod that the API does not: it was deleted, or the store is another one.
    async fn unknown(&mut self, state: &State, sandbox: Sandbox) {
        let pod = look::pod_of(&sandbox);
        if pod.as_ref().is_some_and(statics::is_static) {
            if self.has_read
                && let Some(pod) = pod
            {
                // Its file is gone.
                self.take_on(Arc::new(pod), Some(sandbox));
            }
        } else if !look::is_unknown(&sandbox, state, |revision| self.shared.store.has_been_at(revision)) {
            // This store has had it, and has it no more.
            if let Some(pod) = pod {
                self.take_on(Arc::new(pod), Some(sandbox));
            }
        } else if self.reported.insert(sandbox.uid.clone()) {
            let key = Key::new(GroupResource::new("", "nodes"), "", &self.shared.config().node_name);
            let Some(node) = state.get(&key) else { return };
            let note = EventNote {
                regarding: scheduling::reference(node, ""),
                kind: EventKind::Warning,
                reason: "UnknownPod".into(),
                message: look::unknown_text(&sandbox),
                component: "kubelet",
            };
            self.shared.recorder.record_all(&[note], &Extra::default());
        }
    }

    fn changed(&mut self, change: &Change) {
        if let Some(users) = self.users.get(&change.key) {
            users.iter().filter_map(|uid| self.bells.get(uid)).for_each(|bell| bell.ring());
        }
        if change.key.resource != pods() {
            return;
        }
        let newest = change.after.as_ref().or(change.before.as_ref());
        let Some(pod) = newest else { return };
        self.shared.learn_taken(pod, change.after.is_some());
        if frees_room(change) {
            self.bells.values().for_each(|bell| bell.ring_if_waiting());
        }
        if let Some(hash) = statics::mirrored(pod) {
            if let Some(bell) = self.bells.get(hash) {
                bell.ring();
            }
            return;
        }
        if let Some(bell) = self.bells.get(pod.uid()) {
            bell.ring();
        } else if let Some(pod) = change.after.clone()
            && pod.str_at("/spec/nodeName") == Some(&self.shared.config().node_name)
        {
            self.take_on(pod, None);
        }
    }

    /// The files of static pods have changed, or were read for the first time.
    async fn files_changed(&mut self, pods: Vec<Object>) {
        let now = (self.shared.clock)();
        for (uid, fixed) in &self.fixed {
            if !pods.iter().any(|p| p.uid() == uid) {
                let same_name = |p: &Object| (p.namespace(), p.name()) == (fixed.pod.namespace(), fixed.pod.name());
                if pods.iter().any(same_name) {
                    fixed.replace();
                }
                fixed.file_is_gone(now);
                if let Some(bell) = self.bells.get(uid) {
                    bell.ring();
                }
            }
        }
        self.next.clear();
        pods.into_iter().map(Arc::new).for_each(|pod| self.take_on_static(pod));
        if !self.has_read {
            self.has_read = true;
            self.look_at_everything().await;
        }
        self.remove_lost_mirrors().await;
    }

    fn take_on_static(&mut self, pod: Arc<Object>) {
        let uid = pod.uid().to_owned();
        if self.fixed.contains_key(&uid) {
            return;
        }
        let same_name = |f: &Arc<Fixed>| (f.pod.namespace(), f.pod.name()) == (pod.namespace(), pod.name());
        if self.fixed.values().any(same_name) {
            self.next.push(pod);
            return;
        }
        let fixed = Arc::new(Fixed::new(pod.clone()));
        self.fixed.insert(uid, fixed.clone());
        self.begin(pod, None, Some(fixed));
    }

    /// Mirrors of static pods that no file has.
    async fn remove_lost_mirrors(&self) {
        let state = self.shared.store.snapshot();
        let node = self.shared.config().node_name.clone();
        let here = |p: &&Arc<Object>| p.str_at("/spec/nodeName") == Some(&node);
        for mirror in state.all(&pods()).filter(here) {
            let Some(hash) = statics::mirrored(mirror) else { continue };
            if self.fixed.contains_key(hash) || self.next.iter().any(|p| p.uid() == hash) {
                continue;
            }
            let key = Key::new(pods(), mirror.namespace(), mirror.name());
            if let Some(request) = requests::delete(&state, &key, Some(mirror.uid()), None, Some(0), "kubelet") {
                // What cannot be removed now is removed with the next change of the files.
                let _ = self.shared.store.write(request).await;
            }
        }
    }

    /// A pod of the API that is given to this node; the pictures of static pods are none.
    fn take_on(&mut self, pod: Arc<Object>, observed: Option<Sandbox>) {
        if statics::mirrored(&pod).is_none() {
            self.begin(pod, observed, None);
        }
    }

    fn begin(&mut self, pod: Arc<Object>, observed: Option<Sandbox>, fixed: Option<Arc<Fixed>>) {
        let uid = pod.uid().to_owned();
        if self.bells.contains_key(&uid) {
            return;
        }
        let bell = Arc::new(Bell::default());
        self.bells.insert(uid.clone(), bell.clone());
        let used = objects_used(&pod);
        for key in &used {
            self.users.entry(key.clone()).or_default().insert(uid.clone());
        }
        self.uses.insert(uid.clone(), used);
        let key = Key::new(pods(), pod.namespace(), pod.name());
        let mut task = PodTask::new(self.shared.clone(), key, pod, bell);
        task.memory.orphan = observed.is_some();
        task.observed = observed;
        task.fixed = fixed;
        self.tasks.spawn(async move {
            task.run().await;
            uid
        });
    }
}
