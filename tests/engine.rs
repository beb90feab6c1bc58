//! The engine on the pretend node, in virtual time.
#![cfg(feature = "internals")]

#[path = "engine/in_virtual_time.rs"]
mod in_virtual_time;
#[path = "support/plan_holds/mod.rs"]
mod plan_holds;
#[path = "engine/pressure.rs"]
mod pressure;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use wl::api::schema::Schema;
use wl::api::{GroupResource, Key, Object, Random};
use wl::engine::{Engine, EngineError, EngineOptions, clock};
use wl::registry::{Body, Options, PatchKind, Request, Settings, Verb};
use wl::runtime::simulated::{Behaviour, Simulated};
use wl::state::State;
use wl::store::Store;

/// Numbers that repeat from run to run.
struct Counting(u64);

impl Random for Counting {
    fn next_u64(&mut self) -> u64 {
        // SplitMix64: one multiplication chain, good enough to tell names apart.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What stops an engine, and its task.
type Running = (tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), EngineError>>);

/// A store, a pretend node and an engine between them that can be ended and begun again.
struct World {
    store: Store,
    node: Simulated,
    clock: clock::Clock,
    options: EngineOptions,
    engine: Option<Running>,
}

impl World {
    async fn new() -> Self {
        Self::with(EngineOptions::default(), &["NamespaceLifecycle"]).await
    }

    async fn with(options: EngineOptions, admission: &[&str]) -> Self {
        let clock = clock::of_tokio(Timestamp::from_second(1_700_000_000).unwrap());
        let settings =
            Settings { admission: admission.iter().map(|&name| name.to_owned()).collect(), ..Settings::default() };
        let store = Store::in_memory_with(settings, State::new(), clock.clone(), Box::new(Counting(1)));
        let node = Simulated::new(clock.clone());
        let ticking = node.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                ticking.tick();
            }
        });
        let mut world = World { store, node, clock, options, engine: None };
        world.start();
        let has_node = |s: &State| s.count(&GroupResource::new("", "nodes")) == 1;
        world.until("the node is there", 5, has_node).await;
        world
    }

    fn start(&mut self) {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let engine = Engine {
            store: self.store.clone(),
            runtime: Arc::new(self.node.clone()),
            controllers: wl::controllers::all(),
            clock: self.clock.clone(),
            options: self.options.clone(),
        };
        let task = tokio::spawn(engine.run(async move {
            let _ = stopped.await;
        }));
        self.engine = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.engine.take().expect("it runs");
        let _ = stop.send(());
        task.await.unwrap().unwrap();
    }

    /// Ends the engine as kill -9 does: between two awaits, wherever it is.
    async fn kill(&mut self) {
        let (_stop, task) = self.engine.take().expect("it runs");
        task.abort();
        let _ = task.await;
    }

    async fn write(&self, verb: Verb, group: &str, resource: &str, name: &str, body: Body) -> Value {
        self.write_in("default", verb, group, resource, name, body).await
    }

    async fn write_in(
        &self,
        namespace: &str,
        verb: Verb,
        group: &str,
        resource: &str,
        name: &str,
        body: Body,
    ) -> Value {
        let request = request(verb, group, resource, namespace, name, body);
        self.store.write(request).await.unwrap_or_else(|s| panic!("{s}")).body
    }

    async fn create(&self, group: &str, resource: &str, tree: Value) {
        self.write(Verb::Create, group, resource, "", Body::Tree(tree)).await;
    }

    async fn pod(&self, name: &str, spec: Value) {
        let tree = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        self.create("", "pods", tree).await;
    }

    async fn delete(&self, group: &str, resource: &str, name: &str, grace: Option<i64>) {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = json!(grace);
        }
        self.write(Verb::Delete, group, resource, name, Body::Tree(options)).await;
    }

    /// Waits, in virtual time, until the state is as wanted.
    async fn until(&self, what: &str, seconds: u64, wanted: impl Fn(&State) -> bool) {
        for _ in 0..seconds * 20 {
            if wanted(&self.store.snapshot()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let pods = pods(&self.store.snapshot());
        let told: Vec<String> =
            pods.iter().map(|p| format!("{} {}", p.name(), p.at("/status").unwrap_or(&Value::Null))).collect();
        panic!("not within {seconds} s: {what}\n{}\n{:#?}", told.join("\n"), self.node.take_log());
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn events(&self, reason: &str) -> Vec<(String, i64)> {
        let state = self.store.snapshot();
        let events = GroupResource::new("", "events");
        let of = state.all(&events).filter(|e| e.str_at("/reason") == Some(reason));
        of.map(|e| (e.str_at("/message").unwrap_or_default().to_owned(), e.i64_at("/count").unwrap_or(0))).collect()
    }

    #[track_caller]
    fn nothing_out_of_turn(&self) {
        assert_eq!(self.node.breaches(), Vec::<String>::new());
    }
}

fn request(verb: Verb, group: &str, resource: &str, namespace: &str, name: &str, body: Body) -> Request {
    Request {
        verb,
        resource: Arc::new(Schema::get().resource(group, "v1", resource).expect("a resource").clone()),
        subresource: None,
        namespace: namespace.into(),
        name: name.into(),
        body,
        options: Options::default(),
    }
}

fn pods(state: &State) -> Vec<Arc<Object>> {
    state.all(&GroupResource::new("", "pods")).cloned().collect()
}

fn pod<'a>(state: &'a State, name: &str) -> Option<&'a Arc<Object>> {
    state.get(&Key::new(GroupResource::new("", "pods"), "default", name))
}

