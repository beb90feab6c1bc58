//! The Node object and its Lease: written when they change, not every few seconds.
//! Source: pkg/kubelet/nodestatus/setters.go, pkg/kubelet/kubelet_node_status.go.

use std::collections::BTreeMap;

use serde_json::json;

use super::clock::Clock;
use super::requests;
use crate::api::{GroupResource, Json, Key, quantity, requests as amounts};
use crate::node::pressure::Condition;
use crate::node::{NodeConfig, node_addresses};
use crate::registry::Verb;
use crate::runtime::Machine;
use crate::store::Store;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Version of the kubelet whose rules this node follows, with what it really is behind it.
const KUBELET_VERSION: &str = concat!("v1.36.0+wl.", env!("CARGO_PKG_VERSION"));

/// What the node has, as quantities.
pub fn capacity(machine: &Machine) -> BTreeMap<String, String> {
    let mut capacity = BTreeMap::from([
        ("cpu".to_owned(), machine.cpus.to_string()),
        ("memory".to_owned(), bytes(machine.memory_bytes)),
        ("ephemeral-storage".to_owned(), bytes(machine.storage_bytes)),
        ("pods".to_owned(), machine.pods.to_string()),
    ]);
    for (size, amount) in &machine.hugepages {
        capacity.insert(format!("hugepages-{size}"), bytes(*amount));
    }
    capacity
}

/// Bytes in whole KiB, spelled as the server spells them.
fn bytes(amount: u64) -> String {
    let whole = i64::try_from(amount / 1024 * 1024).unwrap_or(i64::MAX);
    quantity::Quantity::from_i64(whole, quantity::Format::BinarySi).to_string()
}

/// Any quantity as the server spells it.
fn canonical(text: &str) -> String {
    quantity::Quantity::parse(text).map_or_else(|_| text.to_owned(), |q| q.to_string())
}

/// Puts what pods may use into the configuration; `chosen` wins over the machine's own.
pub fn allocatable(
    machine: &Machine,
    chosen: &BTreeMap<String, String>,
    config: &mut NodeConfig,
) -> BTreeMap<String, String> {
    let mut all = capacity(machine);
    all.extend(chosen.iter().map(|(name, text)| (name.clone(), canonical(text))));
    let amount = |name: &str| all.get(name).map_or(0, |text| amounts::amount(name, &Quantity(text.clone())));
    config.allocatable_milli_cpu = amount("cpu");
    config.allocatable_memory = amount("memory");
    config.allocatable_storage = amount("ephemeral-storage");
    all
}

/// Makes the Node, under such pressures, or brings its labels and status up to date (but for pressures, which
/// [`show_pressures`] shows); then its Lease, if there is none.
pub async fn publish(
    store: &Store,
    clock: &Clock,
    machine: &Machine,
    config: &NodeConfig,
    allocatable: &BTreeMap<String, String>,
    pressures: &[Condition],
) -> Result<(), crate::api::Status> {
    let name = &config.node_name;
    let key = Key::new(GroupResource::new("", "nodes"), "", name);
    let labels = labels(name, &machine.architecture);
    if store.snapshot().get(&key).is_none() {
        // With its status from the start, as a kubelet registers itself: a scheduler sees no node without room.
        let status = status(machine, config, allocatable, pressures, None, clock);
        let mut tree =
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status});
        if !config.pod_cidrs.is_empty() {
            tree["spec"] = pod_cidrs(config);
        }
        store.write(requests::on_core(Verb::Create, "nodes", None, "", "", tree, "kubelet")).await?;
    }
    let Some(node) = store.snapshot().get(&key).cloned() else { return Ok(()) };
    let have: BTreeMap<&str, &str> = node.labels().collect();
    let lacks = labels.as_object().into_iter().flatten().any(|(k, v)| have.get(k.as_str()).copied() != v.as_str());
    if lacks {
        let patch = json!({"metadata": {"labels": labels}});
        store.write(requests::on_core(Verb::Patch, "nodes", None, "", name, patch, "kubelet")).await?;
    }
    if !config.pod_cidrs.is_empty() && node.str_at("/spec/podCIDR").is_none() {
        let patch = json!({"spec": pod_cidrs(config)});
        store.write(requests::on_core(Verb::Patch, "nodes", None, "", name, patch, "node-controller")).await?;
    }
    let Some(node) = store.snapshot().get(&key).cloned() else { return Ok(()) };
    let status = status(machine, config, allocatable, pressures, node.at("/status"), clock);
    if without_heartbeats(Some(&status)) != without_heartbeats(node.at("/status")) {
        let mut tree = node.json().clone();
        tree["status"] = status;
        store.write(requests::on_core(Verb::Update, "nodes", Some("status"), "", name, tree, "kubelet")).await?;
    }
    lease(store, clock, name, node.uid()).await
}

fn labels(name: &str, architecture: &str) -> Json {
    json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": architecture,
    })
}

/// The Node as a watch will register it, as far as that can be told beforehand: what decides which pods may be on it.
pub fn foreseen(name: &str, architecture: &str) -> Json {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels(name, architecture)},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The ranges of its pods' addresses (pkg/controller/nodeipam/ipam/range_allocator.go). Once said, they stay.
fn pod_cidrs(config: &NodeConfig) -> Json {
    json!({"podCIDR": config.pod_cidrs.first(), "podCIDRs": config.pod_cidrs})
}

