//! Fields of a PodSpec that stand for themselves: DNS, host names, gates, policies.

use std::collections::BTreeSet;

use super::super::field::{self, Errors, Path};
use super::super::{ips, names, rules};
use super::spec::Options;
use crate::api::Json;
use crate::api::tree::Tree;

// What resolvers of Linux can take.
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;
/// What the kernel takes as a host name.
const HOSTNAME_MAX: usize = 64;
const WITHOUT_HOST_USERS: &str = "when `hostUsers` is false";

/// On the host's network a container's port is the host's. A template may leave the latter out.
pub(super) fn host_network_ports(spec: &Json, path: &Path, options: &Options) -> Errors {
    if !spec.flag("hostNetwork") {
        return Errors::new();
    }
    let mut errors = Errors::new();
    for (index, container) in spec.list("containers").iter().enumerate() {
        let path = path.child("containers").index(index).child("ports");
        for (index, port) in container.list("ports").iter().enumerate() {
            let (host, own) = (port.int("hostPort"), port.int("containerPort"));
            if (options.is_pod || host != 0) && host != own {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(field::invalid(&path.index(index).child("hostPort"), host, detail));
            }
        }
    }
    errors
}

/// `restartPolicy` of a Pod.
pub(super) fn restart_policy(policy: &str, path: &Path) -> Errors {
    match policy {
        "Always" | "OnFailure" | "Never" => Errors::new(),
        "" => vec![field::required(path, "")],
        other => vec![field::not_supported(path, other, &["Always", "OnFailure", "Never"])],
    }
}

pub(super) fn dns_policy(policy: &str, path: &Path) -> Errors {
    const POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    match policy {
        "" => vec![field::required(path, "")],
        other if !POLICIES.contains(&other) => vec![field::not_supported(path, other, &POLICIES)],
        _ => Errors::new(),
    }
}

pub(super) fn dns_config(spec: &Json, path: &Path) -> Errors {
    let config = spec.field("dnsConfig");
    let servers = config.texts("nameservers");
    if spec.text("dnsPolicy") == "None" {
        if config.is_null() {
            return vec![field::required(path, "must provide `dnsConfig` when `dnsPolicy` is None")];
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return vec![field::required(&path.child("nameservers"), detail)];
        }
    }
    let mut errors = Errors::new();
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(field::invalid(&path.child("nameservers"), servers.clone(), &detail));
    }
    for (index, server) in servers.iter().enumerate() {
        errors.extend(ips::legacy_ip(&path.child("nameservers").index(index), server));
    }
    let (searches, at) = (config.texts("searches"), path.child("searches"));
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(field::invalid(&at, searches.clone(), &detail));
    }
    if searches.join(" ").len() > SEARCH_CHARACTERS_MAX {
        let detail = format!("must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list");
        errors.push(field::invalid(&at, searches.clone(), &detail));
    }
    for (index, search) in searches.iter().enumerate().filter(|(_, s)| **s != ".") {
        let name = search.strip_suffix('.').unwrap_or(search);
        errors.extend(rules::each(&at.index(index), name, names::dns1123_subdomain_with_underscore(name)));
    }
    for (index, option) in config.list("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.push(field::required(&path.child("options").index(index), "must not be empty"));
        }
    }
    errors
}

pub(super) fn readiness_gates(spec: &Json, path: &Path) -> Errors {
    let gates = spec.list("readinessGates").iter().enumerate();
    gates
        .flat_map(|(index, gate)| {
            let kind = gate.text("conditionType");
            rules::each(&path.index(index).child("conditionType"), kind, names::qualified_name(kind))
        })
        .collect()
}

pub(super) fn scheduling_gates(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, gate) in spec.list("schedulingGates").iter().enumerate() {
        let name = gate.text("name");
        errors.extend(rules::each(&path.index(index), name, names::qualified_name(name)));
        if !seen.insert(name) {
            errors.push(field::duplicate(&path.index(index), name));
        }
    }
    errors
}

/// A Pod with users of its own shares no namespace with the host.
pub(super) fn host_users(spec: &Json, path: &Path, options: &Options) -> Errors {
    if spec.field("hostUsers").as_bool().unwrap_or(true) {
        return Errors::new();
    }
    let flags = [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")];
    let set = flags.iter().filter(|(name, _)| spec.flag(name));
    let mut errors: Errors = set.map(|(_, shown)| field::forbidden(&path.child(shown), WITHOUT_HOST_USERS)).collect();
    if !options.devices_without_host_users {
        errors.extend(user_devices(spec, path));
    }
    errors
}

/// Block devices of a Pod with users of its own: they cannot be mapped.
pub(super) fn user_devices(spec: &Json, path: &Path) -> Errors {
    if spec.field("hostUsers").as_bool().unwrap_or(true) {
        return Errors::new();
    }
    let containers = super::all_containers(spec, path).into_iter();
    let with = containers.filter(|(container, _)| !container.list("volumeDevices").is_empty());
    with.map(|(_, path)| field::forbidden(&path.child("volumeDevices"), WITHOUT_HOST_USERS)).collect()
}

pub(super) fn host_aliases(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (index, alias) in spec.list("hostAliases").iter().enumerate() {
        let path = path.index(index);
        errors.extend(ips::legacy_ip(&path.child("ip"), alias.text("ip")));
        for (index, name) in alias.texts("hostnames").iter().enumerate() {
            let at = path.child("hostnames").index(index);
            errors.extend(rules::each(&at, name, names::dns1123_subdomain(name)));
        }
    }
    errors
}

pub(super) fn hostname_override(spec: &Json, path: &Path) -> Errors {
    let Some(name) = spec.opt_text("hostnameOverride") else { return Errors::new() };
    let at = path.child("hostnameOverride");
    let mut errors = Errors::new();
    for other in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.flag(other) {
            errors.push(field::forbidden(&at, &format!("may not be specified when {other} is true")));
        }
    }
    if name.len() > HOSTNAME_MAX {
        errors.push(field::too_long(&at, HOSTNAME_MAX as i64));
    }
    errors.extend(rules::each(&at, name, names::dns1123_subdomain(name)));
    errors
}
