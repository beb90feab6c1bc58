//! What is kept: backups, restores, resets, upgrades, and pods that no store knows.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use wl::runtime::{Action, ContainerState, Sandbox, VolumeContent, VolumeKind};

use crate::world::{IMAGES, Run, World, deployment, probed};

fn ids(sandboxes: &[Sandbox]) -> Vec<String> {
    let running = |s: &Sandbox| {
        let containers = s.containers.iter().filter(|c| matches!(c.state, ContainerState::Running { .. }));
        containers.map(|c| c.id.clone()).collect::<Vec<_>>()
    };
    sandboxes.iter().flat_map(running).collect()
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: {value}}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_comes_back_and_pods_that_it_does_not_know_are_reported_not_killed() {
    let Some(world) = World::new("restore").await else { return };
    let known = world.file("known.yaml", &deployment("known", 1, IMAGES[0]));
    let later = world.file("later.yaml", &deployment("later", 1, IMAGES[0]));
    let backup = world.path("backup.db").to_string_lossy().into_owned();
    world.wl(&["backup", &backup]).await.ends(1).says(&["nothing to back up"]);
    world.wl(&["apply", "-f", &known]).await.ends(0);
    let of_known = ids(&world.sandboxes().await);
    // While the watch runs.
    world.wl(&["backup", &backup]).await.ends(0);
    assert_eq!(std::fs::metadata(&backup).expect("a file").permissions().mode() & 0o777, 0o600);
    world.wl(&["backup", &backup]).await.ends(1).says(&["--force"]);
    world.wl(&["backup", &backup, "--force"]).await.ends(0);

    world.wl(&["apply", "-f", &later]).await.ends(0);
    let of_both = ids(&world.sandboxes().await);
    assert_eq!(of_both.len(), 2);
    let old_version = world.json(&["get", "deployments"]).await["items"][0]["metadata"]["resourceVersion"].clone();
    let old_version = old_version.as_str().expect("a version");
    world.wl(&["restore", &backup]).await.ends(1).says(&["wl watch stop"]);
    world.wl(&["watch", "stop"]).await.ends(0);
    let restored = world.wl(&["restore", &backup]).await.ends(0);
    restored.says(&["What was there before is in", "default/later", "does not know", "podman pod rm -f"]);

    // The watch goes on with what the backup knows, and leaves the other pod alone.
    world.wl(&["apply", "-f", &known]).await.ends(0).says(&["unchanged"]);
    let told = || async { world.wl(&["get", "events"]).await.out.contains("UnknownPod") };
    world.eventually("the unknown pod is told of", told).await;
    assert_eq!(ids(&world.sandboxes().await), of_both, "nothing was ended or begun anew");
    assert!(of_both.contains(&of_known[0]));
    world.wl(&["get", "deployment", "later"]).await.ends(1).says(&["NotFound"]);
    world.wl(&["doctor"]).await.says(&["default/later", "does not know"]);
    let gone = raw(&world, &format!("/api/v1/namespaces/default/pods?watch=true&resourceVersion={old_version}")).await;
    assert!(gone.contains("410") || gone.contains("\"code\":410"), "{gone}");
    world.end().await;
}

