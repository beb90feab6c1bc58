//! The rules of one pod's life, played on the pretend node in virtual time.

mod again;
mod turns;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::json;

use super::hooks::PreStop;
use super::memory::Kill;
use super::*;
use crate::api::{GroupResource, Json, Key, Object};
use crate::runtime::simulated::{Behaviour, Simulated};
use crate::runtime::{Machine, Outcome, Runtime, Sandbox};
use crate::state::State;

/// One pod, its memory and a pretend node.
pub(in crate::node) struct Play {
    pub(in crate::node) now: Arc<Mutex<Timestamp>>,
    pub(in crate::node) node: Simulated,
    pub(in crate::node) machine: Machine,
    pub(in crate::node) config: NodeConfig,
    pub(in crate::node) state: State,
    pub(in crate::node) tokens: Tokens,
    pub(in crate::node) pod: Pod,
    pub(in crate::node) gone: Cell<bool>,
    pub(in crate::node) memory: PodMemory,
    pub(in crate::node) events: Vec<String>,
    /// Distinct statuses, short.
    pub(in crate::node) seen: Vec<String>,
    pub(in crate::node) finalized: bool,
    pub(in crate::node) hooks: Vec<String>,
    /// How hooks end, the last first; where it is empty, well.
    pub(in crate::node) hook_results: Vec<Result<(), String>>,
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the pretend node answers at once"),
    }
}

impl Play {
    pub(in crate::node) fn new(spec: Json) -> Self {
        let now = Arc::new(Mutex::new(Timestamp::from_second(1_000_000).unwrap()));
        let clock = now.clone();
        let node = Simulated::new(Arc::new(move || *clock.lock().unwrap()));
        node.has_image("i");
        let machine = wait(node.machine()).unwrap();
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec});
        Play {
            now,
            node,
            machine,
            config: NodeConfig { cluster_domain: "cluster.local".into(), ..NodeConfig::default() },
            state: State::new(),
            tokens: Tokens::new(),
            pod: serde_json::from_value(pod).unwrap(),
            gone: Cell::new(false),
            memory: PodMemory::default(),
            events: Vec::new(),
            seen: Vec::new(),
            finalized: false,
            hooks: Vec::new(),
            hook_results: Vec::new(),
        }
    }

    pub(in crate::node) fn time(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn has(&mut self, resource: &str, name: &str, mut object: Json) {
        object["metadata"] = json!({"name": name, "namespace": "ns"});
        self.state.put(Key::new(GroupResource::new("", resource), "ns", name), Object::new(object));
    }

    /// One look and its steps; gives the time of the next look, or `None` when a step was made.
    fn look(&mut self) -> Option<Option<Timestamp>> {
        let now = self.time();
        let observed: Option<Sandbox> = wait(self.node.observe_pod("u")).unwrap();
        let context = Context {
            state: &self.state,
            machine: &self.machine,
            config: &self.config,
            now,
            addresses: &[],
            tokens: &self.tokens,
            refusal: None,
        };
        let decision = sync_pod(&self.pod, self.gone.get(), observed.as_ref(), &mut self.memory, &context);
        self.note(decision.events);
        self.show(&decision.status);
        self.pod.status = Some(decision.status);
        self.finalized |= decision.then == Then::Finalize;
        let done = decision.steps.is_empty() && decision.hooks.is_empty();
        for call in decision.hooks {
            self.hooks.push(format!("{:?} {}", call.kind, call.container));
            let result = self.hook_results.pop().unwrap_or(Ok(()));
            let events = self.memory.hook_ended(&self.pod, &call, result);
            self.note(events);
        }
        for step in decision.steps {
            let result = wait(self.node.execute(&step.action));
            let events = self.memory.record(&self.pod, &step.action, &result, now);
            self.note(events);
        }
        done.then_some(decision.wake_at)
    }

    fn note(&mut self, events: Vec<PodEvent>) {
        self.events.extend(events.into_iter().map(|e| format!("{} {}", e.reason, e.message)));
    }

    fn show(&mut self, status: &PodStatus) {
        let state = |s: &k8s_openapi::api::core::v1::ContainerStatus| {
            let state = s.state.clone().unwrap_or_default();
            let text = match (state.running, state.waiting, state.terminated) {
                (Some(_), ..) => "running".to_owned(),
                (_, Some(w), _) => w.reason.unwrap_or_default(),
                (.., Some(t)) => format!("{}({})", t.reason.unwrap_or_default(), t.exit_code),
                _ => "nothing".into(),
            };
            let last = s.last_state.clone().and_then(|l| l.terminated).map(|t| format!(" last {}", t.exit_code));
            let marks = if s.ready { " ready" } else { "" };
            format!("{}={text}{}{marks} r{}", s.name, last.unwrap_or_default(), s.restart_count)
        };
        let init = status.init_container_statuses.iter().flatten().map(state);
        let all: Vec<String> = init.chain(status.container_statuses.iter().flatten().map(state)).collect();
        let line = format!("{} {}", status.phase.clone().unwrap_or_default(), all.join(", "));
        if self.seen.last() != Some(&line) {
            self.seen.push(line);
        }
    }

    /// Looks until nothing is left to do before `seconds` have passed.
    pub(in crate::node) fn run(&mut self, seconds: i64) {
        let end = self.time() + SignedDuration::from_secs(seconds);
        for _ in 0..2000 {
            let Some(wake_at) = self.look() else { continue };
            if self.finalized {
                return;
            }
            let change = self.node.next_change();
            let soon = self.time() + SignedDuration::from_millis(1);
            let next = [wake_at.map(|w| w.max(soon)), change].into_iter().flatten().min();
            match next.filter(|n| *n <= end) {
                Some(next) => *self.now.lock().unwrap() = next,
                None => {
                    *self.now.lock().unwrap() = end;
                    return;
                }
            }
        }
        panic!("no end of steps: {:?}", self.node.take_log());
    }

    pub(in crate::node) fn delete(&mut self, grace: i64) {
        let at = self.time() + SignedDuration::from_secs(grace);
        self.pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
    }

    pub(in crate::node) fn count(&self, start: &str) -> usize {
        self.events.iter().filter(|e| e.starts_with(start)).count()
    }

    pub(in crate::node) fn conditions(&self) -> BTreeMap<String, String> {
        let all = self.pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        all.into_iter().map(|c| (c.type_, format!("{} {}", c.status, c.reason.unwrap_or_default()).trim().to_owned())).collect()
    }

    #[track_caller]
    pub(in crate::node) fn no_breach(&self) {
        assert_eq!(self.node.breaches(), Vec::<String>::new());
    }
}

