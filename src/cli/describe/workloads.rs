//! What makes pods and keeps them.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describeDeployment`, `describeReplicaSet` …).

use super::Related;
use super::document::{Document, or_none, plain, quantity};
use super::events::events;
use super::pod::template;
use crate::api::selector::LabelSelector;
use crate::api::tree::Tree;
use crate::api::{Json, shown};
use crate::api::go;

/// As `labels.Selector` writes itself: nothing for one that selects nothing or everything.
fn selector(selector: &Json) -> String {
    LabelSelector::of(Some(selector)).map_or_else(|error| error, |s| s.to_string())
}

fn replicas(spec: &Json) -> i64 {
    spec.opt_int("replicas").unwrap_or(1)
}

/// `2 Running / 0 Waiting / 0 Succeeded / 0 Failed`
fn pod_counts(doc: &mut Document, object: &Json, related: &Related) {
    let uid = object.field("metadata").text("uid");
    let controls = |pod: &&Json| {
        let owners = pod.field("metadata").list("ownerReferences");
        owners.iter().find(|o| o.flag("controller")).is_some_and(|o| o.text("uid") == uid)
    };
    let own: Vec<&str> = related.pods.iter().filter(controls).map(|p| p.field("status").text("phase")).collect();
    let count = |phase: &str| own.iter().filter(|p| **p == phase).count();
    let counts = format!(
        "{} Running / {} Waiting / {} Succeeded / {} Failed",
        count("Running"),
        count("Pending"),
        count("Succeeded"),
        count("Failed")
    );
    doc.field(0, "Pods Status", counts);
}

fn conditions(doc: &mut Document, status: &Json) {
    let all = status.list("conditions");
    if all.is_empty() {
        return;
    }
    doc.line(0, "Conditions:\n  Type\tStatus\tReason");
    doc.line(1, "----\t------\t------");
    for c in all {
        doc.line(1, &format!("{} \t{}\t{}", c.text("type"), c.text("status"), c.text("reason")));
    }
}

pub fn deployment(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.namespace(object);
    doc.created(object);
    doc.marks(object);
    doc.field(0, "Selector", selector(spec.field("selector")));
    let counts = format!(
        "{} desired | {} updated | {} total | {} available | {} unavailable",
        replicas(spec),
        status.int("updatedReplicas"),
        status.int("replicas"),
        status.int("availableReplicas"),
        status.int("unavailableReplicas")
    );
    doc.field(0, "Replicas", counts);
    doc.field(0, "StrategyType", spec.field("strategy").text("type"));
    doc.field(0, "MinReadySeconds", spec.int("minReadySeconds"));
    let rolling = spec.field("strategy").field("rollingUpdate");
    if !rolling.is_null() {
        let bound = |field: &str| if rolling.has(field) { plain(rolling.field(field)) } else { "<nil>".into() };
        let text = format!("{} max unavailable, {} max surge", bound("maxUnavailable"), bound("maxSurge"));
        doc.field(0, "RollingUpdateStrategy", text);
    }
    template(doc, spec.field("template"));
    conditions(doc, status);
    replica_sets(doc, object, &related.replica_sets);
    events(doc, related.events());
}

/// Which ReplicaSets are from before the last change, and which is the one of now.
/// Source: k8s.io/kubectl/pkg/util/deployment/deployment.go.
fn replica_sets(doc: &mut Document, object: &Json, sets: &[Json]) {
    if sets.is_empty() {
        return;
    }
    let bare = |template: &Json| {
        let mut template = template.clone();
        let labels = template.pointer_mut("/metadata/labels").and_then(Json::as_object_mut);
        labels.map(|labels| labels.remove("pod-template-hash"));
        template
    };
    let mut sets: Vec<&Json> = sets.iter().collect();
    sets.sort_by_key(|set| (set.field("metadata").text("creationTimestamp"), set.field("metadata").text("name")));
    let wanted = bare(object.field("spec").field("template"));
    let new = sets.iter().position(|set| bare(set.field("spec").field("template")) == wanted);
    let new = new.map(|i| sets.remove(i));
    let show = |set: &Json| {
        let (made, wanted) = (set.field("status").int("replicas"), replicas(set.field("spec")));
        format!("{} ({made}/{wanted} replicas created)", set.field("metadata").text("name"))
    };
    let old = sets.into_iter().map(show).collect::<Vec<_>>().join(", ");
    doc.field(0, "OldReplicaSets", or_none(&old));
    doc.field(0, "NewReplicaSet", new.map_or("<none>".to_owned(), show));
}

pub fn replica_set(doc: &mut Document, object: &Json, related: &Related) {
    let label_selector = shown::selector(object.field("spec").field("selector"));
    replicated(doc, object, related, &label_selector, true);
}

pub fn replication_controller(doc: &mut Document, object: &Json, related: &Related) {
    let label_selector = shown::labels(object.field("spec").field("selector"));
    replicated(doc, object, related, &label_selector, false);
}

fn replicated(doc: &mut Document, object: &Json, related: &Related, selector: &str, owned: bool) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.namespace(object);
    doc.field(0, "Selector", selector);
    doc.marks(object);
    if owned {
        doc.controlled_by(object);
    }
    doc.field(0, "Replicas", format!("{} current / {} desired", status.int("replicas"), replicas(spec)));
    pod_counts(doc, object, related);
    template(doc, spec.field("template"));
    conditions(doc, status);
    events(doc, related.events());
}

pub fn stateful_set(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.namespace(object);
    doc.created(object);
    doc.field(0, "Selector", selector(spec.field("selector")));
    doc.marks(object);
    doc.field(0, "Replicas", format!("{} desired | {} total", replicas(spec), status.int("replicas")));
    let strategy = spec.field("updateStrategy");
    doc.field(0, "Update Strategy", strategy.text("type"));
    let rolling = strategy.field("rollingUpdate");
    if let Some(partition) = rolling.opt_int("partition") {
        doc.field(1, "Partition", partition);
        doc.some_field(1, "MaxUnavailable", &plain(rolling.field("maxUnavailable")));
    }
    pod_counts(doc, object, related);
    template(doc, spec.field("template"));
    claim_templates(doc, spec.list("volumeClaimTemplates"));
    events(doc, related.events());
}

fn claim_templates(doc: &mut Document, templates: &[Json]) {
    if templates.is_empty() {
        return doc.field(0, "Volume Claims", "<none>");
    }
    doc.line(0, "Volume Claims:");
    for claim in templates {
        let (metadata, spec) = (claim.field("metadata"), claim.field("spec"));
        doc.field(1, "Name", metadata.text("name"));
        doc.field(1, "StorageClass", shown::storage_class(claim));
        doc.labels_at(1, "Labels", metadata.field("labels"));
        doc.labels_at(1, "Annotations", metadata.field("annotations"));
        let storage = spec.field("resources").field("requests").field("storage");
        doc.field(1, "Capacity", if storage.is_null() { "<default>".into() } else { quantity(storage) });
        let modes = Json::from(spec.list("accessModes"));
        doc.field(1, "Access Modes", go::display(&modes));
    }
}

pub fn daemon_set(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.namespace(object);
    doc.field(0, "Selector", selector(spec.field("selector")));
    doc.field(0, "Node-Selector", shown::labels(spec.field("template").field("spec").field("nodeSelector")));
    doc.marks(object);
    for (title, field) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        doc.line(0, &format!("{title}: {}", status.int(field)));
    }
    pod_counts(doc, object, related);
    template(doc, spec.field("template"));
    events(doc, related.events());
}
