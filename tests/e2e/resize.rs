//! Resources of running containers are changed in place: in the status, in the containers' cgroups and in those of their pods.

use std::path::PathBuf;

use serde_json::{Value, json};
use wl::runtime::{ContainerState, Runtime};

use crate::world::{IMAGES, World};

const MIB: u64 = 1 << 20;

fn pod(policy: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
         - name: app\n    image: {}\n    args: [\"/program\", \"on-term:0\", \"keep:24\", \"forever\"]\n    \
         resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{cpu: 200m, memory: 64Mi}}}}\n    \
         resizePolicy: [{{resourceName: cpu, restartPolicy: {policy}}}, {{resourceName: memory, restartPolicy: NotRequired}}]\n",
        IMAGES[0]
    )
}

fn ask(cpu: &str, memory: &str) -> String {
    let limits = json!({"cpu": cpu, "memory": memory});
    let resources = json!({"requests": {"cpu": "100m", "memory": memory}, "limits": limits});
    json!({"spec": {"containers": [{"name": "app", "resources": resources}]}}).to_string()
}

/// What the kernel holds the container and its pod to: `memory` in bytes, `cpu` in thousandths.
async fn held(world: &World) -> Vec<(u64, u64)> {
    let sandboxes = world.sandboxes().await;
    let Some(sandbox) = sandboxes.first() else { return Vec::new() };
    let pid = sandbox.containers.iter().find_map(|c| match c.state {
        ContainerState::Running { pid, .. } => Some(pid),
        _ => None,
    });
    let Some(cgroups) = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()) else {
        return Vec::new();
    };
    let folder = |controller: &str| {
        let lines: Vec<Vec<&str>> = cgroups.lines().map(|l| l.splitn(3, ':').collect()).collect();
        let v1 = lines.iter().find(|l| l[1].split(',').any(|c| c == controller));
        let line = v1.or(lines.iter().find(|l| l[1].is_empty())).expect("a cgroup");
        let path = line[2].trim_end_matches("/container");
        PathBuf::from(format!("/sys/fs/cgroup/{}{path}", line[1]))
    };
    let number = |path: PathBuf| {
        std::fs::read_to_string(&path).ok().and_then(|t| t.split(' ').next()?.trim().parse::<u64>().ok())
    };
    let of = |memory: PathBuf, cpu: PathBuf| {
        let memory = number(memory.join("memory.max")).or_else(|| number(memory.join("memory.limit_in_bytes")));
        let quota = number(cpu.join("cpu.max")).or_else(|| number(cpu.join("cpu.cfs_quota_us")));
        (memory.unwrap_or(0), quota.unwrap_or(0) / 100)
    };
    let (memory, cpu) = (folder("memory"), folder("cpu"));
    let parent = |folder: &PathBuf| folder.parent().expect("a pod's cgroup").to_owned();
    vec![of(memory.clone(), cpu.clone()), of(parent(&memory), parent(&cpu))]
}

async fn status(world: &World) -> Value {
    world.json(&["get", "pod", "web"]).await["status"].clone()
}

fn condition<'s>(status: &'s Value, kind: &str) -> Option<&'s Value> {
    status["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

async fn resize(world: &World, patch: &str) {
    world.wl(&["patch", "pod", "web", "--subresource", "resize", "-p", patch]).await.ends(0);
}

/// Bytes of memory that a process has.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

async fn until_held(world: &World, memory: u64, cpu: u64) {
    let so = || async {
        let status = status(world).await;
        condition(&status, "PodResizeInProgress").is_none() && held(world).await == [(memory, cpu); 2]
    };
    world.eventually(&format!("container and pod are held to {memory} bytes and {cpu}m"), so).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_container_is_given_more_and_less_in_place() {
    let Some(world) = World::new("resize").await else { return };
    let file = world.file("web.yaml", &pod("NotRequired"));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    if world.hand().await.machine().await.expect("a machine").lacks_controllers {
        resize(&world, &ask("300m", "96Mi")).await;
        let told = || async {
            let status = status(&world).await;
            condition(&status, "PodResizePending").is_some_and(|c| c["reason"] == "Infeasible")
        };
        world.eventually("an ordinary user is told that he cannot", told).await;
        return world.end().await;
    }
    until_held(&world, 64 * MIB, 200).await;
    let before = world.sandboxes().await[0].containers[0].clone();
    let ContainerState::Running { pid, .. } = before.state else { panic!("{before:?}") };
    world.eventually("the program has what it keeps", || async { resident(pid) >= 24 * MIB }).await;

    resize(&world, &ask("300m", "96Mi")).await;
    until_held(&world, 96 * MIB, 300).await;
    let shown = status(&world).await["containerStatuses"][0].clone();
    assert_eq!(shown["resources"]["limits"], json!({"cpu": "300m", "memory": "96Mi"}), "{shown:#}");
    assert_eq!(shown["allocatedResources"], json!({"cpu": "100m", "memory": "96Mi"}));

    // Another watch finds it as it is.
    let watch = wl::store::holder(&world.state()).expect("a watch").pid;
    let watch = rustix::process::Pid::from_raw(i32::try_from(watch).expect("a pid")).expect("a pid");
    rustix::process::kill_process(watch, rustix::process::Signal::KILL).expect("killed");
    world.wl(&["watch", "--background"]).await.ends(0);

    // Less than is in use is refused, and tried again.
    resize(&world, &ask("150m", "16Mi")).await;
    let refused = || async {
        let status = status(&world).await;
        let message = condition(&status, "PodResizeInProgress").and_then(|c| c["message"].as_str()).unwrap_or_default();
        message.contains("attempting to set container \"app\" memory limit (16777216) below current usage")
    };
    world.eventually("a limit below what is in use is refused", refused).await;
    resize(&world, &ask("150m", "48Mi")).await;
    until_held(&world, 48 * MIB, 150).await;

    resize(&world, &ask("150m", "64Gi")).await;
    let never = || async {
        let status = status(&world).await;
        let pending = condition(&status, "PodResizePending").cloned().unwrap_or_default();
        pending["reason"] == "Infeasible"
            && pending["message"].as_str().is_some_and(|m| m.starts_with("Node didn't have enough capacity: memory"))
    };
    world.eventually("what the machine does not have is infeasible", never).await;
    assert_eq!(held(&world).await, [(48 * MIB, 150); 2]);

    let after = world.sandboxes().await[0].containers.clone();
    assert_eq!(after.len(), 1);
    assert_eq!((&after[0].id, &after[0].state), (&before.id, &before.state), "it is the same run");
    let events = world.wl(&["events", "--for", "pod/web"]).await.out;
    for reason in ["ResizeStarted", "ResizeCompleted", "ResizeError", "ResizeInfeasible"] {
        assert!(events.contains(reason), "{reason} in {events}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_says_so_starts_the_container_again() {
    let Some(world) = World::new("resizepolicy").await else { return };
    let file = world.file("web.yaml", &pod("RestartContainer"));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    if world.hand().await.machine().await.expect("a machine").lacks_controllers {
        return world.end().await;
    }
    resize(&world, &ask("300m", "64Mi")).await;
    let again = || async {
        let shown = status(&world).await["containerStatuses"][0].clone();
        shown["restartCount"] == 1
            && shown["state"]["running"].is_object()
            && shown["resources"]["limits"]["cpu"] == "300m"
    };
    world.eventually("it runs again, with more", again).await;
    until_held(&world, 64 * MIB, 300).await;
    world.end().await;
}
