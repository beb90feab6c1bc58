//! Whether a Service may be. Source: pkg/apis/core/validation/validation.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::service_addresses as addresses;
use super::{ips, meta, names, rules};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

pub const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const AFFINITIES: &[&str] = &["ClientIP", "None"];
const KINDS: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
const ONLY_BALANCERS: &str = "may only be used when `type` is 'LoadBalancer'";
const RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
/// One day.
const MAX_AFFINITY_SECONDS: i64 = 86_400;

/// Names may start with a digit since RelaxedServiceNameValidation.
pub fn create(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_label);
    errors.extend(service(object, None));
    errors
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let (spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    let mut errors = meta::update(new, old);
    errors.extend(addresses::cluster_ips_update(spec, old_spec));
    errors.extend(addresses::families_update(spec, old_spec));
    errors.extend(balancer_class_update(spec, old_spec));
    errors.extend(balancer_class(spec));
    let checked = |spec: &Json| needs_health_check(spec).then(|| spec.int("healthCheckNodePort"));
    if let (Some(before), Some(after)) = (checked(old_spec), checked(spec))
        && before != after
    {
        errors.push(field::forbidden(&Path::new("spec").child("healthCheckNodePort"), rules::IMMUTABLE));
    }
    errors.extend(service(new, Some(old)));
    errors
}

/// What is wrong with cluster IPs and families alone (ValidateServiceClusterIPsRelatedFields).
pub fn cluster_ips(object: &Object, old: Option<&Object>) -> Errors {
    addresses::cluster_ips(object.json().field("spec"), &kept(old, "clusterIPs"))
}

/// Texts that were there before need not be mended.
fn kept(old: Option<&Object>, name: &str) -> Vec<String> {
    let old = old.map(|old| old.json().field("spec").texts(name)).unwrap_or_default();
    old.into_iter().map(str::to_owned).collect()
}

fn service(object: &Object, old: Option<&Object>) -> Errors {
    let spec = object.json().field("spec");
    let path = Path::new("spec");
    let mut errors = topology_annotations(object);
    errors.extend(kind_rules(spec, &path));
    errors.extend(ports(spec, &path.child("ports")));
    if spec.has("selector") {
        errors.extend(meta::labels(spec.get("selector"), &path.child("selector")));
    }
    errors.extend(affinity(spec, &path));
    errors.extend(cluster_ips(object, old));
    errors.extend(external_ips(spec, &path.child("externalIPs"), &kept(old, "externalIPs")));
    errors.extend(kind(spec, &path));
    errors.extend(ports_twice(spec, &path.child("ports")));
    errors.extend(source_ranges(object, &path, old));
    let allocate = "allocateLoadBalancerNodePorts";
    if spec.has(allocate) && !is_balancer(spec) {
        errors.push(field::forbidden(&path.child(allocate), ONLY_BALANCERS));
    }
    if !spec.has(allocate) && is_balancer(spec) {
        errors.push(field::required(&Path::new(allocate), ""));
    }
    errors.extend(balancer_class(spec));
    errors.extend(traffic(spec, &path));
    errors
}

pub fn is_balancer(spec: &Json) -> bool {
    spec.text("type") == "LoadBalancer"
}

/// Whether clients from outside the cluster may come.
fn is_external(spec: &Json) -> bool {
    match spec.text("type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !spec.list("externalIPs").is_empty(),
        _ => false,
    }
}

fn needs_health_check(spec: &Json) -> bool {
    is_balancer(spec) && spec.text("externalTrafficPolicy") == "Local"
}

fn topology_annotations(object: &Object) -> Errors {
    let (mode_key, hints_key) =
        ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints");
    match (object.annotation(mode_key), object.annotation(hints_key)) {
        (Some(mode), Some(hints)) if mode != hints => {
            let path = Path::new("metadata").child("annotations").key(mode_key);
            let detail = format!("must match annotations[{hints_key}] when both are specified");
            vec![field::invalid(&path, mode, &detail)]
        }
        _ => Errors::new(),
    }
}

fn kind_rules(spec: &Json, path: &Path) -> Errors {
    let headless = addresses::is_headless(spec);
    let kind = spec.text("type");
    let mut errors = Errors::new();
    if spec.list("ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(field::required(&path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(field::invalid(&path.child("clusterIPs").index(0), "None", &detail));
        }
        "ExternalName" => {
            let detail = "may not be set for ExternalName services";
            for name in ["clusterIPs", "ipFamilies"] {
                if !spec.list(name).is_empty() {
                    errors.push(field::forbidden(&path.child(name), detail));
                }
            }
            if spec.has("ipFamilyPolicy") {
                errors.push(field::forbidden(&path.child("ipFamilyPolicy"), detail));
            }
            let name = spec.text("externalName");
            let name = name.strip_suffix('.').unwrap_or(name);
            let path = path.child("externalName");
            if name.is_empty() {
                errors.push(field::required(&path, ""));
            } else {
                errors.extend(rules::each(&path, name, names::dns1123_subdomain(name)));
            }
        }
        _ => {}
    }
    errors
}

