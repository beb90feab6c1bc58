//! Volumes, claims and their classes.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describePersistentVolume`, `printPersistentVolumeClaim` …).

use super::Related;
use super::document::{Document, flag, plain, quantity};
use super::events::events;
use super::volumes::persistent;
use crate::api::tree::Tree;
use crate::api::{Json, shown};
use crate::api::go;

/// `Bound`, or since when it is leaving.
fn phase(doc: &mut Document, object: &Json) {
    let shown = match object.field("metadata").text("deletionTimestamp") {
        "" => object.field("status").text("phase").to_owned(),
        time => format!("Terminating (lasts {})", doc.since(time)),
    };
    doc.field(0, "Status", shown);
}

fn finalizers(doc: &mut Document, object: &Json) {
    let all = Json::from(object.field("metadata").list("finalizers"));
    doc.field(0, "Finalizers", go::display(&all));
}

pub fn volume(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.marks(object);
    finalizers(doc, object);
    doc.field(0, "StorageClass", shown::storage_class(object));
    phase(doc, object);
    let claim = spec.field("claimRef");
    let claim = if claim.is_null() { String::new() } else { format!("{}/{}", claim.text("namespace"), claim.text("name")) };
    doc.field(0, "Claim", claim);
    doc.field(0, "Reclaim Policy", spec.text("persistentVolumeReclaimPolicy"));
    doc.field(0, "Access Modes", shown::access_modes(spec.list("accessModes")));
    doc.some_field(0, "VolumeMode", spec.text("volumeMode"));
    doc.field(0, "Capacity", quantity(spec.field("capacity").field("storage")));
    node_affinity(doc, spec.field("nodeAffinity").field("required"));
    doc.field(0, "Message", status.text("message"));
    doc.line(0, "Source:");
    if let Some(spec) = spec.as_object() {
        persistent(doc, spec);
    }
    events(doc, related.events());
}

