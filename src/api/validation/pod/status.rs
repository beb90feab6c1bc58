//! What a Pod's status may say, and how it may change.

use std::collections::BTreeSet;

use super::super::field::{self, Errors, Path};
use super::super::{IMMUTABLE, ips, meta, names, rules};
use super::annotations;
use super::spec::Options;
use crate::api::pod::is_sidecar;
use crate::api::tree::Tree;
use crate::api::{Cause, Json, Object};

const STATUSES: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

/// What is wrong with changing a Pod's status.
pub fn update_status(new: &Object, old: &Object) -> Errors {
    let options = Options::of_pod(Some(old.json()));
    let (new_spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    let (status, before) = (new.json().field("status"), old.json().field("status"));
    let notes = |object: &Object| object.json().field("metadata").field("annotations").clone();
    let path = Path::new("status");
    let mut errors = meta::update(new, old);
    errors.extend(annotations::change(&notes(new), &notes(old), new_spec, &options));
    errors.extend(conditions(status));
    if new_spec.text("nodeName") != old_spec.text("nodeName") {
        errors.push(field::forbidden(&path.child("nodeName"), "may not be changed directly"));
    }
    let nominated = status.text("nominatedNodeName");
    if nominated != before.text("nominatedNodeName") && !nominated.is_empty() {
        let at = path.child("nominatedNodeName");
        errors.extend(rules::each(&at, nominated, names::dns1123_subdomain(nominated)));
        if !new_spec.text("nodeName").is_empty() {
            errors.push(field::forbidden(&at, "may not be set on pods that are already bound to a node"));
        }
    }
    errors.extend(observed(status, &path));
    let class = status.text("qosClass");
    if class != before.text("qosClass") {
        errors.push(field::invalid(&path.child("qosClass"), class, IMMUTABLE));
    }
    for (list, kind) in STATUSES {
        errors.extend(transitions(status, before, old_spec, (list, kind), &path.child(list)));
    }
    errors.extend(claim_statuses(status, new_spec, &path.child("resourceClaimStatuses")));
    errors.extend(addresses(status.list("podIPs"), &path.child("podIPs")));
    errors.extend(host_addresses(status, &path.child("hostIPs")));
    for (list, _) in STATUSES {
        errors.extend(users(status.list(list), new_spec, &path.child(list)));
    }
    for (list, kind) in STATUSES {
        errors.extend(allocated(status.list(list), new_spec.list(kind), kind, &path.child(list)));
    }
    errors
}

fn conditions(status: &Json) -> Errors {
    let path = Path::new("status").child("conditions");
    let mut errors = Errors::new();
    for (index, condition) in status.list("conditions").iter().enumerate() {
        errors.extend(observed(condition, &path.index(index)));
        let kind = condition.text("type");
        if !["PodScheduled", "Ready", "Initialized"].contains(&kind) {
            errors.extend(rules::each(&path.index(index).child("Type"), kind, names::qualified_name(kind)));
        }
    }
    errors
}

fn observed(holder: &Json, path: &Path) -> Option<Cause> {
    let generation = holder.int("observedGeneration");
    let at = path.child("observedGeneration");
    (generation < 0).then(|| field::invalid(&at, generation, "must be a non-negative integer"))
}

/// A container that has ended and is not to run again does not run again.
fn transitions(status: &Json, before: &Json, spec: &Json, (list, kind): (&str, &str), path: &Path) -> Errors {
    let mut errors = Errors::new();
    // Ephemeral containers never run again.
    let ephemeral = kind == "ephemeralContainers";
    let policy = if ephemeral { "Never" } else { spec.text("restartPolicy") };
    if !ephemeral && all_may_restart(spec) {
        return errors;
    }
    for (index, old) in before.list(list).iter().enumerate() {
        let ended = old.field("state").field("terminated");
        if ended.is_null() {
            continue;
        }
        let name = old.text("name");
        let container = spec.list(kind).iter().find(|c| c.text("name") == name);
        if container.is_some_and(|container| may_restart(container, policy, ended.int("exitCode"))) {
            continue;
        }
        let runs = |new: &&Json| new.text("name") == name && !new.field("state").has("terminated");
        let ends_with_the_first = if ephemeral { usize::MAX } else { 1 };
        for _ in status.list(list).iter().filter(runs).take(ends_with_the_first) {
            let at = path.index(index).child("state");
            errors.push(field::forbidden(&at, "may not be transitioned to non-terminated state"));
        }
    }
    errors
}

/// Whether one container's end can start all of them again (AllContainersCouldRestart).
fn all_may_restart(spec: &Json) -> bool {
    let containers = spec.list("initContainers").iter().chain(spec.list("containers"));
    let mut rules = containers.flat_map(|container| container.list("restartPolicyRules"));
    rules.any(|rule| rule.text("action") == "RestartAllContainers")
}

fn may_restart(container: &Json, of_pod: &str, code: i64) -> bool {
    let by_rule = container.list("restartPolicyRules").iter().any(|rule| {
        let codes = rule.field("exitCodes");
        let listed = codes.list("values").iter().any(|v| v.as_i64() == Some(code));
        if codes.text("operator") == "In" { listed } else { !listed }
    });
    let policy = container.opt_text("restartPolicy").unwrap_or(of_pod);
    by_rule || is_sidecar(container) || policy == "Always" || (policy == "OnFailure" && code != 0)
}

fn claim_statuses(status: &Json, spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, claim) in status.list("resourceClaimStatuses").iter().enumerate() {
        let path = path.index(index).child("name");
        let name = claim.text("name");
        if !spec.list("resourceClaims").iter().any(|c| c.text("name") == name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(field::invalid(&path, name, detail));
        }
        if !seen.insert(name) {
            errors.push(field::duplicate(&path, name));
        }
        if let Some(name) = claim.opt_text("resourceClaimName") {
            errors.extend(rules::each(&path, name, names::dns1123_subdomain(name)));
        }
    }
    errors
}

