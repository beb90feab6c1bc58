//! Plans of many objects, on a watch with a pretend node.

use std::sync::Arc;
use std::time::Duration;

use wl::apiserver::{Server, listen};
use wl::engine::watch::WatchFlags;
use wl::engine::{Engine, EngineOptions, clock};
use wl::network::PodSubnet;
use wl::runtime::simulated::Simulated;
use wl::store::Store;

use crate::Plan;
use crate::figures::{Pairs, Row, Sample, median};
use crate::world::World;

/// A watch inside this process, whose node pretends.
struct Pretended {
    world: World,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Pretended {
    async fn start() -> Self {
        let world = World::new();
        let clock = clock::system();
        let store = Store::open(&world.state(), WatchFlags::default().settings()).expect("a store");
        let node = Simulated::new(clock.clone());
        let options = EngineOptions {
            allocatable: [("cpu", "100000"), ("memory", "100000Gi"), ("pods", "100000")]
                .map(|(name, amount)| (name.to_owned(), amount.to_owned()))
                .into(),
            // Room for ten thousand.
            pod_subnet: Some(PodSubnet::new("10.96.0.0/16".parse().expect("a range")).expect("a subnet")),
            ..EngineOptions::default()
        };
        let socket = world.state().join("api.sock");
        let listened = socket.clone();
        let server = Server::new(store.clone()).with_controllers(true);
        let runtime = Arc::new(node.clone());
        let engine = Engine { store, runtime, controllers: wl::controllers::all(), clock, options };
        let tasks = vec![
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    node.tick();
                }
            }),
            tokio::spawn(async move { engine.run(std::future::pending()).await.expect("the engine runs") }),
            tokio::spawn(async move { listen(server, &listened, std::future::pending()).await.expect("it listens") }),
        ];
        // Who asks before would start a watch of its own.
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Pretended { world, tasks }
    }

    async fn end(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
        // Nothing of it is in Podman.
        std::fs::remove_dir_all(self.world.state()).expect("removed");
    }
}

fn deployments(count: usize, replicas: usize, image: &str) -> String {
    deployments_from(0, count, replicas, image)
}

/// Deployments with the numbers from `first` on.
pub fn deployments_from(first: usize, count: usize, replicas: usize, image: &str) -> String {
    let one = |n: usize| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-{n:05}\n  labels: {{app: web-{n:05}}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{app: web-{n:05}}}}}\n  template:\n    metadata: {{labels: {{app: web-{n:05}}}}}\n    spec:\n      \
             containers:\n      - name: web\n        image: {image}\n        ports: [{{containerPort: 80}}]\n        \
             env:\n        - {{name: MODE, value: production}}\n        resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}\n"
        )
    };
    (first..first + count).map(one).collect::<Vec<_>>().join("---\n")
}

/// `wl plan` of a thousand and ten thousand converged Deployments, beside `wl lint` of the same files.
pub async fn converged(plan: &Plan) {
    let mut plans = Vec::new();
    for count in [plan.scaled(1_000), plan.scaled(10_000)] {
        let watch = Pretended::start().await;
        let file = watch.world.file("many.yaml", &deployments(count, 1, "docker.io/library/nginx:1"));
        let applied = watch.world.wl(&["apply", "-f", &file, "--timeout=3600s"], &[0]).0;
        let mut pairs = Pairs::default();
        let mut walls = Vec::new();
        for _ in 0..plan.rounds {
            let (ours, _) = watch.world.wl(&["plan", "-f", &file], &[0]);
            walls.push(ours.wall);
            pairs.add(without_cpu(ours), without_cpu(watch.world.wl(&["lint", "-f", &file], &[0]).0));
        }
        pairs.row(&format!("`wl plan`, {count} converged Deployments"), "`wl lint`", 4.0).print();
        println!("(their apply, pretend node: {:.1} s)", applied.wall);
        plans.push(median(&walls));
        watch.end().await;
    }
    let growth = plans[1] / plans[0];
    Row::alone("the plan of ten times as many", format!("{growth:.1} ×"), growth, 11.0).print();
}

/// The plan of a rollout of a thousand pods, beside its apply.
pub async fn rollout(plan: &Plan) {
    let count = plan.scaled(1_000);
    let watch = Pretended::start().await;
    let file = watch.world.file("one.yaml", &deployments(1, count, "docker.io/library/nginx:1"));
    watch.world.wl(&["apply", "-f", &file, "--timeout=3600s"], &[0]);
    let mut pairs = Pairs::default();
    for round in 0..plan.rounds {
        let image = format!("docker.io/library/nginx:{}", round + 2);
        let file = watch.world.file("one.yaml", &deployments(1, count, &image));
        let (ours, _) = watch.world.wl(&["plan", "-f", &file], &[2]);
        let (theirs, _) = watch.world.wl(&["apply", "-f", &file, "--timeout=3600s"], &[0]);
        pairs.add(without_cpu(ours), without_cpu(theirs));
    }
    pairs.row(&format!("plan of a rollout of {count} pods"), "its apply, pretend node", 1.0).print();
    watch.end().await;
}

/// The pretend node is in this process: the cgroup's time says nothing of the command alone.
fn without_cpu(sample: Sample) -> Sample {
    Sample { cpu: None, ..sample }
}