/// The first line of an answer's body, and its head.
async fn raw(world: &World, path: &str) -> String {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::UnixStream::connect(world.state().join("api.sock")).await.expect("connected");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: wl\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .expect("sent");
    let mut lines = BufReader::new(stream).lines();
    let mut text = String::new();
    let read = async {
        while let Ok(Some(line)) = lines.next_line().await {
            text.push_str(&line);
            if line.contains("code") {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), read).await;
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_sees_what_is_and_changes_nothing() {
    let Some(world) = World::new("look").await else { return };
    let file = world.file("web.yaml", &probed("web", 1, IMAGES[0]));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.wl(&["watch", "stop"]).await.ends(0);
    let files = || {
        let mut names: Vec<_> =
            std::fs::read_dir(world.state()).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        names.sort();
        let store = std::fs::read(world.state().join("state.db")).expect("the store");
        (names, store)
    };
    let before = files();
    let looks = world.wl(&["get", "pods"]).await.ends(0);
    assert!(looks.err.contains("No watch is running") && looks.out.contains("1/1"), "{looks:?}");
    let name = world.running().await.remove(0);
    world.wl(&["logs", &name]).await.ends(0).says(&["up"]);
    // Somebody kills it: nobody restarts it, and everybody can see that.
    let container = world.sandboxes().await[0].containers[0].id.clone();
    let pod_uid = world.sandboxes().await[0].uid.clone();
    world.act(Action::SignalContainer { id: container, pod_uid, signal: 9 }).await;
    let seen = world.wl(&["get", "pods"]).await.ends(0);
    assert!(seen.out.contains("0/1") && !seen.out.contains("Running"), "{}", seen.out);
    world.wl(&["plan", "-f", &file]).await.ends(0);
    let after = files();
    assert_eq!(after.0, before.0, "no file came or went");
    assert!(after.1 == before.1, "nothing was written");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_asks_first_and_takes_away_what_it_made_and_nothing_else() {
    let Some(world) = World::new("reset").await else { return };
    let file = world.file("web.yaml", &deployment("web", 1, IMAGES[0]));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let before = ids(&world.sandboxes().await);
    world.wl(&["reset"]).await.ends(1).says(&["ends 1 pod", "default/web", "--yes"]);
    assert_eq!(ids(&world.sandboxes().await), before);
    let own = world.state().join("my-notes.txt");
    std::fs::write(&own, "keep").expect("written");
    let other = World::new("beside").await.expect("Podman is there");
    let beside = other.file("web.yaml", &deployment("web", 1, IMAGES[0]));
    other.wl(&["apply", "-f", &beside]).await.ends(0);
    let of_other = ids(&other.sandboxes().await);

    // Data of claims is the user's: it goes only by its own word.
    let kind = VolumeKind::Named { name: "wl-e2e-data".into() };
    let volume = VolumeContent { pod_uid: "nobody".into(), name: "data".into(), kind, fs_group: None };
    world.act(Action::WriteVolume(Box::new(volume))).await;

    let reset = world.wl(&["reset", "--yes"]).await.ends(0);
    reset.says(&["Removed 1 pod", "Kept the volumes of claims", "wl-e2e-data"]);
    assert_eq!(world.sandboxes().await, vec![]);
    let hand = world.hand().await;
    let kept = hand.volumes().await.expect("a list");
    assert!(kept.len() == 1 && kept[0].ends_with("wl-e2e-data"), "{kept:?}");
    hand.remove_volume(&kept[0]).await.expect("removed");
    let left: Vec<PathBuf> =
        std::fs::read_dir(world.state()).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(left, std::slice::from_ref(&own));
    assert_eq!(ids(&other.sandboxes().await), of_other, "another's pods go on");
    std::fs::remove_file(own).expect("removed");
    world.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_refused_until_a_backup_takes_its_place() {
    let Some(world) = World::new("damage").await else { return };
    let file = world.file("map.yaml", &map("kept", "b"));
    let bare = ["watch", "--background", "--no-node"];
    world.wl(&bare).await.ends(0);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let backup = world.path("backup.db").to_string_lossy().into_owned();
    world.wl(&["backup", &backup]).await.ends(0);
    world.wl(&["watch", "stop"]).await.ends(0);
    std::fs::write(world.state().join("state.db"), b"what a failing disk leaves").expect("written");
    for args in [&["get", "configmaps"][..], &["apply", "-f", &file], &bare] {
        world.wl(args).await.ends(1).says(&["damaged", "wl restore"]);
    }
    world.wl(&["restore", &backup]).await.ends(0);
    world.wl(&bare).await.ends(0);
    let kept = world.json(&["get", "configmap", "kept"]).await;
    assert_eq!(kept["data"]["a"], "b");
    world.end().await;
}

/// Since when which pod is ready.
fn ready_since(pods: &Value) -> Vec<(Value, Value)> {
    let since = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().expect("conditions");
        let ready = conditions.iter().find(|c| c["type"] == "Ready" && c["status"] == "True").expect("a ready pod");
        (pod["metadata"]["name"].clone(), ready["lastTransitionTime"].clone())
    };
    pods["items"].as_array().expect("a list").iter().map(since).collect()
}

/// The other build of an upgrade: a real one where `WL_TEST_OTHER` names it (it must be older), else this one under
/// another version.
struct Old(Option<PathBuf>);

impl Old {
    fn find() -> Self {
        Old(std::env::var_os("WL_TEST_OTHER").map(PathBuf::from))
    }

    async fn wl(&self, world: &World, args: &[&str]) -> Run {
        let command = match &self.0 {
            Some(program) => world.command_of(program, args),
            None => {
                let mut command = world.command(args);
                command.env("WL_TEST_VERSION", "0.0.9");
                command
            }
        };
        world.run(command).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_wl_takes_over_from_an_older_one_and_no_pod_notices() {
    let Some(world) = World::new("upgrade").await else { return };
    let old = Old::find();
    let file = world.file("web.yaml", &(probed("web", 2, IMAGES[0]) + "---\n" + &map("page", "one")));
    old.wl(&world, &["watch", "--background", "--node-name=first"]).await.ends(0);
    old.wl(&world, &["apply", "-f", &file]).await.ends(0);
    let before = world.wl(&["watch", "status", "-o", "json"]).await.ends(0).json();
    let pods = ids(&world.sandboxes().await);
    assert_eq!(pods.len(), 2);
    let since = ready_since(&world.json(&["get", "pods"]).await);
    // Who only looks leaves the older one where it is.
    world.wl(&["get", "pods"]).await.ends(0);
    assert_eq!(world.wl(&["watch", "status", "-o", "json"]).await.json()["pid"], before["pid"]);

    world.file("web.yaml", &(probed("web", 2, IMAGES[0]) + "---\n" + &map("page", "two")));
    world
        .wl(&["apply", "-f", &file])
        .await
        .ends(0)
        .says(&["deployment.apps/web unchanged", "configmap/page configured"]);
    let after = world.wl(&["watch", "status", "-o", "json"]).await.ends(0).json();
    assert!(after["pid"] != before["pid"] && after["version"] != before["version"], "{before} {after}");
    assert_eq!(ids(&world.sandboxes().await), pods, "no container was restarted");
    assert_eq!(ready_since(&world.json(&["get", "pods"]).await), since, "every pod was ready all the time");
    let nodes = world.json(&["get", "nodes"]).await;
    assert_eq!(nodes["items"].as_array().map(Vec::len), Some(1), "the new one has the old one's flags: {nodes:#}");

    // The older one may look, and does not write.
    old.wl(&world, &["get", "pods"]).await.ends(0);
    old.wl(&world, &["apply", "-f", &file]).await.ends(1).says(&["newer"]);
    // Scaled by the new one, all of the old one's pods stay.
    world.wl(&["scale", "deployment/web", "--replicas=3"]).await.ends(0);
    world.eventually("a third pod", || async { world.running().await.len() == 3 }).await;
    let now = ids(&world.sandboxes().await);
    assert!(pods.iter().all(|id| now.contains(id)));
    world.end().await;
}
