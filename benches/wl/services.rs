//! Services: what the way through the gateway costs, beside the same without it.

use std::time::Duration;

use serde_json::{Value, json};
use wl::api::Json;
use wl::client::{Ask, Client};

use crate::bare::Bare;
use crate::figures::{Pairs, Row, Sample, median, quantile, time};
use crate::image::program;
use crate::world::{IMAGE, World, run};
use crate::{Plan, machine};

/// How long one measurement runs, in seconds.
const SECONDS: u64 = 3;
/// Clients at once where throughput is meant.
const CLIENTS: u32 = 16;
/// What is sent for a round trip, and where bytes count.
const SMALL: u32 = 64;
const LARGE: u32 = 65_536;
/// Endpoints of each of many Services.
const ENDPOINTS: usize = 10;
const NETWORK: &str = "wl-bench-names";
const SERVICES: &str = "/api/v1/namespaces/default";

/// What a measuring program has said: rounds a second, and their median and 99th percentile in seconds.
#[derive(Clone, Copy)]
struct Said {
    rate: f64,
    p50: f64,
    p99: f64,
}

impl Said {
    fn parse(text: &str) -> Self {
        let all: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [rate, p50, p99] = all[..] else { panic!("it said {text:?}") };
        Said { rate, p50: p50 / 1e6, p99: p99 / 1e6 }
    }

    /// The time of one round where many run at once.
    fn sample(self) -> Sample {
        Sample { wall: 1.0 / self.rate, cpu: None }
    }
}

fn ping(to: &str, clients: u32, size: u32) -> String {
    format!("ping:{to}={clients},{SECONDS},{size}")
}

/// By a pod.
fn inside(world: &World, step: &str) -> Said {
    Said::parse(&world.wl(&["exec", "client", "--", "/program", step], &[0]).1)
}

/// By this machine.
fn outside(step: &str) -> Said {
    let mut command = std::process::Command::new(program());
    command.arg(step);
    Said::parse(&run(command, &[0]).1)
}

fn manifest() -> String {
    let pod = |name: &str, step: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
             containers: [{{name: app, image: {IMAGE}, command: [/program, \"on-term:0\", \"{step}\"]}}]\n"
        )
    };
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: server}\nspec:\n  type: NodePort\n  selector: {app: server}\n  \
                   ports: [{port: 7000}]\n";
    pod("server", "echo:7000") + &pod("client", "forever") + service
}

/// All rows.
pub async fn services(world: &World, bare: &Bare, plan: &Plan) {
    let file = world.file("services.yaml", &manifest());
    world.watch();
    world.wl(&["apply", "-f", &file], &[0]);
    let text =
        |args: &[&str], at: &str| world.json(args).pointer(at).and_then(Value::as_str).expect("a text").to_owned();
    let address = text(&["get", "pod", "server"], "/status/podIP");
    let service = world.json(&["get", "svc", "server"]);
    let node_port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).expect("a node port");
    let client = Client::unix(world.state().join("api.sock"));
    until(node_port, true);

    cluster_ip(world, plan, &format!("{address}:7000"));
    from_the_machine(bare, plan, node_port).await;
    names(world, bare, plan).await;
    rotation(&client, plan, node_port).await;
    many(world, bare, &client, plan).await;
    world.wl(&["delete", "-f", &file], &[0]);
}

