//! What a plan says is what the engine does on the pretend node: random changes of random workloads, in virtual time.
//!
//! `WL_PLAN_SEED` takes one random walk alone, `WL_PLAN_WALKS` says how many are made, `WL_PLAN_STEPS` how many changes each makes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use wl::api::schema::Schema;
use wl::api::{GroupResource, Gvk, Key};
use wl::plan::{self, Inputs, Intent};
use wl::registry::{Body, Options, PatchKind, Request, Settings, Verb};
use wl::runtime::simulated::Behaviour;

use super::World;
use super::plan_holds::{Courses, Dice, Images, Scene, differences, happened, is_quiet};

/// Everything has come to its end by then.
const SETTLES: Duration = Duration::from_secs(90);
/// As many as an apply has in flight.
const IN_FLIGHT: usize = 8;

fn on(object: &Value, verb: Verb, body: Body) -> (Request, Gvk) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let gvk = Gvk::of(&text(&object["apiVersion"]), &text(&object["kind"]));
    let resource = Arc::new(Schema::get().resource_of(&gvk).expect("a kind of Kubernetes").clone());
    let options = Options { field_manager: Some("wl".into()), force: Some(true), ..Options::default() };
    let name = text(&object["metadata"]["name"]);
    (Request { verb, resource, subresource: None, namespace: "default".into(), name, body, options }, gvk)
}

fn apply(object: &Value) -> Intent {
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!("default");
    let object = &object;
    let (request, gvk) = on(object, Verb::Patch, Body::Patch { kind: PatchKind::Apply, tree: object.clone() });
    Intent { request, gvk, place: String::new() }
}

fn key(object: &Value) -> Key {
    let (request, _) = on(object, Verb::Delete, Body::None);
    Key::new(request.resource.group_resource(), "default", &request.name)
}

async fn delete(world: &World, object: &Value, policy: &str) {
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    world.store.write(on(object, Verb::Delete, Body::Tree(options)).0).await.unwrap_or_else(|s| panic!("{s}"));
}

/// Applies one object as the command does with `--replace`.
async fn apply_one(world: &World, object: &Value) {
    let intent = apply(object);
    match world.store.write(intent.request.clone()).await {
        Err(refusal) if plan::summary::is_immutable(&refusal) => {
            delete(world, object, "Foreground").await;
            let key = key(object);
            world.until("the old one is gone", 60, |state| state.get(&key).is_none()).await;
            world.store.write(intent.request).await.unwrap_or_else(|s| panic!("{s}"));
        }
        other => _ = other.unwrap_or_else(|s| panic!("{s}")),
    }
}

fn pods(world: &World) -> Vec<Value> {
    let state = world.store.snapshot();
    state.all(&GroupResource::new("", "pods")).map(|pod| pod.json().clone()).collect()
}

/// The pods that a walk changes, and what owns them, since a revision.
fn changes(world: &World, since: u64) -> (Vec<(bool, Value)>, Vec<Value>) {
    let (mut of_pods, mut owners) = (Vec::new(), Vec::new());
    for change in world.store.watch(since).unwrap().take().unwrap() {
        let Some(object) = change.after.as_ref().or(change.before.as_ref()) else { continue };
        match change.key.resource.resource.as_ref() {
            "pods" => of_pods.push((change.after.is_none(), object.json().clone())),
            "replicasets" | "jobs" => owners.push(object.json().clone()),
            _ => {}
        }
    }
    (of_pods, owners)
}

fn images() -> Images {
    Images {
        stays: [json!({"image": "stays:1"}), json!({"image": "stays:2"})],
        ends: json!({"image": "ends:1"}),
        probe: Some(json!({"exec": {"command": ["ask"]}, "periodSeconds": 1})),
    }
}

async fn walk(seed: u64, steps: u64) -> Vec<String> {
    let world = World::new().await;
    world.node.behave(
        "stays:2",
        vec![Behaviour { ends_on_signal_after: Some(Duration::from_millis(700)), ..Behaviour::default() }],
    );
    world.node.behave("ends:1", vec![Behaviour::ends(1, 0)]);
    let (controllers, settings) = (
        wl::controllers::of_a_plan(),
        Settings { admission: vec!["NamespaceLifecycle".into()], ..Settings::default() },
    );
    let mut dice = Dice(seed);
    let mut scene = Scene::new(images(), &mut dice);
    let mut applied: BTreeMap<String, Value> = BTreeMap::new();
    let (mut owners, mut found) = (Vec::new(), Vec::new());
    for step in 0..=steps {
        let objects = scene.objects();
        let intents: Vec<Intent> = objects.iter().map(apply).collect();
        let wanted: BTreeMap<String, Value> = objects.iter().map(|o| (format!("{:?}", key(o)), o.clone())).collect();
        let left: Vec<Value> =
            applied.iter().filter(|(name, _)| !wanted.contains_key(*name)).map(|(_, o)| o.clone()).collect();
        let (state, before) = (world.store.snapshot(), pods(&world));
        let prune = left.iter().map(key).collect();
        let inputs = Inputs {
            state: &state,
            controllers: &controllers,
            settings: &settings,
            now: world.now(),
            prune,
            replace: true,
        };
        let made = plan::make(&intents, &inputs);
        let refused: Vec<String> =
            made.refused().map(|(object, status)| format!("{}: {status}", object.name)).collect();
        assert_eq!(refused, [""; 0], "seed {seed}, change {step}");

        futures_util::stream::iter(&objects)
            .map(|object| apply_one(&world, object))
            .buffered(IN_FLIGHT)
            .collect::<Vec<_>>()
            .await;
        for object in &left {
            delete(&world, object, "Background").await;
        }
        tokio::time::sleep(SETTLES).await;
        let (changes, more) = changes(&world, state.revision());
        owners.extend(more);
        let seen: Courses = happened(&before, &changes, &owners);
        let different = differences(&plan::render::json(&made), &seen, &before, &objects);
        if !different.is_empty() {
            found.push(format!(
                "seed {seed}, change {step}: {}\n{}",
                different.join("\n"),
                plan::render::text(&made, "")
            ));
        }
        assert!(is_quiet(&pods(&world)), "seed {seed}, change {step}: {:#?}", pods(&world));
        world.nothing_out_of_turn();
        applied = wanted;
        _ = scene.change(&mut dice);
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_random_changes_of_random_workloads_is_what_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps = number("WL_PLAN_STEPS").unwrap_or(6);
    let seeds = match number("WL_PLAN_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("WL_PLAN_WALKS").unwrap_or(12),
    };
    let mut found = Vec::new();
    for seed in seeds {
        let more = walk(seed, steps).await;
        println!("seed {seed}: {} changes are not as planned", more.len());
        found.extend(more);
    }
    assert!(found.is_empty(), "{} changes are not as planned:\n{}", found.len(), found.join("\n\n"));
}
