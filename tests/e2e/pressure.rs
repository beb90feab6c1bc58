//! Too little of something on this machine: what the node shows, who goes, who may come, and how it passes.

use serde_json::{Value, json};
use wl::api::quantity::Quantity;

use crate::bad_luck::SmallDisk;
use crate::world::{IMAGES, World};

/// A pod that runs until it is told to end, which it does at once.
fn pod(name: &str, does: &[&str], more: Value) -> Value {
    let args: Vec<&str> = [&["/program", "on-term:9"], does, &["forever"]].concat();
    let mut container = json!({"name": "app", "image": IMAGES[0], "args": args});
    let mut spec = json!({"terminationGracePeriodSeconds": 2});
    for (field, value) in more.as_object().cloned().unwrap_or_default() {
        match field.as_str() {
            "resources" | "volumeMounts" => container[&field] = value,
            _ => spec[&field] = value,
        }
    }
    spec["containers"] = json!([container]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

async fn apply(world: &World, pods: &[Value]) {
    let file = world.file("pods.json", &json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string());
    world.wl(&["apply", "--wait=false", "-f", &file]).await.ends(0);
}

/// Ends the watch, and begins another with these flags.
async fn watch(world: &World, flags: &[&str]) {
    world.wl(&["watch", "stop"]).await;
    world.wl(&[&["watch", "--background"], flags].concat()).await.ends(0);
}

/// Whether Podman's service has the mounts that come after it: one of `wl`'s own may have a view of its own (hybrid cgroups), which
/// new mounts reach where the machine shares them (mount_namespaces(7)), as systemd has it.
fn sees_what_is_mounted() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    std::env::var_os("CONTAINER_HOST").is_some() || root.is_some_and(|line| line.contains(" shared:"))
}

async fn status(world: &World, name: &str) -> Value {
    world.json(&["get", "pod", name]).await["status"].clone()
}

async fn is_running(world: &World, name: &str) -> bool {
    status(world, name).await["phase"] == "Running"
}

async fn is_evicted(world: &World, name: &str) -> bool {
    let status = status(world, name).await;
    status["phase"] == "Failed" && status["reason"] == "Evicted"
}

async fn node(world: &World) -> Value {
    world.json(&["get", "nodes"]).await["items"][0].clone()
}

/// Whether the node shows a condition, and has the taint that goes with it.
async fn has(world: &World, condition: &str, taint: &str) -> (bool, bool) {
    let node = node(world).await;
    let of = |list: &Value, field: &str, value: &str| {
        list.as_array().and_then(|l| l.iter().find(|c| c[field] == value).cloned())
    };
    let shown = of(&node["status"]["conditions"], "type", condition).is_some_and(|c| c["status"] == "True");
    (shown, of(&node["spec"]["taints"], "key", taint).is_some())
}

/// What a container used by the message that its pod was given.
fn used(message: &str) -> i64 {
    let text =
        message.split("Container app was using ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    Quantity::parse(text).unwrap_or_else(|why| panic!("{why}: {message}")).value()
}

/// The places of the Events of evictions, in their order.
async fn evictions(world: &World) -> Vec<String> {
    let events = world.json(&["get", "events"]).await["items"].as_array().cloned().unwrap_or_default();
    let mut evicted: Vec<(i64, String)> = events
        .iter()
        .filter(|e| e["reason"] == "Evicted" && e["metadata"]["annotations"]["starved_resource"].is_string())
        .map(|e| {
            let version = e["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0);
            (version, e["involvedObject"]["name"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    evicted.sort();
    evicted.into_iter().map(|(_, name)| name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_memory_ends_pods_in_turn_and_keeps_others_out() {
    let Some(world) = World::new("memory-pressure").await else { return };
    watch(&world, &["--eviction-hard="]).await;
    let asks = json!({"resources": {"requests": {"memory": "200Mi"}}});
    let critical = json!({"priorityClassName": "system-cluster-critical"});
    let pods = [
        pod("modest", &["keep:8"], asks),
        pod("hog", &["keep:24"], json!({})),
        pod("critical", &["keep:40"], critical),
    ];
    apply(&world, &pods).await;
    for name in ["modest", "hog", "critical"] {
        world.eventually("it runs", || is_running(&world, name)).await;
    }

    // More than any machine has left.
    watch(&world, &["--eviction-hard=memory.available<99.9%", "--eviction-pressure-transition-period=5s"]).await;
    for name in ["hog", "modest"] {
        world.eventually("it is evicted", || is_evicted(&world, name)).await;
        let status = status(&world, name).await;
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("The node was low on resource: memory. Threshold quantity: "), "{message}");
        let disrupted =
            &status["conditions"].as_array().and_then(|l| l.iter().find(|c| c["type"] == "DisruptionTarget").cloned());
        let reason = disrupted.as_ref().map(|c| (c["reason"].clone(), c["message"].clone()));
        assert_eq!(reason, Some((json!("TerminationByKubelet"), json!(message))), "{status:#}");
    }
    assert_eq!(evictions(&world).await, ["hog", "modest"], "one after the other, who has more than it asked for first");
    let message = status(&world, "hog").await["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.ends_with(", request is 0, has larger consumption of memory. "), "{message}");
    assert!((24 << 20..100 << 20).contains(&used(&message)), "{message}");
    assert!(is_running(&world, "critical").await);
    world
        .eventually("it shows", || async {
            has(&world, "MemoryPressure", "node.kubernetes.io/memory-pressure").await == (true, true)
        })
        .await;
    let described = world.wl(&["describe", "node"]).await.ends(0);
    let words = [
        "KubeletHasInsufficientMemory",
        "node.kubernetes.io/memory-pressure:NoSchedule",
        "Attempting to reclaim memory",
    ];
    described.says(&words).says(&["status is now: NodeHasInsufficientMemory"]);

    // Who asks for nothing may not come.
    let own = node(&world).await["metadata"]["name"].clone();
    let asks = json!({"nodeName": own, "resources": {"requests": {"memory": "1Mi"}}, "priorityClassName": "system-cluster-critical"});
    apply(&world, &[pod("late", &[], json!({})), pod("bound", &[], json!({"nodeName": own})), pod("asks", &[], asks)])
        .await;
    let refused = || async {
        status(&world, "bound").await["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    };
    world.eventually("it is refused", refused).await;
    world.wl(&["get", "pod", "bound"]).await.ends(0).says(&["Evicted"]);
    world.eventually("a critical one is not", || is_running(&world, "asks")).await;
    let told = || async {
        let told = world.wl(&["events", "--for", "pod/late"]).await.ends(0).out;
        told.contains("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/memory-pressure: }")
    };
    world.eventually("it is told why it waits", told).await;

    watch(&world, &["--eviction-hard="]).await;
    world.eventually("who waited runs", || is_running(&world, "late")).await;
    assert_eq!(has(&world, "MemoryPressure", "node.kubernetes.io/memory-pressure").await, (false, false));
    world.end().await;
}

/// A pod that writes into an emptyDir.
fn writer(name: &str, does: &[&str], more: Value) -> Value {
    let mut all =
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}], "volumes": [{"name": "v", "emptyDir": {}}]});
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    pod(name, &[&["write:/v/a=1", "flood:200"], does].concat(), all)
}

/// Whether what a pod had in its emptyDir is there, and its log.
async fn left(world: &World, uid: &str) -> (bool, bool) {
    let folder = world.state().join("pods").join(uid);
    (folder.join("volumes/v").exists(), folder.join("logs/app/0.log").exists())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_pods_have_on_the_disk_is_given_back_and_then_pods_go() {
    let Some(world) = World::new("disk-pressure").await else { return };
    watch(&world, &["--eviction-hard="]).await;
    apply(&world, &[writer("done", &["exit:0"], json!({"restartPolicy": "Never"})), writer("runs", &[], json!({}))])
        .await;
    let ended = || async { status(&world, "done").await["phase"] == "Succeeded" };
    world.eventually("one has ended", ended).await;
    world.eventually("one runs", || is_running(&world, "runs")).await;
    let done = world.json(&["get", "pod", "done"]).await;
    let uid = done["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    assert_eq!(left(&world, &uid).await, (true, true));

    watch(&world, &["--eviction-hard=nodefs.available<99.99%,imagefs.available<99.99%"]).await;
    world.eventually("it is evicted", || is_evicted(&world, "runs")).await;
    let message = status(&world, "runs").await["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: "), "{message}");
    assert!(message.ends_with(", request is 0, has larger consumption of ephemeral-storage. "), "{message}");
    assert!((10_000..100 << 20).contains(&used(&message)), "what it logged counts: {message}");
    assert_eq!(left(&world, &uid).await, (false, true), "who wants to know why it ended needs its log");
    assert_eq!(world.json(&["get", "pod", "done"]).await["status"], done["status"]);
    let logged = world.wl(&["logs", "done", "--tail=1"]).await.ends(0).out;
    assert_eq!(logged.lines().count(), 1, "{logged}");
    let nothing = || async { world.running().await.is_empty() && world.sandboxes().await.is_empty() };
    world.eventually("and gives back what it had", nothing).await;
    world
        .eventually("it shows", || async {
            has(&world, "DiskPressure", "node.kubernetes.io/disk-pressure").await == (true, true)
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_and_is_emptied_again_is_followed() {
    let Some(world) = World::new("small-disk").await else { return };
    if !sees_what_is_mounted() {
        eprintln!("skipped: Podman's service would not see what is mounted now");
        return;
    }
    let Some(disk) = SmallDisk::mount(&world.state(), c"size=64m,mode=0700") else {
        eprintln!("skipped: this user cannot mount a small disk");
        return;
    };
    watch(&world, &["--eviction-hard=nodefs.available<16Mi", "--eviction-pressure-transition-period=5s"]).await;
    apply(&world, &[writer("runs", &[], json!({}))]).await;
    world.eventually("it runs", || is_running(&world, "runs")).await;
    assert_eq!(has(&world, "DiskPressure", "node.kubernetes.io/disk-pressure").await, (false, false));

    let ballast = disk.fill_but(8 << 20);
    world.eventually("it is evicted", || is_evicted(&world, "runs")).await;
    let message = status(&world, "runs").await["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        message.starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: 16Mi, available: "),
        "{message}"
    );
    world
        .eventually("it shows", || async {
            has(&world, "DiskPressure", "node.kubernetes.io/disk-pressure").await == (true, true)
        })
        .await;
    apply(&world, &[pod("late", &[], json!({}))]).await;
    let told = || async {
        let told = world.wl(&["events", "--for", "pod/late"]).await.ends(0).out;
        told.contains("1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }")
    };
    world.eventually("it is told why it waits", told).await;

    std::fs::remove_file(ballast).expect("room");
    world.eventually("who waited runs", || is_running(&world, "late")).await;
    assert_eq!(has(&world, "DiskPressure", "node.kubernetes.io/disk-pressure").await, (false, false));
    world.wl(&["describe", "node"]).await.ends(0).says(&["status is now: NodeHasNoDiskPressure"]);
    world.wl(&["reset", "--yes", "--now", "--volumes"]).await;
    drop(disk);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_thresholds_wait_and_inodes_and_processes_count_too() {
    let Some(world) = World::new("soft-pressure").await else { return };
    watch(&world, &["--eviction-hard="]).await;
    let mut deaf = writer("deaf", &[], json!({"terminationGracePeriodSeconds": 60}));
    deaf["spec"]["containers"][0]["args"] = json!(["/program", "ignore-term", "forever"]);
    apply(&world, &[deaf, pod("other", &[], json!({"priorityClassName": "system-cluster-critical"}))]).await;
    for name in ["deaf", "other"] {
        world.eventually("it runs", || is_running(&world, name)).await;
    }

    let files = rustix::fs::statvfs(world.state()).expect("a file system").f_files;
    if files > 0 {
        softly(&world).await;
    } else {
        eprintln!("skipped: the file system makes inodes as they are needed");
    }

    watch(&world, &["--eviction-hard="]).await;
    apply(&world, &[pod("small", &[], json!({}))]).await;
    world.eventually("it runs", || is_running(&world, "small")).await;
    watch(&world, &["--eviction-hard=pid.available<99.999%"]).await;
    world.eventually("it is evicted", || is_evicted(&world, "small")).await;
    let last = status(&world, "small").await;
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("The node was low on resource: pids. Threshold quantity: "), "{message}");
    apply(&world, &[pod("late", &[], json!({"tolerations": [{"operator": "Exists"}]}))]).await;
    let refused = || async {
        status(&world, "late").await["message"] == "Pod was rejected: The node had condition: [PIDPressure]. "
    };
    world.eventually("who comes all the same is refused", refused).await;
    let described = world.wl(&["describe", "node"]).await.ends(0);
    described.says(&["KubeletHasInsufficientPID", "Attempting to reclaim pids"]);
    assert!(is_running(&world, "other").await);
    world.end().await;
}

/// A pod that does not listen goes for a soft threshold.
async fn softly(world: &World) {
    let soft = ["--eviction-soft=nodefs.inodesFree<99.999%", "--eviction-soft-grace-period=nodefs.inodesFree=15s"];
    let rest = ["--eviction-max-pod-grace-period=3", "--eviction-minimum-reclaim=nodefs.inodesFree=1"];
    watch(world, &[&["--eviction-hard="][..], &soft, &rest].concat()).await;
    world.eventually("it shows", || async { has(world, "DiskPressure", "").await.0 }).await;
    assert!(is_running(world, "deaf").await, "it may be short of them for a while");
    world.eventually("it is evicted", || is_evicted(world, "deaf")).await;
    let last = status(world, "deaf").await;
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("The node was low on resource: inodes. Threshold quantity: "), "{message}");
    let conditions = node(world).await["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let shown = conditions.iter().find(|c| c["type"] == "DiskPressure").expect("it is shown");
    let at = |time: &Value| time.as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).expect("a time");
    let ended = at(&last["containerStatuses"][0]["state"]["terminated"]["finishedAt"]);
    let took = ended.duration_since(at(&shown["lastTransitionTime"])).as_secs();
    assert!((17..50).contains(&took), "{took} s: how long it may be short, and what a pod gets, not its own time");
}