async fn lease(store: &Store, clock: &Clock, name: &str, uid: &str) -> Result<(), crate::api::Status> {
    let key = Key::new(GroupResource::new("coordination.k8s.io", "leases"), "kube-node-lease", name);
    let state = store.snapshot();
    if state.get(&key).is_some() {
        return Ok(());
    }
    let tree = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40,
            "renewTime": clock().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()},
    });
    let write = crate::controllers::Write::Create { object: tree.into() };
    match requests::of_write(&state, &write, "kubelet") {
        Some(request) => store.write(request).await.map(drop),
        None => Ok(()),
    }
}

fn status(
    machine: &Machine,
    config: &NodeConfig,
    allocatable: &BTreeMap<String, String>,
    pressures: &[Condition],
    before: Option<&Json>,
    clock: &Clock,
) -> Json {
    let now = stamp(clock);
    let own = node_addresses(machine, config);
    let mut addresses: Vec<Json> = own.iter().map(|ip| json!({"type": "InternalIP", "address": ip.to_string()})).collect();
    addresses.push(json!({"type": "Hostname", "address": config.node_name}));
    let holds = |kind: Condition| before.map_or(pressures.contains(&kind), |status| is_shown(status, kind));
    let mut conditions: Vec<Json> = Condition::ALL.into_iter().map(|kind| pressure(kind, holds(kind), before, &now)).collect();
    conditions.push(condition("Ready", "True", ("KubeletReady", "kubelet is posting ready status"), before, &now));
    let mut status = json!({
        "capacity": capacity(machine),
        "allocatable": allocatable,
        "conditions": conditions,
        "addresses": addresses,
        "nodeInfo": {
            "machineID": machine.machine_id, "systemUUID": machine.system_uuid, "bootID": machine.boot_id,
            "kernelVersion": machine.kernel_version, "osImage": machine.os_image,
            "containerRuntimeVersion": format!("{}://{}", machine.runtime_name, machine.runtime_version),
            "kubeletVersion": KUBELET_VERSION, "kubeProxyVersion": "", "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
    });
    if let Some(endpoints) = before.and_then(|b| b.get("daemonEndpoints")) {
        status["daemonEndpoints"] = endpoints.clone();
    }
    status
}

fn stamp(clock: &Clock) -> String {
    clock().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A condition, with the time of its last change.
fn condition(kind: &str, status: &str, told: (&str, &str), before: Option<&Json>, now: &str) -> Json {
    let old = before.and_then(|b| b["conditions"].as_array()).into_iter().flatten().find(|c| c["type"] == kind);
    let since = old.filter(|c| c["status"] == status).and_then(|c| c["lastTransitionTime"].as_str());
    json!({"type": kind, "status": status, "reason": told.0, "message": told.1,
        "lastHeartbeatTime": now, "lastTransitionTime": since.unwrap_or(now)})
}

fn pressure(kind: Condition, holds: bool, before: Option<&Json>, now: &str) -> Json {
    condition(kind.name(), if holds { "True" } else { "False" }, kind.told(holds), before, now)
}

fn is_shown(status: &Json, kind: Condition) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == kind.name() && c["status"] == "True")
}

/// Shows on the Node of what there is too little; which conditions have changed by that.
pub async fn show_pressures(
    store: &Store,
    clock: &Clock,
    name: &str,
    pressures: &[Condition],
) -> Result<Vec<Condition>, crate::api::Status> {
    let key = Key::new(GroupResource::new("", "nodes"), "", name);
    let Some(node) = store.snapshot().get(&key).cloned() else { return Ok(Vec::new()) };
    let status = node.at("/status").cloned().unwrap_or_default();
    let has_changed = |kind: &Condition| is_shown(&status, *kind) != pressures.contains(kind);
    let changed: Vec<Condition> = Condition::ALL.into_iter().filter(has_changed).collect();
    if changed.is_empty() {
        return Ok(changed);
    }
    let now = stamp(clock);
    let mut tree = node.json().clone();
    let list = tree["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let own = |c: &Json| Condition::ALL.into_iter().find(|kind| c["type"] == kind.name());
    let new = list.into_iter().map(|c| match own(&c) {
        Some(kind) => pressure(kind, pressures.contains(&kind), Some(&status), &now),
        None => c,
    });
    tree["status"]["conditions"] = new.collect();
    store.write(requests::on_core(Verb::Update, "nodes", Some("status"), "", name, tree, "kubelet")).await?;
    Ok(changed)
}

/// The status as it is compared: a newer heartbeat alone is no reason to write.
fn without_heartbeats(status: Option<&Json>) -> Json {
    let mut status = status.cloned().unwrap_or_default();
    for condition in status.get_mut("conditions").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(map) = condition.as_object_mut() {
            map.remove("lastHeartbeatTime");
        }
    }
    if let Some(map) = status.as_object_mut() {
        map.remove("daemonEndpoints");
    }
    pruned(status)
}

/// Without what is empty: the server drops some of it, and fills some in.
fn pruned(tree: Json) -> Json {
    match tree {
        Json::Object(map) => {
            let kept = map.into_iter().map(|(key, value)| (key, pruned(value)));
            Json::Object(
                kept.filter(|(_, v)| !(v.is_null() || v == "" || v.as_object().is_some_and(|m| m.is_empty())))
                    .collect(),
            )
        }
        Json::Array(list) => Json::Array(list.into_iter().map(pruned).collect()),
        other => other,
    }
}
