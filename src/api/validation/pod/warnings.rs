//! What to say of Pods that are accepted: fields of the past, and values that do not do what they seem to.
//! Source: pkg/api/pod/warnings.go, pkg/api/node/util.go.

use std::collections::{BTreeMap, BTreeSet};

use super::super::field::Path;
use super::super::node_selector::{deprecated_label, term_warnings};
use super::super::{claim, ips, names};
use super::annotations::{APPARMOR, SECCOMP_CONTAINER, SECCOMP_POD};
use super::overlaps;
use crate::api::quantity::Quantity;
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const SECCOMP_GONE: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const APPARMOR_OLD: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Annotations that mean nothing any more.
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

/// Sources of volumes whose plugins went; the name shown, if it differs.
const OLD_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Warnings about a new Pod; changes of Pods are mostly not made by people, who would read them.
pub fn of_pod(new: &Object, old: Option<&Object>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_some() {
        return warnings;
    }
    let wrong = names::dns1123_label(new.name());
    if !wrong.is_empty() {
        let what = "this is used in the Pod's hostname, which can result in surprising behavior";
        warnings.push(format!("metadata.name: {what}; a DNS label is recommended: [{}]", wrong.join(" ")));
    }
    warnings.extend(of_spec_and_metadata(&Path::root(), new.json(), false));
    warnings
}

/// Warnings about the addresses in a Pod's status.
pub fn of_status(pod: &Object) -> Vec<String> {
    let (status, path) = (pod.json().field("status"), Path::new("status"));
    let mut warnings = Vec::new();
    for name in ["podIPs", "hostIPs"] {
        for (index, entry) in status.list(name).iter().enumerate() {
            warnings.extend(ips::ip_warnings(&path.child(name).index(index).child("ip"), entry.text("ip")));
        }
    }
    warnings
}

/// Warnings about a template within another object, at `path`.
pub fn of_template(path: &Path, template: &Json) -> Vec<String> {
    of_spec_and_metadata(path, template, true)
}

fn of_spec_and_metadata(path: &Path, holder: &Json, is_template: bool) -> Vec<String> {
    let spec = holder.field("spec");
    let annotations = holder.field("metadata").field("annotations");
    let (spec_path, notes_path) = (path.child("spec"), path.child("metadata").child("annotations"));
    let mut warnings = node_labels(spec, &spec_path);
    for (key, message) in OLD_ANNOTATIONS {
        if annotations.has(key) {
            warnings.push(format!("{}: {message}", notes_path.key(key)));
        }
    }
    warnings.extend(volumes(spec, &spec_path.child("volumes")));
    warnings.extend(overlaps::warnings(spec.list("volumes")));
    warnings.extend(doubles(spec, &spec_path));
    for resource in ["memory", "ephemeral-storage"] {
        warnings.extend(fraction(spec.field("overhead"), resource, &spec_path.child("overhead")));
    }
    if !spec.field("securityContext").has("seccompProfile") && annotations.has(SECCOMP_POD) {
        warnings.push(format!("{}: {SECCOMP_GONE}", notes_path.key(SECCOMP_POD)));
    }
    let of_pod = spec.field("securityContext").field("appArmorProfile");
    for (container, at) in super::all_containers(spec, &spec_path) {
        let context = container.field("securityContext");
        let key = format!("{SECCOMP_CONTAINER}{}", container.text("name"));
        if !context.has("seccompProfile") && annotations.has(&key) {
            warnings.push(format!("{}: {SECCOMP_GONE}", notes_path.key(&key)));
        }
        let key = format!("{APPARMOR}{}", container.text("name"));
        let noted = annotations.opt_text(&key).filter(|_| is_template && !context.has("appArmorProfile"));
        if noted.is_some_and(|noted| of_pod.is_null() || !is_profile(of_pod, noted)) {
            warnings.push(format!("{}: {APPARMOR_OLD}", notes_path.key(&key)));
        }
        warnings.extend(of_container(container, &at));
    }
    warnings.extend(ports(spec, &spec_path));
    warnings.extend(port_names(spec, &spec_path));
    if spec.opt_int("terminationGracePeriodSeconds").is_some_and(|s| s < 0) {
        let at = spec_path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings.extend(affinity_selectors(spec, &spec_path.child("affinity")));
    warnings.extend(addresses(spec, &spec_path));
    warnings
}

/// Whether an AppArmor profile is what the old annotation means (ApparmorFieldForAnnotation).
fn is_profile(profile: &Json, annotation: &str) -> bool {
    let (kind, file) = match annotation {
        "unconfined" => ("Unconfined", None),
        "runtime/default" => ("RuntimeDefault", None),
        other => match other.strip_prefix("localhost/").filter(|file| !file.is_empty()) {
            Some(file) => ("Localhost", Some(file)),
            None => return false,
        },
    };
    profile.text("type") == kind && profile.opt_text("localhostProfile") == file
}

fn node_labels(spec: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, _) in spec.entries("nodeSelector") {
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{}: {message}", path.child("nodeSelector").key(key)));
        }
    }
    let affinity = spec.field("affinity").field("nodeAffinity");
    let at = path.child("affinity").child("nodeAffinity");
    let name = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = at.child(name).child("nodeSelectorTerms");
    for (index, term) in affinity.field(name).list("nodeSelectorTerms").iter().enumerate() {
        warnings.extend(term_warnings(term, false, &terms.index(index)));
    }
    let name = "preferredDuringSchedulingIgnoredDuringExecution";
    for (index, term) in affinity.list(name).iter().enumerate() {
        warnings.extend(term_warnings(term.field("preference"), true, &at.child(name).index(index).child("preference")));
    }
    for (index, constraint) in spec.list("topologySpreadConstraints").iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        let key = constraint.text("topologyKey");
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {message}", path.child("topologyKey")));
        }
        if !constraint.has("labelSelector") {
            warnings.push(format!("{}: {NO_SELECTOR}", path.child("labelSelector")));
        }
    }
    warnings
}

