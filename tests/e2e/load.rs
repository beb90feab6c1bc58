//! Two hundred requests a second by every way to a Service, while everything around it changes: none is lost, but for the
//! second after the gateway itself was killed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Child;
use wl::runtime::{Action, GATEWAY_UID};

use crate::bad_luck::{kill_service, service};
use crate::image::program;
use crate::services::{client, servers};
use crate::world::{Run, World};

/// Requests a second of each of the six loads.
const RATE: u32 = 34;
/// They are told to end before.
const AT_MOST: u32 = 600;
/// What the death of the gateway may cost: requests that were under way, and those of the next second.
const DEATH: (u128, u128) = (500, 1000);

const INGRESS: &str = r#"---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {name: http}}}}
"#;

/// A test's own Podman service, and the commands that use it.
struct Site {
    world: World,
    host: String,
}

impl Site {
    fn command(&self, args: &[&str]) -> impl Future<Output = Run> + use<'_> {
        let mut command = self.world.command(args);
        command.env("CONTAINER_HOST", &self.host);
        self.world.run(command)
    }

    async fn wl(&self, args: &[&str]) -> Run {
        self.command(args).await.ends(0)
    }

    async fn rolled_out(&self) {
        self.wl(&["rollout", "status", "deploy/web"]).await;
    }
}

/// Loads from this machine and from pods, until they are told to end.
struct Loads {
    children: Vec<Child>,
    pods: [&'static str; 2],
}

impl Loads {
    async fn begin(site: &Site, ports: [u16; 2]) -> Self {
        let pods = ["new", "keep"];
        for kind in pods {
            let step = format!("load:web:80={RATE},{AT_MOST},{kind}");
            let file = site.world.file(&format!("{kind}.yaml"), &client(kind, &[&step]));
            site.wl(&["apply", "--wait=false", "-f", &file]).await;
        }
        for pod in pods {
            let runs = || async { site.world.json(&["get", "pod", pod]).await["status"]["phase"] == "Running" };
            site.world.eventually("a load runs", runs).await;
        }
        let mut children = Vec::new();
        for port in ports {
            for kind in pods {
                let step = format!("load:127.0.0.1:{port}={RATE},{AT_MOST},{kind}");
                let mut command = tokio::process::Command::new(program());
                command.arg(step).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
                children.push(command.spawn().expect("a load"));
            }
        }
        Loads { children, pods }
    }

    /// What all of them have said in the end.
    async fn end(self, site: &Site) -> Vec<String> {
        let mut said = Vec::new();
        for pod in self.pods {
            site.wl(&["exec", pod, "--", "/program", "term:1"]).await;
        }
        for child in self.children {
            let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)).expect("alive");
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told to end");
            let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("ends");
            said.push(String::from_utf8_lossy(&output.expect("waited for").stdout).into_owned());
        }
        for pod in self.pods {
            said.push(site.world.said(pod).await);
        }
        said
    }
}

fn millis() -> u128 {
    #[expect(clippy::disallowed_methods, reason = "compared with what another program writes down")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// When requests were begun that were lost.
fn lost(said: &str) -> Vec<u128> {
    said.lines().filter_map(|line| line.strip_prefix("lost ")?.split(' ').next()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_everything_around_it_changes() {
    let Some(world) = World::new("load").await else { return };
    let podman = service(&world).await;
    let site = Site { host: format!("unix://{}", podman.socket().display()), world };
    let world = &site.world;
    let file = world.file("servers.yaml", &(servers() + INGRESS));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let apply = ["apply", "-f", &file, "--ingress-http", &free.to_string()];
    site.wl(&apply).await;
    let port = world.node_port("web").await;
    for port in [port, free] {
        world.eventually("it answers", || async { world.fetch(port).await.is_ok_and(|t| t.contains("200 OK")) }).await;
    }
    let loads = Loads::begin(&site, [port, free]).await;
    let begun = millis();

    let mut steps: Vec<(&str, u128)> = Vec::new();
    let mut step = |name: &'static str| steps.push((name, millis()));
    step("rolling update");
    site.wl(&["rollout", "restart", "deploy/web"]).await;
    site.rolled_out().await;
    for (name, replicas) in [("scale to 3", 3), ("scale to 1", 1), ("scale to 5", 5)] {
        step(name);
        site.wl(&["scale", "deploy/web", &format!("--replicas={replicas}")]).await;
        site.rolled_out().await;
    }
    step("liveness restart");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    stream.write_all(b"GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("asked");
    let restarted = || async {
        let pods = world.json(&["get", "pods", "-l", "app=web"]).await;
        let restarts = |p: &Value| p.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64);
        pods["items"].as_array().is_some_and(|items| items.iter().any(|p| restarts(p) > Some(0)))
    };
    world.eventually("a container is restarted", restarted).await;
    site.rolled_out().await;
    step("watch killed");
    let pid = world.json(&["watch", "status"]).await["pid"].as_u64().expect("a pid");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    site.wl(&apply).await;
    step("Podman's service restarted");
    kill_service(&podman.socket());
    site.wl(&["rollout", "restart", "deploy/web"]).await;
    site.rolled_out().await;
    step("gateway killed");
    let gateway = world.gateway().await.expect("a gateway");
    let id = gateway.containers.first().expect("a container").id.clone();
    let killed = millis();
    world.act(Action::SignalContainer { id: id.clone(), pod_uid: GATEWAY_UID.into(), signal: 9 }).await;
    let another = || async { world.gateway().await.is_some_and(|s| s.containers.iter().any(|c| c.id != id)) };
    world.eventually("another gateway runs", another).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let lasted = millis() - begun;
    let said = loads.end(&site).await;
    let grace: Range<u128> = killed - DEATH.0..killed + DEATH.1;
    let mut missed: BTreeMap<&str, usize> = BTreeMap::new();
    for text in &said {
        eprintln!("{}", text.lines().next().unwrap_or("it said nothing"));
        let of_death = lost(text).iter().filter(|at| grace.contains(at)).count();
        if of_death > 0 {
            eprintln!("  of them when the gateway was killed: {of_death}");
        }
        let during = |at: u128| steps.iter().rev().find(|(_, from)| *from <= at).map_or("begin", |(name, _)| *name);
        for at in lost(text).into_iter().filter(|at| !grace.contains(at)) {
            *missed.entry(during(at)).or_default() += 1;
        }
        let good: usize = text.split(": ").nth(1).and_then(|t| t.split(' ').next()?.parse().ok()).unwrap_or(0);
        // At least half of what it was to ask; a loaded machine asks later.
        assert!(good as u128 >= u128::from(RATE) * lasted / 2000, "{good} in {lasted} ms");
    }
    eprintln!("in {} s: {steps:?}, gateway killed at {killed}", (millis() - begun) / 1000);
    let why: BTreeMap<&str, usize> =
        said.iter().flat_map(|text| text.lines()).fold(BTreeMap::new(), |mut all, line| {
            if let Some((_, why)) = line.strip_prefix("lost ").and_then(|rest| rest.split_once(": ")) {
                *all.entry(why).or_default() += 1;
            }
            all
        });
    assert!(missed.is_empty(), "lost: {missed:?}, all for {why:?}");
    site.wl(&["watch", "stop"]).await;
    let Site { world, .. } = site;
    world.end().await;
    podman.close().await;
}