fn ports(spec: &Json, path: &Path) -> Errors {
    let ports = spec.list("ports");
    let mut seen = BTreeSet::new();
    let mut errors = Errors::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.text("name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(field::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            errors.extend(rules::each(&path.child("name"), name, names::dns1123_label(name)));
            if !seen.insert(name) {
                errors.push(field::duplicate(&path.child("name"), name));
            }
        }
        let number = port.int("port");
        errors.extend(numbers(&path.child("port"), number));
        errors.extend(protocol(port.text("protocol"), &path.child("protocol")));
        let (target, target_path) = (port.field("targetPort"), path.child("targetPort"));
        match target.as_str() {
            Some(name) => errors.extend(rules::each(&target_path, name, names::port_name(name))),
            None => errors.extend(numbers(&target_path, target.as_i64().unwrap_or(0))),
        }
        if let Some(name) = port.opt_text("appProtocol") {
            errors.extend(rules::each(&path.child("appProtocol"), name, names::qualified_name(name)));
        }
    }
    errors
}

/// A port number.
pub fn numbers(path: &Path, number: i64) -> Errors {
    names::port_number(number).iter().map(|problem| field::invalid(path, number, problem)).collect()
}

/// TCP, UDP or SCTP.
pub fn protocol(protocol: &str, path: &Path) -> Errors {
    if protocol.is_empty() {
        vec![field::required(path, "")]
    } else if PROTOCOLS.contains(&protocol) {
        Errors::new()
    } else {
        vec![field::not_supported(path, protocol, PROTOCOLS)]
    }
}

fn affinity(spec: &Json, path: &Path) -> Errors {
    let affinity = spec.text("sessionAffinity");
    let (path, config_path) = (path.child("sessionAffinity"), path.child("sessionAffinityConfig"));
    let config = spec.field("sessionAffinityConfig");
    let mut errors = Errors::new();
    if affinity.is_empty() {
        errors.push(field::required(&path, ""));
    } else if !AFFINITIES.contains(&affinity) {
        errors.push(field::not_supported(&path, affinity, AFFINITIES));
    }
    if affinity == "ClientIP" {
        errors.extend(client_ip(config, &config_path));
    } else if affinity == "None" && !config.is_null() {
        errors.push(field::forbidden(&config_path, "must not be set when session affinity is None"));
    }
    errors
}

fn client_ip(config: &Json, path: &Path) -> Errors {
    let detail = "when session affinity type is ClientIP";
    if config.is_null() {
        return vec![field::required(path, detail)];
    }
    let path = path.child("clientIP");
    if !config.has("clientIP") {
        return vec![field::required(&path, detail)];
    }
    let path = path.child("timeoutSeconds");
    match config.field("clientIP").opt_int("timeoutSeconds") {
        None => vec![field::required(&path, detail)],
        Some(seconds) if seconds <= 0 || seconds > MAX_AFFINITY_SECONDS => {
            let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
            vec![field::invalid(&path, seconds, &detail)]
        }
        Some(_) => Errors::new(),
    }
}

fn external_ips(spec: &Json, path: &Path, kept: &[String]) -> Errors {
    let mut errors = Errors::new();
    for (i, ip) in spec.texts("externalIPs").into_iter().enumerate() {
        let path = path.index(i);
        let problems = if kept.iter().any(|old| old == ip) { Errors::new() } else { ips::legacy_ip(&path, ip) };
        if problems.is_empty() {
            errors.extend(ips::non_special(ip, &path));
        }
        errors.extend(problems);
    }
    errors
}

fn kind(spec: &Json, path: &Path) -> Errors {
    let kind = spec.text("type");
    let mut errors = Errors::new();
    if kind.is_empty() {
        errors.push(field::required(&path.child("type"), ""));
    } else if !KINDS.contains(&kind) {
        errors.push(field::not_supported(&path.child("type"), kind, KINDS));
    }
    if kind == "ClusterIP" {
        for (i, port) in spec.list("ports").iter().enumerate().filter(|(_, port)| port.int("nodePort") != 0) {
            let _ = port;
            let path = path.child("ports").index(i).child("nodePort");
            errors.push(field::forbidden(&path, "may not be used when `type` is 'ClusterIP'"));
        }
    }
    errors
}