fn one(policy: &str) -> Json {
    json!({"restartPolicy": policy, "containers": [{"name": "c", "image": "i", "imagePullPolicy": "IfNotPresent"}]})
}

#[test]
fn a_plain_pod_comes_up_ready() {
    let mut play = Play::new(one("Always"));
    play.run(5);
    assert_eq!(play.seen, ["Pending c=ContainerCreating r0", "Running c=running ready r0"]);
    assert_eq!(play.conditions()["Ready"], "True");
    assert_eq!(
        play.events,
        ["Pulled Container image \"i\" already present on machine", "Created Created container: c", "Started Started container c"]
    );
    let log = play.node.take_log();
    assert_eq!(log, ["run-sandbox p", "inspect-image i", "create p/c#0", "start p/c#0"]);
    play.no_breach();
}

#[test]
fn the_nodes_addresses_are_those_of_the_pods_families() {
    let told = |ranges: &[&str]| {
        let mut spec = one("Always");
        spec["hostNetwork"] = json!(true);
        let mut play = Play::new(spec);
        play.machine.addresses = ["192.0.2.1", "192.0.2.2", "fd00::1"].map(|ip| ip.parse().unwrap()).to_vec();
        play.config.pod_cidrs = ranges.iter().map(|range| (*range).to_owned()).collect();
        play.run(5);
        let status = play.pod.status.clone().unwrap();
        let host: Vec<String> = status.host_ips.iter().flatten().map(|h| h.ip.clone()).collect();
        let pod: Vec<String> = status.pod_ips.iter().flatten().map(|p| p.ip.clone()).collect();
        assert_eq!((status.host_ip.as_ref(), status.pod_ip.as_ref()), (host.first(), pod.first()));
        assert_eq!(host, pod, "a pod in the node's network has the node's addresses");
        host
    };
    assert_eq!(told(&[]), ["192.0.2.1"]);
    assert_eq!(told(&["10.1.0.0/24"]), ["192.0.2.1"]);
    assert_eq!(told(&["10.1.0.0/24", "fd00:1::/120"]), ["192.0.2.1", "fd00::1"]);
}

