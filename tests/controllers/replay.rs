//! Plays the steps of a recording.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use wl::api::{Key, Object};
use wl::controllers::Propagation;

use crate::api::resource_of;
use crate::cluster::Cluster;
use crate::compare::{Verdict, judge};

pub fn run(case: &Json) -> Verdict {
    let namespace = case["namespace"].as_str().unwrap();
    let group = case["group"].as_str().unwrap();
    let started_at =
        if group == "cronjob" { before_the_minute(case) } else { "2026-01-01T00:00:00.1Z".parse().unwrap() };
    let mut cluster = Cluster::new(namespace, case["pod_life"].clone(), started_at);
    cluster.names.minute = Some(started_at.as_second() / 60 + 1);
    cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
    let mut inputs: Vec<Option<&Json>> =
        case["world"].as_array().unwrap().iter().filter(|w| w["by"] == "user").map(Some).collect();
    let mut ended_at = 0.0;
    for step in case["steps"].as_array().unwrap() {
        let at = step["at"].as_f64().unwrap_or(ended_at);
        // A pause that no step tells of.
        if at - ended_at > 1.0 {
            cluster.wait(at - ended_at);
        }
        ended_at = at + step["took"].as_f64().unwrap_or(0.0);
        play(&mut cluster, step, &mut inputs);
    }
    judge(case, &cluster)
}

/// A start as far before a full minute as the recording's: its first Job was made 0.1 s after one.
fn before_the_minute(case: &Json) -> Timestamp {
    let made = case["trace"].as_array().unwrap().iter().find(|w| w["kind"] == "Job" && w["verb"] == "create");
    let first = made.and_then(|write| {
        let stamp =
            write["object"]["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].as_str()?;
        let name = write["name"].as_str()?;
        let plus: i64 = name[name.find("<minute+")? + 8..].strip_suffix('>')?.parse().ok()?;
        let second = stamp.strip_prefix("T+")?.parse::<i64>().ok()? - 60 * plus;
        let until = write["at"].as_f64()? - 0.1 - 60.0 * plus as f64;
        Some((second, until.clamp(second as f64 - 0.9, second as f64 - 0.05)))
    });
    let (_, until) = first.unwrap_or((8, 7.5));
    let minute: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
    minute - SignedDuration::from_millis((until * 1000.0) as i64)
}

fn text<'a>(tree: &'a Json, name: &str) -> &'a str {
    tree[name].as_str().unwrap_or("")
}

/// The recorded write of a step, if it was let through.
fn input<'a>(inputs: &mut [Option<&'a Json>], kind: &str, name: &str) -> Option<&'a Json> {
    let fits = |w: &Option<&Json>| w.is_some_and(|w| text(w, "kind") == kind && text(w, "name") == name);
    let at = inputs.iter().position(fits)?;
    inputs[at].take()
}

fn play(cluster: &mut Cluster, step: &Json, inputs: &mut [Option<&Json>]) {
    let kind = match text(step, "do") {
        "create" => step["object"]["kind"].as_str().unwrap().to_owned(),
        "pod-status" | "evict" => "Pod".to_owned(),
        _ => text(step, "kind").to_owned(),
    };
    let recorded_name = match text(step, "do") {
        "create" => step["object"]["metadata"]["name"].as_str().unwrap().to_owned(),
        _ => text(step, "name").to_owned(),
    };
    if text(step, "do") == "wait" {
        return wait(cluster, step);
    }
    // Others write to nodes too, to make them ready: there the step itself says what the user did.
    let recorded = if kind == "Node" { Some(step) } else { input(inputs, &kind, &recorded_name) };
    let Some(name) = cluster.names.actual(&recorded_name) else {
        println!("  no such thing here: {recorded_name}");
        return;
    };
    let namespace = if matches!(kind.as_str(), "Node" | "Namespace" | "PersistentVolume") {
        ""
    } else {
        &*cluster.namespace.clone()
    };
    let key = Key::new(resource_of(&kind), namespace, &name);
    if std::env::var("WL_CASE").is_ok() {
        println!("  {:.1}: {} {kind} {name}", cluster.elapsed(), text(step, "do"));
    }
    match text(step, "do") {
        "create" => {
            let Some(recorded) = recorded else { return };
            create(cluster, step, recorded, namespace);
        }
        "patch" | "scale" => {
            let Some(recorded) = recorded else { return };
            let mut change = recorded.get("change").cloned().unwrap_or(Json::Null);
            if kind == "Node" {
                change = step["patch"].clone();
            }
            if text(step, "do") == "scale" || recorded.get("subresource") == Some(&json!("scale")) {
                change = json!({"spec": {"replicas": step["replicas"]}});
            }
            if let Some(metadata) = change.get_mut("metadata").and_then(Json::as_object_mut) {
                metadata.remove("generation");
            }
            if recorded.get("verb") == Some(&json!("status")) {
                change = json!({"status": cluster.names.timed(&recorded["status"])});
            }
            match cluster.api.patch(&key, &change) {
                Ok(done) => cluster.written(&done),
                Err(why) => println!("  patch of {name} refused: {why}"),
            }
        }
        "delete" => {
            let propagation = match text(step, "policy") {
                "Orphan" => Some(Propagation::Orphan),
                "Foreground" => Some(Propagation::Foreground),
                "Background" => Some(Propagation::Background),
                _ => None,
            };
            match cluster.api.delete(&key, None, propagation, step["grace"].as_i64()) {
                Ok(done) => cluster.written(&done),
                Err(why) => println!("  delete of {name} refused: {why}"),
            }
        }
        "pod-status" => cluster.patch_pod_status(&key, &step["patch"]),
        "evict" => {
            let allowed = cluster.evict(&key);
            assert_eq!(allowed, step["error"].is_null(), "eviction of {name}");
        }
        other => panic!("no step {other}"),
    }
}

