//! How long a controller thinks about many pods, and what many objects weigh.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use wl::api::schema::Schema;
use wl::api::{GroupResource, Key};
use wl::controllers::{Context, Controller};
use wl::engine::watch::WatchFlags;
use wl::plan::Fork;
use wl::plan::fork::SplitMix;
use wl::registry::{self, Body, Env, Options, Request, Settings, Verb};
use wl::state::State;

use crate::figures::{Row, median, time};
use crate::world::{World, run};
use crate::{Plan, machine};

/// Group, resource, kind, and the controller that looks at it.
const KINDS: [(&str, &str, &str, &str); 3] = [
    ("apps", "replicasets", "ReplicaSet", "replicaset-controller"),
    ("apps", "statefulsets", "StatefulSet", "statefulset-controller"),
    ("batch", "jobs", "Job", "job-controller"),
];
const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
const LOOKS: usize = 15;

/// One decision with 10, 100, 1,000 and 10,000 pods, nothing to do.
pub fn looks(plan: &Plan) {
    let settings = WatchFlags::default().settings();
    let controllers = wl::controllers::of_a_plan();
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let begun = bootstrapped(&settings, now);
    for kind in KINDS {
        let times: Vec<f64> =
            COUNTS.iter().map(|count| look(kind, plan.scaled(*count), &begun, &controllers, &settings, now)).collect();
        let shown = times.iter().map(|t| time(*t)).collect::<Vec<_>>().join(", ");
        let growth = times[3] / times[2];
        Row::alone(&format!("a look of the {} at 10, 100, 1,000, 10,000 pods; last two", kind.3), shown, growth, 12.0)
            .print();
    }
}

fn look(
    (group, resource, kind, controller): (&str, &str, &str, &str),
    count: usize,
    begun: &State,
    controllers: &[Box<dyn Controller>],
    settings: &Settings,
    now: Timestamp,
) -> f64 {
    let mut fork = Fork::new(begun.clone(), controllers, settings, now);
    let mut spec = json!({
        "replicas": count, "selector": {"matchLabels": {"app": "x"}}, "podManagementPolicy": "Parallel", "serviceName": "x",
        "completions": count, "parallelism": count,
        "template": {
            "metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "app", "image": "x:1"}], "restartPolicy": if kind == "Job" { "Never" } else { "Always" }},
        },
    });
    let own: &[&str] = match kind {
        "Job" => &["completions", "parallelism", "template"],
        "StatefulSet" => &["replicas", "selector", "podManagementPolicy", "serviceName", "template"],
        _ => &["replicas", "selector", "template"],
    };
    spec.as_object_mut().expect("a map").retain(|key, _| own.contains(&key.as_str()));
    if kind == "Job" {
        // The pretend node ends a Job's pods as soon as they are on it: behind a gate they stay active, and the Job goes on.
        spec["template"]["spec"]["schedulingGates"] = json!([{"name": "example.com/bench"}]);
    }
    let tree = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "x"}, "spec": spec});
    fork.submit(&create(group, resource, tree)).unwrap_or_else(|why| panic!("{why}"));
    fork.settle(SignedDuration::from_mins(30));
    assert_eq!(fork.state.count(&GroupResource::new("", "pods")), count, "all pods are there");
    let controller = controllers.iter().find(|c| c.name() == controller).expect("a controller");
    let key = Key::new(GroupResource::new(group, resource), "default", "x");
    let mut random = SplitMix(1);
    let now = now.saturating_add(SignedDuration::from_hours(1)).expect("a time");
    let mut look = || {
        let began = machine::now();
        let decision = controller.reconcile(&fork.state, &key, &mut Context { now, random: &mut random });
        assert!(decision.writes.is_empty(), "nothing is to be done");
        began.elapsed().as_secs_f64()
    };
    // The first look makes the typed views of the pods; a watch has them.
    look();
    median(&(0..LOOKS).map(|_| look()).collect::<Vec<_>>())
}

fn create(group: &str, resource: &str, tree: Value) -> Request {
    let resource = Schema::get().resource(group, "v1", resource).expect("a resource").clone();
    Request {
        verb: Verb::Create,
        resource: resource.into(),
        subresource: None,
        namespace: "default".into(),
        name: String::new(),
        body: Body::Tree(tree),
        options: Options::default(),
    }
}

fn bootstrapped(settings: &Settings, now: Timestamp) -> State {
    let mut state = State::new();
    let mut random = SplitMix(1);
    for request in registry::bootstrap::requests(&state, settings) {
        let mut env = Env { now, random: &mut random, settings };
        registry::execute(&mut state, &request, &mut env).unwrap_or_else(|why| panic!("{why}"));
    }
    state.take_changes();
    state
}

/// What a thousand Deployments weigh in a watch that only keeps them.
pub fn memory(plan: &Plan) {
    let world = World::new();
    let bare = ["watch", "--background", "--no-node", "--no-controllers"];
    world.wl(&bare, &[0]);
    let status = world.json(&["watch", "status"]);
    let pid = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
    let count = plan.scaled(1_000);
    let keep = |round: usize| {
        let text = crate::plans::deployments_from(round * count, count, 1, "docker.io/library/nginx:1");
        let file = world.file(&format!("kept-{round}.yaml"), &text);
        run(world.command(&["apply", "-f", &file, "--wait=false"]), &[0]);
        // After a pause the watch has given back what the writes needed, and what nobody reads is text.
        std::thread::sleep(std::time::Duration::from_secs(40));
        machine::pss(pid)
    };
    let (first, second) = (keep(0), keep(1));
    let weight = (second - first) / 1024.0 / 1024.0;
    Row::alone(
        &format!("memory of the watch for {count} more Deployments"),
        format!("{weight:.1} MiB"),
        weight,
        f64::INFINITY,
    )
    .print();
    world.end();
}
