//! Defaults of Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet and PodTemplate.
//! Source: pkg/apis/apps/v1/defaults.go, pkg/apis/core/v1/defaults.go; kept out: what disabled gates drop
//! (pkg/registry/apps/statefulset/strategy.go).

use super::{claims, pod::fill_template};
use crate::api::tree::{Tree, child, default_text, default_to, items, present, remove};
use crate::api::{Json, JsonMap};

/// Surge and unavailability of a rolling update, and how much of its history a workload keeps.
const QUARTER: &str = "25%";
const HISTORY: i32 = 10;

pub fn deployment(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    default_to(spec, "replicas", 1);
    if let Some(strategy) = child(spec, "strategy") {
        default_text(strategy, "type", "RollingUpdate");
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = child(strategy, "rollingUpdate")
        {
            default_to(rolling, "maxUnavailable", QUARTER);
            default_to(rolling, "maxSurge", QUARTER);
        }
    }
    default_to(spec, "revisionHistoryLimit", HISTORY);
    default_to(spec, "progressDeadlineSeconds", 600);
    template_of(spec);
}

pub fn replica_set(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    default_to(spec, "replicas", 1);
    template_of(spec);
}

pub fn replication_controller(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    let labels = spec.pointer("/template/metadata/labels").cloned().filter(|v| v.as_object().is_some_and(|m| !m.is_empty()));
    if let Some(labels) = &labels
        && spec.entries("selector").is_empty()
    {
        spec["selector"] = labels.clone();
    }
    default_to(spec, "replicas", 1);
    if present(spec, "template").is_some() {
        template_of(spec);
    }
    if let Some(labels) = labels
        && let Some(metadata) = child(tree, "metadata")
        && metadata.entries("labels").is_empty()
    {
        metadata["labels"] = labels;
    }
}

pub fn stateful_set(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    default_text(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = child(spec, "updateStrategy") {
        if strategy.text("type").is_empty() {
            strategy["type"] = "RollingUpdate".into();
            default_to(strategy, "rollingUpdate", JsonMap::new());
        }
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = present(strategy, "rollingUpdate")
        {
            default_to(rolling, "partition", 0);
            // The gate MaxUnavailableStatefulSet is off: the field is dropped.
            remove(rolling, "maxUnavailable");
        }
    }
    if let Some(policy) = child(spec, "persistentVolumeClaimRetentionPolicy") {
        default_text(policy, "whenDeleted", "Retain");
        default_text(policy, "whenScaled", "Retain");
    }
    default_to(spec, "replicas", 1);
    default_to(spec, "revisionHistoryLimit", HISTORY);
    for claim in items(spec, "volumeClaimTemplates") {
        claims::claim(claim);
        claim["apiVersion"] = "v1".into();
        claim["kind"] = "PersistentVolumeClaim".into();
    }
    template_of(spec);
}

pub fn daemon_set(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    if let Some(strategy) = child(spec, "updateStrategy") {
        default_text(strategy, "type", "RollingUpdate");
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = child(strategy, "rollingUpdate")
        {
            default_to(rolling, "maxUnavailable", 1);
            default_to(rolling, "maxSurge", 0);
        }
    }
    default_to(spec, "revisionHistoryLimit", HISTORY);
    template_of(spec);
}

pub fn pod_template(tree: &mut Json) {
    template_of(tree);
}

fn template_of(spec: &mut Json) {
    if let Some(template) = child(spec, "template") {
        fill_template(template);
    }
}