fn is_ready(pod: &Object) -> bool {
    let conditions = pod.at("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn is_up(state: &State, name: &str) -> bool {
    pod(state, name).is_some_and(|p| is_ready(p))
}

fn plain() -> Value {
    json!({"terminationGracePeriodSeconds": 5, "containers": [{"name": "c", "image": "i:1"}]})
}

async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future).await.expect("in time")
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_started_and_ready() {
    let world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    let state = world.store.snapshot();
    let a = pod(&state, "a").unwrap();
    assert_eq!(a.str_at("/spec/nodeName"), Some("wl"));
    assert_eq!(a.str_at("/status/phase"), Some("Running"));
    assert_eq!(world.events("Scheduled"), [("Successfully assigned default/a to wl".to_owned(), 1)]);
    assert_eq!(world.events("Started"), [("Started container c".to_owned(), 1)]);
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_commits_nothing() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.pod(name, plain()).await;
    }
    world.until("all are ready", 10, |s| ["a", "b", "c"].iter().all(|n| is_up(s, n))).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = world.store.snapshot().revision();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    let mut since = world.store.watch(before).unwrap();
    let written: Vec<String> = since.take().unwrap().iter().map(|c| format!("{:?} {:?}", c.key, c.after)).collect();
    assert_eq!(written, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_backs_off_and_counts_its_events() {
    let world = World::new().await;
    world.node.behave("i:1", vec![Behaviour::ends(1, 1)]);
    world.pod("a", plain()).await;
    let waits = |s: &State| {
        let message =
            pod(s, "a").and_then(|p| p.str_at("/status/containerStatuses/0/state/waiting/message").map(str::to_owned));
        message.is_some_and(|m| m.starts_with("back-off 40s restarting failed container=c pod=a_default("))
    };
    world.until("it waits for 40 s", 60, waits).await;
    assert_eq!(world.events("Started"), [("Started container c".to_owned(), 4)]);
    assert_eq!(world.events("BackOff").len(), 1);
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn deletion_waits_for_the_grace_and_leaves_nothing() {
    let world = World::new().await;
    world.node.behave("i:1", vec![Behaviour { ends_on_signal_after: None, ..Behaviour::default() }]);
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    let begun = world.now();
    world.delete("", "pods", "a", None).await;
    world.until("a is gone", 20, |s| pod(s, "a").is_none()).await;
    let took = world.now().duration_since(begun);
    assert!(took >= SignedDuration::from_secs(5) && took < SignedDuration::from_secs(6), "{took}");
    assert!(world.node.sandboxes().is_empty());
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_forced_deletion_still_ends_the_containers() {
    let world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    world.delete("", "pods", "a", Some(0)).await;
    assert!(pod(&world.store.snapshot(), "a").is_none());
    within(10, async {
        while !world.node.sandboxes().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(world.events("Killing"), [("Stopping container c".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_fit_starts_when_there_is_room() {
    let world = World::new().await;
    let big = json!({"containers": [{"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "1500m"}}}], "terminationGracePeriodSeconds": 1});
    world.pod("a", big.clone()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    world.pod("b", big).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let state = world.store.snapshot();
    let scheduled = pod(&state, "b").unwrap().at("/status/conditions/0").cloned().unwrap();
    assert_eq!(scheduled["reason"], "Unschedulable", "{scheduled}");
    let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    assert_eq!(world.events("FailedScheduling"), [(text.to_owned(), 1)]);
    world.delete("", "pods", "a", None).await;
    world.until("b is ready", 20, |s| is_up(s, "b")).await;
}

#[tokio::test(start_paused = true)]
async fn who_watches_sees_that_a_container_ran_however_soon_it_ended() {
    let world = World::new().await;
    world.node.behave("i:1", vec![Behaviour::ends(0, 0)]);
    let before = world.store.snapshot().revision();
    world.pod("a", json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]})).await;
    let has_ended = |s: &State| pod(s, "a").is_some_and(|p| p.str_at("/status/phase") == Some("Succeeded"));
    world.until("it has ended", 10, has_ended).await;
    let changes = world.store.watch(before).unwrap().take().unwrap();
    let statuses = changes.iter().filter_map(|c| c.after.as_ref()?.at("/status/containerStatuses/0/state").cloned());
    let mut states: Vec<String> = statuses.filter_map(|s| s.as_object()?.keys().next().cloned()).collect();
    states.dedup();
    assert_eq!(states, ["waiting", "running", "terminated"]);
    world.nothing_out_of_turn();
}

fn bound_to(node: &str) -> Value {
    json!({"terminationGracePeriodSeconds": 5, "nodeName": node, "containers": [{"name": "c", "image": "i:1"}]})
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_node_is_not_there_goes_after_a_while() {
    let world = World::new().await;
    world.pod("a", bound_to("nowhere")).await;
    tokio::time::sleep(Duration::from_secs(39)).await;
    let pending = pod(&world.store.snapshot(), "a").and_then(|p| p.str_at("/status/phase").map(str::to_owned));
    assert_eq!(pending.as_deref(), Some("Pending"), "its node may come yet");
    let before = world.store.snapshot().revision();
    world.until("a is gone", 3, |s| pod(s, "a").is_none()).await;
    let changes = world.store.watch(before).unwrap().take().unwrap();
    let failed = changes
        .iter()
        .filter_map(|c| c.after.clone())
        .find(|o| o.str_at("/status/phase") == Some("Failed"))
        .expect("it is told");
    let condition = &failed.at("/status/conditions").unwrap()[0];
    let told = ["type", "status", "reason", "message"].map(|field| condition[field].as_str().unwrap_or_default());
    assert_eq!(told, ["DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_somebody_deletes_comes_back_before_its_pods_go() {
    let world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    let uid = pod(&world.store.snapshot(), "a").unwrap().uid().to_owned();
    let options = Body::Tree(json!({"apiVersion": "v1", "kind": "DeleteOptions"}));
    world.write_in("", Verb::Delete, "", "nodes", "wl", options).await;
    world.until("the node is back", 25, |s| s.count(&GroupResource::new("", "nodes")) == 1).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let state = world.store.snapshot();
    assert_eq!(pod(&state, "a").map(|p| p.uid().to_owned()), Some(uid));
    assert!(is_up(&state, "a"));
}

#[tokio::test(start_paused = true)]
async fn of_many_that_wait_as_many_are_bound_as_fit() {
    let world = World::new().await;
    let one = |name: &str| {
        let container = json!({"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "300m"}}});
        let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 1});
        let tree = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec});
        request(Verb::Create, "", "pods", "default", "", Body::Tree(tree))
    };
    let node = world.store.snapshot().all(&GroupResource::new("", "nodes")).next().unwrap().clone();
    let milli = wl::api::requests::milli(
        &serde_json::from_value(node.at("/status/allocatable/cpu").cloned().unwrap()).unwrap(),
    );
    let fit = usize::try_from(milli / 300).unwrap();
    let names: Vec<String> = (0..fit + 3).map(|n| format!("p{n:02}")).collect();
    let answers = world.store.write_all(names.iter().map(|name| one(name)).collect()).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let up = |s: &State| pods(s).into_iter().filter(|p| is_ready(p)).count();
    world.until("as many are ready as fit", 20, |s| up(s) == fit).await;
    // The room of each that goes is another's, once.
    for round in 1..=3 {
        let state = world.store.snapshot();
        let goes = pods(&state).into_iter().find(|p| is_ready(p)).unwrap().name().to_owned();
        world.delete("", "pods", &goes, None).await;
        world.until("the next is ready", 20, |s| pod(s, &goes).is_none() && up(s) == fit).await;
        let left = pods(&world.store.snapshot());
        assert_eq!(left.len(), fit + 3 - round);
        assert!(left.iter().all(|p| p.str_at("/status/phase") != Some("Failed")), "the node refuses none");
    }
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn of_pods_that_are_given_at_once_the_node_takes_those_that_fit() {
    let world = World::new().await;
    let node = world.store.snapshot().all(&GroupResource::new("", "nodes")).next().unwrap().name().to_owned();
    let one = |name: &str| {
        let container = json!({"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "1500m"}}});
        let spec = json!({"containers": [container], "nodeName": node, "terminationGracePeriodSeconds": 1});
        let tree = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec});
        request(Verb::Create, "", "pods", "default", "", Body::Tree(tree))
    };
    // In one commit: the node hears of all of them at once.
    let answers = world.store.write_all(vec![one("a"), one("b"), one("c")]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let names = ["a", "b", "c"];
    let phase = |s: &State, name: &str| pod(s, name).and_then(|p| p.str_at("/status/phase").map(str::to_owned));
    let refused = |s: &State| names.iter().filter(|name| phase(s, name).as_deref() == Some("Failed")).count();
    world.until("one is ready, two are refused", 10, |s| names.iter().any(|n| is_up(s, n)) && refused(s) == 2).await;
    let state = world.store.snapshot();
    let failed = pods(&state).into_iter().find(|p| p.str_at("/status/phase") == Some("Failed")).unwrap();
    assert_eq!(failed.str_at("/status/reason"), Some("OutOfcpu"));
    // What the one had is free again.
    let ready = pods(&state).into_iter().find(|p| is_ready(p)).unwrap().name().to_owned();
    world.delete("", "pods", &ready, None).await;
    world.until("it is gone", 10, |s| pod(s, &ready).is_none()).await;
    world.store.write(one("d")).await.unwrap();
    world.until("the next is ready", 10, |s| is_up(s, "d")).await;
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_critical_pod_of_the_node_waits_until_another_has_made_room() {
    let world = World::new().await;
    let big = json!({"containers": [{"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "1200m"}}}], "terminationGracePeriodSeconds": 1});
    world.pod("a", big.clone()).await;
    world.pod("small", plain()).await;
    world.until("both are ready", 10, |s| is_up(s, "a") && is_up(s, "small")).await;
    let mut critical = big;
    critical["nodeName"] = world.store.snapshot().all(&GroupResource::new("", "nodes")).next().unwrap().name().into();
    critical["priority"] = 2_000_001_000.into();
    world.pod("b", critical).await;
    world.until("b is ready", 20, |s| is_up(s, "b")).await;
    let state = world.store.snapshot();
    let target = pod(&state, "a").unwrap().at("/status/conditions/0").cloned().unwrap();
    assert_eq!((&target["type"], &target["reason"]), (&json!("DisruptionTarget"), &json!("TerminationByKubelet")));
    assert_eq!(world.events("Preempting"), [("Preempted in order to admit critical pod".to_owned(), 1)]);
    assert!(is_up(&state, "small"), "it was not in the way");
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_goes_away_and_comes_back_loses_nothing() {
    let world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    world.node.set_available(false);
    world.pod("b", plain()).await;
    world.delete("", "pods", "a", None).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(pod(&world.store.snapshot(), "a").is_some());
    world.node.set_available(true);
    world.until("b is ready and a is gone", 30, |s| is_up(s, "b") && pod(s, "a").is_none()).await;
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_killed_container_comes_back() {
    let world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    world.node.kill("a", "c", 137);
    let again = |s: &State| {
        is_up(s, "a") && pod(s, "a").and_then(|p| p.i64_at("/status/containerStatuses/0/restartCount")) == Some(1)
    };
    world.until("it runs again", 5, again).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_killed_at_any_moment_is_taken_over_by_the_next() {
    for step in 0..40u64 {
        let mut world = World::new().await;
        let spec = json!({"terminationGracePeriodSeconds": 1, "volumes": [{"name": "v", "emptyDir": {}}],
            "initContainers": [{"name": "i", "image": "init:1"}],
            "containers": [{"name": "c", "image": "i:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]});
        world.node.behave("init:1", vec![Behaviour::ends(1, 0)]);
        world.pod("a", spec).await;
        // So many turns of the scheduler later, wherever the engine is then.
        for _ in 0..step {
            tokio::task::yield_now().await;
        }
        world.kill().await;
        world.start();
        world.until("a is ready", 60, |s| is_up(s, "a")).await;
        let containers = &world.node.sandboxes()[0].containers;
        assert_eq!(containers.len(), 2, "killed after {step}: {containers:?}");
        world.delete("", "pods", "a", None).await;
        for _ in 0..step {
            tokio::task::yield_now().await;
        }
        world.kill().await;
        world.start();
        world.until("a is gone", 60, |s| pod(s, "a").is_none()).await;
        assert!(world.node.sandboxes().is_empty(), "killed after {step}");
        world.nothing_out_of_turn();
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_leaves_the_pods_running() {
    let mut world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    world.stop().await;
    assert_eq!(world.node.sandboxes().len(), 1);
    world.node.take_log();
    world.start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let done: Vec<String> = world.node.take_log();
    assert_eq!(done, Vec::<String>::new(), "a running pod is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_an_address_keeps_it_over_a_lost_sandbox() {
    let world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    world.node.kill_sandbox("a");
    let again = |s: &State| {
        is_up(s, "a") && pod(s, "a").and_then(|p| p.i64_at("/status/containerStatuses/0/restartCount")) == Some(1)
    };
    world.until("it runs again", 20, again).await;
    assert_eq!(world.events("SandboxChanged").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_patched_image_restarts_the_container() {
    let world = World::new().await;
    world.pod("a", plain()).await;
    world.until("a is ready", 10, |s| is_up(s, "a")).await;
    let patch = json!({"spec": {"containers": [{"name": "c", "image": "i:2"}]}});
    world.write(Verb::Patch, "", "pods", "a", Body::Patch { kind: PatchKind::Strategic, tree: patch }).await;
    let again = |s: &State| {
        is_up(s, "a")
            && pod(s, "a").and_then(|p| p.str_at("/status/containerStatuses/0/image").map(|i| i == "i:2")) == Some(true)
    };
    world.until("it runs the new image", 20, again).await;
}

fn deployment(image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "terminationGracePeriodSeconds": 2, "containers": [{"name": "c", "image": image}]}}}})
}

fn web(state: &State) -> Option<&Arc<Object>> {
    state.get(&Key::new(GroupResource::new("apps", "deployments"), "default", "web"))
}

/// All three pods are of the newest template and available, and no other is left.
fn is_rolled_out(state: &State) -> bool {
    web(state).is_some_and(|d| {
        let count = |field: &str| d.i64_at(&format!("/status/{field}"));
        count("observedGeneration") == Some(d.generation())
            && ["updatedReplicas", "availableReplicas", "replicas"].iter().all(|f| count(f) == Some(3))
            && pods(state).len() == 3
    })
}

async fn set_image(world: &World, image: &str) {
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    world
        .write(Verb::Patch, "apps", "deployments", "web", Body::Patch { kind: PatchKind::Strategic, tree: patch })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_available_and_rolls_without_a_gap() {
    let world = World::new().await;
    world.create("apps", "deployments", deployment("i:1")).await;
    world.until("three are available", 20, is_rolled_out).await;
    set_image(&world, "i:2").await;
    let started = world.now();
    while !is_rolled_out(&world.store.snapshot()) || web(&world.store.snapshot()).is_none() {
        let ready = pods(&world.store.snapshot()).iter().filter(|p| is_ready(p) && !p.is_deleting()).count();
        assert!(ready >= 3, "never fewer than promised: {ready}");
        assert!(world.now().duration_since(started) < SignedDuration::from_secs(60), "it goes on for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_on_when_the_runtime_comes_back() {
    for moment in [0u64, 50, 100, 200, 500, 1000, 2000] {
        let world = World::new().await;
        world.create("apps", "deployments", deployment("i:1")).await;
        world.until("three are available", 20, is_rolled_out).await;
        set_image(&world, "i:2").await;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        world.node.set_available(false);
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.node.set_available(true);
        world.until("the new template runs", 60, is_rolled_out).await;
        world.nothing_out_of_turn();
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_taken_over_by_the_next_engine() {
    for step in 0..25u64 {
        let mut world = World::new().await;
        world.create("apps", "deployments", deployment("i:1")).await;
        world.until("three are available", 20, is_rolled_out).await;
        set_image(&world, "i:2").await;
        for _ in 0..step * 7 {
            tokio::task::yield_now().await;
        }
        world.kill().await;
        world.start();
        world.until("the new template runs", 60, is_rolled_out).await;
        assert_eq!(world.node.sandboxes().len(), 3, "killed after {step}");
        world.nothing_out_of_turn();
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_step_of_the_runtime_is_tried_again() {
    for action in ["run-sandbox", "create", "start", "inspect-image", "pull"] {
        let world = World::new().await;
        world.node.refuse_next(action, wl::runtime::RuntimeErrorKind::Unavailable, "not now");
        world.pod("a", plain()).await;
        world.until(action, 60, |s| is_up(s, "a")).await;
        world.nothing_out_of_turn();
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_takes_what_is_in_it_with_it() {
    let world = World::new().await;
    let shop = |state: &State, resource: &str| state.in_namespace(&GroupResource::new("", resource), "shop").count();
    let tree = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    world.write_in("", Verb::Create, "", "namespaces", "", Body::Tree(tree)).await;
    let mut web = deployment("i:1");
    web["metadata"]["namespace"] = json!("shop");
    world.write_in("shop", Verb::Create, "apps", "deployments", "", Body::Tree(web)).await;
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "shop", "finalizers": ["example.com/hold"]},
    });
    world.write_in("shop", Verb::Create, "", "configmaps", "", Body::Tree(held)).await;
    world
        .until("its pods are ready", 30, |s| {
            let pods: Vec<_> = pods(s).into_iter().filter(|p| p.namespace() == "shop").collect();
            !pods.is_empty() && pods.iter().all(|p| is_ready(p))
        })
        .await;
    world.write_in("", Verb::Delete, "", "namespaces", "shop", Body::None).await;
    let namespace = Key::new(GroupResource::new("", "namespaces"), "", "shop");
    let remaining = |state: &State| {
        let conditions = state.get(&namespace)?.at("/status/conditions")?.as_array()?.clone();
        let told = conditions.into_iter().find(|c| c["type"] == "NamespaceFinalizersRemaining")?;
        told["message"].as_str().map(str::to_owned)
    };
    let text = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
    world
        .until("only what is held is left", 60, |s| {
            shop(s, "pods") == 0 && shop(s, "configmaps") == 1 && remaining(s).as_deref() == Some(text)
        })
        .await;
    let free = json!({"metadata": {"finalizers": null}});
    let patch = Body::Patch { kind: PatchKind::Merge, tree: free };
    world.write_in("shop", Verb::Patch, "", "configmaps", "held", patch).await;
    world.until("the namespace is gone", 10, |s| s.get(&namespace).is_none()).await;
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_service_knows_the_pods_behind_it() {
    let world = World::new().await;
    let tree = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    world.create("", "services", tree).await;
    world.create("apps", "deployments", deployment("i:1")).await;
    world.until("all pods are ready", 30, is_rolled_out).await;
    let behind = |state: &State| -> Vec<(bool, String)> {
        let slices = state.in_namespace(&GroupResource::new("discovery.k8s.io", "endpointslices"), "default");
        let endpoints = slices.flat_map(|s| s.at("/endpoints").and_then(Value::as_array).cloned().unwrap_or_default());
        let told = endpoints
            .map(|e| (e["conditions"]["ready"] == true, e["targetRef"]["name"].as_str().unwrap_or("").to_owned()));
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    };
    let with_ip = |state: &State| -> Vec<(bool, String)> {
        let has_ip = |p: &&Arc<Object>| p.str_at("/status/podIP").is_some_and(|ip| !ip.is_empty());
        pods(state).iter().filter(has_ip).map(|p| (true, p.name().to_owned())).collect()
    };
    world.until("each pod with an address is told of", 10, |s| behind(s) == with_ip(s)).await;
    let endpoints = Key::new(GroupResource::new("", "endpoints"), "default", "web");
    world.until("there are Endpoints", 10, |s| s.get(&endpoints).is_some()).await;
    world.delete("", "services", "web", None).await;
    world.until("they are gone with the Service", 10, |s| s.get(&endpoints).is_none() && behind(s).is_empty()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = world.store.snapshot().revision();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.store.snapshot().revision(), before, "nothing is written once all is said");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_may_not_surge_never_has_more_pods_than_wanted() {
    let world = World::new().await;
    let container = |image: &str| json!([{"name": "c", "image": image}]);
    let template = json!({"metadata": {"labels": {"app": "w"}}, "spec": {"containers": container("i:1")}});
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}});
    let spec =
        json!({"replicas": 3, "selector": {"matchLabels": {"app": "w"}}, "strategy": strategy, "template": template});
    let tree = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, "spec": spec});
    world.create("apps", "deployments", tree).await;
    let are_up = |state: &State, image: &str| {
        let of_image = |pod: &Object| pod.str_at("/spec/containers/0/image") == Some(image);
        pods(state).iter().filter(|pod| is_ready(pod) && of_image(pod)).count() == 3
    };
    world.until("three are ready", 10, |state| are_up(state, "i:1")).await;
    let state = world.store.snapshot();
    let tree = json!({"spec": {"template": {"spec": {"containers": container("i:2")}}}});
    world.write(Verb::Patch, "apps", "deployments", "w", Body::Patch { kind: PatchKind::Merge, tree }).await;
    world.until("three new ones are ready", 30, |state| are_up(state, "i:2")).await;
    let mut live: std::collections::BTreeSet<String> = pods(&state).iter().map(|pod| pod.uid().to_owned()).collect();
    let mut most = live.len();
    for change in world.store.watch(state.revision()).unwrap().take().unwrap() {
        let Some(pod) = change.after.as_ref().or(change.before.as_ref()).filter(|o| o.kind() == "Pod") else {
            continue;
        };
        if change.after.is_some() && !pod.is_deleting() {
            live.insert(pod.uid().to_owned());
        } else {
            live.remove(pod.uid());
        }
        most = most.max(live.len());
    }
    assert_eq!(most, 3);
}
