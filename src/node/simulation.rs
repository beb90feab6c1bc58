//! Thousands of random pods with faults, clock jumps and lost memories on the pretend node; the promises of the node agent hold
//! in all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use proptest::prelude::*;
use serde_json::json;

use super::tests::wait;
use super::*;
use crate::api::requests::is_sidecar;
use crate::api::Json;
use crate::runtime::simulated::{Behaviour, Simulated};
use crate::runtime::{Container, ContainerState, Outcome, Runtime, RuntimeErrorKind, Sandbox};
use crate::state::State;

/// Numbers of one story.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.roll(list.len() as u64)).unwrap_or(0)]
    }
}

fn behaviour(dice: &mut Dice) -> Behaviour {
    let mut behaviour = match dice.roll(6) {
        0 => Behaviour::ends(0, 0),
        1 => Behaviour::ends(dice.roll(5), i32::try_from(dice.roll(3)).unwrap_or(0)),
        2 => Behaviour { start_error: Some("no such file".into()), ..Behaviour::default() },
        3 => Behaviour::ends(dice.roll(1000), 1),
        _ => Behaviour::default(),
    };
    behaviour.ends_on_signal_after = match dice.roll(4) {
        0 => None,
        1 => Some(Duration::from_secs(dice.roll(20))),
        _ => Some(Duration::ZERO),
    };
    behaviour.exit_code_on_signal = dice.one_of(&[0, 0, 1, 143]);
    behaviour
}

fn container(dice: &mut Dice, name: &str, node: &Simulated) -> Json {
    node.behave(name, (0..=dice.roll(2)).map(|_| behaviour(dice)).collect());
    node.has_image(name);
    let mut container = json!({"name": name, "image": name, "imagePullPolicy": "IfNotPresent"});
    let hook = json!({"exec": {"command": ["hook"]}});
    if dice.roll(4) == 0 {
        container["lifecycle"]["preStop"] = hook.clone();
    }
    if dice.roll(5) == 0 {
        container["lifecycle"]["postStart"] = hook;
    }
    container
}

