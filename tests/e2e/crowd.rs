//! Thousands of open connections, a backend that never answers, and clients that never finish what they say: the gateway's memory
//! stays bounded, and all others are served as before.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wl::runtime::ContainerState;

use crate::services::servers;
use crate::world::{IMAGES, World};

/// Connections that are open at once, where this process may have so many files.
const CROWD: usize = 5_000;
/// Files of this process beside them.
const OWN_FILES: u64 = 300;
/// Connections that are made at once.
const AT_ONCE: usize = 50;
/// What the gateway may hold for them.
const MOST_MEMORY: u64 = 96 << 20;
/// Clients of the Ingress that go on slowly.
const SLOW: usize = 500;

/// Takes connections and never says anything; an Ingress leads to it too.
const MUTE: &str = r#"---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mute}
spec:
  replicas: 5
  selector: {matchLabels: {app: mute}}
  template:
    metadata: {labels: {app: mute}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: mute
        image: IMAGE
        args: ["/program", "mute:8080"]
---
apiVersion: v1
kind: Service
metadata: {name: mute}
spec:
  type: NodePort
  selector: {app: mute}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  defaultBackend: {service: {name: web, port: {name: http}}}
  rules:
  - host: mute.localhost
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: mute, port: {number: 80}}}}]}
"#;

/// How many connections this process may open; its limit is raised as far as it may be.
fn crowd() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    files.map_or(CROWD, |files| usize::try_from(files.saturating_sub(OWN_FILES)).unwrap_or(CROWD).min(CROWD))
}

async fn connected(port: u16) -> TcpStream {
    let connected = tokio::time::timeout(Duration::from_secs(30), TcpStream::connect(("127.0.0.1", port)));
    connected.await.expect("in time").expect("connected")
}

async fn crowd_at(port: u16, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let some = (0..AT_ONCE.min(count - open.len())).map(|_| connected(port));
        open.extend(futures_util::future::join_all(some).await);
    }
    open
}

/// Those that the other side has ended or broken.
fn closed(open: &[TcpStream]) -> usize {
    let is_open =
        |stream: &&TcpStream| matches!(stream.try_read(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
    open.len() - open.iter().filter(is_open).count()
}

impl World {
    /// The process of the gateway.
    async fn gateway_pid(&self) -> u32 {
        let gateway = self.gateway().await.expect("a gateway");
        let pid = gateway.containers.iter().find_map(|container| match container.state {
            ContainerState::Running { pid, .. } => Some(pid),
            _ => None,
        });
        pid.expect("it runs")
    }
}

/// Bytes of memory that a process has, those of others that it shares not counted (proc_pid_status(5): `RssAnon`).
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_waits_for_nothing_disturbs_nobody() {
    let Some(world) = World::new("crowd").await else { return };
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let file = world.file("servers.yaml", &(servers() + &MUTE.replace("IMAGE", IMAGES[0])));
    world.wl(&["apply", "-f", &file, "--ingress-http", &free.to_string()]).await.ends(0);
    let web = world.node_port("web").await;
    let mute = world.node_port("mute").await;
    for port in [web, free] {
        world.eventually("it answers", || async { world.fetch(port).await.is_ok_and(|t| t.contains("200 OK")) }).await;
    }
    let pid = world.gateway_pid().await;
    let before = memory(pid);

    let open = crowd_at(mute, crowd()).await;
    // Clients of the Ingress: half of a head, byte by byte, and whole requests to those who never answer.
    let mut slow = crowd_at(free, SLOW).await;
    for (number, stream) in slow.iter_mut().enumerate() {
        let said: &[u8] = if number % 2 == 0 { b"GET / HT" } else { b"GET / HTTP/1.1\r\nHost: mute.localhost\r\n\r\n" };
        stream.write_all(said).await.expect("said");
    }
    // What the proxy would break, it breaks within the time in which it asks all targets.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(closed(&open), 0, "of {} connections some were ended", open.len());
    let held = memory(pid);
    eprintln!("{} connections and {SLOW} requests: {} KiB, {} before", open.len(), held >> 10, before >> 10);
    assert!(held < before + MOST_MEMORY, "{held} bytes");

    // All others are served meanwhile: by node port, by Ingress, by name and cluster IP.
    for port in [web, free] {
        let said = world.fetch(port).await.expect("answered");
        assert!(said.contains("200 OK"), "{said}");
    }
    let said = world.client("asks", &["lookup:web", "fetch:web:80/name"]).await;
    assert!(said.contains("web-"), "{said}");
    assert_eq!(world.gateway_pid().await, pid, "the gateway is the same");

    // Garbage to all of them ends nothing either.
    for port in [web, free] {
        let mut stream = connected(port).await;
        let _ = stream.write_all(&[0xff; 70_000]).await;
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 64])).await;
    }
    drop((open, slow));
    for port in [web, free] {
        world.eventually("it answers", || async { world.fetch(port).await.is_ok_and(|t| t.contains("200 OK")) }).await;
    }
    assert_eq!(world.gateway_pid().await, pid, "the gateway is the same");
    world.end().await;
}
