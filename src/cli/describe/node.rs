//! Nodes, with what their pods ask for. Source: k8s.io/kubectl/pkg/describe/describe.go (`describeNode`).

use std::collections::BTreeMap;

use super::Related;
use super::document::{Document, or_none, or_unset, quantity};
use super::events::events;
use crate::api::pod::{self, ResourceList};
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;
use crate::api::{Json, shown};
use crate::cli::print::gosort;

/// So many pools of devices are listed.
const POOLS: usize = 10;

const INFO: [(&str, &str); 9] = [
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
];

pub fn node(doc: &mut Document, object: &Json, related: &Related) {
    let (metadata, spec, status) = (object.field("metadata"), object.field("spec"), object.field("status"));
    doc.name(object);
    doc.field(0, "Roles", or_none(&shown::node_roles(metadata.field("labels")).join(",")));
    doc.marks(object);
    doc.created(object);
    taints(doc, spec.list("taints"));
    doc.field(0, "Unschedulable", spec.flag("unschedulable"));
    lease(doc, &related.lease);
    conditions(doc, status.list("conditions"));
    doc.line(0, "Addresses:");
    for address in status.list("addresses") {
        doc.field(1, address.text("type"), address.text("address"));
    }
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        let amounts = status.entries(field);
        if !amounts.is_empty() {
            doc.line(0, &format!("{title}:"));
        }
        amounts.into_iter().for_each(|(name, amount)| doc.field(1, name, quantity(amount)));
    }
    devices(doc, &related.devices);
    doc.line(0, "System Info:");
    for (title, field) in INFO {
        doc.field(1, title, status.field("nodeInfo").text(field));
    }
    doc.some_field(0, "PodCIDR", spec.text("podCIDR"));
    doc.some_field(0, "PodCIDRs", &spec.texts("podCIDRs").join(","));
    doc.some_field(0, "ProviderID", spec.text("providerID"));
    let allocatable = if status.entries("allocatable").is_empty() { "capacity" } else { "allocatable" };
    pods(doc, &related.pods, &ResourceList::of(status.field(allocatable)));
    events(doc, related.events());
}

fn taints(doc: &mut Document, taints: &[Json]) {
    let mut taints: Vec<&Json> = taints.iter().collect();
    let order = |taint: &Json| format!("{},{}", taint.text("effect"), taint.text("key"));
    gosort::sort(&mut taints, |a, b| order(a) < order(b));
    let show = |taint: &Json| match (taint.text("key"), taint.text("value"), taint.text("effect")) {
        (key, "", "") => key.to_owned(),
        (key, "", effect) => format!("{key}:{effect}"),
        (key, value, effect) => format!("{key}={value}:{effect}"),
    };
    doc.column(0, "Taints", &taints.into_iter().map(show).collect::<Vec<_>>());
}

fn lease(doc: &mut Document, lease: &Result<Json, String>) {
    let lease = match lease {
        Ok(lease) => lease.field("spec"),
        Err(error) => return doc.field(0, "Lease", format!("Failed to get lease: {error}")),
    };
    doc.line(0, "Lease:");
    doc.field(1, "HolderIdentity", or_unset(lease.field("holderIdentity")));
    for (title, field) in [("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")] {
        let time = lease.opt_text(field).map_or("<unset>".into(), |time| doc.date(time));
        doc.field(1, title, time);
    }
}

fn conditions(doc: &mut Document, conditions: &[Json]) {
    if !conditions.is_empty() {
        doc.line(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
        doc.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    }
    for c in conditions {
        let (seen, changed) = (doc.date(c.text("lastHeartbeatTime")), doc.date(c.text("lastTransitionTime")));
        let (kind, status, reason) = (c.text("type"), c.text("status"), c.text("reason"));
        doc.line(1, &format!("{kind} \t{status} \t{seen} \t{changed} \t{reason} \t{}", c.text("message")));
    }
}

/// Devices of this node alone, by driver and pool.
fn devices(doc: &mut Document, slices: &[Json]) {
    let mut pools: BTreeMap<String, (&str, &str, usize, usize)> = BTreeMap::new();
    for slice in slices {
        let spec = slice.field("spec");
        let (driver, pool) = (spec.text("driver"), spec.field("pool").text("name"));
        let entry = pools.entry(format!("{driver}/{pool}")).or_insert((driver, pool, 0, 0));
        entry.2 += 1;
        entry.3 += spec.list("devices").len();
    }
    if pools.is_empty() {
        return;
    }
    doc.line(0, "Node-Local ResourceSlices:");
    doc.line(1, "Driver\tPool\tSlices\tDevices");
    doc.line(1, "------\t----\t------\t-------");
    for (driver, pool, slices, devices) in pools.values().take(POOLS) {
        doc.line(1, &format!("{driver}\t{pool}\t{slices}\t{devices}"));
    }
    if pools.len() > POOLS {
        doc.line(1, &format!("...and {} more pools", pools.len() - POOLS));
    }
}

/// An amount, and its part of what there is: `250m (12%)`.
fn share(list: &ResourceList, name: &str, allocatable: &ResourceList) -> String {
    let amount = list.get(name).cloned().unwrap_or_else(Quantity::zero);
    let unit = |quantity: &Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
    let all = allocatable.get(name).map_or(0, unit);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "kubectl rounds as float64 does")]
    let percent = if all == 0 { 0 } else { (unit(&amount) as f64 / all as f64 * 100.0) as i64 };
    format!("{amount} ({percent}%)")
}

fn pods(doc: &mut Document, pods: &[Json], allocatable: &ResourceList) {
    doc.field(0, "Non-terminated Pods", format!("({} in total)", pods.len()));
    doc.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    doc.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let (mut requests, mut limits) = (ResourceList::default(), ResourceList::default());
    for one in pods {
        let metadata = one.field("metadata");
        let (asked, bound) = (pod::whole(one, "requests", true), pod::whole(one, "limits", true));
        let amounts = [(&asked, "cpu"), (&bound, "cpu"), (&asked, "memory"), (&bound, "memory")];
        let amounts = amounts.map(|(list, name)| share(list, name, allocatable)).join("\t");
        let age = doc.since(metadata.text("creationTimestamp"));
        doc.line(1, &format!("{}\t{}\t\t{amounts}\t{age}", metadata.text("namespace"), metadata.text("name")));
        requests.add(&pod::whole(one, "requests", false));
        limits.add(&pod::whole(one, "limits", false));
    }
    doc.line(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
    doc.line(1, "Resource\tRequests\tLimits");
    doc.line(1, "--------\t--------\t------");
    let names = allocatable.0.keys().map(String::as_str);
    let (huge, other): (Vec<&str>, Vec<&str>) = names.partition(|name| pod::is_hugepages(name));
    for name in ["cpu", "memory", "ephemeral-storage"].into_iter().chain(huge) {
        let (asked, bound) = (share(&requests, name, allocatable), share(&limits, name, allocatable));
        doc.line(1, &format!("{name}\t{asked}\t{bound}"));
    }
    for name in other.into_iter().filter(|name| !matches!(*name, "cpu" | "memory" | "ephemeral-storage" | "pods")) {
        let of = |list: &ResourceList| list.get(name).cloned().unwrap_or_else(Quantity::zero);
        doc.line(1, &format!("{name}\t{}\t{}", of(&requests), of(&limits)));
    }
}