/// One pod's story.
struct Story {
    dice: Dice,
    now: Arc<Mutex<Timestamp>>,
    node: Simulated,
    pod: Pod,
    memory: PodMemory,
    gone: bool,
    /// The clock went back: what is measured by it says nothing any more.
    clock_jumped: bool,
    /// Ends of attempts, by container and attempt.
    ends: BTreeMap<(String, u32), Timestamp>,
    /// When the tries began that attempts came of; a try begins with its image, which has the container's name.
    begins: BTreeMap<(String, u32), Timestamp>,
    tries: BTreeMap<String, Timestamp>,
    terms: BTreeMap<String, Timestamp>,
    /// Attempts whose start was no restart after a failure: killed by us, or begun with a new sandbox.
    excused: bool,
    hooks: Vec<HookCall>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let now = Arc::new(Mutex::new(Timestamp::from_second(1_000_000).expect("a time")));
        let clock = now.clone();
        let node = Simulated::new(Arc::new(move || *clock.lock().expect("no panic")));
        let init: Vec<Json> = (0..dice.roll(3))
            .map(|n| {
                let mut c = container(&mut dice, &format!("i{n}"), &node);
                if dice.roll(2) == 0 {
                    c["restartPolicy"] = json!("Always");
                } else {
                    c["lifecycle"] = Json::Null;
                }
                c
            })
            .collect();
        let main: Vec<Json> = (0..=dice.roll(2)).map(|n| container(&mut dice, &format!("c{n}"), &node)).collect();
        let mut spec = json!({
            "restartPolicy": dice.one_of(&["Always", "OnFailure", "Never"]),
            "terminationGracePeriodSeconds": dice.roll(12),
            "initContainers": init, "containers": main,
        });
        if dice.roll(6) == 0 {
            spec["activeDeadlineSeconds"] = json!(1 + dice.roll(60));
        }
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec});
        Story {
            dice,
            now,
            node,
            pod: serde_json::from_value(pod).expect("a pod"),
            memory: PodMemory::default(),
            gone: false,
            clock_jumped: false,
            ends: BTreeMap::new(),
            begins: BTreeMap::new(),
            tries: BTreeMap::new(),
            terms: BTreeMap::new(),
            excused: false,
            hooks: Vec::new(),
        }
    }

    fn time(&self) -> Timestamp {
        *self.now.lock().expect("no panic")
    }

    fn move_to(&self, at: Timestamp) {
        *self.now.lock().expect("no panic") = at;
    }

    fn seconds(&mut self, most: u64) -> SignedDuration {
        SignedDuration::from_secs(i64::try_from(self.dice.roll(most)).unwrap_or(0))
    }

    /// Something happens that nobody asked for.
    fn bad_luck(&mut self) {
        let names = ["c0", "c1", "i0", "i1"];
        match self.dice.roll(14) {
            0 => self.node.kill("p", self.dice.one_of(&names), 137),
            1 => {
                self.node.kill_sandbox("p");
                self.excused = true;
            }
            2 => self.node.set_available(false),
            3 | 4 => self.node.set_available(true),
            5 => {
                let action = self.dice.one_of(&["create", "start", "run-sandbox", "signal", "stop-sandbox", "remove-sandbox"]);
                let kind = self.dice.one_of(&[RuntimeErrorKind::Unavailable, RuntimeErrorKind::Refused]);
                self.node.refuse_next(action, kind, "bad luck");
            }
            // A new agent knows nothing.
            6 => {
                self.memory = PodMemory::default();
                self.hooks.clear();
                self.terms.clear();
                self.excused = true;
            }
            7 => {
                let jump = self.seconds(4000);
                self.move_to(self.time() + jump);
            }
            8 => {
                self.clock_jumped = true;
                let jump = self.seconds(300);
                self.move_to(self.time() - jump);
            }
            9 => self.delete(),
            10 if self.dice.roll(4) == 0 => self.gone = true,
            11 | 12 => self.resize(),
            _ => self.end_hook(),
        }
    }

    /// Somebody asks for other resources, and there is room or not.
    fn resize(&mut self) {
        let (cpu, memory) = (1 + self.dice.roll(4), 1 + self.dice.roll(4));
        let policy = self.dice.one_of(&["NotRequired", "RestartContainer"]);
        let spec = self.pod.spec.as_mut().expect("a spec");
        let container = &mut spec.containers[0];
        let amounts = json!({"cpu": format!("{cpu}00m"), "memory": format!("{memory}0Mi")});
        container.resources = serde_json::from_value(json!({"limits": amounts, "requests": amounts})).expect("resources");
        container.resize_policy =
            serde_json::from_value(json!([{"resourceName": "memory", "restartPolicy": policy}])).expect("a policy");
        let generation = self.pod.metadata.generation.unwrap_or(1) + 1;
        self.pod.metadata.generation = Some(generation);
        if resize::is_requested(&self.pod, &mut self.memory) {
            let verdict = match self.dice.roll(3) {
                0 => resize::Verdict::Deferred("no room".into()),
                _ => resize::Verdict::Fits,
            };
            resize::decided(&mut self.memory, verdict);
        }
        self.excused |= policy == "RestartContainer";
    }

    fn delete(&mut self) {
        let grace = i64::try_from(self.dice.roll(10)).unwrap_or(0);
        let meta = &mut self.pod.metadata;
        if meta.deletion_timestamp.is_none() {
            let at = *self.now.lock().expect("no panic") + SignedDuration::from_secs(grace);
            meta.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
            meta.deletion_grace_period_seconds = Some(grace);
        }
    }

    fn end_hook(&mut self) {
        if let Some(call) = self.hooks.pop() {
            let result = if self.dice.roll(3) == 0 { Err("failed".to_owned()) } else { Ok(()) };
            self.memory.hook_ended(&self.pod, &call, result);
        }
    }

    fn observed(&self) -> Option<Sandbox> {
        self.node.sandboxes().into_iter().next()
    }

    /// One look and its steps; when to look again, and whether the pod is done with.
    fn look(&mut self) -> (Option<Timestamp>, bool) {
        let state = State::new();
        let (config, tokens) = (NodeConfig::default(), Tokens::new());
        let machine = Machine::default();
        let now = self.time();
        let Ok(observed) = wait(self.node.observe_pod("u")) else { return (None, false) };
        let context = Context {
            state: &state,
            machine: &machine,
            config: &config,
            now,
            addresses: &[],
            tokens: &tokens,
            refusal: None,
        };
        self.memory.busy = self.hooks.iter().any(HookCall::blocks);
        let decision = sync_pod(&self.pod, self.gone, observed.as_ref(), &mut self.memory, &context);
        self.check_status(&decision);
        self.pod.status = Some(decision.status);
        self.hooks.extend(decision.hooks);
        for step in decision.steps {
            self.check_step(&step.action, observed.as_ref());
            let result: Result<Outcome, _> = wait(self.node.execute(&step.action));
            self.memory.record(&self.pod, &step.action, &result, now);
        }
        self.remember_ends();
        (decision.wake_at, decision.then == Then::Finalize)
    }

    /// The status never goes back.
    fn check_status(&self, decision: &NodeDecision) {
        let Some(old) = &self.pod.status else { return };
        let rank = |phase: Option<&str>| match phase {
            Some("Succeeded" | "Failed") => 2,
            Some("Running") => 1,
            _ => 0,
        };
        let (was, is) = (old.phase.as_deref(), decision.status.phase.as_deref());
        // Pending wins over Running where a container waits for its image again; what is final stays.
        assert!(rank(was) < 2 || was == is, "the phase goes from {was:?} to {is:?}");
        let list = |s: &PodStatus| -> Vec<ContainerStatus> {
            s.container_statuses.iter().chain(&s.init_container_statuses).flatten().cloned().collect()
        };
        for (a, b) in list(old).iter().zip(list(&decision.status)) {
            assert!(a.restart_count <= b.restart_count, "{}: restarts go from {} to {}", a.name, a.restart_count, b.restart_count);
        }
    }

    fn check_step(&mut self, action: &Action, observed: Option<&Sandbox>) {
        let now = self.time();
        match action {
            Action::SignalContainer { id, signal: 9, .. } => {
                let sent = self.terms.get(id);
                let waited = sent.map(|at| now.duration_since(*at));
                let enough = waited.is_none_or(|w| w >= SignedDuration::from_secs(2));
                assert!(self.clock_jumped || enough, "SIGKILL {waited:?} after the signal");
            }
            Action::SignalContainer { id, .. } => {
                self.terms.insert(id.clone(), now);
                self.excused = true;
            }
            Action::InspectImage { image } => {
                self.tries.insert(image.clone(), now);
            }
            Action::CreateContainer(config) => self.check_turn(config, observed, now),
            _ => {}
        }
    }

    /// No container before its turn, no back-off skipped.
    fn check_turn(&mut self, config: &crate::runtime::ContainerConfig, observed: Option<&Sandbox>, now: Timestamp) {
        let spec = self.pod.spec.as_ref().expect("a spec");
        let init = spec.init_containers.as_deref().unwrap_or_default();
        let position = init.iter().position(|c| c.name == config.name);
        let main_ran = spec.containers.iter().any(|c| {
            observed.is_some_and(|s| s.containers.iter().any(|o| o.name == c.name))
        });
        for before in &init[..position.unwrap_or(init.len())] {
            let attempts: Vec<&Container> =
                observed.iter().flat_map(|s| &s.containers).filter(|c| c.name == before.name).collect();
            let done = attempts.iter().any(|c| match &c.state {
                ContainerState::Exited(exit) => is_sidecar(before) || exit.code == 0,
                ContainerState::Running { .. } => is_sidecar(before),
                ContainerState::Created | ContainerState::Unknown => is_sidecar(before),
            });
            assert!(done || main_ran, "{} before {}", config.name, before.name);
        }
        let tried = self.tries.get(&config.name).copied().unwrap_or(now);
        self.begins.insert((config.name.clone(), config.attempt), tried);
        let Some(last) = config.attempt.checked_sub(1) else { return };
        let Some(ended) = self.ends.get(&(config.name.clone(), last)) else { return };
        let begun = self.begins.get(&(config.name.clone(), last));
        // Twice the longest back-off: all is forgotten.
        let forgotten = begun.is_none_or(|at| ended.duration_since(*at) > SignedDuration::from_mins(10));
        // The first restart comes at once, each later one after ten seconds at least.
        if last > 0 && !forgotten && !self.excused && !self.clock_jumped {
            let waited = now.duration_since(*ended);
            assert!(waited >= SignedDuration::from_secs(10), "{} again after {waited:?}: {:?}", config.name, self.node.take_log());
        }
    }

    fn remember_ends(&mut self) {
        for container in self.observed().iter().flat_map(|s| &s.containers) {
            if let ContainerState::Exited(exit) = &container.state {
                self.ends.insert((container.name.clone(), container.attempt), exit.finished_at);
            }
        }
    }

    fn play(mut self) {
        let mut wakes = 0;
        for turn in 0..400 {
            let (wake_at, finalized) = self.look();
            if finalized {
                assert_eq!(self.node.sandboxes(), vec![], "something is left of a pod that is gone");
                break;
            }
            if self.dice.roll(8) == 0 && turn < 200 {
                self.bad_luck();
            }
            if turn == 200 {
                self.node.set_available(true);
                self.delete();
            }
            if turn > 200 {
                self.end_hook();
            }
            let soon = self.time() + SignedDuration::from_millis(20);
            let next = [wake_at, self.node.next_change()].into_iter().flatten().min();
            self.move_to(next.map_or(soon, |n| n.clamp(soon, soon + SignedDuration::from_secs(400))));
            wakes = turn;
        }
        assert!(wakes < 399, "the pod does not end: {:?}", self.node.take_log());
        assert_eq!(self.node.breaches(), Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold_in_every_story(seed in any::<u64>()) {
        Story::new(seed).play();
    }

    /// Equal looks decide the same.
    #[test]
    fn decisions_do_not_depend_on_the_order_of_what_is_listed(seed in any::<u64>()) {
        let mut story = Story::new(seed);
        for _ in 0..6 {
            story.look();
            story.move_to(story.time() + SignedDuration::from_secs(1));
        }
        let (state, config, tokens) = (State::new(), NodeConfig::default(), Tokens::new());
        let machine = Machine::default();
        let context = Context {
            state: &state, machine: &machine, config: &config, now: story.time(), addresses: &[], tokens: &tokens, refusal: None,
        };
        let observed = story.observed();
        let mut turned = observed.clone();
        turned.iter_mut().for_each(|s| s.containers.reverse());
        let mut memories = [story.memory.clone(), story.memory.clone()];
        let one = sync_pod(&story.pod, false, observed.as_ref(), &mut memories[0], &context);
        let other = sync_pod(&story.pod, false, turned.as_ref(), &mut memories[1], &context);
        prop_assert_eq!(one, other);
    }
}
