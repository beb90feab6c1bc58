//! Containers: regular, init, ephemeral.

use std::collections::BTreeSet;

use super::super::field::{self, Errors, Path};
use super::super::{names, rules};
use super::spec::Scope;
use super::{env, handlers, mounts, resources, security};
use crate::api::Json;
use crate::api::pod::is_sidecar;
use crate::api::tree::Tree;

const RESTART_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

/// `spec.containers`.
pub(super) fn regular(scope: &Scope<'_>, path: &Path) -> Errors {
    let containers = scope.spec.list("containers");
    if containers.is_empty() {
        return vec![field::required(path, "")];
    }
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        errors.extend(common(scope, container, &path));
        if !seen.insert(container.text("name")) {
            errors.push(field::duplicate(&path.child("name"), container.text("name")));
        }
        errors.extend(handlers::of_running(container, scope.grace, &path));
        errors.extend(restart(container, &path));
    }
    errors.extend(accumulate_host_ports(containers, &mut BTreeSet::new(), path));
    errors
}

/// `spec.initContainers`.
pub(super) fn init(scope: &Scope<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut names: BTreeSet<&str> = scope.spec.list("containers").iter().map(|c| c.text("name")).collect();
    for (index, container) in scope.spec.list("initContainers").iter().enumerate() {
        let at = path.index(index);
        errors.extend(common(scope, container, &at));
        errors.extend(restart(container, &at));
        let name = container.text("name");
        if names.contains(name) {
            errors.push(field::duplicate(&at.child("name"), name));
        } else if !name.is_empty() {
            names.insert(name);
        }
        // They run one by one, so each has the ports to itself.
        errors.extend(accumulate_host_ports(std::slice::from_ref(container), &mut BTreeSet::new(), path));
        if is_sidecar(container) {
            errors.extend(handlers::of_running(container, scope.grace, &at));
            continue;
        }
        for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.has(name) {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.push(field::forbidden(&at.child(name), detail));
            }
        }
        if !scope.options.init_restarts_on_resize {
            errors.extend(restarts_on_resize(container, &at.child("resizePolicy")));
        }
    }
    errors
}

/// A plain init container that ran is not started again because its resources change.
fn restarts_on_resize(container: &Json, path: &Path) -> Errors {
    const RESTART: &str = "RestartContainer";
    let policies = container.list("resizePolicy").iter().enumerate();
    policies
        .filter(|(_, policy)| policy.text("restartPolicy") == RESTART)
        .map(|(index, _)| {
            let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            field::invalid(&path.index(index).child("restartPolicy"), RESTART, detail)
        })
        .collect()
}

/// Whether a PodSpec has a plain init container that is to restart when its resources change.
pub(super) fn has_init_restart_on_resize(spec: &Json) -> bool {
    let plain = spec.list("initContainers").iter().filter(|c| !is_sidecar(c));
    plain.into_iter().any(|container| !restarts_on_resize(container, &Path::root()).is_empty())
}

/// `spec.ephemeralContainers`.
pub(super) fn ephemeral(scope: &Scope<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let others: BTreeSet<&str> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|kind| scope.spec.list(kind))
        .map(|c| c.text("name"))
        .collect();
    let mut names = others.clone();
    for (index, container) in scope.spec.list("ephemeralContainers").iter().enumerate() {
        let path = path.index(index);
        errors.extend(common(scope, container, &path));
        errors.extend(only_for_pod(container, &path));
        let name = container.text("name");
        if !names.insert(name) {
            errors.push(field::duplicate(&path.child("name"), name));
        }
        let target = container.text("targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            errors.push(field::not_found(&path.child("targetContainerName"), target));
        }
        errors.extend(not_for_ephemeral(container, &path));
    }
    errors
}

/// What a container may not have that is only there to look around.
fn not_for_ephemeral(container: &Json, path: &Path) -> Errors {
    // In the order of the fields in Go's struct.
    const FORBIDDEN: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    let is_set = |name: &&str| match container.field(name) {
        Json::Object(map) if *name == "resources" => !map.is_empty(),
        value => !value.is_null(),
    };
    let mut errors: Errors =
        FORBIDDEN.iter().filter(|n| is_set(n)).map(|n| field::forbidden(&path.child(n), DETAIL)).collect();
    for (index, mount) in container.list("volumeMounts").iter().enumerate() {
        for name in ["subPath", "subPathExpr"] {
            if !mount.text(name).is_empty() {
                errors.push(field::forbidden(&path.child("volumeMounts").index(index).child(name), DETAIL));
            }
        }
    }
    errors
}

/// What holds in a Pod, but not in templates, which were once taken without.
pub(super) fn only_for_pod(container: &Json, path: &Path) -> Errors {
    let image = container.text("image");
    if image.trim() == image {
        return Errors::new();
    }
    vec![field::invalid(&path.child("image"), image, "must not have leading or trailing whitespace")]
}