#[test]
fn a_crash_loop_backs_off_from_ten_seconds_doubling() {
    let mut play = Play::new(one("Always"));
    play.node.behave("i", vec![Behaviour::ends(1, 1)]);
    play.run(100);
    let starts = play.count("Started");
    assert_eq!(starts, 5, "at 0, 1, 12, 33, 74 s: {:?}", play.seen);
    assert!(play.seen.iter().any(|s| s.contains("c=CrashLoopBackOff last 1 r1")), "{:?}", play.seen);
    let status = play.pod.status.clone().unwrap();
    let waiting = status.container_statuses.unwrap()[0].state.clone().unwrap().waiting.unwrap();
    assert_eq!(waiting.message.as_deref(), Some("back-off 1m20s restarting failed container=c pod=p_ns(u)"));
    assert_eq!(status.phase.as_deref(), Some("Running"));
    play.no_breach();
}

#[test]
fn back_off_is_taken_up_again_by_a_new_process() {
    let mut play = Play::new(one("Always"));
    play.node.behave("i", vec![Behaviour::ends(1, 1)]);
    play.run(40);
    let before = play.count("Started");
    play.memory = PodMemory::default();
    play.run(20);
    assert_eq!(play.count("Started"), before, "{:?}", play.seen);
    play.run(40);
    assert_eq!(play.count("Started"), before + 1);
}

#[test]
fn a_completed_pod_shows_its_end_before_its_phase() {
    let mut play = Play::new(one("Never"));
    play.node.behave("i", vec![Behaviour::ends(2, 0)]);
    play.run(10);
    assert_eq!(
        play.seen,
        [
            "Pending c=ContainerCreating r0",
            "Running c=running ready r0",
            "Running c=Completed(0) r0",
            "Succeeded c=Completed(0) r0"
        ]
    );
    assert_eq!(play.conditions()["Ready"], "False PodCompleted");
    assert_eq!(play.conditions()["PodReadyToStartContainers"], "False");
    assert_eq!(play.node.take_log().last().map(String::as_str), Some("stop-sandbox p"));
}

#[test]
fn a_failure_under_never_fails_the_pod_and_under_on_failure_restarts() {
    let mut play = Play::new(one("Never"));
    play.node.behave("i", vec![Behaviour::ends(1, 3)]);
    play.run(10);
    assert_eq!(play.seen.last().unwrap(), "Failed c=Error(3) r0");
    let mut play = Play::new(one("OnFailure"));
    play.node.behave("i", vec![Behaviour::ends(1, 3), Behaviour::ends(1, 0)]);
    play.run(30);
    assert_eq!(play.seen.last().unwrap(), "Succeeded c=Completed(0) r1");
}