fn node_affinity(doc: &mut Document, required: &Json) {
    if required.is_null() {
        return doc.field(0, "Node Affinity", "<none>");
    }
    doc.field(0, "Node Affinity", "");
    let terms = required.list("nodeSelectorTerms");
    doc.field(1, "Required Terms", if terms.is_empty() { "<none>" } else { "" });
    for (i, term) in terms.iter().enumerate() {
        let show = |rule: &Json| requirement(rule.text("key"), &rule.text("operator").to_lowercase(), &rule.texts("values"));
        let rules: Vec<String> = term.list("matchExpressions").iter().map(show).collect();
        doc.column(2, &format!("Term {i}"), &rules);
    }
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> String {
    if values.is_empty() { format!("{key} {operator}") } else { format!("{key} {operator} [{}]", values.join(", ")) }
}

pub fn claim(doc: &mut Document, object: &Json, related: &Related) {
    claim_details(doc, object, true);
    let name = object.field("metadata").text("name");
    doc.column(0, "Used By", &users(name, object.field("metadata").list("ownerReferences"), &related.pods));
    let conditions = object.field("status").list("conditions");
    if !conditions.is_empty() {
        doc.line(0, "Conditions:");
        doc.line(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage");
        doc.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    }
    for c in conditions {
        let (probed, changed) = (doc.date(c.text("lastProbeTime")), doc.date(c.text("lastTransitionTime")));
        let (kind, status, reason) = (c.text("type"), c.text("status"), c.text("reason"));
        doc.line(1, &format!("{kind} \t{status} \t{probed} \t{changed} \t{reason} \t{}", c.text("message")));
    }
    events(doc, related.events());
}

/// The names of the pods that mount a claim, or own it. Source: `getPodsForPVC`.
fn users(claim: &str, owners: &[Json], pods: &[Json]) -> Vec<String> {
    let metadata = |pod: &&Json| pod.field("metadata").clone();
    let mut users = Vec::new();
    for pod in pods {
        let mounts = pod.field("spec").list("volumes").iter();
        users.extend(mounts.filter(|v| v.field("persistentVolumeClaim").text("claimName") == claim).map(|_| pod));
    }
    for owner in owners.iter().filter(|owner| owner.text("kind") == "Pod") {
        let of = |pod: &&Json| metadata(pod).text("uid") == owner.text("uid");
        if !users.iter().any(of) {
            users.extend(pods.iter().find(of));
        }
    }
    let mut names: Vec<String> = users.iter().map(|pod| metadata(pod).text("name").to_owned()).collect();
    names.sort();
    names
}

/// A claim, or (`whole` not) the template of one, which has neither name nor status.
pub fn claim_details(doc: &mut Document, object: &Json, whole: bool) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    if whole {
        doc.name(object);
        doc.namespace(object);
    }
    doc.field(0, "StorageClass", shown::storage_class(object));
    if whole {
        phase(doc, object);
    }
    let volume = spec.text("volumeName");
    doc.field(0, "Volume", volume);
    doc.marks(object);
    if whole {
        finalizers(doc, object);
    }
    let bound = !volume.is_empty();
    let capacity = if bound { quantity(status.field("capacity").field("storage")) } else { String::new() };
    doc.field(0, "Capacity", capacity);
    let modes = if bound { shown::access_modes(status.list("accessModes")) } else { String::new() };
    doc.field(0, "Access Modes", modes);
    doc.some_field(0, "VolumeMode", spec.text("volumeMode"));
    let source = spec.field("dataSource");
    if !source.is_null() {
        doc.line(0, "DataSource:");
        if source.has("apiGroup") {
            doc.field(1, "APIGroup", source.text("apiGroup"));
        }
        doc.field(1, "Kind", source.text("kind"));
        doc.field(1, "Name", source.text("name"));
    }
}

pub fn storage_class(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.field(0, "IsDefaultClass", if shown::is_default_class(object) { "Yes" } else { "No" });
    doc.field(0, "Annotations", shown::labels(object.field("metadata").field("annotations")));
    doc.field(0, "Provisioner", object.text("provisioner"));
    doc.field(0, "Parameters", shown::labels(object.field("parameters")));
    doc.field(0, "AllowVolumeExpansion", flag(object.field("allowVolumeExpansion")));
    let options = object.texts("mountOptions");
    if options.is_empty() {
        doc.field(0, "MountOptions", "<none>");
    } else {
        doc.line(0, "MountOptions:");
    }
    options.iter().for_each(|option| doc.line(1, option));
    doc.some_field(0, "ReclaimPolicy", object.text("reclaimPolicy"));
    doc.some_field(0, "VolumeBindingMode", object.text("volumeBindingMode"));
    if object.has("allowedTopologies") {
        topologies(doc, object.list("allowedTopologies"));
    }
    events(doc, related.events());
}

fn topologies(doc: &mut Document, terms: &[Json]) {
    doc.field(0, "AllowedTopologies", if terms.is_empty() { "<none>" } else { "" });
    for (i, term) in terms.iter().enumerate() {
        let show = |rule: &Json| requirement(rule.text("key"), "in", &rule.texts("values"));
        let rules: Vec<String> = term.list("matchLabelExpressions").iter().map(show).collect();
        doc.column(1, &format!("Term {i}"), &rules);
    }
}

pub fn attributes_class(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.field(0, "Annotations", shown::labels(object.field("metadata").field("annotations")));
    doc.field(0, "DriverName", object.text("driverName"));
    doc.field(0, "Parameters", shown::labels(object.field("parameters")));
    events(doc, related.events());
}

pub fn csi_node(doc: &mut Document, object: &Json, related: &Related) {
    let spec = object.field("spec");
    doc.name(object);
    doc.marks(object);
    doc.created(object);
    doc.line(0, "Spec:");
    if spec.has("drivers") {
        doc.line(1, "Drivers:");
    }
    for driver in spec.list("drivers") {
        doc.line(2, &format!("{}:", driver.text("name")));
        doc.field(3, "Node ID", driver.text("nodeID"));
        let count = driver.field("allocatable").field("count");
        if !count.is_null() {
            doc.line(3, "Allocatables:");
            doc.field(4, "Count", plain(count));
        }
        if driver.has("topologyKeys") {
            doc.field(3, "Topology Keys", go::display(driver.field("topologyKeys")));
        }
    }
    events(doc, related.events());
}
