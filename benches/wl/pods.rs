//! Pods on real Podman: made, shown, kept, restarted, taken away.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wl::client::{Ask, Client, WatchEvent};

use crate::bare::{Bare, NETWORK};
use crate::figures::{Pairs, Row, Sample, Watch, median, quantile, time};
use crate::world::{IMAGE, World, names, pods, run};
use crate::{Plan, machine};

/// How many calls in flight are tried for the bare ones; the best counts.
const IN_FLIGHT: [usize; 3] = [4, 6, 8];

/// Fifty pods, apply to all running and delete to all gone, beside the bare calls and `podman kube play`.
pub async fn fifty(world: &World, bare: &Bare, plan: &Plan) {
    let count = plan.scaled(50);
    bare.make_network().await;
    world.watch();
    let (ours, theirs, kube) = (names("ours", count), names("bare", count), names("kube", count));
    let file = world.file("fifty.yaml", &pods(&ours));
    let kube_file = world.file("kube.yaml", &pods(&kube));
    // One round that does not count: caches are warm then on all sides, and the best number in flight is known.
    world.wl(&["apply", "-f", &file], &[0]);
    world.wl(&["delete", "-f", &file], &[0]);
    let (up_best, down_best) = best_in_flight(bare, &theirs).await;
    let [mut up, mut up_kube, mut down] = [Pairs::default(), Pairs::default(), Pairs::default()];
    for round in 0..plan.rounds {
        let mut bare_up = None;
        let mut bare_down = None;
        let mut kube_up = None;
        let mut wl_up = None;
        let mut wl_down = None;
        // Each round in another order.
        for side in (0..3).map(|n| (n + round) % 3) {
            match side {
                0 => {
                    bare_up = Some(timed(bare.up(&theirs, IMAGE, up_best)).await);
                    bare_down = Some(timed(bare.down(&theirs, down_best)).await);
                }
                1 => {
                    kube_up = Some(run(kube_command(&["kube", "play", "--network", NETWORK, &kube_file]), &[0]).0);
                    run(kube_command(&["kube", "down", &kube_file]), &[0]);
                }
                _ => {
                    wl_up = Some(world.wl(&["apply", "-f", &file], &[0]).0);
                    wl_down = Some(world.wl(&["delete", "-f", &file], &[0]).0);
                }
            }
        }
        let (Some(bare_up), Some(bare_down), Some(kube_up)) = (bare_up, bare_down, kube_up) else { continue };
        let (Some(wl_up), Some(wl_down)) = (wl_up, wl_down) else { continue };
        up.add(wl_up, bare_up);
        up_kube.add(wl_up, kube_up);
        down.add(wl_down, bare_down);
    }
    up.row(&format!("{count} pods, apply to all running"), &format!("bare calls, {up_best} in flight"), 1.15).print();
    up_kube.row("the same", "`podman kube play`", 0.65).print();
    down.row(&format!("delete of the {count}"), &format!("bare calls, {down_best} in flight"), 1.15).print();
    bare.remove_network().await;
}

async fn timed(work: impl Future<Output = ()>) -> Sample {
    let watch = Watch::start();
    work.await;
    watch.stop()
}

async fn best_in_flight(bare: &Bare, names: &[String]) -> (usize, usize) {
    let (mut ups, mut downs) = (Vec::new(), Vec::new());
    for in_flight in IN_FLIGHT {
        ups.push((in_flight, timed(bare.up(names, IMAGE, in_flight)).await.wall));
        downs.push((in_flight, timed(bare.down(names, in_flight)).await.wall));
    }
    let best = |tries: &[(usize, f64)]| tries.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(4, |(n, _)| *n);
    (best(&ups), best(&downs))
}

fn kube_command(args: &[&str]) -> Command {
    let mut command = Command::new("podman");
    command.args(args).stdin(std::process::Stdio::null());
    command
}

/// `wl get pods` with 200 pods, beside `podman ps` of the same.
pub fn get(world: &World, plan: &Plan) {
    let count = plan.scaled(200);
    let file = world.file("many.yaml", &pods(&names("many", count)));
    world.watch();
    world.wl(&["apply", "-f", &file], &[0]);
    let mut pairs = Pairs::default();
    for _ in 0..plan.rounds * 5 {
        let (ours, shown) = world.wl(&["get", "pods"], &[0]);
        assert_eq!(shown.matches("Running").count(), count, "all pods run");
        let (theirs, shown) = run(kube_command(&["ps"]), &[0]);
        assert!(shown.lines().count() > count, "Podman has them too");
        pairs.add(ours, theirs);
    }
    pairs.row(&format!("`wl get pods`, {count} pods"), "`podman ps`", 0.3).print();
    world.wl(&["delete", "-f", &file], &[0]);
}