#[test]
fn an_ephemeral_container_runs_once_beside_the_others() {
    let mut play = Play::new(one("Always"));
    play.run(5);
    let ephemeral = |target: &str| json!([{"name": "d", "image": "e", "imagePullPolicy": "IfNotPresent", "targetContainerName": target}]);
    play.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(ephemeral("c")).unwrap();
    play.node.has_image("e");
    play.node.behave("e", vec![Behaviour::ends(3, 7)]);
    play.node.take_log();
    play.run(600);
    let status = play.pod.status.clone().unwrap();
    let debug = status.ephemeral_container_statuses.unwrap().remove(0);
    let ended = debug.state.unwrap().terminated.expect("it has ended");
    assert_eq!((ended.exit_code, debug.restart_count, debug.ready, debug.started), (7, 0, false, None));
    assert_eq!(play.node.take_log(), ["inspect-image e", "create p/d#0", "start p/d#0"]);
    assert_eq!(status.phase.as_deref(), Some("Running"), "the pod goes on");
    play.no_breach();

    let mut play = Play::new(one("Always"));
    play.node.has_image("e");
    play.run(5);
    play.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(ephemeral("gone")).unwrap();
    play.run(5);
    let status = play.pod.status.clone().unwrap().ephemeral_container_statuses.unwrap().remove(0);
    let waiting = status.state.unwrap().waiting.expect("it waits");
    assert_eq!(waiting.reason.as_deref(), Some("CreateContainerConfigError"));
    assert_eq!(waiting.message.as_deref(), Some("unable to find target container gone"));
}

#[test]
fn deletion_gives_the_grace_and_then_kills() {
    let mut play = Play::new(one("Always"));
    play.node.behave("i", vec![Behaviour { ends_on_signal_after: None, ..Behaviour::default() }]);
    play.run(5);
    play.node.take_log();
    play.delete(7);
    let begun = play.time();
    play.run(60);
    assert!(play.finalized);
    assert_eq!(play.time().duration_since(begun), SignedDuration::from_secs(7));
    assert_eq!(play.node.take_log(), ["signal p/c#0 15", "signal p/c#0 9", "remove-sandbox p"]);
    assert_eq!(play.seen.last().unwrap(), "Failed c=Error(137) r0");
    assert_eq!(play.count("Killing Stopping container c"), 1);
}

#[test]
fn the_grace_begins_when_the_container_was_told_to_end() {
    let play = Play::new(one("Always"));
    let (asked, told) = (play.time(), play.time() + SignedDuration::from_secs(5));
    let mut memory = PodMemory::default();
    let action = Action::SignalContainer { id: "p/c#0".into(), pod_uid: "p".into(), signal: 15 };
    let kill = Kill {
        name: "c".into(),
        since: asked,
        pre_stop: PreStop::None,
        term_sent_at: Some(asked),
        on_its_way: true,
        grace: SignedDuration::from_secs(7),
        kill_sent: false,
        retry_at: None,
    };
    memory.kills.insert("p/c#0".into(), kill.clone());
    memory.record(&play.pod, &action, &Ok(Outcome::Done), told);
    let expected = Kill { since: told, term_sent_at: Some(told), on_its_way: false, ..kill.clone() };
    assert_eq!(memory.kills["p/c#0"], expected);
    // Once it was told, a second answer changes nothing.
    memory.record(&play.pod, &action, &Ok(Outcome::Done), told + SignedDuration::from_secs(5));
    assert_eq!(memory.kills["p/c#0"], expected);
}

#[test]
fn graces_below_two_seconds_still_leave_two() {
    let mut play = Play::new(one("Always"));
    play.node.behave("i", vec![Behaviour { ends_on_signal_after: None, ..Behaviour::default() }]);
    play.run(5);
    play.gone.set(true);
    let begun = play.time();
    play.run(60);
    assert_eq!(play.time().duration_since(begun), SignedDuration::from_secs(2));
    assert!(play.finalized);
}

#[test]
fn an_image_that_cannot_be_had_backs_off() {
    let mut spec = one("Always");
    spec["containers"][0]["image"] = json!("nope:1");
    let mut play = Play::new(spec);
    play.node.no_registry_has("nope:1");
    play.run(200);
    let pulls = play.node.take_log().iter().filter(|l| *l == "pull nope:1").count();
    assert_eq!(pulls, 5, "at 0, 10, 30, 70, 150 s");
    assert!(play.seen.contains(&"Pending c=ErrImagePull r0".to_owned()), "{:?}", play.seen);
    assert_eq!(play.seen.last().unwrap(), "Pending c=ImagePullBackOff r0");
    play.node.registry_has("nope:1");
    play.run(300);
    assert_eq!(play.seen.last().unwrap(), "Running c=running ready r0");
}

