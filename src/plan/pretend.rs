//! The plan's node: pods start at once and become ready, one-shots end well, what is deleted goes.
//!
//! It speaks at the level of the Pod's status, as a kubelet would through the API. What keeps a real pod
//! from starting and can be known beforehand (a missing ConfigMap, Secret or claim) keeps it here too.

use serde_json::json;

use crate::api::{Json, Key, Object};
use crate::registry::{Body, Options, PatchKind, User, Verb};
use crate::state::{Change, State};

use super::fork::{Fork, delete_options, on_key};

/// Answers what has changed, pod by pod.
pub fn answer(fork: &mut Fork<'_>, changes: &[Change]) {
    for change in changes {
        if change.key.resource.resource.as_ref() != "pods" || !change.key.resource.group.is_empty() {
            continue;
        }
        let Some(pod) = fork.state.get(&change.key).cloned() else { continue };
        step(fork, &change.key, &pod);
    }
}

fn step(fork: &mut Fork<'_>, key: &Key, pod: &Object) {
    if pod.is_deleting() {
        let body = Body::Tree(delete_options(Some(pod.uid()), None, Some(0)));
        send(fork, Verb::Delete, key, None, body);
        return;
    }
    if pod.str_at("/spec/nodeName").is_none_or(str::is_empty) {
        if pod.at("/spec/schedulingGates").and_then(Json::as_array).is_none_or(Vec::is_empty) {
            bind(fork, key);
        }
        return;
    }
    if pod.str_at("/status/phase").unwrap_or("Pending") != "Pending" || blocker(&fork.state, pod).is_some() {
        return;
    }
    let status = if ends_by_itself(pod) { succeeded(fork, pod) } else { running(fork, pod) };
    let body = Body::Patch { kind: PatchKind::Merge, tree: json!({"status": status}) };
    send(fork, Verb::Patch, key, Some("status"), body);
}

fn send(fork: &mut Fork<'_>, verb: Verb, key: &Key, subresource: Option<&str>, body: Body) {
    let user = User { name: "system:node:pretend".into(), groups: vec!["system:masters".into()], ..User::default() };
    let options = Options { user_agent: "kubelet".into(), user, ..Options::default() };
    if let Some(request) = on_key(verb, key, subresource, body, options) {
        // A refusal means that the pod has moved on meanwhile; the next change brings it up again.
        let _ = fork.submit(&request);
    }
}

fn bind(fork: &mut Fork<'_>, key: &Key) {
    let node = fork.state.all(&crate::api::GroupResource::new("", "nodes")).next();
    let node = node.map_or("node", |n| n.name()).to_owned();
    let tree = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": key.name.as_ref()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    send(fork, Verb::Create, key, Some("binding"), Body::Tree(tree));
}

/// Jobs' pods and bare one-shots end with 0 in the simulation.
fn ends_by_itself(pod: &Object) -> bool {
    pod.str_at("/spec/restartPolicy").is_some_and(|p| p != "Always")
}

fn conditions(fork: &Fork<'_>, ready: bool, reason: Option<&str>) -> Json {
    let at = fork.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str, status: bool, reason: Option<&str>| {
        let mut condition = json!({
            "type": kind, "status": if status { "True" } else { "False" }, "lastTransitionTime": at,
        });
        if let Some(reason) = reason {
            condition["reason"] = json!(reason);
        }
        condition
    };
    json!([
        condition("Initialized", true, reason.filter(|_| !ready)),
        condition("Ready", ready, reason),
        condition("ContainersReady", ready, reason),
        condition("PodScheduled", true, None),
    ])
}

fn names(pod: &Object) -> Vec<String> {
    let containers = pod.at("/spec/containers").and_then(Json::as_array);
    containers.into_iter().flatten().filter_map(|c| Some(c.get("name")?.as_str()?.to_owned())).collect()
}

fn running(fork: &Fork<'_>, pod: &Object) -> Json {
    let at = fork.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let statuses: Vec<Json> = names(pod)
        .iter()
        .map(|name| {
            json!({"name": name, "ready": true, "started": true, "restartCount": 0, "image": "", "imageID": "",
                "lastState": {}, "state": {"running": {"startedAt": at}}})
        })
        .collect();
    json!({"phase": "Running", "startTime": at, "conditions": conditions(fork, true, None), "containerStatuses": statuses})
}

fn succeeded(fork: &Fork<'_>, pod: &Object) -> Json {
    let at = fork.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let statuses: Vec<Json> = names(pod)
        .iter()
        .map(|name| {
            json!({"name": name, "ready": false, "started": false, "restartCount": 0, "image": "", "imageID": "",
                "lastState": {}, "state": {"terminated": {"exitCode": 0, "reason": "Completed",
                    "startedAt": at, "finishedAt": at}}})
        })
        .collect();
    json!({"phase": "Succeeded", "startTime": at, "conditions": conditions(fork, false, Some("PodCompleted")),
        "containerStatuses": statuses})
}

/// What keeps a pod from starting, as far as the state tells: `configmap "x" not found`.
pub fn blocker(state: &State, pod: &Object) -> Option<String> {
    references(pod).into_iter().find_map(|(kind, name)| {
        let (resource, word) = match kind {
            Reference::ConfigMap => ("configmaps", "configmap"),
            Reference::Secret => ("secrets", "secret"),
            Reference::Claim => ("persistentvolumeclaims", "persistentvolumeclaim"),
        };
        let key = Key::new(crate::api::GroupResource::new("", resource), pod.namespace(), &name);
        state.get(&key).is_none().then(|| format!("{word} {name:?} not found"))
    })
}

/// What a pod refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    ConfigMap,
    Secret,
    Claim,
}

/// The objects a pod cannot start without, each once.
pub fn references(pod: &Object) -> Vec<(Reference, String)> {
    let mut found = Vec::new();
    if let Some(spec) = pod.at("/spec") {
        collect(spec, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// All references of a pod spec that are not optional, wherever they stand.
fn collect(tree: &Json, found: &mut Vec<(Reference, String)>) {
    match tree {
        Json::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Json::Object(map) => {
            for (key, value) in map {
                let named = |field: &str| {
                    let optional = value.get("optional").and_then(Json::as_bool).unwrap_or(false);
                    let name = value.get(field).and_then(Json::as_str).filter(|n| !n.is_empty() && !optional)?;
                    Some(name.to_owned())
                };
                let reference = match key.as_str() {
                    "configMap" | "configMapRef" | "configMapKeyRef" => named("name").map(|n| (Reference::ConfigMap, n)),
                    "secret" => named("secretName").or_else(|| named("name")).map(|n| (Reference::Secret, n)),
                    "secretRef" | "secretKeyRef" => named("name").map(|n| (Reference::Secret, n)),
                    "persistentVolumeClaim" => named("claimName").map(|n| (Reference::Claim, n)),
                    _ => None,
                };
                found.extend(reference);
                collect(value, found);
            }
        }
        _ => {}
    }
}