/// Addresses: valid, each once, one of each family at most.
fn addresses(list: &[Json], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (index, entry) in list.iter().enumerate() {
        errors.extend(ips::legacy_ip(&path.index(index), entry.text("ip")));
    }
    if list.len() < 2 {
        return errors;
    }
    let texts: Vec<&str> = list.iter().map(|entry| entry.text("ip")).collect();
    let shown = |entry: &Json| format!("{{\"IP\":{}}}", Json::from(entry.text("ip")));
    let readable = texts.iter().all(|text| ips::parse_sloppy(text).is_some());
    if readable && (!ips::is_dual_stack(&texts) || texts.len() > 2) {
        let all: Vec<String> = list.iter().map(shown).collect();
        let detail = "may specify no more than one IP for each IP family";
        errors.push(field::invalid_shown(path, &format!("[{}]", all.join(",")), detail));
    }
    let mut seen = BTreeSet::new();
    for (index, entry) in list.iter().enumerate().filter(|(_, entry)| !seen.insert(entry.text("ip"))) {
        let mut cause = field::duplicate(&path.index(index), "");
        cause.message = format!("Duplicate value: {}", shown(entry));
        errors.push(cause);
    }
    errors
}

fn host_addresses(status: &Json, path: &Path) -> Errors {
    let list = status.list("hostIPs");
    let Some(first) = list.first().map(|entry| entry.text("ip")) else { return Errors::new() };
    let mut errors = Errors::new();
    if status.text("hostIP") != first {
        errors.push(field::invalid(&path.index(0).child("ip"), first, "must be equal to `hostIP`"));
    }
    errors.extend(addresses(list, path));
    errors
}

fn users(statuses: &[Json], spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let on_windows = spec.field("os").text("name") == "windows";
    for (index, status) in statuses.iter().enumerate() {
        let user = status.field("user").field("linux");
        let path = path.index(index).child("linux");
        if user.is_null() {
            continue;
        }
        if on_windows {
            errors.push(field::forbidden(&path, "cannot be set for a windows pod"));
            continue;
        }
        for name in ["uid", "gid"] {
            let id = user.int(name);
            errors.extend(names::user_id(id).iter().map(|m| field::invalid(&path.child(name), id, m)));
        }
        for (index, group) in user.list("supplementalGroups").iter().enumerate() {
            let (group, at) = (group.as_i64().unwrap_or(0), path.child("supplementalGroups").index(index));
            errors.extend(names::user_id(group).iter().map(|m| field::invalid(&at, group, m)));
        }
    }
    errors
}

/// The health of devices: of resources that the container has, each device once.
fn allocated(statuses: &[Json], containers: &[Json], kind: &str, path: &Path) -> Errors {
    const HEALTH: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
    let mut errors = Errors::new();
    for (index, status) in statuses.iter().enumerate() {
        let (list, path) = (status.list("allocatedResourcesStatus"), path.index(index).child("allocatedResourcesStatus"));
        if kind == "ephemeralContainers" {
            if !list.is_empty() {
                errors.push(field::forbidden(&path, "must not be specified in container status"));
            }
            continue;
        }
        let container = containers.iter().find(|c| c.text("name") == status.text("name")).unwrap_or(&Json::Null);
        for (index, resource) in list.iter().enumerate() {
            let path = path.index(index);
            let name = resource.text("name");
            let wanted = container.field("resources");
            let has = ["requests", "limits"].iter().any(|which| wanted.field(which).has(name))
                || wanted.list("claims").iter().any(|c| {
                    let (claim, request) = (c.text("name"), c.text("request"));
                    name == format!("claim:{claim}") || name == format!("claim:{claim}/{request}")
                });
            if !has {
                let detail = "must match one of the container's resource requirements";
                errors.push(field::invalid(&path.child("name"), name, detail));
            }
            let mut seen = BTreeSet::new();
            for (index, device) in resource.list("resources").iter().enumerate() {
                let path = path.child("resources").index(index);
                let id = device.text("resourceID");
                if !seen.insert(id) {
                    errors.push(field::duplicate(&path.child("resourceID"), id));
                }
                let health = device.text("health");
                if !health.is_empty() && !HEALTH.contains(&health) {
                    errors.push(field::not_supported(&path.child("health"), health, &HEALTH));
                }
            }
        }
    }
    errors
}
