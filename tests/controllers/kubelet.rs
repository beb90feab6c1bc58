//! A pretend kubelet that plays pods by the script of a recording, in virtual time.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use wl::api::{Key, Object};

use crate::api::stamp;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Bind,
    Run,
    Ready(bool),
    Exit { code: i64, restarts: bool },
    Restart,
    Reject,
    Terminate,
    Provision,
}

/// The script, what is due, and what each pod is like.
pub struct Kubelet {
    life: Json,
    due: BTreeMap<(Timestamp, u64), (String, Key, Step)>,
    counter: u64,
    made: usize,
    of_owner: HashMap<String, usize>,
    lives: HashMap<String, Json>,
    ips: usize,
    ip: HashMap<String, usize>,
    seen: HashSet<String>,
    dying: HashSet<String>,
}

fn seconds(value: f64) -> SignedDuration {
    SignedDuration::from_micros((value * 1e6) as i64)
}

impl Kubelet {
    pub fn new(life: Json) -> Self {
        Kubelet {
            life,
            due: BTreeMap::new(),
            counter: 0,
            made: 0,
            of_owner: HashMap::new(),
            lives: HashMap::new(),
            ips: 0,
            ip: HashMap::new(),
            seen: HashSet::new(),
            dying: HashSet::new(),
        }
    }

