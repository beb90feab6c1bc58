//! What the subresource `resize` may change: cpu and memory of containers and of the Pod as a whole.

use serde_json::json;

use super::super::field::{self, Errors, Path};
use super::super::meta;
use super::annotations;
use super::change::{put, same};
use super::spec::Options;
use crate::api::pod::{is_sidecar, qos_class};
use crate::api::tree::{Tree, child, items, remove};
use crate::api::{Json, Object};

/// What is wrong with a change by the subresource `resize`.
pub fn resize(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(super::metadata_and_spec(new, &Options::of_pod(Some(old.json()))));
    if old.annotation(annotations::MIRROR).is_some() {
        return vec![field::forbidden(&Path::nameless(), "static pods cannot be resized")];
    }
    let (new_spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    if old_spec.field("os").text("name") == "windows" {
        return vec![field::forbidden(&Path::nameless(), "windows pods cannot be resized")];
    }
    let path = Path::new("spec");
    let class = old.str_at("/status/qosClass").filter(|c| !c.is_empty()).unwrap_or_else(|| qos_class(old_spec));
    if class != qos_class(new_spec) {
        let shown = new.str_at("/status/qosClass").unwrap_or("");
        errors.push(field::invalid(&path, shown, "Pod QOS Class may not change as a result of resizing"));
    }
    if !node_resizes(old) {
        errors.push(field::forbidden(&path, "Pod running on node without support for resize"));
    }
    let mut kept = new_spec.clone();
    if states_resources(new_spec) || states_resources(old_spec) {
        errors.extend(pod_level(&mut kept, old_spec, &path));
    }
    let moved = other_containers(new_spec, old_spec, &path);
    if !moved.is_empty() {
        errors.extend(moved);
        return errors;
    }
    for kind in ["initContainers", "containers"] {
        for (index, (container, before)) in new_spec.list(kind).iter().zip(old_spec.list(kind)).enumerate() {
            let at = path.child(kind).index(index).child("resources");
            errors.extend(removed(container.field("resources"), before.field("resources"), &at, "resource"));
        }
    }
    errors.extend(only_compute(&mut kept, old_spec, &path));
    if errors.is_empty() && !same(&kept, old_spec) {
        errors.push(field::forbidden(&path, "only cpu and memory resources are mutable"));
    }
    errors
}

fn node_resizes(pod: &Object) -> bool {
    let statuses = pod.json().field("status").list("containerStatuses");
    statuses.iter().find(|s| s.field("state").has("running")).is_none_or(|s| s.has("resources"))
}

fn states_resources(spec: &Json) -> bool {
    let resources = spec.field("resources");
    !resources.entries("requests").is_empty() || !resources.entries("limits").is_empty()
}

/// The same rules for the Pod as a whole; `kept` has the old amounts then.
fn pod_level(kept: &mut Json, old: &Json, path: &Path) -> Errors {
    let at = path.child("resources");
    if old.has("resources") && !kept.has("resources") {
        return vec![field::forbidden(&at, "pod-level resources cannot be removed")];
    }
    let mut errors = removed(kept.field("resources"), old.field("resources"), &at, "pod-level resource");
    restore_compute(kept, old);
    let is_empty = |resources: &Json| resources.as_object().is_some_and(|map| map.is_empty());
    if !old.has("resources") && is_empty(kept.field("resources")) {
        remove(kept, "resources");
    }
    if !same(kept.field("resources"), old.field("resources")) {
        errors.push(field::forbidden(path, "only cpu and memory resources are mutable at pod-level"));
    }
    errors
}

/// Containers stay who and where they are.
fn other_containers(new: &Json, old: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for kind in ["containers", "initContainers"] {
        let (containers, before) = (new.list(kind), old.list(kind));
        if containers.len() != before.len() {
            let detail = format!("{kind} may not be added or removed on resize");
            errors.push(field::forbidden(&path.child(kind), &detail));
            continue;
        }
        let renamed = containers.iter().zip(before).enumerate().filter(|(_, (c, b))| c.text("name") != b.text("name"));
        errors.extend(renamed.map(|(index, _)| {
            let detail = format!("{kind} may not be renamed or reordered on resize");
            field::forbidden(&path.child(kind).index(index).child("name"), &detail)
        }));
    }
    errors
}

/// Amounts change, and do not go.
fn removed(new: &Json, old: &Json, path: &Path, noun: &str) -> Errors {
    let mut errors = Errors::new();
    for which in ["requests", "limits"] {
        if old.entries(which).iter().any(|(name, _)| !new.field(which).has(name)) {
            errors.push(field::forbidden(&path.child(which), &format!("{noun} {which} cannot be removed")));
        }
    }
    errors
}

/// Nothing of a container changes but its cpu and memory; `kept` has the old amounts then.
fn only_compute(kept: &mut Json, old: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (container, before) in items(kept, "containers").zip(old.list("containers")) {
        restore_compute(container, before);
        if !same(container, before) {
            errors.push(field::forbidden(path, "only cpu and memory resources are mutable"));
        }
    }
    for (index, (container, before)) in items(kept, "initContainers").zip(old.list("initContainers")).enumerate() {
        let changed = !same(container, before);
        let at = path.child("initContainers").index(index);
        restore_compute(container, before);
        if !same(container, before) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.push(field::forbidden(&at, detail));
        }
        if !changed || is_sidecar(container) {
            continue;
        }
        let restarting = container.list("resizePolicy").iter().filter(|p| p.text("restartPolicy") == "RestartContainer");
        errors.extend(restarting.map(|_| {
            let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            field::forbidden(&at, detail)
        }));
    }
    errors
}

fn restore_compute(holder: &mut Json, before: &Json) {
    let before = before.field("resources");
    if holder.field("resources").is_null() && before.is_null() {
        return;
    }
    let Some(resources) = child(holder, "resources") else { return };
    for which in ["limits", "requests"] {
        let Some(list) = child(resources, which) else { continue };
        for name in ["cpu", "memory"] {
            put(list, name, before.field(which).field(name));
        }
        if *list == json!({}) {
            remove(resources, which);
        }
    }
}
