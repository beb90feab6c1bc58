//! What a plan says is what happens on real Podman: the pods that `apply` makes, replaces and deletes are those that `plan` named,
//! in its order. For every example with changes of it, and for random changes of random workloads.
//!
//! `WL_PLAN_SEED` says with which number one of the random walks begins, `WL_PLAN_STEPS` how many changes each makes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::busybox;
use crate::plan_holds_support::{Courses, Dice, Images, Scene, differences, happened, is_quiet};
use crate::world::{IMAGES, World};

/// Nothing that is on its way takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The set of everything that is applied, so that what is left out goes.
const SET: [&str; 3] = ["--prune", "--applyset", "everything"];

/// A world, and how far its changes have been looked at.
struct Stage {
    world: World,
    /// More flags of `plan` and `apply`.
    flags: Vec<String>,
    /// The revision up to which everything has been foretold and seen.
    since: u64,
    /// The pods that were there then.
    pods: Vec<Value>,
    /// Everything between pods and their workloads that there ever was.
    owners: Vec<Value>,
}

/// Lines of JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

impl Stage {
    fn new(world: World, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Stage { world, flags, since: 1, pods: Vec::new(), owners: Vec::new() }
    }

    /// Everything that has changed in a collection since the last time, each with whether the object is gone by it.
    async fn changes(&self, collection: &str) -> Vec<(bool, Value)> {
        let path = format!("{collection}?watch=true&timeoutSeconds=1&resourceVersion={}", self.since);
        let events = lines(&self.world.wl(&["get", "--raw", &path]).await.ends(0).out);
        let known = |event: &Value| matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED" | "DELETED"));
        assert!(events.iter().all(known), "{events:?}");
        events.into_iter().map(|mut event| (event["type"] == "DELETED", event["object"].take())).collect()
    }