fn create(cluster: &mut Cluster, step: &Json, recorded: &Json, namespace: &str) {
    let mut object = cluster.names.of_this_run(&recorded["object"]);
    object["apiVersion"] = step["object"]["apiVersion"].clone();
    object["kind"] = step["object"]["kind"].clone();
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(owners) = step["object"]["metadata"].get("ownerReferences") {
        object["metadata"]["ownerReferences"] = resolve_owners(cluster, owners);
    }
    let object = Object::new(object);
    match cluster.api.create(object) {
        Ok(done) => cluster.written(&done),
        Err(why) => println!("  create refused: {why}"),
    }
}

/// Owner references of the input, with this run's uids.
fn resolve_owners(cluster: &Cluster, owners: &Json) -> Json {
    let mut owners = owners.clone();
    for owner in owners.as_array_mut().unwrap() {
        let key = Key::new(resource_of(text(owner, "kind")), &cluster.namespace, text(owner, "name"));
        if (owner["uid"].is_null() || text(owner, "uid").starts_with('<'))
            && let Ok(object) = cluster.api.get(&key)
        {
            owner["uid"] = json!(object.uid());
        }
    }
    owners
}

fn wait(cluster: &mut Cluster, step: &Json) {
    if let Some(seconds) = step["secs"].as_f64() {
        cluster.wait(seconds);
    } else if let Some(quiet) = step["quiet"].as_f64() {
        cluster.wait_quiet(quiet, step["max"].as_f64().unwrap_or(60.0));
    } else if let Some(until) = step["until"].as_array() {
        let until = until.clone();
        cluster.wait_for(step["max"].as_f64().unwrap_or(60.0), |c| fulfilled(c, &until));
        cluster.wait(0.1);
    }
}

fn fulfilled(cluster: &Cluster, until: &[Json]) -> bool {
    let (kind, path, op) = (until[0].as_str().unwrap(), until[2].as_str().unwrap(), until[3].as_str().unwrap());
    let Some(name) = cluster.names.actual(until[1].as_str().unwrap()) else { return false };
    let key = Key::new(resource_of(kind), &cluster.namespace, &name);
    let Ok(object) = cluster.api.get(&key) else { return op == "gone" };
    if let Some(condition) = path.strip_prefix("cond:") {
        let list = object.at("/status/conditions").and_then(Json::as_array).cloned().unwrap_or_default();
        return list.iter().any(|c| c["type"] == condition && c["status"] == until[4]);
    }
    let value = object.at(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or(Json::Null);
    match op {
        "ge" => value.as_i64().unwrap_or(0) >= until[4].as_i64().unwrap(),
        "le" => value.as_i64().unwrap_or(0) <= until[4].as_i64().unwrap(),
        "eq" | "pre" => value == until[4],
        "gone" => false,
        other => panic!("no operator {other}"),
    }
}