fn cluster_ip(world: &World, plan: &Plan, direct: &str) {
    let (ours, theirs) = ("server:7000", direct);
    let [mut trips, mut bytes] = [Pairs::default(), Pairs::default()];
    let (mut more, mut shown) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let both = |clients: u32, size: u32| {
            (inside(world, &ping(ours, clients, size)), inside(world, &ping(theirs, clients, size)))
        };
        let (a, b) = both(CLIENTS, SMALL);
        trips.add(a.sample(), b.sample());
        let (a, b) = both(CLIENTS, LARGE);
        bytes.add(a.sample(), b.sample());
        let (a, b) = both(1, SMALL);
        more.push(a.p50 - b.p50);
        shown.push([a.p50, a.p99, b.p50, b.p99]);
    }
    let column = |n: usize| time(median(&shown.iter().map(|s| s[n]).collect::<Vec<_>>()));
    // At least half the throughput: at most twice the time.
    trips.row(&format!("pod → ClusterIP → pod, {CLIENTS} connections, a round trip"), "pod → pod", 2.0).print();
    bytes.row("the same, 64 KiB there and back", "pod → pod", 2.0).print();
    let more = median(&more) * 1e6;
    let ours = format!("p50 {}, p99 {}", column(0), column(1));
    let beside = format!("p50 {}, p99 {} (pod → pod)", column(2), column(3));
    Row {
        name: "one connection: µs more at p50".into(),
        ours,
        beside,
        ratio: more,
        cpu: None,
        at_most: 150.0,
        runs: plan.rounds,
    }
    .print();
}

/// A node port beside a port that Podman itself publishes.
async fn from_the_machine(bare: &Bare, plan: &Plan, node_port: u64) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let published = json!([{"container_port": 7000, "host_port": port, "host_ip": "127.0.0.1", "protocol": "tcp"}]);
    let container = json!({
        "name": "wl-bench-published", "image": IMAGE, "command": ["/program", "on-term:0", "echo:7000"], "portmappings": published,
    });
    bare.post("/containers/create", container).await;
    bare.post("/containers/wl-bench-published/start", Value::Null).await;
    until(port.into(), true);
    let mut pairs = Pairs::default();
    for _ in 0..plan.rounds {
        let of = |port: u64| outside(&ping(&format!("127.0.0.1:{port}"), CLIENTS, SMALL)).sample();
        pairs.add(of(node_port), of(port.into()));
    }
    bare.call(hyper::Method::DELETE, "/containers/wl-bench-published?force=true", Value::Null).await;
    let at_most = if rustix::process::geteuid().is_root() { 2.0 } else { 1.0 };
    pairs.row("machine → NodePort → pod, a round trip", "Podman's published port", at_most).print();
}

/// Answers about names, beside Podman's own name server.
async fn names(world: &World, bare: &Bare, plan: &Plan) {
    bare.post("/networks/create", json!({"name": NETWORK, "driver": "bridge", "dns_enabled": true})).await;
    let container = json!({
        "name": "wl-bench-names", "image": IMAGE, "command": ["/program", "on-term:0", "forever"],
        "netns": {"nsmode": "bridge"}, "Networks": {NETWORK: {}},
    });
    bare.post("/containers/create", container).await;
    bare.post("/containers/wl-bench-names/start", Value::Null).await;
    let mut pairs = Pairs::default();
    let mut p99 = [Vec::new(), Vec::new()];
    for _ in 0..plan.rounds {
        let ours = inside(world, &format!("dns:server.default.svc.cluster.local={CLIENTS},{SECONDS}"));
        let mut command = std::process::Command::new("podman");
        command.args([
            "exec",
            "wl-bench-names",
            "/program",
            &format!("dns:wl-bench-names.dns.podman={CLIENTS},{SECONDS}"),
        ]);
        let theirs = Said::parse(&run(command, &[0]).1);
        pairs.add(ours.sample(), theirs.sample());
        p99[0].push(ours.p99);
        p99[1].push(theirs.p99);
    }
    bare.call(hyper::Method::DELETE, "/containers/wl-bench-names?force=true", Value::Null).await;
    bare.call(hyper::Method::DELETE, &format!("/networks/{NETWORK}"), Value::Null).await;
    pairs.row(&format!("an answer about a name, {CLIENTS} who ask"), "aardvark-dns", f64::INFINITY).print();
    println!("(p99 {}, aardvark-dns {})", time(median(&p99[0])), time(median(&p99[1])));
}

