//! The runtime on real Podman: the one that answers where clients look, or the one that `CONTAINER_HOST` names.
//!
//! Without Podman these tests say so and pass. `tests/matrix.sh` runs them on four of them.
#![cfg(feature = "internals")]

#[path = "support/image.rs"]
mod image;
#[path = "podman/node.rs"]
mod node;

use std::net::IpAddr;
use std::time::Duration;

use image::{image_tar, program};
use node::{Node, exec, file};
use wl::podman::{ConnectOptions, StartService, Surroundings};
use wl::runtime::{
    Action, ContainerState, Hint, LinuxResources, Mount, MountSource, Outcome, PortMapping, Runtime, RuntimeErrorKind,
    SandboxConfig, SandboxState, VolumeKind,
};

fn mount(target: &str, source: MountSource) -> Mount {
    Mount {
        target: target.to_owned(),
        source,
        read_only: false,
        recursive_read_only: false,
        propagation: "private".to_owned(),
        sub_path: String::new(),
    }
}

fn of_pod(target: &str, volume: &str) -> Mount {
    mount(target, MountSource::PodVolume(volume.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gets_all_that_it_was_promised() {
    let Some(node) = Node::new("given").await else { return };
    let mut sandbox = node.sandbox("web");
    sandbox.hosts = "127.0.0.1 localhost\n10.9.9.9 friend\n".into();
    sandbox.dns.servers = vec!["10.9.9.1".into()];
    sandbox.dns.searches = vec!["default.svc.cluster.local".into()];
    sandbox.dns.options = vec!["ndots:5".into()];
    sandbox.annotations = [("wl.pod".to_owned(), "{}".repeat(5000))].into();
    node.write("web", "config", VolumeKind::Files { files: file("dir/app.ini", "a=1\n", 0o644), secret: false }, None)
        .await;
    node.write("web", "secret", VolumeKind::Files { files: file("token", "hidden\n", 0o400), secret: true }, None)
        .await;
    node.write("web", "cache", VolumeKind::Empty { memory: false, size_limit: None }, None).await;
    node.write("web", "memory", VolumeKind::Empty { memory: true, size_limit: Some(1 << 20) }, None).await;
    let id = node.run(&sandbox).await;
    let mut config = node.container(
        &sandbox,
        &id,
        "app",
        &[
            "env:GREETING",
            "env:TERM",
            "env:HOSTNAME",
            "cat:/config/dir/app.ini",
            "cat:/secret/token",
            "mode:/secret/token",
            "mode:/cache",
            "write:/cache/x=kept",
            "write:/memory/y=fast",
            "cat:/memory/y",
            "say:",
            "cat:/etc/hosts",
            "cat:/etc/resolv.conf",
            "say:",
            "cat:/part",
            "ids",
            "list:/config",
            "write:/end=the message",
            "err:to stderr",
            "exit:3",
        ],
    );
    config.env = vec![("GREETING".into(), "hello".into())];
    config.hosts = Some(sandbox.hosts.clone());
    config.termination_message_path = "/end".into();
    config.mounts = vec![
        of_pod("/config", "config"),
        of_pod("/secret", "secret"),
        of_pod("/cache", "cache"),
        of_pod("/memory", "memory"),
    ];
    let mut part = of_pod("/part", "config");
    part.sub_path = "dir/app.ini".into();
    config.mounts.push(part);
    config.security.user = "0:0".into();
    config.security.no_new_privileges = true;
    config.security.drop_capabilities = vec!["ALL".into()];
    config.security.supplemental_groups = vec![];
    config.annotations = [("note".to_owned(), "n".to_owned())].into();
    config.spec_hash = "hash".into();
    let container = node.create(&config).await;
    node.start(&container, "web").await;
    let ended = node.until_ended("web", "app").await;

    let ContainerState::Exited(exit) = &ended.state else { panic!("{:?}", ended.state) };
    assert_eq!(
        (exit.code, exit.message.as_str(), exit.oom_killed),
        (3, "the message", false),
        "{}",
        node.log(&ended).await
    );
    assert_eq!((ended.spec_hash.as_str(), ended.annotations["note"].as_str()), ("hash", "n"));
    let log = node.log(&ended).await;
    let expected = [
        "GREETING=hello",
        "TERM=(not set)",
        "HOSTNAME=web",
        "a=1",
        "hidden",
        "400 0:0",
        "777 0:0",
        "fast",
        "127.0.0.1 localhost",
        "10.9.9.9 friend",
        "search default.svc.cluster.local",
        "nameserver 10.9.9.1",
        "options ndots:5",
        "",
        "a=1",
        "Uid: 0 0 0 0",
        "Gid: 0 0 0 0",
    ];
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..expected.len()], expected, "{log}");
    for line in ["NoNewPrivs: 1", "CapEff: 0000000000000000", "to stderr"] {
        assert!(lines.contains(&line), "{line} in {log}");
    }
    assert!(lines.iter().any(|l| l.starts_with("..") && l.ends_with(" dir")), "{log}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_volume_that_is_exchanged_for_a_link_is_never_mounted() {
    let Some(node) = Node::new("parts").await else { return };
    let sandbox = node.sandbox("web");
    node.write("web", "data", VolumeKind::Empty { memory: false, size_limit: None }, None).await;
    let id = node.run(&sandbox).await;
    let mut config = node.container(&sandbox, &id, "app", &["cat:/part/name"]);
    let mut part = of_pod("/part", "data");
    part.sub_path = "a/b".into();
    config.mounts.push(part);
    let volume = node.volume("web", "data");
    let (real, aside) = (volume.join("a/b"), volume.join("aside"));
    let container = node.create(&config).await;
    std::fs::write(real.join("name"), "the part\n").expect("written");
    // What another container of the pod might do.
    std::fs::rename(&real, &aside).expect("moved");
    std::os::unix::fs::symlink("/etc", &real).expect("a link");
    let start = Action::StartContainer { id: container.clone(), pod_uid: node.uid("web") };
    let refused = node.act(start).await.expect_err("it is another part");
    assert_eq!(refused.kind, RuntimeErrorKind::NotFound, "{refused}");
    assert_eq!(node.see("web").await.containers, [], "it is made anew");
    let refused = node.act(Action::CreateContainer(Box::new(config.clone()))).await.expect_err("it leads out");
    assert_eq!(refused.kind, RuntimeErrorKind::Volume, "{refused}");

    std::fs::remove_file(&real).expect("removed");
    std::fs::rename(&aside, &real).expect("moved back");
    let container = node.create(&config).await;
    node.start(&container, "web").await;
    let ended = node.until_ended("web", "app").await;
    assert_eq!(node.log(&ended).await, "the part\n");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_volume_is_seen_by_who_runs() {
    let Some(node) = Node::new("change").await else { return };
    let sandbox = node.sandbox("web");
    let files = |text| VolumeKind::Files { files: file("key", text, 0o644), secret: false };
    node.write("web", "config", files("old\n"), None).await;
    let id = node.run(&sandbox).await;
    let mut config = node.container(&sandbox, &id, "app", &["forever"]);
    config.mounts = vec![of_pod("/config", "config")];
    let container = node.create(&config).await;
    node.start(&container, "web").await;
    assert_eq!(exec(&node, &container, &["/program", "cat:/config/key"]).await, (0, "old\n".to_owned()));
    node.write("web", "config", files("new\n"), None).await;
    assert_eq!(exec(&node, &container, &["/program", "cat:/config/key"]).await, (0, "new\n".to_owned()));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_of_a_pod_can_use_its_volumes() {
    let Some(node) = Node::new("groups").await else { return };
    let sandbox = node.sandbox("web");
    node.write("web", "config", VolumeKind::Files { files: file("key", "x", 0o640), secret: true }, Some(1234)).await;
    node.write("web", "cache", VolumeKind::Empty { memory: false, size_limit: None }, Some(1234)).await;
    let id = node.run(&sandbox).await;
    let mut config = node.container(
        &sandbox,
        &id,
        "app",
        &["mode:/config/key", "cat:/config/key", "say:", "write:/cache/f=x", "mode:/cache", "mode:/cache/f", "exit:0"],
    );
    config.security.user = "1000:1000".into();
    config.security.supplemental_groups = vec![1234];
    config.mounts = vec![of_pod("/config", "config"), of_pod("/cache", "cache")];
    let container = node.create(&config).await;
    node.start(&container, "web").await;
    let ended = node.until_ended("web", "app").await;
    let log = node.log(&ended).await;
    assert_eq!(log.lines().collect::<Vec<_>>(), ["640 0:1234", "x", "2777 0:1234", "644 1000:1234"], "{log}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_is_told_at_once_and_how() {
    let Some(node) = Node::new("ends").await else { return };
    let sandbox = node.sandbox("web");
    let id = node.run(&sandbox).await;
    let polite = node.create(&node.container(&sandbox, &id, "polite", &["on-term:7", "forever"])).await;
    let stubborn = node.create(&node.container(&sandbox, &id, "stubborn", &["ignore-term", "forever"])).await;
    for container in [&polite, &stubborn] {
        node.start(container, "web").await;
    }
    let seen = node.see("web").await;
    assert!(seen.containers.iter().all(|c| matches!(c.state, ContainerState::Running { .. })), "{seen:?}");
    assert_eq!(seen.state, SandboxState::Ready);
    // Wait for the handlers: a command inside is answered only after that.
    exec(&node, &polite, &["/program", "wait:100"]).await;
    while tokio::time::timeout(Duration::from_millis(50), node.podman.next_hint()).await.is_ok() {}
    node.signal(&polite, "web", 15).await;
    let hint = tokio::time::timeout(Duration::from_secs(20), node.podman.next_hint()).await.expect("a hint");
    assert_eq!(hint, Hint::Pod { uid: node.uid("web") });
    let ended = node.until_ended("web", "polite").await;
    assert!(matches!(&ended.state, ContainerState::Exited(exit) if exit.code == 7), "{:?}", ended.state);
    node.signal(&stubborn, "web", 15).await;
    node.signal(&stubborn, "web", 9).await;
    let ended = node.until_ended("web", "stubborn").await;
    assert!(
        matches!(&ended.state, ContainerState::Exited(exit) if exit.code == 137 && !exit.oom_killed),
        "{:?}",
        ended.state
    );
    // What has ended needs no signal.
    node.signal(&stubborn, "web", 9).await;

    node.act(Action::StopSandbox { id: id.clone(), pod_uid: node.uid("web") }).await.expect("stopped");
    node.eventually("the sandbox is not ready", || async { node.see("web").await.state == SandboxState::NotReady })
        .await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_is_the_pods_and_writable_under_a_read_only_root() {
    let Some(node) = Node::new("shared").await else { return };
    let own = node.sandbox("web");
    // The machine may have no message queues.
    let hosts = SandboxConfig { host_ipc: true, ..node.sandbox("host") };
    for sandbox in [own, hosts] {
        let pod = sandbox.name.clone();
        let id = node.run(&sandbox).await;
        let path = format!("/dev/shm/{}", sandbox.uid);
        let mut writer = node.container(&sandbox, &id, "writer", &[&format!("write:{path}=told"), "wait:1"]);
        writer.security.read_only_root_filesystem = true;
        let reader = node.container(&sandbox, &id, "reader", &[&format!("cat:{path}"), "wait:1"]);
        for config in [writer, reader] {
            let container = node.create(&config).await;
            node.start(&container, &pod).await;
            let ended = node.until_ended(&pod, &config.name).await;
            assert!(matches!(&ended.state, ContainerState::Exited(exit) if exit.code == 0), "{:?}", ended.state);
            if config.name == "reader" {
                assert_eq!(node.log(&ended).await.trim(), "told");
            }
        }
        if sandbox.host_ipc {
            let _ = std::fs::remove_file(&path);
        }
    }
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_out_of_memory_says_so() {
    let Some(node) = Node::new("memory").await else { return };
    if node.podman.is_rootless() {
        return node.end().await; // An ordinary user has no limits without systemd's delegation.
    }
    let sandbox = node.sandbox("web");
    let id = node.run(&sandbox).await;
    let mut config = node.container(&sandbox, &id, "eater", &["wait:300", "eat:200", "exit:0"]);
    config.resources = LinuxResources {
        memory_limit_bytes: Some(32 << 20),
        memory_swap_bytes: Some(32 << 20),
        ..LinuxResources::default()
    };
    let container = node.create(&config).await;
    node.start(&container, "web").await;
    let ended = node.until_ended("web", "eater").await;
    assert!(
        matches!(&ended.state, ContainerState::Exited(exit) if exit.code == 137 && exit.oom_killed),
        "{:?}",
        ended.state
    );

    let resources = LinuxResources {
        memory_limit_bytes: Some(64 << 20),
        memory_swap_bytes: Some(64 << 20),
        ..LinuxResources::default()
    };
    let mut config = node.container(&sandbox, &id, "grown", &["forever"]);
    config.resources = resources.clone();
    let container = node.create(&config).await;
    node.start(&container, "web").await;
    let resources =
        LinuxResources { memory_limit_bytes: Some(96 << 20), memory_swap_bytes: Some(96 << 20), ..resources };
    node.act(Action::UpdateContainer { id: container, pod_uid: node.uid("web"), resources }).await.expect("updated");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_in_containers_and_are_ended_in_time() {
    let Some(node) = Node::new("exec").await else { return };
    let sandbox = node.sandbox("web");
    let id = node.run(&sandbox).await;
    let mut config = node.container(&sandbox, &id, "app", &["forever"]);
    config.security.user = "1000:1000".into();
    config.env = vec![("A".into(), "b c".into())];
    let container = node.create(&config).await;
    node.start(&container, "web").await;
    let (code, output) = exec(&node, &container, &["/program", "env:A", "ids", "err:and this", "exit:5"]).await;
    assert_eq!(code, 5);
    for part in ["A=b c\n", "Uid: 1000 1000 1000 1000\n", "and this\n"] {
        assert!(output.contains(part), "{part:?} in {output:?}");
    }
    let missing = Action::ExecSync {
        id: container.clone(),
        pod_uid: node.uid("web"),
        command: vec!["/none".into()],
        timeout: Some(Duration::from_secs(20)),
    };
    let refused = node.act(missing).await.expect_err("it was never begun");
    assert!(refused.message.contains("/none"), "{refused:?}");
    let slow = Action::ExecSync {
        id: container.clone(),
        pod_uid: node.uid("web"),
        command: vec!["/program".into(), "say:begun".into(), "forever".into()],
        timeout: Some(Duration::from_millis(500)),
    };
    let Ok(Outcome::Exec { timed_out, output, .. }) = node.act(slow).await else { panic!("no answer") };
    assert_eq!((timed_out, String::from_utf8_lossy(&output).as_ref()), (true, "begun\n"));
    node.eventually("only the container's own process and the one that asks are left", || async {
        let left = exec(&node, &container, &["/program", "list:/proc"]).await.1;
        left.split(' ').filter(|name| name.bytes().all(|b| b.is_ascii_digit())).count() == 2
    })
    .await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_that_are_tried_again_change_nothing() {
    let Some(node) = Node::new("again").await else { return };
    let sandbox = node.sandbox("web");
    let first = node.run(&sandbox).await;
    assert_eq!(node.run(&sandbox).await, first);
    let config = node.container(&sandbox, &first, "app", &["forever"]);
    let container = node.create(&config).await;
    assert_eq!(node.create(&config).await, container);
    node.start(&container, "web").await;
    node.start(&container, "web").await;
    let seen = node.see("web").await;
    assert_eq!((seen.containers.len(), seen.id.as_str()), (1, first.as_str()));
    for _ in 0..2 {
        node.act(Action::RemoveContainer { id: container.clone(), pod_uid: node.uid("web") }).await.expect("removed");
        node.act(Action::RemoveSandbox { id: first.clone(), pod_uid: node.uid("web"), forget_pod: true })
            .await
            .expect("removed");
    }
    assert_eq!(node.podman.observe_pod(&node.uid("web")).await, Ok(None));
    assert_eq!(node.podman.observe().await, Ok(vec![]));
    assert!(!node.state.path().join("pods").join(node.uid("web")).exists());
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_kind() {
    let Some(node) = Node::new("refuse").await else { return };
    let sandbox = node.sandbox("web");
    let id = node.run(&sandbox).await;
    let kind = |result: Result<Outcome, wl::runtime::RuntimeError>| match result {
        Err(error) => (error.kind, error.message),
        Ok(outcome) => panic!("{outcome:?}"),
    };
    let mut config = node.container(&sandbox, &id, "none", &[]);
    config.image = "localhost/wl-none:1".into();
    assert_eq!(kind(node.act(Action::CreateContainer(Box::new(config))).await).0, RuntimeErrorKind::ImageMissing);
    let pull = |image: &str| Action::PullImage { image: image.into(), auth: vec![], pod_uid: node.uid("web") };
    assert_eq!(kind(node.act(pull("localhost/wl-none:1")).await).0, RuntimeErrorKind::ImageMissing);
    assert_eq!(kind(node.act(pull("Not A Name")).await).0, RuntimeErrorKind::ImageName);
    assert_eq!(kind(node.act(pull("localhost:1/x/y")).await).0, RuntimeErrorKind::ImagePull);
    let Ok(Outcome::Pulled { .. }) = node.act(pull("wl-test-program")).await else {
        panic!("what is on the machine needs no registry")
    };

    let mut config = node.container(&sandbox, &id, "missing", &[]);
    config.command = vec!["/none".into()];
    let container = node.create(&config).await;
    let start = Action::StartContainer { id: container, pod_uid: node.uid("web") };
    let (refused, message) = kind(node.act(start).await);
    assert_eq!(refused, RuntimeErrorKind::Start, "{message}");
    assert!(message.contains("/none"), "{message}");

    let mut twin = node.sandbox("twin");
    twin.network.clone_from(&sandbox.network);
    let (refused, message) = kind(node.act(Action::RunSandbox(Box::new(twin))).await);
    assert_eq!(refused, RuntimeErrorKind::AddressInUse, "{message}");
    let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let mut twin = node.sandbox("port");
    let host_port = taken.local_addr().expect("an address").port();
    twin.ports = vec![PortMapping { host_ip: String::new(), host_port, container_port: 80, protocol: "TCP".into() }];
    let (refused, message) = kind(node.act(Action::RunSandbox(Box::new(twin))).await);
    assert_eq!(refused, RuntimeErrorKind::AddressInUse, "{message}");
    let seen: Vec<String> = node.podman.observe().await.expect("a list").into_iter().map(|s| s.name).collect();
    assert_eq!(seen, ["web"], "nothing half-made is left");
    let gone = Action::StartContainer { id: "0".repeat(64), pod_uid: node.uid("web") };
    assert!(matches!(kind(node.act(gone).await).0, RuntimeErrorKind::Start | RuntimeErrorKind::NotFound));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_client_sees_what_the_old_one_left_and_no_other_instance_does() {
    let Some(node) = Node::new("adopt").await else { return };
    let mut sandbox = node.sandbox("web");
    sandbox.annotations = [("wl.pod".to_owned(), "{\"kind\":\"Pod\"}".to_owned())].into();
    let id = node.run(&sandbox).await;
    let mut config = node.container(&sandbox, &id, "app", &["forever"]);
    config.annotations = [("a".to_owned(), "b".to_owned())].into();
    let running = node.create(&config).await;
    node.start(&running, "web").await;
    let ended = node.create(&node.container(&sandbox, &id, "job", &["exit:4"])).await;
    node.start(&ended, "web").await;
    node.until_ended("web", "job").await;
    let before = node.see("web").await;

    // Without its files, what Podman keeps must do.
    std::fs::remove_file(node.state.path().join("pods").join(node.uid("web")).join("sandbox.json")).expect("removed");
    let again = node.again().await;
    let seen = again.observe().await.expect("a list");
    let seen = again.observe().await.map(|second| (seen, second)).expect("a list").1;
    assert_eq!(seen.len(), 1);
    let strip = |sandbox: &wl::runtime::Sandbox| {
        let mut sandbox = sandbox.clone();
        sandbox.containers.iter_mut().for_each(|c| c.created_at = jiff::Timestamp::UNIX_EPOCH);
        sandbox.created_at = jiff::Timestamp::UNIX_EPOCH;
        sandbox
    };
    assert_eq!(strip(&seen[0]).containers, strip(&before).containers);
    let read = std::fs::read_to_string(node.state.path().join("pods").join(node.uid("web")).join("sandbox.json"));
    assert!(read.expect("mended").contains("Pod"));

    let Some(other) = Node::new("other").await else { return };
    assert_eq!(other.podman.observe().await, Ok(vec![]));
    other.end().await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_a_container_is_seen() {
    let Some(node) = Node::new("hand").await else { return };
    let sandbox = node.sandbox("web");
    let id = node.run(&sandbox).await;
    let container = node.create(&node.container(&sandbox, &id, "app", &["forever"])).await;
    node.start(&container, "web").await;
    node.see("web").await;
    let hand = node.again().await;
    hand.observe().await.expect("a list");
    // A second client is as much another as a hand on the command line.
    hand.execute(&Action::SignalContainer { id: container.clone(), pod_uid: node.uid("web"), signal: 9 })
        .await
        .expect("killed");
    node.until_ended("web", "app").await;
    hand.execute(&Action::RemoveContainer { id: container.clone(), pod_uid: node.uid("web") }).await.expect("removed");
    node.eventually("the container is gone", || async { node.see("web").await.containers.is_empty() }).await;
    hand.execute(&Action::RemoveSandbox { id, pod_uid: node.uid("web"), forget_pod: false }).await.expect("removed");
    node.eventually("the sandbox is gone", || async { node.podman.observe_pod(&node.uid("web")).await == Ok(None) })
        .await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_talk_to_each_other_by_the_addresses_they_were_given() {
    let Some(node) = Node::new("talk").await else { return };
    let server = node.sandbox("server");
    let id = node.run(&server).await;
    let container = node.create(&node.container(&server, &id, "app", &["listen:8080"])).await;
    node.start(&container, "server").await;
    let address: IpAddr = server.network.as_ref().expect("a network").ips[0];
    assert_eq!(node.see("server").await.ips, [address]);
    let client = node.sandbox("client");
    let id = node.run(&client).await;
    let get = format!("get:{address}:8080");
    let container = node.create(&node.container(&client, &id, "app", &["forever"])).await;
    node.start(&container, "client").await;
    node.eventually("the server answers", || async {
        exec(&node, &container, &["/program", &get]).await.1 == "hello\n"
    })
    .await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wl_starts_podmans_service_itself_and_finds_its_pods_again() {
    let Some(node) = Node::new("own").await else { return };
    let surroundings = Surroundings { container_host: None, ..Surroundings::of_this_process() };
    if surroundings.find_podman().is_none() || std::env::var_os("WL_TEST_FLAVOUR").is_none() {
        return node.end().await;
    }
    let options = ConnectOptions { surroundings, start_service: StartService::Always, ..node.options.clone() };
    let own = wl::podman::Podman::connect(options).await.expect("a service of our own");
    assert!(own.owns_service().await);
    own.import_image("localhost/wl-test-program:latest", image_tar(&program()), &[]).await.expect("imported");
    let sandbox = node.sandbox("web");
    let Ok(Outcome::Sandbox { id, .. }) = own.execute(&Action::RunSandbox(Box::new(sandbox.clone()))).await else {
        panic!("no sandbox")
    };
    let socket = own.socket().to_owned();
    own.close().await;
    assert!(!socket.exists());
    let seen = node.see("web").await;
    assert_eq!((seen.id, seen.state), (id, SandboxState::Ready), "pods outlive the service");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_described() {
    let Some(node) = Node::new("machine").await else { return };
    let machine = node.podman.machine().await.expect("an answer");
    assert_eq!(machine.runtime_name, "podman");
    assert_eq!(machine.runtime_version, node.podman.version().to_string());
    assert_eq!(machine.rootless, node.podman.is_rootless());
    assert!(
        machine.pods > 10 && machine.memory_bytes > 0 && machine.cpus > 0 && !machine.addresses.is_empty(),
        "{machine:?}"
    );
    node.end().await;
}