fn volumes(spec: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, volume) in spec.list("volumes").iter().enumerate() {
        let path = path.index(index);
        for (name, shown, message) in OLD_VOLUMES {
            if volume.has(name) {
                warnings.push(format!("{}: {message}", path.child(shown)));
            }
        }
        let template = volume.field("ephemeral").field("volumeClaimTemplate");
        if !template.is_null() {
            let at = path.child("ephemeral").child("volumeClaimTemplate").child("spec");
            warnings.extend(claim::spec_warnings(template.field("spec"), &at));
        }
    }
    warnings
}

/// Entries that stand twice, or are empty.
fn doubles(spec: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, alias) in spec.list("hostAliases").iter().enumerate() {
        let ip = alias.text("ip");
        if !seen.insert(ip) {
            let at = path.child("hostAliases").index(index).child("ip");
            warnings.push(format!("{at}: duplicate ip {}", quote(ip)));
        }
    }
    let secrets = spec.list("imagePullSecrets");
    let at = |index: usize| path.child("imagePullSecrets").index(index).child("name");
    let mut seen = BTreeSet::new();
    for (index, secret) in secrets.iter().enumerate() {
        let name = secret.text("name");
        if !seen.insert(name) {
            warnings.push(format!("{}: duplicate name {}", at(index), quote(name)));
        }
    }
    for (index, _) in secrets.iter().enumerate().filter(|(_, s)| s.text("name").is_empty()) {
        warnings.push(format!("{}: invalid empty name \"\"", at(index)));
    }
    warnings
}

/// An amount of bytes that is no whole number of them.
pub fn fraction(list: &Json, resource: &str, path: &Path) -> Option<String> {
    let amount = Quantity::parse(list.opt_text(resource)?).ok()?;
    if amount.milli_value() % 1000 == 0 {
        return None;
    }
    let shown = quote(&amount.to_string());
    Some(format!("{}: fractional byte value {shown} is invalid, must be an integer", path.key(resource)))
}