/// Waits until somebody answers at a port of this machine, or nobody does; tells how long that took.
fn until(port: u64, answers: bool) -> Duration {
    use std::io::{Read, Write};
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")));
    let begun = machine::now();
    loop {
        let asked = || -> std::io::Result<()> {
            let mut stream = std::net::TcpStream::connect_timeout(&at, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])
        };
        if asked().is_ok() == answers {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "port {port} stays as it is");
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn merge(client: &Client, path: &str, patch: Json) {
    let ask = Ask::new(hyper::Method::PATCH, path).bytes("application/merge-patch+json", patch.to_string());
    client.send(ask).await.expect("patched");
}

/// How long each of `count` times a pod takes, in seconds, from its being an endpoint by its label until it is given connections.
async fn comings(client: &Client, node_port: u64, count: usize) -> Vec<f64> {
    let pod = format!("{SERVICES}/pods/server");
    let mut times = Vec::new();
    for _ in 0..count {
        merge(client, &pod, json!({"metadata": {"labels": {"app": "away"}}})).await;
        until(node_port, false);
        merge(client, &pod, json!({"metadata": {"labels": {"app": "server"}}})).await;
        times.push(until(node_port, true).as_secs_f64());
    }
    times
}

/// From a pod's being an endpoint by its label until it is given connections.
async fn rotation(client: &Client, plan: &Plan, node_port: u64) {
    let times = comings(client, node_port, plan.scaled(100)).await;
    let (p50, p99) = (quantile(&times, 0.5), quantile(&times, 0.99));
    Row::alone(
        "from ready to in rotation, p99 in ms",
        format!("p50 {}, p99 {}", time(p50), time(p99)),
        p99 * 1e3,
        100.0,
    )
    .print();
}

/// A thousand Services: what the gateway weighs, and how long a change of one takes.
async fn many(world: &World, bare: &Bare, client: &Client, plan: &Plan) {
    let count = plan.scaled(1000);
    let before = gateway(bare).await.map_or(f64::NAN, machine::pss);
    let endpoints: Vec<Json> = (1..=ENDPOINTS).map(|n| json!({"addresses": [format!("192.0.2.{n}")]})).collect();
    let mut list = Vec::new();
    for n in 0..count {
        let name = format!("many-{n}");
        list.push(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"bench": "many"}},
            "spec": {"ports": [{"port": 7000}]}}),
        );
        list.push(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name, "bench": "many"}},
            "ports": [{"port": 7000}], "endpoints": endpoints}));
    }
    let file = world.file("many.json", &json!({"apiVersion": "v1", "kind": "List", "items": list}).to_string());
    world.wl(&["apply", "--wait=false", "-f", &file], &[0]);
    let service = world.json(&["get", "svc", "server"]);
    let node_port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).expect("a node port");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let times = comings(client, node_port, plan.scaled(30)).await;
    let pss = gateway(bare).await.map_or(f64::NAN, machine::pss);
    let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
    let name = format!("gateway with {count} Services of {ENDPOINTS} endpoints: PSS in MiB");
    let shown = format!("{:.1} MiB ({:.1} MiB without)", mib(pss), mib(before));
    Row::alone(&name, shown, mib(pss), f64::INFINITY).print();
    let shown = format!("p50 {}, p99 {}", time(quantile(&times, 0.5)), time(quantile(&times, 0.99)));
    Row::alone(
        "one change among them until it is served, p50 in ms",
        shown,
        quantile(&times, 0.5) * 1e3,
        f64::INFINITY,
    )
    .print();
    world.wl(&["delete", "svc,endpointslices", "-l", "bench=many"], &[0]);
}

/// The gateway's process.
async fn gateway(bare: &Bare) -> Option<u32> {
    let all = bare.get("/containers/json").await;
    let name = |c: &Json| c["Names"][0].as_str().unwrap_or_default().to_owned();
    let is_it = |c: &&Json| name(c).contains("_wl-gateway_") && !name(c).ends_with("_infra");
    let pid = all.as_array()?.iter().find(is_it)?["Pid"].as_u64()?;
    u32::try_from(pid).ok()
}
