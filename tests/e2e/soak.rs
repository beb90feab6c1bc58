//! Pods that crash, fail their probes and are killed at random, under a watch that is itself killed -9 again and again: none is
//! lost, doubled or left over, and the watch holds no more memory, processes and open files at the end than at the beginning.
//!
//! `WL_SOAK_SECONDS` says how long (a minute if nothing is said; `make soak` takes thirty).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use wl::runtime::{Action, ContainerState, Sandbox};

use crate::world::{IMAGES, World};

/// The watch is killed so often, in a short soak three times.
const KILLED_EVERY: Duration = Duration::from_secs(60);
/// What is killed again and again waits so long in the end (`node::backoff`).
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// A watch that is killed sooner has no figures.
const SETTLES: Duration = Duration::from_secs(10);
const REPLICAS: usize = 3;

/// Numbers by SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("a small number")
    }
}

/// One Deployment of those that run well, one that crashes, one that fails its liveness probe.
fn manifest() -> String {
    let one = |name: &str, replicas: usize, does: &str, probe: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - name: app\n        \
             image: {}\n        args: [\"/program\", {does}]\n{probe}---\n",
            IMAGES[0]
        )
    };
    let ready = "        readinessProbe: {exec: {command: [\"/program\", \"exit:0\"]}, periodSeconds: 2}\n";
    let dies =
        "        livenessProbe: {exec: {command: [\"/program\", \"exit:1\"]}, periodSeconds: 2, failureThreshold: 2}\n";
    [
        one("well", REPLICAS, "\"on-term:0\", \"forever\"", ready),
        one("crashes", 1, "\"wait:2000\", \"exit:3\"", ""),
        one("unhealthy", 1, "\"on-term:0\", \"forever\"", dies),
    ]
    .concat()
}

/// What the watch holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kib: usize,
    files: usize,
    children: usize,
}

fn held(pid: u32) -> Option<Held> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rss = status.lines().find_map(|l| l.strip_prefix("RssAnon:"))?.split_whitespace().next()?.parse().ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    Some(Held { memory_kib: rss, files, children: children.split_whitespace().count() })
}

/// Processes whose command line names the state directory: watches, porters, services.
fn processes(state: &Path) -> Vec<String> {
    let state = state.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").expect("a list of processes").flatten();
    let lines = entries.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    let lines = lines.map(|l| String::from_utf8_lossy(&l).replace('\0', " "));
    lines.filter(|l| l.contains(&state)).collect()
}

struct Soak {
    world: World,
    dice: Dice,
    killed: usize,
    watches: usize,
}

impl Soak {
    fn watch(&self) -> Option<u32> {
        wl::store::holder(&self.world.state()).map(|holder| holder.pid)
    }

    async fn kill_the_watch(&mut self) {
        let Some(pid) = self.watch() else { return };
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        self.watches += 1;
        self.world.wl(&["watch", "--background"]).await.ends(0);
    }

    /// Kills, removes or deletes one at random.
    async fn bad_luck(&mut self) {
        let sandboxes = self.world.sandboxes().await;
        if sandboxes.is_empty() {
            return;
        }
        let sandbox = &sandboxes[self.dice.roll(sandboxes.len())];
        let pod_uid = sandbox.uid.clone();
        let container = sandbox.containers.iter().find(|c| matches!(c.state, ContainerState::Running { .. }));
        let action = match (self.dice.roll(5), container) {
            (0, _) => {
                self.world.wl(&["delete", "pod", &sandbox.name, "--wait=false", "--ignore-not-found"]).await;
                None
            }
            (1, _) => Some(Action::StopSandbox { id: sandbox.id.clone(), pod_uid }),
            (2, _) => Some(Action::RemoveSandbox { id: sandbox.id.clone(), pod_uid, forget_pod: false }),
            (3, Some(c)) => Some(Action::RemoveContainer { id: c.id.clone(), pod_uid }),
            (_, Some(c)) => Some(Action::SignalContainer { id: c.id.clone(), pod_uid, signal: 9 }),
            (_, None) => None,
        };
        if let Some(action) = action {
            use wl::runtime::Runtime;
            // It may have gone by itself.
            let _ = self.world.hand().await.execute(&action).await;
        }
        self.killed += 1;
    }