#[test]
fn an_image_is_never_pulled_under_never() {
    let mut spec = one("Always");
    spec["containers"][0] = json!({"name": "c", "image": "nope:1", "imagePullPolicy": "Never"});
    let mut play = Play::new(spec);
    play.run(20);
    assert_eq!(play.seen.last().unwrap(), "Pending c=ErrImageNeverPull r0");
    assert!(!play.node.take_log().iter().any(|l| l.starts_with("pull")));
}

#[test]
fn init_containers_run_one_after_the_other_and_hold_main_back() {
    let mut spec = one("Always");
    spec["initContainers"] = json!([{"name": "i1", "image": "quick"}, {"name": "i2", "image": "quick"}]);
    let mut play = Play::new(spec);
    play.node.behave("quick", vec![Behaviour::ends(1, 0)]);
    play.run(10);
    assert_eq!(play.seen.last().unwrap(), "Running i1=Completed(0) ready r0, i2=Completed(0) ready r0, c=running ready r0");
    let starts: Vec<String> = play.node.take_log().into_iter().filter(|l| l.starts_with("start")).collect();
    assert_eq!(starts, ["start p/i1#0", "start p/i2#0", "start p/c#0"]);
    assert!(play.seen.iter().all(|s| !s.contains("c=running") || s.contains("i2=Completed(0)")));
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let mut spec = one("Never");
    spec["initContainers"] = json!([{"name": "i1", "image": "bad"}]);
    let mut play = Play::new(spec);
    play.node.behave("bad", vec![Behaviour::ends(1, 4)]);
    play.run(10);
    assert_eq!(play.seen.last().unwrap(), "Failed i1=Error(4) r0, c=PodInitializing r0");
}

#[test]
fn sidecars_outlive_main_and_end_last_in_reverse_order() {
    let mut spec = one("Never");
    spec["initContainers"] =
        json!([{"name": "s1", "image": "side", "restartPolicy": "Always"}, {"name": "s2", "image": "side", "restartPolicy": "Always"}]);
    let mut play = Play::new(spec);
    play.node.has_image("side");
    play.node.behave("i", vec![Behaviour::ends(3, 0)]);
    play.run(10);
    assert_eq!(play.seen.last().unwrap(), "Succeeded s1=Completed(0) r0, s2=Completed(0) r0, c=Completed(0) r0");
    let log = play.node.take_log();
    let signals: Vec<&String> = log.iter().filter(|l| l.starts_with("signal")).collect();
    assert_eq!(signals, ["signal p/s2#0 15", "signal p/s1#0 15"]);
}

#[test]
fn a_lost_sandbox_is_made_anew_with_all_containers() {
    let mut play = Play::new(one("Always"));
    play.run(5);
    play.node.kill_sandbox("p");
    play.run(10);
    assert_eq!(play.seen.last().unwrap(), "Running c=running last 0 ready r1");
    assert_eq!(play.count("SandboxChanged"), 1);
    assert_eq!(play.count("Killing Stopping container c"), 1);
    play.no_breach();
}

#[test]
fn a_lost_sandbox_ends_a_pod_that_never_restarts() {
    let mut play = Play::new(one("Never"));
    play.run(5);
    play.node.kill_sandbox("p");
    play.run(40);
    assert_eq!(play.seen.last().unwrap(), "Succeeded c=Completed(0) r0");
}

#[test]
fn a_changed_image_restarts_the_container_at_once() {
    let mut play = Play::new(one("Never"));
    play.run(5);
    play.node.has_image("j");
    play.pod.spec.as_mut().unwrap().containers[0].image = Some("j".into());
    play.run(5);
    assert_eq!(play.count("Killing Container c definition changed, will be restarted"), 1);
    assert_eq!(play.seen.last().unwrap(), "Running c=running last 0 ready r1");
}