    /// The pods that there are, and the revision of that.
    async fn list(&self) -> (Vec<Value>, u64) {
        let mut list = self.world.wl(&["get", "--raw", "/api/v1/namespaces/default/pods"]).await.ends(0).json();
        let revision = list["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        let items = list["items"].as_array_mut().map(std::mem::take);
        (items.expect("a list"), revision.expect("a revision"))
    }

    /// What became of pods since the last time, once nothing is on its way; and how things are then.
    async fn look(&mut self) -> (Courses, Vec<Value>, u64) {
        let quiet_by = Instant::now() + PATIENCE;
        let (mut pods, mut revision) = self.list().await;
        while !is_quiet(&pods) && Instant::now() < quiet_by {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (pods, revision) = self.list().await;
        }
        let (changes, sets, jobs) = tokio::join!(
            self.changes("/api/v1/namespaces/default/pods"),
            self.changes("/apis/apps/v1/namespaces/default/replicasets"),
            self.changes("/apis/batch/v1/namespaces/default/jobs"),
        );
        self.owners.extend(sets.into_iter().chain(jobs).map(|(_, object)| object));
        let newer = |pod: &Value| {
            pod["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()) > Some(revision)
        };
        // What has come since the list belongs to the next look.
        let changes: Vec<(bool, Value)> = changes.into_iter().filter(|(_, pod)| !newer(pod)).collect();
        (happened(&self.pods, &changes, &self.owners), pods, revision)
    }

    /// Plans, applies, and holds what happens against the plan; afterwards nothing is left to change. `manifest`: what is applied,
    /// which has `objects`; `more`: flags of both.
    async fn act(&mut self, manifest: &str, objects: &[Value], more: &[&str], told: &str) {
        let file = self.world.file("all.yaml", manifest);
        let own = self.flags.clone();
        let flags: Vec<&str> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let both = [&["-f", file.as_str()], &SET[..], &flags[..]].concat();
        let applying = [&["apply"], &both[..]].concat();
        let mut planning = [&["plan"], &both[..]].concat();
        planning.retain(|flag| !flag.starts_with("--wait"));
        let planned = self.world.wl(&[&planning[..], &["-o", "json"]].concat()).await;
        let shown = self.world.wl(&planning).await;
        assert!(matches!(planned.code, Some(0 | 2)), "{told}\n{}{}\n{manifest}", planned.out, planned.err);
        let plan = planned.json();
        let ends = Some(if plan["changes"] == true { 2 } else { 0 });
        assert_eq!((planned.code, shown.code), (ends, ends), "{told}\n{}{}", shown.out, shown.err);

        let applied = self.world.wl(&applying).await;
        assert_eq!(applied.code, Some(0), "{told}\n{}\n{}{}\n{manifest}", shown.out, applied.out, applied.err);
        assert_eq!(verdicts(&plan), words(&applied.out), "{told}\n{}\n{}", shown.out, applied.out);

        // An apply does not wait for what is paused, or updated when its pods are deleted.
        let by = Instant::now() + Duration::from_secs(20);
        let (seen, pods, revision) = loop {
            let (seen, pods, revision) = self.look().await;
            let different = differences(&plan, &seen, &self.pods, objects);
            if different.is_empty() {
                break (seen, pods, revision);
            }
            let (different, log) = (different.join("\n"), self.world.told());
            assert!(Instant::now() < by, "{told}: not as planned\n{different}\n{}\n{manifest}\n{log}", shown.out);
        };
        assert!(is_quiet(&pods), "{told}: {pods:#?}");
        text_holds(&shown.out, &plan, &seen);
        (self.pods, self.since) = (pods, revision);

        let again = self.world.wl(&planning).await;
        assert_eq!(again.code, Some(0), "{told}: something is left to change\n{}\n{manifest}", again.out);
    }

    /// Nothing has happened since the last plan was carried out.
    async fn end(mut self) {
        let (seen, ..) = self.look().await;
        assert!(seen.is_empty(), "after the last plan: {seen:?}");
        self.world.end().await;
    }
}

/// What a plan makes of the objects, in the words of an apply.
fn verdicts(plan: &Value) -> BTreeSet<String> {
    let of_object = |object: &Value| {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let word = match text("verdict") {
            "create" | "replace" => "created",
            "change" => "configured",
            "delete" => "pruned",
            other => other,
        };
        format!("{}/{} {word}", text("kind").to_lowercase(), text("name"))
    };
    plan["objects"].as_array().expect("objects").iter().map(of_object).collect()
}

/// `deployment.apps/web created` as `deployment/web created`.
fn words(applied: &str) -> BTreeSet<String> {
    let words = ["created", "configured", "unchanged", "pruned"];
    let lines = applied.lines().filter(|line| line.rsplit(' ').next().is_some_and(|word| words.contains(&word)));
    let bare = |line: &str| {
        let (kind, rest) = line.split_once('/')?;
        Some(format!("{}/{rest}", kind.split('.').next()?))
    };
    lines.filter_map(bare).collect()
}

/// What the text of a plan says of pods is what happened.
fn text_holds(text: &str, plan: &Value, seen: &Courses) {
    let mut rolled = 0;
    for object in plan["objects"].as_array().expect("objects") {
        let field = |name: &str| object[name].as_str().unwrap_or_default();
        let name = format!("{}/{}", field("kind").to_lowercase(), field("name"));
        let course = seen.get(&name);
        if field("verdict") != "replace" {
            rolled += course.map_or(0, |course| course.made().min(course.deleted()));
        }
        if field("verdict") == "unchanged" {
            continue;
        }
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(&name));
        let line = line.unwrap_or_else(|| panic!("no line of {name} in\n{text}"));
        assert!(line.ends_with(field("headline")), "{line:?} tells {:?}", field("headline"));
        if let Some(order) = object.pointer("/notes/order").and_then(Value::as_str) {
            assert!(text.contains(&format!("order                   {order}\n")), "{text}");
        }
    }
    let total = match rolled {
        0 => ".   plan ".to_owned(),
        1 => "; 1 pod rolls.   plan ".to_owned(),
        n => format!("; {n} pods roll.   plan "),
    };
    assert!(plan["changes"] == false || text.contains(&total), "{total:?} in\n{text}");
}

fn documents(objects: &[Value]) -> String {
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// The objects of a manifest.
fn parsed(text: &str) -> Vec<Value> {
    let parsed = wl::manifest::parse("example.yaml", text.as_bytes());
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    parsed.documents.iter().map(|document| document.json()).collect()
}

/// Another image, another environment, another entry of each ConfigMap.
fn edited(mut objects: Vec<Value>) -> Vec<Value> {
    for object in &mut objects {
        if object["kind"] == "ConfigMap" {
            object["data"]["edited"] = json!("yes");
        }
        for pointer in ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
            let Some(container) = object.pointer_mut(pointer).map(|spec| &mut spec["containers"][0]) else { continue };
            container["image"] = json!(busybox::IMAGES[1]);
            let mut env = container["env"].as_array().cloned().unwrap_or_default();
            env.push(json!({"name": "EDITED", "value": "yes"}));
            container["env"] = json!(env);
        }
    }
    objects
}

/// One more or one less of all that have a number.
fn scaled(mut objects: Vec<Value>) -> Vec<Value> {
    let scaled = |object: &&mut Value| matches!(object["kind"].as_str(), Some("Deployment" | "StatefulSet"));
    for (n, object) in objects.iter_mut().filter(scaled).enumerate() {
        let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
        object["spec"]["replicas"] = json!(if n % 2 == 0 { replicas + 1 } else { replicas - 1 });
    }
    objects
}

/// The same with patient probes: one that is slow on a loaded machine would show a pod not ready, and plans take for granted that
/// probes pass.
fn patient(text: &str) -> String {
    let patient = |line: &str| {
        let (indent, _) = line.split_once("periodSeconds: ")?;
        Some(format!("{line}\n{indent}timeoutSeconds: 10"))
    };
    text.lines().map(|line| patient(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// Every `of`th example, beginning with `from`: applied as it is, edited, scaled, and pruned when the next one comes.
async fn examples(name: &str, from: usize, of: usize) {
    let Some(world) = busybox::world(name).await else { return };
    let free = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let (ingress, balancer) = (free().to_string(), free().to_string());
    let mut stage = Stage::new(world, &["--replace", "--ingress-http", &ingress]);
    for path in busybox::examples().iter().skip(from).step_by(of) {
        let text = patient(&busybox::example(path)).replace("8100", &balancer);
        let objects = parsed(&text);
        stage.act(&text, &objects, &[], path).await;
        let objects = edited(objects);
        stage.act(&documents(&objects), &objects, &[], &format!("{path}, edited")).await;
        let objects = scaled(objects);
        stage.act(&documents(&objects), &objects, &[], &format!("{path}, scaled")).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_an_example_and_of_changes_of_it_is_what_happens_first_third() {
    examples("plan0", 0, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_an_example_and_of_changes_of_it_is_what_happens_second_third() {
    examples("plan1", 1, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_an_example_and_of_changes_of_it_is_what_happens_last_third() {
    examples("plan2", 2, 3).await;
}

fn images() -> Images {
    let runs = |image: &str, does: Value| json!({"image": image, "args": does});
    let stays = json!(["/program", "on-term:0", "forever"]);
    Images {
        stays: IMAGES.map(|image| runs(image, stays.clone())),
        ends: runs(IMAGES[0], json!(["/program", "say:done"])),
        probe: Some(json!({"exec": {"command": ["/program", "exit:0"]}, "periodSeconds": 1, "timeoutSeconds": 10})),
    }
}

/// Random workloads, changed at random again and again.
async fn walk(name: &str, seed: u64) {
    let Some(world) = World::new(name).await else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (steps, mut dice) = (number("WL_PLAN_STEPS").unwrap_or(6), Dice(seed));
    println!("WL_PLAN_SEED={seed}, {steps} changes");
    let mut scene = Scene::new(images(), &mut dice);
    let mut stage = Stage::new(world, &[]);
    let mut replaces = false;
    for step in 0..=steps {
        let mut flags = vec!["--replace"];
        flags.truncate(usize::from(replaces));
        // What does not end cannot be waited for.
        let objects = scene.objects();
        let is_endless = objects.iter().any(|object| {
            object
                .pointer("/metadata/name")
                .is_some_and(|name| name.as_str().is_some_and(|name| name.starts_with("endless")))
        });
        flags.extend(is_endless.then_some("--wait=false"));
        stage.act(&documents(&objects), &objects, &flags, &format!("seed {seed}, change {step}")).await;
        replaces = scene.change(&mut dice);
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_random_changes_of_random_workloads_is_what_happens() {
    walk("walk0", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_other_random_changes_is_what_happens() {
    let seed = std::env::var("WL_PLAN_SEED").ok().and_then(|text| text.parse().ok());
    walk("walk1", seed.unwrap_or(2)).await;
}
