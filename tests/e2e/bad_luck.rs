//! What goes wrong around `wl`: Podman's service, images, ports, disks, other commands, the pods themselves.

use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

use wl::podman::{ConnectOptions, InstanceId, Podman, StartService, Surroundings};

use crate::world::{IMAGES, World, deployment};

/// A Podman service of the test's own, beside whatever runs.
pub async fn service(world: &World) -> Podman {
    Podman::connect(ConnectOptions {
        instance: InstanceId::parse("service").expect("an id"),
        state_dir: world.path("service"),
        surroundings: Surroundings { container_host: None, ..Surroundings::of_this_process() },
        start_service: StartService::Always,
    })
    .await
    .expect("a service")
}

/// Kills the processes that serve at a socket, which only this test uses.
pub fn kill_service(socket: &Path) {
    let socket = std::fs::canonicalize(socket).expect("a socket");
    let wanted = format!("unix://{}", socket.display());
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").expect("a list of processes").flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let serves = command.split(|b| *b == 0).any(|part| part == wanted.as_bytes());
        let is_podman = command.split(|b| *b == 0).next().is_some_and(|name| name.ends_with(b"podman"));
        if let (true, Ok(pid)) = (serves && is_podman, entry.file_name().to_string_lossy().parse::<i32>()) {
            let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
            // It may have ended with the other one.
            killed += usize::from(rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok());
        }
    }
    assert!(killed > 0, "nobody serves at {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn podmans_service_dies_in_the_middle_of_a_rollout_and_comes_back() {
    let Some(world) = World::new("service").await else { return };
    let service = service(&world).await;
    let host = format!("unix://{}", service.socket().display());
    let wl = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("CONTAINER_HOST", &host);
        world.run(command)
    };
    let file = world.file("web.yaml", &deployment("web", 3, IMAGES[0]));
    wl(&["apply", "-f", &file]).await.ends(0);
    let before = world.running().await;
    assert_eq!(before.len(), 3);
    world.file("web.yaml", &deployment("web", 3, IMAGES[1]));
    let apply = wl(&["apply", "-f", &file]);
    let disturb = async {
        let begun = || async { world.running().await.iter().any(|name| !before.contains(name)) };
        world.eventually("the first new pod runs", begun).await;
        // Whoever started it starts it again; until then nobody answers.
        kill_service(&service.socket());
    };
    let (applied, ()) = tokio::join!(apply, disturb);
    applied.ends(0);
    let rolled = || async {
        let running = world.running().await;
        running.len() == 3 && running.iter().all(|name| !before.contains(name)) && world.sandboxes().await.len() == 3
    };
    world.eventually("three new pods run, and no other", rolled).await;
    wl(&["watch", "stop"]).await.ends(0);
    world.end().await;
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist_ends_the_apply_with_its_name() {
    let Some(world) = World::new("image").await else { return };
    let file = world.file("web.yaml", &deployment("web", 1, "localhost/wl-none:1"));
    let begun = Instant::now();
    let mut failed = world.wl(&["apply", "-f", &file]).await;
    while failed.code == Some(0) && begun.elapsed() < Duration::from_secs(60) {
        // Without a probe it is available until its end is seen, which takes a loaded machine long.
        tokio::time::sleep(Duration::from_secs(1)).await;
        failed = world.wl(&["apply", "-f", &file]).await;
    }
    let failed = failed.ends(3);
    println!("told after {:?}", begun.elapsed());
    failed.says(&["deployment.apps/web failed", "localhost/wl-none:1", "Image"]);
    // With the right image it goes on from there.
    world.file("web.yaml", &deployment("web", 1, IMAGES[0]));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_and_taken_over_when_it_is_free() {
    let Some(world) = World::new("port").await else { return };
    let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let text = deployment("web", 1, IMAGES[0]);
    let text = format!("{text}        ports: [{{containerPort: 80, hostPort: {port}}}]\n");
    let file = world.file("web.yaml", &text);
    let failed = world.wl(&["apply", "-f", &file]).await.ends(3);
    failed.says(&["already in use", &port.to_string()]);
    drop(taken);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_crash_end_the_apply_with_their_last_words() {
    let Some(world) = World::new("crash").await else { return };
    let text = deployment("web", 1, IMAGES[0])
        .replace("\"on-term:0\", \"say:up\", \"forever\"", "\"say:no luck\", \"exit:7\"");
    let file = world.file("web.yaml", &text);
    let begun = Instant::now();
    let mut failed = world.wl(&["apply", "-f", &file]).await;
    for _ in 0..3 {
        // Without a probe it was available until its end was seen, which takes a loaded machine long.
        if failed.code == Some(0) {
            failed = world.wl(&["apply", "-f", &file]).await;
        }
    }
    let failed = failed.ends(3);
    println!("told after {:?}", begun.elapsed());
    // Told while the last end is shown or, as a kubelet does a while later, while the next start is waited for.
    failed.says(&["deployment.apps/web failed", "exit code 7", "no luck"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_at_the_same_time_end_in_one_of_them() {
    let Some(world) = World::new("atonce").await else { return };
    let same = world.file("same.yaml", &deployment("same", 1, IMAGES[0]));
    let (a, b) = (
        world.file("a.yaml", &deployment("other", 1, IMAGES[0])),
        world.file("b.yaml", &deployment("other", 1, IMAGES[1])),
    );
    // Four commands begin at once where no watch runs: one starts it, the others find it.
    let runs = tokio::join!(
        world.wl(&["apply", "-f", &same]),
        world.wl(&["apply", "-f", &same]),
        world.wl(&["apply", "-f", &a]),
        world.wl(&["apply", "-f", &b]),
    );
    for run in [runs.0, runs.1, runs.2, runs.3] {
        run.ends(0);
    }
    let one_each = || async {
        let names: Vec<String> = world.sandboxes().await.into_iter().map(|s| s.name).collect();
        names.len() == 2 && names.iter().any(|n| n.starts_with("same")) && names.iter().any(|n| n.starts_with("other"))
    };
    world.eventually("one pod of each", one_each).await;
    let deployment = world.json(&["get", "deployment", "other"]).await;
    let image =
        deployment.pointer("/spec/template/spec/containers/0/image").and_then(|i| i.as_str()).expect("an image");
    let its_image = || async {
        let pods = world.json(&["get", "pods", "-l", "app=other"]).await;
        let pods = pods["items"].as_array().expect("a list");
        pods.len() == 1 && pods[0]["spec"]["containers"][0]["image"] == image
    };
    world.eventually("the pod is the deployment's", its_image).await;

    // As kubectl applies, the second is told who manages what it wants to change.
    let refused = world
        .wl(&["apply", "--server-side", "--field-manager=someone", "-f", if image == IMAGES[0] { &b } else { &a }])
        .await;
    refused.ends(1).says(&["conflict with \"wl\"", "image"]);
    world.end().await;
}

/// A small file system at a folder, while it lives; `None` where this user may not mount one.
pub struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `options` are those of a tmpfs.
    pub fn mount(at: &Path, options: &std::ffi::CStr) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mounted = rustix::mount::mount("tmpfs", at, "tmpfs", rustix::mount::MountFlags::empty(), Some(options));
        mounted.ok().map(|()| SmallDisk(at.to_owned()))
    }

    /// Leaves no room; the file that takes it.
    fn fill(&self) -> std::path::PathBuf {
        self.fill_but(0)
    }

    /// Leaves so many bytes.
    pub fn fill_but(&self, left: u64) -> std::path::PathBuf {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).expect("a file");
        let has_more = || rustix::fs::statvfs(&self.0).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > left);
        while (left == 0 || has_more()) && std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_half_done_and_afterwards_all_goes_on() {
    let Some(world) = World::new("disk").await else { return };
    let Some(disk) = SmallDisk::mount(&world.state(), c"size=3m,mode=0700") else {
        eprintln!("skipped: this user cannot mount a small disk");
        return;
    };
    let map =
        |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata: {{a: \"{value}\"}}\n");
    world.wl(&["watch", "--background", "--no-node"]).await.ends(0);
    let file = world.file("map.yaml", &map("small"));
    world.wl(&["apply", "-f", &file]).await.ends(0);

    let ballast = disk.fill();
    world.file("map.yaml", &map(&"x".repeat(300_000)));
    world.wl(&["apply", "-f", &file]).await.ends(1).says(&["disk", "full", "nothing was changed"]);
    let kept = world.json(&["get", "configmap", "big"]).await;
    assert_eq!(kept["data"]["a"], "small");
    world.wl(&["backup", &world.state().join("copy").to_string_lossy()]).await.ends(1).says(&["full"]);
    assert!(!world.state().join("copy").exists());

    std::fs::remove_file(ballast).expect("room");
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["configured"]);
    let kept = world.json(&["get", "configmap", "big"]).await;
    assert_eq!(kept["data"]["a"].as_str().map(str::len), Some(300_000));
    world.wl(&["watch", "stop"]).await.ends(0);
    let kept = world.json(&["get", "configmap", "big"]).await;
    assert_eq!(kept["data"]["a"].as_str().map(str::len), Some(300_000), "it is there after the watch's end too");

    // A watch that begins on a full disk says so, too.
    let _ballast = disk.fill();
    world.wl(&["get", "configmaps"]).await.ends(0);
    drop(disk);
    world.end().await;
}