    pub fn next_at(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub fn pop(&mut self) -> Option<(String, Key, Step)> {
        self.due.pop_first().map(|(_, what)| what)
    }

    pub fn plan(&mut self, at: Timestamp, uid: &str, key: &Key, step: Step) {
        self.counter += 1;
        self.due.insert((at, self.counter), (uid.into(), key.clone(), step));
    }

    fn forget(&mut self, uid: &str) {
        self.due.retain(|_, (other, _, _)| other != uid);
    }

    fn life_of(&self, uid: &str, field: &str, default: f64) -> Option<f64> {
        match self.lives.get(uid).and_then(|l| l.get(field)) {
            Some(Json::Null) => None,
            Some(value) => value.as_f64(),
            None => Some(default),
        }
    }

    /// Notices a new, bound or deleted pod.
    pub fn notice(&mut self, key: &Key, pod: &Object, now: Timestamp) {
        let uid = pod.uid().to_owned();
        if self.seen.insert(uid.clone()) {
            self.meet(pod);
            self.plan(now + seconds(0.01), &uid, key, Step::Bind);
        }
        if pod.is_deleting() && self.dying.insert(uid.clone()) && !pod.str_at("/spec/nodeName").unwrap_or("").is_empty()
        {
            let ended = matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed"));
            self.due.retain(|_, (other, _, step)| other != &uid || (ended && *step == Step::Bind));
            if !ended && let Some(grace) = self.life_of(&uid, "grace", 0.5) {
                self.plan(now + seconds(grace), &uid, key, Step::Terminate);
            }
        }
    }

    fn meet(&mut self, pod: &Object) {
        self.made += 1;
        let owner = pod.controller_uid().unwrap_or("").to_owned();
        let nth = self.of_owner.entry(owner).or_insert(0);
        *nth += 1;
        let index = pod.annotation("batch.kubernetes.io/job-completion-index").and_then(|i| i.parse::<i64>().ok());
        let facts = json!({
            "nth": *nth, "n": self.made, "index": index, "name": pod.name(),
            "image": pod.str_at("/spec/containers/0/image"),
        });
        let mut life = self.life.get("default").cloned().unwrap_or(json!({}));
        for rule in self.life.get("rules").and_then(Json::as_array).into_iter().flatten() {
            let when = rule["when"].as_object().unwrap();
            let fits = when.iter().all(|(name, wanted)| match wanted {
                Json::Array(list) => list.contains(&facts[name]),
                one => *one == facts[name],
            });
            if fits {
                for (name, value) in rule["life"].as_object().unwrap() {
                    life[name] = value.clone();
                }
            }
        }
        self.lives.insert(pod.uid().to_owned(), life);
    }

    /// What is to come once the pod is on its node.
    pub fn bound(&mut self, key: &Key, pod: &Object, now: Timestamp) {
        let uid = pod.uid().to_owned();
        let life = self.lives[&uid].clone();
        let start = self.life_of(&uid, "start_after", 0.3).unwrap_or(0.3);
        if life.get("reject").is_some() {
            self.plan(now + seconds(start), &uid, key, Step::Reject);
        } else if life.get("never_start") != Some(&json!(true)) {
            self.plan(now + seconds(start), &uid, key, Step::Run);
        }
    }

    fn plan_running(&mut self, key: &Key, pod: &Object, now: Timestamp, restarts: i64) {
        let uid = pod.uid().to_owned();
        let life = self.lives[&uid].clone();
        let start = self.life_of(&uid, "start_after", 0.3).unwrap_or(0.3);
        let ready = self.life_of(&uid, "ready_after", 0.8);
        if let Some(ready) = ready {
            self.plan(now + seconds((ready - start).max(0.0)), &uid, key, Step::Ready(true));
        }
        for flap in life.get("ready_flaps").and_then(Json::as_array).into_iter().flatten() {
            let at = now + seconds(flap[0].as_f64().unwrap() - start);
            self.plan(at, &uid, key, Step::Ready(flap[1] == true));
        }
        let exits = life.get("exits").and_then(Json::as_array);
        if let Some(exit) = exits.and_then(|list| list.get(restarts as usize).or(list.last())) {
            let code = exit[1].as_i64().unwrap();
            let policy = pod.str_at("/spec/restartPolicy").unwrap_or("Always");
            let again = policy == "Always" || (policy == "OnFailure" && code != 0);
            self.plan(now + seconds(exit[0].as_f64().unwrap()), &uid, key, Step::Exit { code, restarts: again });
        } else if let Some(after) = life.get("exit_after").and_then(Json::as_f64) {
            let code = life.get("exit_code").and_then(Json::as_i64).unwrap_or(0);
            self.plan(now + seconds(after), &uid, key, Step::Exit { code, restarts: false });
        }
    }

    /// The pod's status after the step.
    pub fn status(&mut self, key: &Key, pod: &Object, step: &Step, now: Timestamp) -> Json {
        let uid = pod.uid().to_owned();
        let life = self.lives.get(&uid).cloned().unwrap_or(json!({}));
        let mut status = pod.at("/status").cloned().unwrap_or(json!({}));
        let restarts = pod.i64_at("/status/containerStatuses/0/restartCount").unwrap_or(0);
        let not_ready = "ContainersNotReady";
        match step {
            Step::Run | Step::Restart => {
                let ips = &mut self.ips;
                let ip = *self.ip.entry(uid.clone()).or_insert_with(|| {
                    *ips += 1;
                    *ips
                });
                status["phase"] = json!("Running");
                status["podIP"] = json!(format!("10.1.0.{ip}"));
                status["podIPs"] = json!([{"ip": format!("10.1.0.{ip}")}]);
                if *step == Step::Run {
                    status["startTime"] = stamp(now);
                }
                condition(&mut status, "Initialized", "True", "", now);
                readiness(&mut status, false, not_ready, now);
                containers(&mut status, pod, &json!({"running": {"startedAt": stamp(now)}}), false, restarts);
                self.plan_running(key, pod, now, restarts);
            }
            Step::Ready(ready) => {
                readiness(&mut status, *ready, not_ready, now);
                let state = status["containerStatuses"][0]["state"].clone();
                containers(&mut status, pod, &state, *ready, restarts);
            }
            Step::Exit { restarts: true, code: _ } => {
                readiness(&mut status, false, not_ready, now);
                containers(&mut status, pod, &json!({"waiting": {"reason": "CrashLoopBackOff"}}), false, restarts + 1);
                let delay = self.life_of(&uid, "restart_delay", 10.0).unwrap_or(10.0);
                self.plan(now + seconds(delay), &uid, key, Step::Restart);
            }
            Step::Exit { code, restarts: false } => {
                self.forget(&uid);
                end(&mut status, pod, &life, *code, restarts, now);
            }
            Step::Terminate => {
                let code = life.get("term_exit").and_then(Json::as_i64).unwrap_or(137);
                end(&mut status, pod, &json!({}), code, restarts, now);
            }
            Step::Reject => {
                status["phase"] = life["reject"]["phase"].clone();
                status["reason"] = life["reject"]["reason"].clone();
            }
            Step::Bind | Step::Provision => (),
        }
        status
    }
}

fn end(status: &mut Json, pod: &Object, life: &Json, code: i64, restarts: i64, now: Timestamp) {
    let (phase, reason) = if code == 0 { ("Succeeded", "PodCompleted") } else { ("Failed", "PodFailed") };
    status["phase"] = json!(phase);
    readiness(status, false, reason, now);
    let state = json!({"terminated": {"exitCode": code, "finishedAt": stamp(now), "startedAt": stamp(now)}});
    containers(status, pod, &state, false, restarts);
    if let Some(reason) = life.pointer("/end/reason") {
        status["reason"] = reason.clone();
    }
    for extra in life.pointer("/end/conditions").and_then(Json::as_array).into_iter().flatten() {
        let text = |name: &str| extra.get(name).and_then(Json::as_str).unwrap_or("").to_owned();
        condition(status, &text("type"), &text("status"), &text("reason"), now);
    }
}

fn readiness(status: &mut Json, ready: bool, reason: &str, now: Timestamp) {
    let (value, reason) = if ready { ("True", "") } else { ("False", reason) };
    condition(status, "Ready", value, reason, now);
    condition(status, "ContainersReady", value, reason, now);
}

pub fn condition(status: &mut Json, kind: &str, value: &str, reason: &str, now: Timestamp) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let list = status["conditions"].as_array_mut().unwrap();
    let mut new = json!({"type": kind, "status": value, "lastTransitionTime": stamp(now)});
    if !reason.is_empty() {
        new["reason"] = json!(reason);
    }
    match list.iter_mut().find(|c| c["type"] == kind) {
        Some(old) => {
            if old["status"] == value {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => list.push(new),
    }
}

fn containers(status: &mut Json, pod: &Object, state: &Json, ready: bool, restarts: i64) {
    let specs = pod.at("/spec/containers").and_then(Json::as_array).cloned().unwrap_or_default();
    let list: Vec<Json> = specs
        .iter()
        .map(|c| json!({"name": c["name"], "image": c["image"], "imageID": "", "ready": ready, "restartCount": restarts, "state": state}))
        .collect();
    status["containerStatuses"] = json!(list);
}