fn common(scope: &Scope<'_>, container: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let name = container.text("name");
    if name.is_empty() {
        errors.push(field::required(&path.child("name"), ""));
    } else {
        errors.extend(rules::each(&path.child("name"), name, names::dns1123_label(name)));
    }
    if container.text("image").is_empty() {
        errors.push(field::required(&path.child("image"), ""));
    }
    let at = path.child("terminationMessagePolicy");
    match container.text("terminationMessagePolicy") {
        "File" | "FallbackToLogsOnError" => {}
        "" => errors.push(field::required(&at, "")),
        other => errors.push(field::not_supported(&at, other, &["File", "FallbackToLogsOnError"])),
    }
    errors.extend(ports(container, &path.child("ports")));
    errors.extend(env::variables(container, &path.child("env")));
    errors.extend(env::sources(container, &path.child("envFrom")));
    errors.extend(mounts::mounts(scope, container, &path.child("volumeMounts")));
    errors.extend(mounts::devices(scope, container, &path.child("volumeDevices")));
    let at = path.child("imagePullPolicy");
    match container.text("imagePullPolicy") {
        "Always" | "IfNotPresent" | "Never" => {}
        "" => errors.push(field::required(&at, "")),
        other => errors.push(field::not_supported(&at, other, &["Always", "IfNotPresent", "Never"])),
    }
    errors.extend(resources::of_container(scope, container.field("resources"), &path.child("resources")));
    errors.extend(resources::resize_policy(scope, container, &path.child("resizePolicy")));
    errors.extend(security::of_container(scope, container, &path.child("securityContext")));
    errors
}

fn ports(container: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, port) in container.list("ports").iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if !wrong.is_empty() {
                errors.extend(rules::each(&path.child("name"), name, wrong));
            } else if !seen.insert(name) {
                errors.push(field::duplicate(&path.child("name"), name));
            }
        }
        let number = |key: &str| {
            let number = port.int(key);
            names::port_number(number).into_iter().map(move |m| (number, m))
        };
        if port.int("containerPort") == 0 {
            errors.push(field::required(&path.child("containerPort"), ""));
        } else {
            errors.extend(number("containerPort").map(|(n, m)| field::invalid(&path.child("containerPort"), n, &m)));
        }
        if port.int("hostPort") != 0 {
            errors.extend(number("hostPort").map(|(n, m)| field::invalid(&path.child("hostPort"), n, &m)));
        }
        match port.text("protocol") {
            "TCP" | "UDP" | "SCTP" => {}
            "" => errors.push(field::required(&path.child("protocol"), "")),
            other => errors.push(field::not_supported(&path.child("protocol"), other, &["SCTP", "TCP", "UDP"])),
        }
    }
    errors
}

/// Ports of the host that two containers want; `taken` grows by those found.
pub fn accumulate_host_ports(containers: &[Json], taken: &mut BTreeSet<String>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index).child("ports");
        for (index, port) in container.list("ports").iter().enumerate() {
            let number = port.int("hostPort");
            let key = format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"));
            if number != 0 && !taken.insert(key.clone()) {
                errors.push(field::duplicate(&path.index(index).child("hostPort"), key));
            }
        }
    }
    errors
}

/// A container's own restart policy and rules.
fn restart(container: &Json, path: &Path) -> Errors {
    let rules = container.list("restartPolicyRules");
    let at = path.child("restartPolicy");
    let Some(policy) = container.opt_text("restartPolicy") else {
        let detail = "must specify restartPolicy when restart rules are used";
        return if rules.is_empty() { Errors::new() } else { vec![field::required(&at, detail)] };
    };
    let mut errors = Errors::new();
    const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
    if !POLICIES.contains(&policy) {
        errors.push(field::not_supported(&at, policy, &POLICIES));
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > RESTART_RULES_MAX {
        errors.push(field::too_many(&path, rules.len(), RESTART_RULES_MAX));
    }
    for (index, rule) in rules.iter().enumerate() {
        errors.extend(restart_rule(rule, &path.index(index)));
    }
    errors
}

fn restart_rule(rule: &Json, path: &Path) -> Errors {
    const ACTIONS: [&str; 2] = ["Restart", "RestartAllContainers"];
    const OPERATORS: [&str; 2] = ["In", "NotIn"];
    let mut errors = Errors::new();
    let action = rule.text("action");
    if !ACTIONS.contains(&action) {
        errors.push(field::not_supported(&path.child("action"), action, &ACTIONS));
    }
    let codes = rule.field("exitCodes");
    let path = path.child("exitCodes");
    if codes.is_null() {
        errors.push(field::required(&path, "must be specified"));
        return errors;
    }
    let operator = codes.text("operator");
    if !OPERATORS.contains(&operator) {
        errors.push(field::not_supported(&path.child("operator"), operator, &OPERATORS));
    }
    let values = codes.list("values");
    if values.len() > EXIT_CODES_MAX {
        errors.push(field::too_many(&path.child("values"), values.len(), EXIT_CODES_MAX));
    }
    errors
}
