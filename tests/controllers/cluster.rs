//! Controllers, API, scheduler and kubelet in one closed loop and in virtual time.

use std::collections::{BTreeMap, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use wl::api::{Json, Key, Object, Status};
use wl::controllers::{Context, Controller, Decision, EventKind, Write, of_the_manager};
use wl::engine::correlation::Correlator;
use wl::state::Change;

use crate::api::{Api, Dice, Done, difference, merge, resource_of, stamp};
use crate::kubelet::{Kubelet, Step, condition};
use crate::reduce::{Names, object as reduced};

/// One write of a controller, still with this run's own names.
pub struct Entry {
    pub by: String,
    pub verb: &'static str,
    pub kind: String,
    pub name: String,
    pub body: Json,
    pub at: f64,
}

/// Asked before each write.
pub type Refuse = Box<dyn FnMut(&Write) -> Option<Status>>;

pub struct Cluster {
    pub api: Api,
    pub namespace: String,
    pub started_at: Timestamp,
    pub trace: Vec<Entry>,
    pub events: Vec<Json>,
    pub names: Names,
    /// Wrong ways that a write may take, asked before each: an error refuses it.
    pub refuse: Refuse,
    pub reconciles: usize,
    kubelet: Kubelet,
    controllers: Vec<Box<dyn Controller>>,
    queue: VecDeque<(usize, Key)>,
    queued: HashSet<(usize, Key)>,
    wakes: BTreeMap<(usize, Key), Timestamp>,
    retries: BTreeMap<(usize, Key), u32>,
    /// Looks at a Job for the sake of its pods wait up to a second, as the real controller's queue has it.
    batched: BTreeMap<(usize, Key), Timestamp>,
    gone_claims: Vec<Object>,
    dice: Dice,
    correlator: Correlator,
    last_write_at: Timestamp,
}

impl Cluster {
    pub fn new(namespace: &str, life: Json, started_at: Timestamp) -> Self {
        let mut cluster = Cluster {
            api: Api::new(started_at),
            namespace: namespace.into(),
            started_at,
            trace: Vec::new(),
            events: Vec::new(),
            names: Names::default(),
            refuse: Box::new(|_| None),
            reconciles: 0,
            kubelet: Kubelet::new(life),
            controllers: of_the_manager(),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            wakes: BTreeMap::new(),
            retries: BTreeMap::new(),
            batched: BTreeMap::new(),
            gone_claims: Vec::new(),
            dice: Dice(7),
            correlator: Correlator::default(),
            last_write_at: started_at,
        };
        cluster.names.started_at = Some(started_at);
        cluster.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}},
            "status": {"allocatable": {"cpu": "640", "memory": "640Gi", "pods": "10000"},
                "conditions": [{"type": "Ready", "status": "True"}]}}));
        cluster
    }

    /// Creates an object as a user does.
    pub fn put(&mut self, object: Json) -> Done {
        let done = self.api.create(Object::new(object)).unwrap();
        self.written(&done);
        done
    }

    pub fn elapsed(&self) -> f64 {
        (self.api.now - self.started_at).total(jiff::Unit::Second).unwrap()
    }

    /// Takes note of a write: who has to look, what its names are.
    pub fn written(&mut self, done: &Done) {
        self.last_write_at = self.api.now;
        for object in done.before.iter().chain(&done.after) {
            self.names.learn(object);
        }
        for change in self.api.state.take_changes() {
            if let Some(object) = change.after.as_ref().filter(|o| o.kind() == "Pod") {
                self.kubelet.notice(&change.key, object, self.api.now);
            }
            if let Some(gone) =
                change.before.as_ref().filter(|o| o.kind() == "PersistentVolumeClaim" && change.after.is_none())
            {
                self.gone_claims.push(gone.as_ref().clone());
            }
            if change.after.as_ref().is_some_and(|o| o.kind() == "PersistentVolumeClaim") && change.before.is_none() {
                let uid = change.after.as_ref().unwrap().uid().to_owned();
                self.kubelet.plan(self.api.now + SignedDuration::from_millis(200), &uid, &change.key, Step::Provision);
            }
            for at in 0..self.controllers.len() {
                for key in self.controllers[at].wakes(&self.api.state, &change) {
                    let is_batched = self.controllers[at].name() == "job-controller"
                        && *key.resource.resource == *"jobs"
                        && (change.key != key || is_same_generation(&change));
                    if is_batched {
                        let due = self.api.now + SignedDuration::from_secs(1);
                        self.batched.entry((at, key)).or_insert(due);
                    } else {
                        self.enqueue(at, key);
                    }
                }
            }
        }
    }

    fn enqueue(&mut self, at: usize, key: Key) {
        if self.queued.insert((at, key.clone())) {
            self.queue.push_back((at, key));
        }
    }

    /// Lets the controllers work until none has anything to do at this moment.
    fn settle(&mut self) {
        let mut looks = 0;
        loop {
            while let Some(claim) = self.gone_claims.pop() {
                self.unprovision(&claim);
            }
            let Some((at, key)) = self.queue.pop_front() else { return };
            looks += 1;
            assert!(looks < 50_000, "{} never settles on {key:?}", self.controllers[at].name());
            self.queued.remove(&(at, key.clone()));
            self.look(at, key);
        }
    }

    fn look(&mut self, at: usize, key: Key) {
        self.reconciles += 1;
        let mut context = Context { now: self.api.now, random: &mut self.dice };
        let decision = self.controllers[at].reconcile(&self.api.state, &key, &mut context);
        match decision.wake_at {
            Some(wake) => self.wakes.insert((at, key.clone()), wake),
            None => self.wakes.remove(&(at, key.clone())),
        };
        let wrote = decision.writes.iter().any(|write| !matches!(write, Write::Event(_)));
        match self.commit(at, decision) {
            Err(refused) => {
                let (write, why) = *refused;
                let mut context = Context { now: self.api.now, random: &mut self.dice };
                let more = self.controllers[at].refused(&self.api.state, &key, &write, &why, &mut context);
                let _ = self.commit(at, more);
                let tries = self.retries.entry((at, key.clone())).or_insert(0);
                *tries += 1;
                let pause = SignedDuration::from_millis(5 << (*tries).min(16));
                self.wakes.insert((at, key), self.api.now + pause);
            }
            Ok(()) => {
                self.retries.remove(&(at, key.clone()));
                // Its own writes wake the Job controller as any change of the Job does.
                if wrote && self.controllers[at].name() != "job-controller" {
                    self.enqueue(at, key);
                }
            }
        }
    }

    fn commit(&mut self, at: usize, decision: Decision) -> Result<(), Box<(Write, Status)>> {
        for write in decision.writes {
            self.api.now += SignedDuration::from_millis(1);
            if let Some(why) = (self.refuse)(&write) {
                return Err(Box::new((write, why)));
            }
            let done = match &write {
                Write::Create { object } => self.api.create(object.clone()),
                Write::Update { object } => self.api.update(object.clone(), false),
                Write::UpdateStatus { object } => self.api.update(object.clone(), true),
                Write::Finalize { object } => self.api.finalize(object),
                Write::Patch { key, patch, .. } => self.api.patch(key, patch),
                Write::Delete { key, uid, propagation, grace_seconds } => {
                    self.api.delete(key, uid.as_deref(), *propagation, *grace_seconds)
                }
                Write::Event(note) => {
                    let Some(observed) = self.correlator.observe(note, self.api.now) else { continue };
                    self.events.push(json!({
                        "by": self.controllers[at].name(), "reason": note.reason,
                        "type": if note.kind == EventKind::Normal { "Normal" } else { "Warning" },
                        "object": format!("{}/{}", note.regarding["kind"].as_str().unwrap(), note.regarding["name"].as_str().unwrap()),
                        "message": observed.message,
                    }));
                    continue;
                }
            };
            match done {
                Ok(done) => {
                    self.written(&done);
                    self.log(at, &write, &done);
                }
                Err(why) => return Err(Box::new((write, why))),
            }
        }
        Ok(())
    }

    fn log(&mut self, at: usize, write: &Write, done: &Done) {
        let object = done.after.as_ref().or(done.before.as_ref()).unwrap();
        let before = done.before.as_ref().map(reduced);
        let after = done.after.as_ref().map(reduced);
        let (verb, body) = match write {
            Write::Create { .. } => {
                let mut made = after.clone().unwrap();
                made.as_object_mut().unwrap().remove("status");
                ("create", made)
            }
            Write::Delete { propagation, .. } => ("delete", json!(propagation.map(|p| format!("{p:?}")))),
            Write::UpdateStatus { .. } => {
                let after = after.clone().unwrap_or(json!({}));
                let mut change = difference(&before.clone().unwrap()["metadata"], &after["metadata"]);
                change.as_object_mut().unwrap().remove("generation");
                ("status", json!({"status": after["status"], "metadata_change": change}))
            }
            Write::Finalize { .. } => ("change", json!({"spec": after.as_ref().map(|a| &a["spec"])})),
            Write::Update { .. } | Write::Patch { .. } => {
                let mut change = difference(
                    &before.clone().unwrap(),
                    &after.clone().unwrap_or_else(|| {
                        let mut gone = before.clone().unwrap();
                        gone["metadata"].as_object_mut().unwrap().remove("finalizers");
                        gone
                    }),
                );
                if let Some(metadata) = change.get_mut("metadata").and_then(Json::as_object_mut) {
                    metadata.remove("generation");
                }
                ("change", change)
            }
            Write::Event(_) => return,
        };
        if before.is_some() && before == after && verb != "delete" {
            return;
        }
        self.trace.push(Entry {
            by: self.controllers[at].name().into(),
            verb,
            kind: object.kind().into(),
            name: object.name().into(),
            body,
            at: self.elapsed(),
        });
    }

    fn next_at(&self) -> Option<Timestamp> {
        let looks = self.wakes.values().chain(self.batched.values());
        self.kubelet.next_at().into_iter().chain(looks.copied()).min()
    }

    /// Runs until that time, or until `stop` says so.
    pub fn run_until(&mut self, end: Timestamp, stop: &mut dyn FnMut(&Cluster) -> bool) {
        loop {
            self.settle();
            if stop(self) {
                return;
            }
            match self.next_at().filter(|at| *at <= end) {
                Some(at) => self.step(at),
                None => {
                    self.api.now = self.api.now.max(end);
                    return;
                }
            }
        }
    }

    fn step(&mut self, at: Timestamp) {
        self.api.now = self.api.now.max(at);
        if self.kubelet.next_at().is_some_and(|due| due <= at) {
            let (uid, key, step) = self.kubelet.pop().unwrap();
            self.play(&uid, &key, &step);
            return;
        }
        let due: Vec<_> = self.wakes.iter().filter(|(_, when)| **when <= at).map(|(k, _)| k.clone()).collect();
        let batched = self.batched.extract_if(.., |_, when| *when <= at).map(|(look, _)| look).collect::<Vec<_>>();
        for (controller, key) in due.into_iter().chain(batched) {
            self.wakes.remove(&(controller, key.clone()));
            self.enqueue(controller, key);
        }
    }

    fn play(&mut self, uid: &str, key: &Key, step: &Step) {
        let Ok(mut object) = self.api.get(key) else { return };
        if object.uid() != uid {
            return;
        }
        let now = self.api.now;
        match step {
            Step::Provision => return self.provision(&object),
            Step::Bind => {
                let Some(node) = self.node_for(&object) else {
                    self.kubelet.plan(now + SignedDuration::from_millis(50), uid, key, Step::Bind);
                    return;
                };
                object.json_mut()["spec"]["nodeName"] = json!(node);
                let mut status = object.at("/status").cloned().unwrap();
                condition(&mut status, "PodScheduled", "True", "", now);
                object.json_mut()["status"] = status;
                self.kubelet.bound(key, &object, now);
            }
            Step::Run | Step::Ready(_) | Step::Exit { .. } | Step::Restart | Step::Reject | Step::Terminate => {
                let status = self.kubelet.status(key, &object, step, now);
                object.json_mut()["status"] = status;
            }
        }
        self.replace(key, object);
        if *step == Step::Terminate {
            let done = self.api.delete(key, Some(uid), None, Some(0)).unwrap();
            self.written(&done);
        }
    }

    fn replace(&mut self, key: &Key, object: Object) {
        let before = self.api.get(key).unwrap();
        self.api.state.put(key.clone(), object.clone());
        self.written(&Done { before: Some(before), after: Some(object) });
    }

    fn node_for(&self, pod: &Object) -> Option<String> {
        let named = pod.str_at("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0");
        let claims = pod.at("/spec/volumes").and_then(Json::as_array).into_iter().flatten();
        for claim in claims.filter_map(|v| v["persistentVolumeClaim"]["claimName"].as_str()) {
            let key = Key::new(resource_of("PersistentVolumeClaim"), pod.namespace(), claim);
            if self.api.get(&key).ok()?.str_at("/status/phase") != Some("Bound") {
                return None;
            }
        }
        Some(named.unwrap_or("n1").to_owned())
    }

    fn provision(&mut self, claim: &Object) {
        self.put(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume_of(claim)},
            "spec": {
                "accessModes": claim.at("/spec/accessModes"), "capacity": claim.at("/spec/resources/requests"),
                "hostPath": {"path": "/x", "type": ""}, "persistentVolumeReclaimPolicy": "Retain",
                "volumeMode": "Filesystem",
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": claim.name(),
                    "namespace": claim.namespace(), "uid": claim.uid()},
            },
        }));
    }

    /// What the pretend provisioner made goes with its claim.
    fn unprovision(&mut self, claim: &Object) {
        let key = Key::new(resource_of("PersistentVolume"), "", &volume_of(claim));
        if let Ok(done) = self.api.delete(&key, None, None, None) {
            self.written(&done);
        }
    }

    pub fn wait(&mut self, seconds: f64) {
        let end = self.api.now + SignedDuration::from_micros((seconds * 1e6) as i64);
        self.run_until(end, &mut |_| false);
    }

    /// Waits until nobody has written for so long.
    pub fn wait_quiet(&mut self, quiet: f64, max: f64) {
        let from = self.api.now;
        let quiet = SignedDuration::from_micros((quiet * 1e6) as i64);
        let end = from + SignedDuration::from_micros((max * 1e6) as i64);
        loop {
            self.settle();
            let still_until = self.last_write_at.max(from) + quiet;
            let next = self.next_at().unwrap_or(Timestamp::MAX);
            if next > still_until.min(end) {
                self.api.now = self.api.now.max(still_until.min(end));
                return;
            }
            self.step(next);
        }
    }

    pub fn wait_for(&mut self, max: f64, mut fulfilled: impl FnMut(&Cluster) -> bool) {
        let end = self.api.now + SignedDuration::from_micros((max * 1e6) as i64);
        self.run_until(end, &mut fulfilled);
    }

    /// Patches a pod's status as a node agent would: conditions merge by type.
    pub fn patch_pod_status(&mut self, key: &Key, patch: &Json) {
        let Ok(mut pod) = self.api.get(key) else { return };
        let mut patch = patch.get("status").unwrap_or(patch).clone();
        let mut status = pod.at("/status").cloned().unwrap_or(json!({}));
        let conditions = patch.as_object_mut().unwrap().remove("conditions");
        for new in conditions.iter().flat_map(|c| c.as_array().unwrap()) {
            let text = |name: &str| new.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
            condition(&mut status, &text("type"), &text("status"), &text("reason"), self.api.now);
            if let Some(message) = new.get("message") {
                let list = status["conditions"].as_array_mut().unwrap();
                list.iter_mut().find(|c| c["type"] == new["type"]).unwrap()["message"] = message.clone();
            }
        }
        merge(&mut status, &patch);
        pod.json_mut()["status"] = status;
        self.replace(key, pod);
    }

    /// Evicts a pod as the eviction subresource does; `false` when a budget forbids it.
    pub fn evict(&mut self, key: &Key) -> bool {
        let Ok(pod) = self.api.get(key) else { return false };
        let budgets: Vec<Object> = self
            .api
            .state
            .in_namespace(&resource_of("PodDisruptionBudget"), pod.namespace())
            .map(|b| b.as_ref().clone())
            .filter(|b| {
                b.at("/spec/selector/matchLabels")
                    .and_then(Json::as_object)
                    .into_iter()
                    .flatten()
                    .all(|(k, v)| pod.at("/metadata/labels").and_then(|l| l.get(k)) == Some(v))
            })
            .collect();
        for mut budget in budgets {
            let ready = pod
                .at("/status/conditions")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            let healthy = budget.i64_at("/status/currentHealthy").unwrap_or(0);
            let enough = healthy >= budget.i64_at("/status/desiredHealthy").unwrap_or(0) && healthy > 0;
            let free = budget.str_at("/spec/unhealthyPodEvictionPolicy") == Some("AlwaysAllow") || enough;
            if !ready && free {
                continue;
            }
            let allowed = budget.i64_at("/status/disruptionsAllowed").unwrap_or(0);
            if allowed <= 0 {
                return false;
            }
            budget.json_mut()["status"]["disruptionsAllowed"] = json!(allowed - 1);
            budget.json_mut()["status"]["disruptedPods"][pod.name()] = stamp(self.api.now);
            let budget_key = Key::new(resource_of("PodDisruptionBudget"), pod.namespace(), budget.name());
            self.replace(&budget_key, budget);
        }
        let mut marked = pod.clone();
        let mut status = marked.at("/status").cloned().unwrap();
        condition(&mut status, "DisruptionTarget", "True", "EvictionByEvictionAPI", self.api.now);
        status["conditions"].as_array_mut().unwrap().last_mut().unwrap()["message"] = json!("Eviction API: evicting");
        marked.json_mut()["status"] = status;
        self.replace(key, marked);
        let done = self.api.delete(key, None, None, None).unwrap();
        self.written(&done);
        true
    }
}

fn is_same_generation(change: &Change) -> bool {
    let sides = change.before.as_ref().zip(change.after.as_ref());
    sides.is_some_and(|(before, after)| before.generation() == after.generation())
}

fn volume_of(claim: &Object) -> String {
    format!("pv-{}--{}", claim.namespace(), claim.name())
}
