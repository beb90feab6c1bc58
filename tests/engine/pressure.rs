//! Too little of something: what the node shows, who goes for it, who may come, and how it passes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wl::api::{GroupResource, Object};
use wl::engine::EngineOptions;
use wl::node::NodeConfig;
use wl::node::pressure::{PressureConfig, PressureFlags};
use wl::runtime::simulated::Behaviour;
use wl::runtime::{ContainerUsage, DiskRoom, DiskUse, Headroom, PodUsage, Room};
use wl::state::State;

use super::{World, is_up, plain, pod};

const MIB: u64 = 1 << 20;

/// A world whose node watches what these flags say.
async fn world(hard: &str, soft: &str, grace: &str, max_pod_grace: Option<i64>) -> World {
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (hard, soft, grace) = (list(hard), list(soft), list(grace));
    let flags =
        PressureFlags { hard: Some(&hard), soft: &soft, soft_grace: &grace, max_pod_grace, ..PressureFlags::default() };
    let options = EngineOptions::default();
    let pressure = PressureConfig::parse(flags).unwrap();
    let config = NodeConfig { pressure, ..options.config.clone() };
    let world = World::with(EngineOptions { config, ..options }, &["NamespaceLifecycle"]).await;
    // What ends well has succeeded, even if it was told to go.
    world.node.behave("i:1", vec![told_to_go()]);
    world
}

fn told_to_go() -> Behaviour {
    Behaviour { exit_code_on_signal: 143, ..Behaviour::default() }
}

fn memory(mib: u64) -> Headroom {
    Headroom { memory: Some(Room { available: mib * MIB, capacity: 8000 * MIB }), ..Headroom::default() }
}

fn disk(mib: u64) -> Headroom {
    let room = DiskRoom { bytes: Room { available: mib * MIB, capacity: 8000 * MIB }, inodes: None };
    Headroom { node_disk: Some(room), image_disk: Some(room), ..Headroom::default() }
}

fn uses(mib: u64) -> PodUsage {
    let root = DiskUse { bytes: mib * MIB, inodes: mib };
    let container = ContainerUsage { memory: mib * MIB, root, ..ContainerUsage::default() };
    PodUsage { memory: mib * MIB, containers: [("c".to_owned(), container)].into(), ..PodUsage::default() }
}

fn node(state: &State) -> Arc<Object> {
    state.all(&GroupResource::new("", "nodes")).next().expect("a node").clone()
}