fn of_container(container: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let resources = container.field("resources");
    for resource in ["memory", "ephemeral-storage"] {
        for which in ["limits", "requests"] {
            warnings.extend(fraction(resources.field(which), resource, &path.child("resources").child(which)));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, variable) in container.list("env").iter().enumerate() {
        let name = variable.text("name");
        if seen.insert(name) {
            continue;
        }
        // To build on the value before is fine: X=$(X)more.
        let (value, own) = (variable.text("value"), format!("$({name})"));
        if variable.has("valueFrom") || value == own || !value.contains(&own) {
            let at = path.child("env").index(index);
            let name = quote(name);
            warnings.push(format!("{at}: hides previous definition of {name}, which may be dropped when using apply"));
        }
    }
    warnings
}

fn ports(spec: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut all: BTreeMap<(i64, &str), Vec<(Path, &Json)>> = BTreeMap::new();
    for (container, path) in super::all_containers(spec, path) {
        for (index, port) in container.list("ports").iter().enumerate() {
            let at = path.child("ports").index(index);
            let (ip, host) = (port.text("hostIP"), port.int("hostPort"));
            if !ip.is_empty() && host == 0 {
                warnings.push(format!("{at}: hostIP set without hostPort: {}", show_port(port)));
            }
            let others = all.entry((port.int("containerPort"), port.text("protocol"))).or_default();
            for (other_at, other) in others.iter() {
                let (other_ip, other_host) = (other.text("hostIP"), other.int("hostPort"));
                let one_open = ip.is_empty() != other_ip.is_empty();
                if ip == other_ip && host == other_host {
                    warnings.push(format!("{at}: duplicate port definition with {other_at}"));
                } else if host == 0 || other_host == 0 {
                    warnings.push(format!("{at}: overlapping port definition with {other_at}"));
                } else if host == other_host && one_open {
                    warnings.push(format!("{at}: dangerously ambiguous port definition with {other_at}"));
                }
            }
            others.push((at, port));
        }
    }
    warnings
}

/// Names of ports that two containers have, or one has twice.
fn port_names(spec: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut first: BTreeMap<&str, Path> = BTreeMap::new();
    for (container, path) in super::all_containers(spec, path) {
        for (index, port) in container.list("ports").iter().enumerate() {
            let (name, at) = (port.text("name"), path.child("ports").index(index));
            if name.is_empty() {
                continue;
            }
            let Some(other) = first.get(name) else {
                first.insert(name, at);
                continue;
            };
            let quoted = quote(name);
            let what = "services and probes that select ports by name will use";
            warnings.push(format!("{at}: duplicate port name {quoted} with {other}, {what} {other}"));
        }
    }
    warnings
}

/// As Go prints the struct.
fn show_port(port: &Json) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.text("name"),
        port.int("hostPort"),
        port.int("containerPort"),
        port.text("protocol"),
        port.text("hostIP")
    )
}

fn affinity_selectors(spec: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (terms, path) = (spec.field("affinity").field(kind), path.child(kind));
        let name = "requiredDuringSchedulingIgnoredDuringExecution";
        for (index, _) in terms.list(name).iter().enumerate().filter(|(_, t)| !t.has("labelSelector")) {
            warnings.push(format!("{}: {NO_SELECTOR}", path.child(name).index(index).child("labelSelector")));
        }
        let name = "preferredDuringSchedulingIgnoredDuringExecution";
        let weighted = terms.list(name).iter().enumerate();
        for (index, _) in weighted.filter(|(_, t)| !t.field("podAffinityTerm").has("labelSelector")) {
            let at = path.child(name).index(index).child("podAffinityTerm").child("labelSelector");
            warnings.push(format!("{at}: {NO_SELECTOR}"));
        }
    }
    warnings
}

fn addresses(spec: &Json, path: &Path) -> Vec<String> {
    let servers = spec.field("dnsConfig").texts("nameservers").into_iter().enumerate();
    let at = path.child("dnsConfig").child("nameservers");
    let mut warnings: Vec<String> = servers.flat_map(|(i, server)| ips::ip_warnings(&at.index(i), server)).collect();
    for (index, alias) in spec.list("hostAliases").iter().enumerate() {
        let at = path.child("hostAliases").index(index).child("ip");
        warnings.extend(ips::ip_warnings(&at, alias.text("ip")));
    }
    warnings
}