#[test]
fn a_deadline_ends_the_pod_with_its_reason() {
    let mut spec = one("Always");
    spec["activeDeadlineSeconds"] = json!(4);
    let mut play = Play::new(spec);
    play.run(20);
    let status = play.pod.status.clone().unwrap();
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(play.seen.last().unwrap(), "Failed c=Completed(0) r0");
    assert_eq!(play.conditions()["Ready"], "False PodFailed");
}

#[test]
fn missing_configuration_holds_the_container_until_it_comes() {
    let mut spec = one("Always");
    spec["containers"][0]["env"] = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "a"}}}]);
    let mut play = Play::new(spec);
    play.run(20);
    assert_eq!(play.seen.last().unwrap(), "Pending c=CreateContainerConfigError r0");
    assert!(play.count("Failed Error: configmap \"cfg\" not found") >= 1);
    play.has("configmaps", "cfg", json!({"data": {"a": "1"}}));
    play.run(20);
    assert_eq!(play.seen.last().unwrap(), "Running c=running ready r0");
}

#[test]
fn a_missing_volume_source_holds_the_sandbox_with_growing_pauses() {
    let mut spec = one("Always");
    spec["volumes"] = json!([{"name": "v", "configMap": {"name": "cfg"}}, {"name": "unused", "secret": {"secretName": "none"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    let mut play = Play::new(spec);
    play.run(8);
    assert_eq!(play.count("FailedMount MountVolume.SetUp failed for volume \"v\" : configmap \"cfg\" not found"), 5);
    assert!(play.node.sandboxes().is_empty());
    play.has("configmaps", "cfg", json!({"data": {"a": "1"}}));
    play.run(60);
    assert_eq!(play.seen.last().unwrap(), "Running c=running ready r0");
    play.node.take_log();
    play.has("configmaps", "cfg", json!({"data": {"a": "2"}}));
    play.run(5);
    assert_eq!(play.node.take_log(), ["write-volume v"]);
    play.no_breach();
}

#[test]
fn a_command_that_is_missing_shows_run_container_error() {
    let mut play = Play::new(one("Always"));
    play.node.behave("i", vec![Behaviour { start_error: Some("no such file".into()), ..Behaviour::default() }]);
    play.run(5);
    assert!(play.seen.contains(&"Running c=RunContainerError last 128 r0".to_owned()), "{:?}", play.seen);
    assert_eq!(play.seen.last().unwrap(), "Running c=RunContainerError last 128 r1");
    play.run(8);
    assert!(play.seen.contains(&"Running c=CrashLoopBackOff last 128 r1".to_owned()), "{:?}", play.seen);
    let mut play = Play::new(one("Never"));
    play.node.behave("i", vec![Behaviour { start_error: Some("no such file".into()), ..Behaviour::default() }]);
    play.run(5);
    assert_eq!(play.seen.last().unwrap(), "Failed c=StartError(128) r0");
}

fn with_sidecar(policy: &str) -> Json {
    json!({
        "restartPolicy": policy,
        "initContainers": [{"name": "s", "image": "side", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"}],
        "containers": [{"name": "c", "image": "i", "imagePullPolicy": "IfNotPresent"}],
    })
}

#[test]
fn a_sidecar_that_ends_at_once_holds_back_what_follows() {
    let mut play = Play::new(with_sidecar("Always"));
    play.node.has_image("side");
    play.node.behave("side", vec![Behaviour::ends(0, 1)]);
    play.run(20);
    assert_eq!(play.count("Started Started container c"), 0, "{:?}", play.seen);
    play.no_breach();
}

#[test]
fn a_pod_whose_main_container_is_in_back_off_beside_a_sidecar_is_pending() {
    let mut play = Play::new(with_sidecar("Always"));
    play.node.has_image("side");
    play.node.behave("i", vec![Behaviour::ends(1, 1)]);
    play.run(15);
    let held = play.seen.iter().find(|s| s.contains("c=CrashLoopBackOff last 1 r1"));
    assert!(held.is_some_and(|s| s.starts_with("Pending")), "{:?}", play.seen);
}

#[test]
fn a_sidecar_is_shown_running_until_the_pod_has_ended() {
    let mut play = Play::new(with_sidecar("Never"));
    play.node.has_image("side");
    play.node.behave("i", vec![Behaviour::ends(1, 0)]);
    play.node.behave("side", vec![Behaviour { ends_on_signal_after: Some(std::time::Duration::from_secs(2)), ..Behaviour::default() }]);
    play.run(20);
    let ending = play.seen.iter().find(|s| s.contains("c=Completed(0)")).unwrap();
    assert!(ending.starts_with("Running") && ending.contains("s=running"), "{:?}", play.seen);
    assert!(play.seen.last().unwrap().starts_with("Succeeded"), "{:?}", play.seen);
}

#[test]
fn a_pod_past_its_deadline_tells_what_held_it_then_that_it_failed_then_what_never_ran() {
    let mut spec = one("Always");
    spec["activeDeadlineSeconds"] = json!(5);
    spec["containers"][0]["image"] = json!("none");
    let mut play = Play::new(spec);
    play.node.no_registry_has("none");
    play.run(20);
    assert_eq!(
        play.seen[1..],
        [
            "Pending c=ErrImagePull r0",
            "Pending c=ImagePullBackOff r0",
            "Failed c=ImagePullBackOff r0",
            "Failed c=ContainerStatusUnknown(137) r0"
        ],
        "{:?}", play.events
    );
    assert_eq!(play.count("BackOff Back-off pulling image"), 1, "{:?}", play.events);
}

#[test]
fn what_was_begun_goes_on_although_the_pod_is_deleted_meanwhile() {
    let mut play = Play::new(one("Always"));
    assert_eq!(play.look(), None, "the sandbox is being made");
    play.delete(5);
    play.run(20);
    assert_eq!(play.count("Started"), 1, "{:?}", play.seen);
    assert!(play.seen.contains(&"Running c=running ready r0".to_owned()), "{:?}", play.seen);
    assert!(play.finalized);
}

#[test]
fn only_the_newest_two_attempts_are_kept() {
    let mut play = Play::new(one("Always"));
    play.node.behave("i", vec![Behaviour::ends(1, 1)]);
    play.run(400);
    let attempts: Vec<u32> = play.node.sandboxes()[0].containers.iter().map(|c| c.attempt).collect();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
}

#[test]
fn a_removed_container_comes_back_as_the_next_attempt() {
    let mut play = Play::new(one("Always"));
    play.run(5);
    play.node.kill("p", "c", 137);
    play.run(5);
    assert_eq!(play.seen.last().unwrap(), "Running c=running last 137 ready r1");
}

fn hooked(hook: &str) -> Json {
    let mut spec = one("Always");
    spec["containers"][0]["lifecycle"][hook] = json!({"exec": {"command": ["x"]}});
    spec
}

#[test]
fn a_container_is_not_shown_running_before_its_post_start_hook_has_ended_well() {
    let mut play = Play::new(hooked("postStart"));
    play.hook_results = vec![Ok(()), Err("it failed".into())];
    play.run(9);
    assert_eq!(play.hooks, ["PostStart c", "PostStart c"]);
    let texts = ["FailedPostStartHook PostStartHook failed", "Killing FailedPostStartHook"];
    assert!(texts.iter().all(|t| play.count(t) == 1), "{:?}", play.events);
    assert_eq!(
        play.seen,
        [
            "Pending c=ContainerCreating r0",
            "Running c=PostStartHookError last 0 r0",
            "Running c=running last 0 ready r1",
        ]
    );
    play.no_breach();
}

#[test]
fn a_pre_stop_hook_comes_before_the_signal() {
    let mut play = Play::new(hooked("preStop"));
    play.run(5);
    play.hook_results = vec![Err("no".into())];
    play.delete(3);
    play.run(5);
    assert_eq!(play.hooks, ["PreStop c"]);
    let of = |text: &str| play.events.iter().position(|e| e.starts_with(text)).unwrap();
    assert!(of("Killing Stopping container c") < of("FailedPreStopHook PreStopHook failed"));
    assert!(play.finalized);
    play.no_breach();
}