fn condition(state: &State, kind: &str) -> Value {
    let node = node(state);
    let conditions = node.at("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == kind).unwrap_or_default()
}

fn has_pressure(state: &State, kind: &str) -> bool {
    condition(state, kind)["status"] == "True"
}

fn taints(state: &State) -> Vec<String> {
    let node = node(state);
    let taints = node.at("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    taints.iter().map(|t| t["key"].as_str().unwrap_or_default().to_owned()).collect()
}

fn is_evicted(state: &State, name: &str) -> bool {
    pod(state, name)
        .is_some_and(|p| p.str_at("/status/phase") == Some("Failed") && p.str_at("/status/reason") == Some("Evicted"))
}

fn bound(mut spec: Value) -> Value {
    spec["nodeName"] = json!("wl");
    spec
}

fn asks(memory: &str) -> Value {
    json!({"terminationGracePeriodSeconds": 5, "containers": [
        {"name": "c", "image": "i:1", "resources": {"requests": {"memory": memory}}}]})
}

#[tokio::test(start_paused = true)]
async fn too_little_memory_shows_ends_the_worst_pod_and_keeps_others_out_until_it_has_passed() {
    let world = world("memory.available<100Mi", "", "", None).await;
    world.node.has_left(memory(200));
    world.pod("hog", plain()).await;
    world.pod("modest", asks("500Mi")).await;
    let mut critical = plain();
    critical["priority"] = json!(2_000_001_000);
    world.pod("critical", critical.clone()).await;
    world.until("all run", 10, |s| ["hog", "modest", "critical"].iter().all(|n| is_up(s, n))).await;
    for (name, mib) in [("hog", 50), ("modest", 400), ("critical", 999)] {
        world.node.uses(name, uses(mib));
    }
    assert!(!has_pressure(&world.store.snapshot(), "MemoryPressure"));

    world.node.has_left(memory(50));
    world.until("the hog is evicted", 15, |s| is_evicted(s, "hog")).await;
    world.node.has_left(memory(500));
    let state = world.store.snapshot();
    let hog = pod(&state, "hog").unwrap();
    let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. \
                   Container c was using 50Mi, request is 0, has larger consumption of memory. ";
    assert_eq!(hog.str_at("/status/message"), Some(message));
    let first = &hog.at("/status/conditions").unwrap()[0];
    let told = ["type", "status", "reason", "message"].map(|key| first[key].as_str().unwrap_or_default());
    assert_eq!(told, ["DisruptionTarget", "True", "TerminationByKubelet", message]);
    let pressure = condition(&state, "MemoryPressure");
    let told = ["status", "reason", "message"].map(|key| pressure[key].as_str().unwrap_or_default());
    assert_eq!(told, ["True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"]);
    world.until("the node is tainted", 1, |s| taints(s) == ["node.kubernetes.io/memory-pressure"]).await;
    assert_eq!(world.events("EvictionThresholdMet"), [("Attempting to reclaim memory".to_owned(), 1)]);
    let shown = ("Node wl status is now: NodeHasInsufficientMemory".to_owned(), 1);
    assert_eq!(world.events("NodeHasInsufficientMemory"), [shown]);
    assert_eq!(world.events("Evicted"), [(message.to_owned(), 1)]);
    let events = GroupResource::new("", "events");
    let state = world.store.snapshot();
    let event = state.all(&events).find(|e| e.str_at("/reason") == Some("Evicted")).unwrap();
    let annotations = event.at("/metadata/annotations").unwrap();
    let expected =
        json!({"offending_containers": "c", "offending_containers_usage": "50Mi", "starved_resource": "memory"});
    assert_eq!(*annotations, expected);

    world.pod("waits", plain()).await;
    world.pod("refused", bound(plain())).await;
    world.pod("asks", bound(asks("1Mi"))).await;
    world.pod("important", bound(critical)).await;
    world.until("who may come has come", 10, |s| is_up(s, "asks") && is_up(s, "important")).await;
    world.until("who may not is refused", 5, |s| is_evicted(s, "refused")).await;
    let state = world.store.snapshot();
    let message = pod(&state, "refused").unwrap().str_at("/status/message");
    assert_eq!(message, Some("Pod was rejected: The node had condition: [MemoryPressure]. "));
    let message = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/memory-pressure: }. \
                   preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(world.events("FailedScheduling"), [(message.to_owned(), 1)]);

    tokio::time::sleep(Duration::from_secs(240)).await;
    assert!(has_pressure(&world.store.snapshot(), "MemoryPressure"), "it may swing");
    world.until("it has passed", 80, |s| !has_pressure(s, "MemoryPressure")).await;
    world.until("who waited is there", 10, |s| is_up(s, "waits") && taints(s).is_empty()).await;
    assert_eq!(world.events("NodeHasSufficientMemory").len(), 1);
    let state = world.store.snapshot();
    assert!(["modest", "critical"].iter().all(|name| is_up(&state, name)));
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn pods_go_one_after_the_other_until_there_is_enough_and_critical_ones_never() {
    let world = world("memory.available<100Mi", "", "", None).await;
    let slow = Behaviour { ends_on_signal_after: Some(Duration::from_millis(700)), ..told_to_go() };
    world.node.behave("i:1", vec![slow]);
    let mut critical = plain();
    critical["priority"] = json!(2_000_001_000);
    world.pod("critical", critical).await;
    for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
        world.pod(name, plain()).await;
        world.node.uses(name, uses(10 + at as u64));
    }
    world.until("all run", 10, |s| ["a", "b", "c", "critical"].iter().all(|n| is_up(s, n))).await;
    world.node.has_left(memory(50));
    let running = |s: &State| ["a", "b", "c"].iter().filter(|n| is_up(s, n)).count();
    for (name, left) in [("c", 2), ("b", 1)] {
        world.until("the next one goes", 15, |s| !is_up(s, name)).await;
        assert_eq!(running(&world.store.snapshot()), left, "before {name} has ended no other goes");
        world.until("it has gone", 5, |s| is_evicted(s, name)).await;
    }
    world.node.has_left(memory(150));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running(&world.store.snapshot()), 1);
    world.node.has_left(memory(1));
    world.until("the last one goes", 15, |s| is_evicted(s, "a")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(is_up(&world.store.snapshot(), "critical"));
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_soft_threshold_waits_and_leaves_time_to_end() {
    let world = world("", "memory.available<300Mi", "memory.available=1m", Some(20)).await;
    let deaf = Behaviour { ends_on_signal_after: None, ..Behaviour::default() };
    world.node.behave("i:1", vec![deaf]);
    let mut spec = plain();
    spec["terminationGracePeriodSeconds"] = json!(40);
    world.pod("a", spec).await;
    world.until("it runs", 10, |s| is_up(s, "a")).await;
    world.node.has_left(memory(200));
    world.until("it shows at once", 11, |s| has_pressure(s, "MemoryPressure")).await;
    let since = world.now();
    let told = |_: &State| !world.events("Evicted").is_empty();
    world.until("it has to go", 71, told).await;
    let began = world.now();
    assert!(began.duration_since(since).as_secs() >= 59, "{since} {began}");
    world.until("it has gone", 30, |s| is_evicted(s, "a")).await;
    let took = world.now().duration_since(began).as_secs();
    assert!((19..=22).contains(&took), "{took}: what the flag allows, as it is less than the pod's own time");
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn what_ended_pods_have_on_the_disk_goes_before_any_pod_does() {
    let mut world = world("imagefs.available<100Mi", "", "", None).await;
    world.node.behave("once", vec![Behaviour::ends(1, 0)]);
    let once = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "once"}], "volumes": [{"name": "v", "emptyDir": {}}]});
    world.pod("done", once).await;
    world.pod("runs", plain()).await;
    world.node.uses("runs", uses(70));
    let is_done = |s: &State| pod(s, "done").is_some_and(|p| p.str_at("/status/phase") == Some("Succeeded"));
    world.until("one has ended, one runs", 10, |s| is_done(s) && is_up(s, "runs")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = pod(&world.store.snapshot(), "done").unwrap().at("/status").cloned();
    world.node.take_log();

    world.node.has_left_when_freed(disk(150));
    world.node.has_left(disk(50));
    world.until("it shows", 15, |s| has_pressure(s, "DiskPressure")).await;
    world.until("the node is tainted", 1, |s| taints(s) == ["node.kubernetes.io/disk-pressure"]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.node.take_log(), ["free-storage done"]);
    assert_eq!(world.events("EvictionThresholdMet"), [("Attempting to reclaim ephemeral-storage".to_owned(), 1)]);
    let state = world.store.snapshot();
    assert!(is_up(&state, "runs"));
    assert_eq!(pod(&state, "done").unwrap().at("/status").cloned(), before, "what has ended is shown as it was");

    // Nothing is left to be given back.
    world.node.has_left(disk(40));
    world.until("the pod that has most goes", 15, |s| is_evicted(s, "runs")).await;
    let state = world.store.snapshot();
    let message = pod(&state, "runs").unwrap().str_at("/status/message").unwrap_or_default();
    assert!(
        message.ends_with("Container c was using 70Mi, request is 0, has larger consumption of ephemeral-storage. "),
        "{message}"
    );
    world.until("and gives back what it had", 15, |_| world.node.sandboxes().is_empty()).await;
    let statuses =
        |world: &World| ["done", "runs"].map(|name| pod(&world.store.snapshot(), name).unwrap().at("/status").cloned());
    let before = statuses(&world);
    world.kill().await;
    world.start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(statuses(&world), before, "a new engine finds nothing of them, and takes it for nothing new");
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn a_new_engine_goes_on_with_what_it_finds() {
    let mut world = world("pid.available<100", "", "", None).await;
    let pids = |available| Headroom { pids: Some(Room { available, capacity: 1000 }), ..Headroom::default() };
    world.node.has_left(pids(10));
    world.until("it shows", 15, |s| has_pressure(s, "PIDPressure")).await;
    let since = condition(&world.store.snapshot(), "PIDPressure")["lastTransitionTime"].clone();
    world.kill().await;
    world.pod("refused", bound(asks("1Mi"))).await;
    world.start();
    world.until("who comes at once is refused too", 5, |s| is_evicted(s, "refused")).await;
    let state = world.store.snapshot();
    let message = pod(&state, "refused").unwrap().str_at("/status/message");
    assert_eq!(message, Some("Pod was rejected: The node had condition: [PIDPressure]. "));
    assert_eq!(condition(&state, "PIDPressure")["lastTransitionTime"], since);
    assert_eq!(world.events("NodeHasInsufficientPID").len(), 1);

    // One that finds nothing short says so at once, and one that watches nothing does too.
    world.kill().await;
    world.node.has_left(pids(900));
    world.start();
    world.until("it has passed", 2, |s| !has_pressure(s, "PIDPressure") && taints(s).is_empty()).await;
    world.node.has_left(pids(10));
    world.until("it shows again", 15, |s| has_pressure(s, "PIDPressure")).await;
    world.kill().await;
    world.options.config.pressure = PressureConfig::default();
    world.start();
    world.until("nobody watches any more", 2, |s| !has_pressure(s, "PIDPressure")).await;
    world.nothing_out_of_turn();
}

#[tokio::test(start_paused = true)]
async fn who_watches_and_finds_enough_commits_nothing() {
    let world = world("memory.available<100Mi,nodefs.available<10%", "", "", None).await;
    world.node.has_left(memory(200));
    world.pod("a", plain()).await;
    world.until("it runs", 10, |s| is_up(s, "a")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = world.store.snapshot().revision();
    tokio::time::sleep(Duration::from_secs(250)).await;
    assert_eq!(world.store.snapshot().revision(), before);
}
