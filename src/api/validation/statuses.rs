//! What may stand in the status of the workload kinds, and the warning about names that Pods take over.
//! Source: pkg/apis/apps/validation/validation.go, pkg/apis/core/validation/validation.go,
//! pkg/registry/apps/*/strategy.go.

use super::field::{self, Errors, Path};
use super::rules::{self, not_negative_at};
use super::{meta, names};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const OVER_REPLICAS: &str = "cannot be greater than status.replicas";

fn parts<'a>(new: &'a Object, old: &'a Object) -> (&'a Json, &'a Json, Path) {
    (new.json().field("status"), old.json().field("status"), Path::new("status"))
}

fn counters(status: &Json, path: &Path, names: &[&str]) -> Errors {
    names.iter().flat_map(|name| not_negative_at(status, path, name)).collect()
}

fn under_replicas(status: &Json, path: &Path, names: &[&str]) -> Errors {
    let most = status.int("replicas");
    names
        .iter()
        .filter(|name| status.int(name) > most)
        .map(|name| field::invalid(&path.child(name), status.int(name), OVER_REPLICAS))
        .collect()
}

fn available_under_ready(status: &Json, path: &Path, detail: &str) -> Errors {
    let available = status.int("availableReplicas");
    if available > status.int("readyReplicas") {
        return vec![field::invalid(&path.child("availableReplicas"), available, detail)];
    }
    Errors::new()
}

fn collisions(status: &Json, old: &Json, path: &Path) -> Errors {
    rules::not_decremented(&path.child("collisionCount"), status.opt_int("collisionCount"), old.opt_int("collisionCount"))
}

pub fn deployment(new: &Object, old: &Object) -> Errors {
    let (status, old_status, path) = parts(new, old);
    let mut errors = meta::update(new, old);
    let names = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    errors.extend(counters(status, &path, &names));
    errors.extend(under_replicas(status, &path, &["updatedReplicas", "readyReplicas", "availableReplicas"]));
    errors.extend(available_under_ready(status, &path, "cannot be greater than readyReplicas"));
    errors.extend(collisions(status, old_status, &path));
    errors
}

/// ReplicaSets and ReplicationControllers.
pub fn replicas(new: &Object, old: &Object) -> Errors {
    let (status, _, path) = parts(new, old);
    let mut errors = meta::update(new, old);
    let names = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "terminatingReplicas",
        "observedGeneration",
    ];
    errors.extend(counters(status, &path, &names));
    errors.extend(under_replicas(status, &path, &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]));
    errors.extend(available_under_ready(status, &path, "cannot be greater than readyReplicas"));
    errors
}

pub fn stateful_set(new: &Object, old: &Object) -> Errors {
    let (status, old_status, path) = parts(new, old);
    let names = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    let mut errors = counters(status, &path, &names);
    let bounded = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    errors.extend(under_replicas(status, &path, &bounded));
    errors.extend(available_under_ready(status, &path, "cannot be greater than status.readyReplicas"));
    errors.extend(meta::update(new, old));
    errors.extend(collisions(status, old_status, &path));
    errors
}

pub fn daemon_set(new: &Object, old: &Object) -> Errors {
    let (status, old_status, path) = parts(new, old);
    let mut errors = meta::update(new, old);
    let names = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    errors.extend(counters(status, &path, &names));
    errors.extend(collisions(status, old_status, &path));
    errors
}

/// Pods and host names are made of the name: what no DNS label could be is warned about.
pub fn pod_name_warning(name: &str) -> Option<String> {
    let problems = names::dns1123_label(name);
    if name.is_empty() || problems.is_empty() {
        return None;
    }
    Some(format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; \
         a DNS label is recommended: [{}]",
        problems.join(" ")
    ))
}
