//! The watch: started, asked, stopped, left out; and what becomes of pods that somebody takes away.

use std::time::Duration;

use tokio::time::Instant;

use wl::runtime::{Action, ContainerState};

use crate::world::{IMAGES, World, deployment};

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_starts_says_where_it_is_and_stops_without_its_pods() {
    let Some(world) = World::new("watch").await else { return };
    world.wl(&["watch", "status"]).await.ends(1).says(&["no watch runs"]);
    world.wl(&["watch", "stop"]).await.ends(1).says(&["no watch runs"]);
    world.wl(&["watch", "--background"]).await.ends(0).says(&["watch runs"]);
    let status = world.wl(&["watch", "status", "-o", "json"]).await.ends(0).json();
    assert_eq!(status["stateDirectory"], world.state().to_string_lossy().as_ref());
    assert_eq!(status["socket"], world.state().join("api.sock").to_string_lossy().as_ref());
    assert!(status["podman"]["version"].is_string() && status["podman"]["address"].is_string(), "{status:#}");
    let pid = status["pid"].as_u64().expect("a pid");
    world.wl(&["watch"]).await.ends(1).says(&[&format!("process {pid}")]);

    let file = world.file("web.yaml", &deployment("web", 1, IMAGES[0]));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let before = world.sandboxes().await;
    world.wl(&["watch", "stop"]).await.ends(0).says(&["its pods go on running"]);
    assert!(!world.state().join("api.sock").exists());
    let after = world.sandboxes().await;
    assert_eq!(after[0].containers[0].id, before[0].containers[0].id);
    assert!(matches!(after[0].containers[0].state, ContainerState::Running { .. }));
    world.wl(&["get", "pods"]).await.ends(0).says(&["Running", "nothing probes or restarts"]);

    // The next one finds them again and begins nothing anew.
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["unchanged"]);
    assert_eq!(world.sandboxes().await[0].containers[0].id, before[0].containers[0].id);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_watch_the_command_does_it_itself() {
    let Some(world) = World::new("nowatch").await else { return };
    let file = world.file("web.yaml", &deployment("web", 2, IMAGES[0]));
    world.wl(&["apply", "--no-watch", "-f", &file]).await.ends(0).says(&["deployment.apps/web created"]);
    world.wl(&["watch", "status"]).await.ends(1);
    let pods = world.running().await;
    assert_eq!(pods.len(), 2);
    world.file("web.yaml", &deployment("web", 1, IMAGES[0]));
    world.wl(&["apply", "--no-watch", "-f", &file]).await.ends(0).says(&["configured"]);
    world.wl(&["delete", "--no-watch", "-f", &file, "--cascade=foreground"]).await.ends(0);
    assert_eq!(world.sandboxes().await, vec![]);
    world.wl(&["watch", "status"]).await.ends(1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_stops_kills_or_removes_comes_back_at_once() {
    let Some(world) = World::new("hand").await else { return };
    // A pod for each: the second restart within ten minutes waits for its back-off.
    let ways = ["kill", "remove", "stop-the-pod", "remove-the-pod"];
    let manifests: Vec<String> = ways.iter().map(|way| deployment(way, 1, IMAGES[0])).collect();
    let file = world.file("web.yaml", &manifests.join("---"));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let mut slowest = Duration::ZERO;
    for what in ways {
        let mut sandboxes = world.sandboxes().await;
        sandboxes.retain(|s| s.name.starts_with(what));
        sandboxes.sort_by_key(|s| s.name.len());
        let sandbox = sandboxes.remove(0);
        let container = sandbox.containers[0].clone();
        let pod_uid = sandbox.uid.clone();
        world
            .act(match what {
                "kill" => Action::SignalContainer { id: container.id.clone(), pod_uid, signal: 9 },
                "remove" => Action::RemoveContainer { id: container.id.clone(), pod_uid },
                "stop-the-pod" => Action::StopSandbox { id: sandbox.id.clone(), pod_uid },
                _ => Action::RemoveSandbox { id: sandbox.id.clone(), pod_uid, forget_pod: false },
            })
            .await;
        let begun = Instant::now();
        world
            .eventually(&format!("it comes back after: {what}"), || async {
                world.sandboxes().await.iter().any(|s| {
                    s.uid == sandbox.uid
                        && s.containers
                            .iter()
                            .any(|c| c.id != container.id && matches!(c.state, ContainerState::Running { .. }))
                })
            })
            .await;
        println!("{what}: back after {:?}", begun.elapsed());
        slowest = slowest.max(begun.elapsed());
    }
    // One second on a quiet machine; a restart that waits for a back-off or a relist takes ten or more.
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
    world.end().await;
}