fn ports_twice(spec: &Json, path: &Path) -> Errors {
    let ports = spec.list("ports");
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate().filter(|(_, port)| port.int("nodePort") != 0) {
        let number = port.int("nodePort");
        if !seen.insert((port.text("protocol"), number)) {
            errors.push(field::duplicate(&path.index(i).child("nodePort"), number));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let key = (port.text("protocol"), port.int("port"));
        if !seen.insert(key) {
            let key = serde_json::json!({"protocol": key.0, "port": key.1});
            errors.push(rules::duplicate_struct(&path.index(i), "ServicePort", &key));
        }
    }
    errors
}

/// Ranges that were there before need not be mended.
fn source_ranges(object: &Object, path: &Path, old: Option<&Object>) -> Errors {
    let spec = object.json().field("spec");
    let ranges = spec.texts("loadBalancerSourceRanges");
    let kept = old.map(|old| old.json().field("spec").texts("loadBalancerSourceRanges")).unwrap_or_default();
    let mut errors = Errors::new();
    if !ranges.is_empty() {
        let path = path.child("LoadBalancerSourceRanges");
        if !is_balancer(spec) {
            errors.push(field::forbidden(&path, ONLY_BALANCERS));
        }
        for (i, range) in ranges.into_iter().enumerate() {
            if !kept.iter().any(|old| old.trim() == range.trim()) {
                errors.extend(ips::legacy_cidr(&path.index(i), range.trim()));
            }
        }
    } else if let Some(text) = object.annotation(RANGES_ANNOTATION) {
        let path = Path::new("metadata").child("annotations").key(RANGES_ANNOTATION);
        if !is_balancer(spec) {
            errors.push(field::forbidden(&path, ONLY_BALANCERS));
        }
        let same = old.is_some_and(|old| old.annotation(RANGES_ANNOTATION) == Some(text));
        if !same && !text.trim().is_empty() {
            errors.extend(text.trim().split(',').flat_map(|range| ips::legacy_cidr(&path, range.trim())));
        }
    }
    errors
}

fn balancer_class_update(spec: &Json, old: &Json) -> Errors {
    let class = "loadBalancerClass";
    if is_balancer(spec) && is_balancer(old) && spec.field(class) != old.field(class) {
        let path = Path::new("spec").child(class);
        return vec![field::invalid(&path, spec.field(class).clone(), "may not change once set")];
    }
    Errors::new()
}

fn balancer_class(spec: &Json) -> Errors {
    let path = Path::new("spec").child("loadBalancerClass");
    match spec.opt_text("loadBalancerClass") {
        None => Errors::new(),
        Some(class) if is_balancer(spec) => rules::each(&path, class, names::qualified_name(class)),
        Some(_) => vec![field::forbidden(&path, ONLY_BALANCERS)],
    }
}

fn traffic(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (external, external_path) = (spec.text("externalTrafficPolicy"), path.child("externalTrafficPolicy"));
    match (is_external(spec), external) {
        (false, "") => {}
        (false, _) => {
            let detail = "may only be set for externally-accessible services";
            errors.push(field::invalid(&external_path, external, detail));
        }
        (true, "") => errors.push(field::required(&external_path, "")),
        (true, policy) if !POLICIES.contains(&policy) => {
            errors.push(field::not_supported(&external_path, policy, POLICIES));
        }
        (true, _) => {}
    }
    let (health, health_path) = (spec.int("healthCheckNodePort"), path.child("healthCheckNodePort"));
    match (needs_health_check(spec), health) {
        (false, 0) => {}
        (false, _) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(field::invalid(&health_path, health, detail));
        }
        (true, 0) => errors.push(field::required(&health_path, "")),
        (true, _) => errors.extend(numbers(&health_path, health)),
    }
    let internal_path = path.child("internalTrafficPolicy");
    match spec.opt_text("internalTrafficPolicy") {
        None if matches!(spec.text("type"), "NodePort" | "LoadBalancer" | "ClusterIP") => {
            errors.push(field::required(&internal_path, ""));
        }
        Some(policy) if !POLICIES.contains(&policy) => {
            errors.push(field::not_supported(&internal_path, policy, POLICIES));
        }
        _ => {}
    }
    if let Some(wish) = spec.opt_text("trafficDistribution").filter(|wish| !DISTRIBUTIONS.contains(wish)) {
        errors.push(field::not_supported(&path.child("trafficDistribution"), wish, DISTRIBUTIONS));
    }
    errors
}

pub fn update_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let (status, spec) = (new.json().field("status").field("loadBalancer"), new.json().field("spec"));
    errors.extend(balancer_status(status, spec));
    errors
}

