//! Whether Endpoints or an EndpointSlice may be.
//! Source: pkg/apis/core/validation/validation.go, pkg/apis/discovery/validation/validation.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::service::{PROTOCOLS, numbers, protocol};
use super::{ips, meta, names, rules};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_HINTS: usize = 8;

pub fn endpoints(object: &Object) -> Errors {
    checked(object, &[])
}

pub fn endpoints_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let subsets = old.json().list("subsets").iter();
    let kept: Vec<&str> = subsets
        .flat_map(|s| s.list("addresses").iter().chain(s.list("notReadyAddresses")))
        .map(|address| address.text("ip"))
        .collect();
    errors.extend(checked(new, &kept));
    errors
}

fn checked(object: &Object, kept: &[&str]) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(change_times(object));
    for (i, subset) in object.json().list("subsets").iter().enumerate() {
        errors.extend(self::subset(subset, &Path::new("subsets").index(i), kept));
    }
    errors
}

/// The annotation that tells when the endpoints changed holds a time.
fn change_times(object: &Object) -> Errors {
    let key = "endpoints.kubernetes.io/last-change-trigger-time";
    match object.annotation(key) {
        Some(text) if text.parse::<jiff::Timestamp>().is_err() => {
            let detail = format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\"");
            vec![field::invalid(&Path::new("annotations").key(key), text, &detail)]
        }
        _ => Errors::new(),
    }
}