/// What a watch with fifty pods uses while nothing happens, and what Podman's service does meanwhile.
pub async fn idle(world: &World, plan: &Plan) {
    let count = plan.scaled(50);
    let file = world.file("idle.yaml", &pods(&names("idle", count)));
    let (pid, socket) = world.watch();
    world.wl(&["apply", "-f", &file], &[0]);
    // What the apply left to do (events, log files, allocator) is done by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let service = machine::listener(&socket);
    let used = |pid: Option<u32>| pid.map_or(f64::NAN, machine::process_seconds);
    let (before, service_before, begun) = (used(Some(pid)), used(service), machine::now());
    tokio::time::sleep(plan.idle).await;
    let window = begun.elapsed().as_secs_f64();
    let share = (used(Some(pid)) - before) / window * 100.0;
    let service_share = (used(service) - service_before) / window * 100.0;
    let pss = machine::pss(pid) / 1024.0 / 1024.0;
    Row::alone(&format!("idle watch, {count} pods: PSS"), format!("{pss:.1} MiB"), pss * 1.048_576, 25.0).print();
    Row::alone("its CPU, percent of a core", format!("{share:.2} %"), share, 0.5).print();
    Row::alone("Podman's service meanwhile, percent of a core", format!("{service_share:.2} %"), service_share, 0.5)
        .print();
    world.wl(&["delete", "-f", &file], &[0]);
}

/// A container is killed and runs again, for the first time; beside the calls create and start.
pub async fn restart(world: &World, bare: &Bare, plan: &Plan) {
    bare.make_network().await;
    let (_, _) = world.watch();
    let (ours, theirs) = (names("again", plan.scaled(20)), names("twice", plan.scaled(20)));
    let file = world.file("again.yaml", &pods(&ours));
    world.wl(&["apply", "-f", &file], &[0]);
    bare.up(&theirs, IMAGE, IN_FLIGHT[0]).await;
    let client = Client::unix(world.state().join("api.sock"));
    let mut pairs = Pairs::default();
    let mut walls = Vec::new();
    for (our, their) in ours.iter().zip(&theirs) {
        let sample = killed_to_running(&client, bare, our).await;
        walls.push(sample.wall);
        let second = format!("{their}-second");
        let theirs = timed(async {
            bare.create_container(their, &second, IMAGE).await;
            bare.post(&format!("/containers/{second}/start"), Value::Null).await;
        });
        pairs.add(sample, theirs.await);
    }
    pairs.row("container killed → running again", "create and start", 1.3).print();
    println!("(p50 {}, p99 {})", time(median(&walls)), time(quantile(&walls, 0.99)));
    world.wl(&["delete", "-f", &file], &[0]);
    for name in &theirs {
        bare.remove_pod(name).await;
    }
    bare.remove_network().await;
}

/// From SIGKILL until the API says that the next attempt runs.
async fn killed_to_running(client: &Client, bare: &Bare, name: &str) -> Sample {
    let path = "/api/v1/namespaces/default/pods";
    let pod = client.get(&format!("{path}/{name}")).await.expect("the pod");
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("an id");
    let inspected = bare.get(&format!("/containers/{}/json", id.rsplit('/').next().unwrap_or(id))).await;
    let pid = inspected["State"]["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    let version = pod["metadata"]["resourceVersion"].as_str().expect("a version");
    let ask = Ask::get(path).query("watch", "1").query("resourceVersion", version);
    let mut events = client.watch(ask.query("fieldSelector", format!("metadata.name={name}"))).await.expect("a watch");
    let watch = Watch::start();
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    loop {
        let event = events.next().await.expect("a stream").expect("it goes on");
        let WatchEvent::Modified(pod) = event else { continue };
        let status = &pod.json()["status"]["containerStatuses"][0];
        if status["restartCount"] == json!(1) && status["state"]["running"].is_object() {
            return watch.stop();
        }
    }
}

/// A Job of a hundred short pods, ten at a time, beside `podman run --rm` of the same, ten at a time.
pub fn job(world: &World, plan: &Plan) {
    let count = plan.scaled(100);
    world.watch();
    let mut pairs = Pairs::default();
    for round in 0..plan.rounds {
        let text = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: short-{round}}}\nspec:\n  completions: {count}\n  parallelism: 10\n  \
             template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {{name: app, image: \"{IMAGE}\", \
             command: [/program, \"exit:0\"]}}\n"
        );
        let file = world.file(&format!("job-{round}.yaml"), &text);
        let watch = Watch::start();
        world.wl(&["apply", "-f", &file, "--wait=false"], &[0]);
        world.wl(&["wait", "--for=condition=Complete", "--timeout=600s", &format!("job/short-{round}")], &[0]);
        let ours = watch.stop();
        let watch = Watch::start();
        run_many(count);
        pairs.add(ours, watch.stop());
        world.wl(&["delete", "-f", &file], &[0]);
    }
    pairs.row(&format!("Job of {count} short pods, 10 at a time"), "`podman run --rm`, 10 in flight", 1.2).print();
}

fn run_many(count: usize) {
    let left = std::sync::atomic::AtomicUsize::new(count);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                use std::sync::atomic::Ordering::SeqCst;
                while left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
                    run(kube_command(&["run", "--rm", IMAGE, "/program", "exit:0"]), &[0]);
                }
            });
        }
    });
}

/// Which Podman answers.
pub async fn version(bare: &Bare) -> String {
    let version = bare.get("/version").await;
    let text = |key: &str| version[key].as_str().unwrap_or("?").to_owned();
    format!("Podman {}{}", text("Version"), if is_root(bare.socket()) { "" } else { ", rootless" })
}

fn is_root(socket: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(socket).is_ok_and(|m| m.uid() == 0)
}