fn balancer_status(status: &Json, spec: &Json) -> Errors {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let entries = status.list("ingress");
    let mut errors = Errors::new();
    if !is_balancer(spec) && !entries.is_empty() {
        return vec![field::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    for (i, entry) in entries.iter().enumerate() {
        errors.extend(ingress(entry, &path.index(i)));
    }
    errors
}

fn ingress(entry: &Json, path: &Path) -> Errors {
    let (ip, host) = (entry.text("ip"), entry.text("hostname"));
    let mut errors = Errors::new();
    if !ip.is_empty() {
        errors.extend(ips::legacy_ip(&path.child("ip"), ip));
    }
    let mode_path = path.child("ipMode");
    match entry.opt_text("ipMode") {
        Some(_) if ip.is_empty() => {
            errors.push(field::forbidden(&mode_path, "may not be specified when `ip` is not set"));
        }
        None if !ip.is_empty() => errors.push(field::required(&mode_path, "must be specified when `ip` is set")),
        Some(mode) if !matches!(mode, "VIP" | "Proxy") => {
            errors.push(field::not_supported(&mode_path, mode, &["Proxy", "VIP"]));
        }
        _ => {}
    }
    if !host.is_empty() {
        errors.extend(rules::each(&path.child("hostname"), host, names::dns1123_subdomain(host)));
        if ips::parse_sloppy(host).is_some() {
            let detail = "must be a DNS name, not an IP address";
            errors.push(field::invalid(&path.child("hostname"), host, detail));
        }
    }
    errors
}

/// Odd addresses in the status. Source: pkg/registry/core/service/strategy.go.
pub fn status_warnings(new: &Object) -> Vec<String> {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let entries = new.json().field("status").field("loadBalancer").list("ingress").iter().enumerate();
    entries.flat_map(|(i, entry)| ips::ip_warnings(&path.index(i), entry.text("ip"))).collect()
}

/// Odd addresses, and fields that do nothing. Source: pkg/api/service/warnings.go.
pub fn warnings(new: &Object) -> Vec<String> {
    let (spec, path) = (new.json().field("spec"), Path::new("spec"));
    let mut warnings = Vec::new();
    if new.annotation("service.kubernetes.io/topology-aware-hints").is_some() {
        warnings.push(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
             service.kubernetes.io/topology-mode instead"
                .into(),
        );
    }
    warnings.extend(address_warnings(spec, &path));
    let named = spec.text("type") == "ExternalName";
    if named && !spec.list("externalIPs").is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if !named && !spec.text("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if spec.text("trafficDistribution") == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".into());
    }
    warnings
}

/// Warnings about the addresses of a Service, one for each odd way to write one.
fn address_warnings(spec: &Json, path: &Path) -> Vec<String> {
    let headless = spec.text("type") == "ClusterIP" && spec.text("clusterIP") == "None";
    let (cluster, external) = (spec.texts("clusterIPs"), spec.texts("externalIPs"));
    let mut warnings = Vec::new();
    if !headless {
        for (i, ip) in cluster.into_iter().enumerate() {
            warnings.extend(ips::ip_warnings(&path.child("clusterIPs").index(i), ip));
        }
    } else {
        if !spec.text("loadBalancerIP").is_empty() {
            warnings.push("spec.loadBalancerIP is ignored for headless services".into());
        }
        if !external.is_empty() {
            warnings.push("spec.externalIPs is ignored for headless services".into());
        }
        if spec.text("sessionAffinity") != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".into());
        }
    }
    for (i, ip) in external.iter().enumerate() {
        warnings.extend(ips::ip_warnings(&path.child("externalIPs").index(i), ip));
    }
    if !external.is_empty() && !headless && spec.text("type") != "ExternalName" {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    if !spec.text("loadBalancerIP").is_empty() {
        warnings.extend(ips::ip_warnings(&path.child("loadBalancerIP"), spec.text("loadBalancerIP")));
    }
    for (i, range) in spec.texts("loadBalancerSourceRanges").into_iter().enumerate() {
        warnings.extend(ips::cidr_warnings(&path.child("loadBalancerSourceRanges").index(i), range));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unchanged_annotation_of_ranges_is_not_read_again() {
        let service = |ranges: &str| {
            let annotations = json!({(RANGES_ANNOTATION): ranges});
            Object::new(json!({"metadata": {"annotations": annotations}, "spec": {"type": "LoadBalancer"}}))
        };
        let (odd, other) = (service("10.0.0.0/8,odd"), service("odd, odd"));
        let path = Path::new("spec");
        assert_eq!(source_ranges(&odd, &path, None).len(), 1);
        assert!(source_ranges(&odd, &path, Some(&odd)).is_empty());
        assert_eq!(source_ranges(&other, &path, Some(&odd)).len(), 2);
    }
}