    /// No pod of the API twice in Podman, and nothing in Podman that the API does not have, but for a moment.
    async fn is_whole(&self) {
        let doubled = || async {
            let sandboxes = self.world.sandboxes().await;
            let mut by_uid: BTreeMap<&str, Vec<&Sandbox>> = BTreeMap::new();
            sandboxes.iter().for_each(|s| by_uid.entry(&s.uid).or_default().push(s));
            let twice = by_uid.values().any(|list| list.len() > 1);
            let runs_twice = sandboxes
                .iter()
                .any(|s| s.containers.iter().filter(|c| matches!(c.state, ContainerState::Running { .. })).count() > 1);
            let pods = self.world.json(&["get", "pods"]).await;
            let known: Vec<&str> =
                pods["items"].as_array().into_iter().flatten().filter_map(|p| p["metadata"]["uid"].as_str()).collect();
            let left_over = by_uid.keys().any(|uid| !known.contains(uid));
            !twice && !runs_twice && !left_over
        };
        self.world.eventually("no pod is there twice, and none that the API does not have", doubled).await;
    }

    /// All Deployments have what they ask for, in the API and in Podman, once the last back-off is over.
    async fn is_complete(&self) {
        let until = Instant::now() + LONGEST_BACK_OFF + SETTLES;
        let all = || async {
            let pods = self.world.json(&["get", "pods"]).await;
            let list = pods["items"].as_array().cloned().unwrap_or_default();
            let named = |name: &str| list.iter().filter(|p| p["metadata"]["labels"]["app"] == name).count();
            let ready = |p: &&serde_json::Value| p["status"]["containerStatuses"][0]["ready"] == true;
            let well = list.iter().filter(|p| p["metadata"]["labels"]["app"] == "well").filter(ready).count();
            let sandboxes = self.world.sandboxes().await.len();
            well == REPLICAS
                && (named("well"), named("crashes"), named("unhealthy")) == (REPLICAS, 1, 1)
                && sandboxes == REPLICAS + 2
        };
        while !all().await {
            if Instant::now() >= until {
                let pods = self.world.wl(&["get", "pods", "-o", "wide"]).await.out;
                let events = self.world.wl(&["events"]).await.out;
                let sandboxes = self.world.sandboxes().await;
                panic!("not each Deployment has its pods:\n{pods}\n{events}\n{sandboxes:#?}\n{}", self.world.told());
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_left_over() {
    let seconds = std::env::var("WL_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let Some(world) = World::new("soak").await else { return };
    let file = world.file("soak.yaml", &manifest());
    world.wl(&["apply", "--wait=false", "-f", &file]).await.ends(0);
    let seed = u64::from(std::process::id());
    println!("seed {seed}, {seconds} s");
    let mut soak = Soak { world, dice: Dice(seed), killed: 0, watches: 0 };
    soak.is_complete().await;
    let begun = Instant::now();
    let length = Duration::from_secs(seconds);
    let between = KILLED_EVERY.min(length / 3);
    let (mut kill_at, mut watched_since) = (begun + between, begun);
    let (mut figures, mut whole): (Vec<Held>, usize) = (Vec::new(), 0);
    while begun.elapsed() < length {
        soak.bad_luck().await;
        tokio::time::sleep(Duration::from_millis(300 + 100 * soak.dice.roll(20) as u64)).await;
        if Instant::now() >= kill_at {
            // As it is after the same time with the same load.
            let seen = soak.watch().filter(|_| watched_since.elapsed() >= SETTLES).and_then(held);
            figures.extend(seen);
            soak.kill_the_watch().await;
            soak.is_whole().await;
            whole += 1;
            watched_since = Instant::now();
            kill_at = watched_since + between;
        }
    }
    soak.is_complete().await;
    soak.is_whole().await;
    println!("{} strokes of bad luck, {} watches killed, whole {whole} times; {figures:?}", soak.killed, soak.watches);
    assert!(soak.watches >= 2 && soak.killed >= 5, "the soak did what it says");
    // Of each watch as long after its start: what the first did not need, the last does not either.
    if let (Some(first), Some(last)) = (figures.first(), figures.last()) {
        assert!(last.memory_kib <= first.memory_kib * 3 / 2 + 8192, "memory grows: {figures:?}");
        assert!(last.files <= first.files + 24, "open files grow: {figures:?}");
        assert!(last.children <= first.children + 4, "processes grow: {figures:?}");
    }
    // One watch alone, for as long as there is: what it holds is level.
    let alone = soak.watch().expect("a watch");
    let before = held(alone).expect("it runs");
    for _ in 0..6 {
        soak.bad_luck().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    soak.is_complete().await;
    assert_eq!(soak.watch(), Some(alone), "it did not die by itself");
    let after = held(alone).expect("it runs");
    println!("{before:?} → {after:?}");
    assert!(after.files <= before.files + 24 && after.children <= before.children + 4, "{before:?} → {after:?}");
    let state = soak.world.state();
    soak.world.end().await;
    assert_eq!(processes(&state), Vec::<String>::new(), "processes are left over");
}