fn subset(subset: &Json, path: &Path, kept: &[&str]) -> Errors {
    let mut errors = Errors::new();
    if subset.list("addresses").is_empty() && subset.list("notReadyAddresses").is_empty() {
        errors.push(field::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for list in ["addresses", "notReadyAddresses"] {
        for (i, address) in subset.list(list).iter().enumerate() {
            errors.extend(self::address(address, &path.child(list).index(i), kept));
        }
    }
    let ports = subset.list("ports");
    for (i, port) in ports.iter().enumerate() {
        errors.extend(self::port(port, ports.len() > 1, &path.child("ports").index(i)));
    }
    errors
}

fn address(address: &Json, path: &Path, kept: &[&str]) -> Errors {
    let ip = address.text("ip");
    let ip_path = path.child("ip");
    let mut errors = if kept.contains(&ip) { Errors::new() } else { ips::legacy_ip(&ip_path, ip) };
    let host = address.text("hostname");
    if !host.is_empty() {
        errors.extend(rules::each(&path.child("hostname"), host, names::dns1123_label(host)));
    }
    if let Some(node) = address.opt_text("nodeName") {
        errors.extend(rules::each(&path.child("nodeName"), node, names::dns1123_subdomain(node)));
    }
    errors.extend(ips::non_special(ip, &ip_path));
    errors
}

fn port(port: &Json, named: bool, path: &Path) -> Errors {
    let name = port.text("name");
    let mut errors = Errors::new();
    if named && name.is_empty() {
        errors.push(field::required(&path.child("name"), ""));
    } else if !name.is_empty() {
        errors.extend(rules::each(&path.child("name"), name, names::dns1123_label(name)));
    }
    errors.extend(numbers(&path.child("port"), port.int("port")));
    errors.extend(protocol(port.text("protocol"), &path.child("protocol")));
    if let Some(name) = port.opt_text("appProtocol") {
        errors.extend(rules::each(&path.child("appProtocol"), name, names::qualified_name(name)));
    }
    errors
}

pub fn slice(object: &Object) -> Errors {
    checked_slice(object, &[])
}

pub fn slice_update(new: &Object, old: &Object) -> Errors {
    let kept: Vec<&str> = old.json().list("endpoints").iter().flat_map(|e| e.texts("addresses")).collect();
    let mut errors = checked_slice(new, &kept);
    let types = (new.json().field("addressType"), old.json().field("addressType"));
    errors.extend(rules::immutable(&Path::new("addressType"), "", types.0, types.1));
    errors
}

fn checked_slice(object: &Object, kept: &[&str]) -> Errors {
    let tree = object.json();
    let kind = tree.text("addressType");
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    let path = Path::new("addressType");
    if kind.is_empty() {
        errors.push(field::required(&path, ""));
    } else if !ADDRESS_TYPES.contains(&kind) {
        errors.push(field::not_supported(&path, kind, ADDRESS_TYPES));
    }
    errors.extend(slice_endpoints(tree.list("endpoints"), kind, kept));
    errors.extend(slice_ports(tree.list("ports")));
    errors
}

fn slice_endpoints(endpoints: &[Json], kind: &str, kept: &[&str]) -> Errors {
    let path = Path::new("endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![field::too_many(&path, endpoints.len(), MAX_ENDPOINTS)];
    }
    let all = endpoints.iter().enumerate();
    all.flat_map(|(i, endpoint)| slice_endpoint(endpoint, kind, &path.index(i), kept)).collect()
}

fn slice_endpoint(endpoint: &Json, kind: &str, path: &Path, kept: &[&str]) -> Errors {
    let addresses = endpoint.texts("addresses");
    let addresses_path = path.child("addresses");
    let mut errors = Errors::new();
    if addresses.is_empty() {
        errors.push(field::required(&addresses_path, "must contain at least 1 address"));
    } else if addresses.len() > MAX_ADDRESSES {
        errors.push(field::too_many(&addresses_path, addresses.len(), MAX_ADDRESSES));
    }
    for (i, address) in addresses.iter().enumerate() {
        errors.extend(slice_address(address, kind, &addresses_path, i, kept));
    }
    if let Some(node) = endpoint.opt_text("nodeName") {
        errors.extend(rules::each(&path.child("nodeName"), node, names::dns1123_subdomain(node)));
    }
    if let Some(host) = endpoint.opt_text("hostname") {
        errors.extend(rules::each(&path.child("hostname"), host, names::dns1123_label(host)));
    }
    errors.extend(hints(endpoint.field("hints"), &path.child("hints")));
    errors
}

fn slice_address(address: &str, kind: &str, path: &Path, index: usize, kept: &[&str]) -> Errors {
    let at = path.index(index);
    match kind {
        "IPv4" | "IPv6" => {
            let problems = if kept.contains(&address) { Errors::new() } else { ips::legacy_ip(&at, address) };
            if !problems.is_empty() {
                return problems;
            }
            if ips::is_ipv6(address) != (kind == "IPv6") {
                return vec![field::invalid(path, address, &format!("must be an {kind} address"))];
            }
            ips::non_special(address, &at)
        }
        "FQDN" => domain(address, &at),
        _ => Errors::new(),
    }
}

/// A domain of two labels at least. Source: apimachinery's IsFullyQualifiedDomainName.
fn domain(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![field::required(path, "")];
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let problems = names::dns1123_subdomain(name);
    if !problems.is_empty() {
        return vec![field::invalid(path, name, &problems.join(","))];
    }
    if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        return vec![field::invalid(path, name, detail)];
    }
    for label in name.split('.') {
        let problems = names::dns1123_label(label);
        if !problems.is_empty() {
            return vec![field::invalid(path, label, &problems.join(","))];
        }
    }
    Errors::new()
}

fn hints(hints: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (list, rule) in [
        ("forZones", names::label_value as fn(&str) -> Vec<String>),
        ("forNodes", names::dns1123_subdomain as fn(&str) -> Vec<String>),
    ] {
        let (entries, path) = (hints.list(list), path.child(list));
        if entries.len() > MAX_HINTS {
            errors.push(field::too_many(&path, entries.len(), MAX_HINTS));
            continue;
        }
        let mut seen = BTreeSet::new();
        for (i, entry) in entries.iter().enumerate() {
            let (name, path) = (entry.text("name"), path.index(i).child("name"));
            if !seen.insert(name) {
                errors.push(field::duplicate(&path, name));
            }
            errors.extend(rules::each(&path, name, rule(name)));
        }
    }
    errors
}

fn slice_ports(ports: &[Json]) -> Errors {
    let path = Path::new("ports");
    if ports.len() > MAX_PORTS {
        return vec![field::too_many(&path, ports.len(), MAX_PORTS)];
    }
    let mut seen = BTreeSet::new();
    let mut errors = Errors::new();
    for (i, port) in ports.iter().enumerate() {
        let (name, path) = (port.text("name"), path.index(i));
        if !name.is_empty() {
            errors.extend(rules::each(&path.child("name"), name, names::dns1123_label(name)));
        }
        if !seen.insert(name) {
            errors.push(field::duplicate(&path.child("name"), name));
        }
        match port.opt_text("protocol") {
            None => errors.push(field::required(&path.child("protocol"), "")),
            Some(other) if !PROTOCOLS.contains(&other) => {
                errors.push(field::not_supported(&path.child("protocol"), other, PROTOCOLS));
            }
            Some(_) => {}
        }
        if let Some(name) = port.opt_text("appProtocol") {
            errors.extend(rules::each(&path.child("appProtocol"), name, names::qualified_name(name)));
        }
    }
    errors
}

/// Slices of domain names are going away; odd addresses. Source: pkg/registry/discovery/endpointslice/strategy.go.
pub fn slice_warnings(object: &Object, old: Option<&Object>) -> Vec<String> {
    let tree = object.json();
    let mut warnings = Vec::new();
    let manager = tree.field("metadata").field("labels").text("endpointslice.kubernetes.io/managed-by");
    if old.is_none() && tree.text("addressType") == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".into());
    }
    // What Kubernetes' own controllers write is fine.
    if ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"].contains(&manager) {
        return warnings;
    }
    for (i, endpoint) in tree.list("endpoints").iter().enumerate() {
        for (j, address) in endpoint.texts("addresses").into_iter().enumerate() {
            let path = Path::new("endpoints").index(i).child("addresses").index(j);
            warnings.extend(ips::ip_warnings(&path, address));
        }
    }
    warnings
}

/// Odd addresses. Source: pkg/registry/core/endpoint/strategy.go.
pub fn endpoints_warnings(object: &Object) -> Vec<String> {
    let mut warnings = Vec::new();
    let manager = object.json().field("metadata").field("labels").text("endpoints.kubernetes.io/managed-by");
    if manager == "endpoint-controller" {
        return warnings;
    }
    for (i, subset) in object.json().list("subsets").iter().enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (j, address) in subset.list(list).iter().enumerate() {
                let path = Path::new("subsets").index(i).child(list).index(j).child("ip");
                warnings.extend(ips::ip_warnings(&path, address.text("ip")));
            }
        }
    }
    warnings
}
