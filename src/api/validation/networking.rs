//! Whether an Ingress, IngressClass or NetworkPolicy may be.
//! Source: pkg/apis/networking/validation/validation.go.

use super::field::{self, Errors, Path};
use super::service::numbers;
use super::{ips, meta, names, rules, selector};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const NOT_AN_ADDRESS: &str = "must be a DNS name, not an IP address";

pub fn ingress(object: &Object) -> Errors {
    let mut errors = ingress_with(object, None);
    let class = object.str_at("/spec/ingressClassName");
    if let (Some(annotation), Some(class)) = (object.annotation(CLASS_ANNOTATION), class)
        && annotation != class
    {
        let path = Path::new("annotations").child(CLASS_ANNOTATION);
        let detail = "must match `ingressClassName` when both are specified";
        errors.push(field::invalid(&path, annotation, detail));
    }
    errors
}

pub fn ingress_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(ingress_with(new, Some(old.json().field("spec"))));
    errors
}

fn ingress_with(object: &Object, old: Option<&Json>) -> Errors {
    let (spec, path) = (object.json().field("spec"), Path::new("spec"));
    let rules_path = path.child("rules");
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    if spec.list("rules").is_empty() && !spec.has("defaultBackend") {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(field::invalid(&path, spec.field("rules").clone(), detail));
    }
    if spec.has("defaultBackend") {
        errors.extend(backend(spec.field("defaultBackend"), &path.child("defaultBackend")));
    }
    let tolerates_wildcards = old.is_some_and(has_odd_wildcard);
    for (i, rule) in spec.list("rules").iter().enumerate() {
        errors.extend(ingress_rule(rule, &rules_path.index(i), tolerates_wildcards));
    }
    let tolerates_secrets = old.is_some_and(|old| old.list("tls").iter().any(|tls| !secret_name(tls).is_empty()));
    for (i, tls) in spec.list("tls").iter().enumerate() {
        let path = path.child("tls").index(i);
        for (i, host) in tls.texts("hosts").into_iter().enumerate() {
            errors.extend(host_name(host, &path.child("hosts").index(i)));
        }
        if !tolerates_secrets {
            errors.extend(rules::each(&path.child("secretName"), tls.text("secretName"), secret_name(tls)));
        }
    }
    if let Some(class) = spec.opt_text("ingressClassName") {
        errors.extend(rules::each(&path.child("ingressClassName"), class, names::dns1123_subdomain(class)));
    }
    errors
}

fn has_odd_wildcard(spec: &Json) -> bool {
    let odd = |rule: &Json| rule.text("host").contains('*') && !http(rule, &Path::root()).is_empty();
    spec.list("rules").iter().any(odd)
}

fn secret_name(tls: &Json) -> Vec<String> {
    let name = tls.text("secretName");
    if name.is_empty() { Vec::new() } else { names::dns1123_subdomain(name) }
}

fn host_name(host: &str, path: &Path) -> Errors {
    let problems =
        if host.contains('*') { names::wildcard_dns1123_subdomain(host) } else { names::dns1123_subdomain(host) };
    rules::each(path, host, problems)
}

fn ingress_rule(rule: &Json, path: &Path, tolerates_wildcards: bool) -> Errors {
    let host = rule.text("host");
    let host_path = path.child("host");
    let mut errors = Errors::new();
    if !host.is_empty() {
        if ips::parse_sloppy(host).is_some() {
            errors.push(field::invalid(&host_path, host, NOT_AN_ADDRESS));
        }
        errors.extend(host_name(host, &host_path));
    }
    if !(host.contains('*') && tolerates_wildcards) {
        errors.extend(http(rule, path));
    }
    errors
}

fn http(rule: &Json, path: &Path) -> Errors {
    if !rule.has("http") {
        return Errors::new();
    }
    let (paths, path) = (rule.field("http").list("paths"), path.child("http").child("paths"));
    if paths.is_empty() {
        return vec![field::required(&path, "")];
    }
    paths.iter().enumerate().flat_map(|(i, item)| http_path(item, &path.index(i))).collect()
}

fn http_path(item: &Json, path: &Path) -> Errors {
    let Some(kind) = item.opt_text("pathType") else {
        return vec![field::required(&path.child("pathType"), "pathType must be specified")];
    };
    let (text, at) = (item.text("path"), path.child("path"));
    let mut errors = Errors::new();
    let relative = field::invalid(&at, text, "must be an absolute path");
    match kind {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                errors.push(relative);
            }
            for sequence in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|s| text.contains(s)) {
                errors.push(field::invalid(&at, text, &format!("must not contain '{sequence}'")));
            }
            for suffix in ["/..", "/."].into_iter().filter(|s| text.ends_with(s)) {
                errors.push(field::invalid(&at, text, &format!("cannot end with '{suffix}'")));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                errors.push(relative);
            }
        }
        other => errors.push(field::not_supported(&path.child("pathType"), other, PATH_TYPES)),
    }
    errors.extend(backend(item.field("backend"), &path.child("backend")));
    errors
}

fn backend(backend: &Json, path: &Path) -> Errors {
    let service = backend.field("service");
    match (backend.has("resource"), backend.has("service")) {
        (true, true) => return vec![field::invalid(path, "", "cannot set both resource and service backends")],
        (true, false) => return reference(backend.field("resource"), &path.child("resource")),
        (false, false) => return vec![field::invalid(path, "", "resource or service backend is required")],
        (false, true) => {}
    }
    let (name, service_path) = (service.text("name"), path.child("service"));
    let mut errors = if name.is_empty() {
        vec![field::required(&service_path.child("name"), "")]
    } else {
        rules::each(&service_path.child("name"), name, names::dns1123_label(name))
    };
    let port = service.field("port");
    let (port_name, number) = (port.text("name"), port.int("number"));
    let port_path = service_path.child("port");
    match (port_name.is_empty(), number == 0) {
        (false, false) => errors.push(field::invalid(path, "", "cannot set both port name & port number")),
        (false, true) => errors.extend(rules::each(&port_path.child("name"), port_name, names::port_name(port_name))),
        (true, false) => errors.extend(numbers(&port_path.child("number"), number)),
        (true, true) => errors.push(field::required(path, "port name or number is required")),
    }
    errors
}

fn reference(reference: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(group) = reference.opt_text("apiGroup") {
        errors.extend(rules::each(&path.child("apiGroup"), group, names::dns1123_subdomain(group)));
    }
    for name in ["kind", "name"] {
        let (value, path) = (reference.text(name), path.child(name));
        if value.is_empty() {
            errors.push(field::required(&path, &format!("{name} is required")));
        } else {
            errors.extend(rules::each(&path, value, names::path_segment(value, false)));
        }
    }
    errors
}

pub fn ingress_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let before = old.json().field("status").field("loadBalancer").list("ingress");
    for (i, entry) in new.json().field("status").field("loadBalancer").list("ingress").iter().enumerate() {
        let (ip, host, path) = (entry.text("ip"), entry.text("hostname"), path.index(i));
        if !ip.is_empty() && !before.iter().any(|old| old.text("ip") == ip) {
            errors.extend(ips::legacy_ip(&path.child("ip"), ip));
        }
        if !host.is_empty() {
            errors.extend(rules::each(&path.child("hostname"), host, names::dns1123_subdomain(host)));
            if ips::parse_sloppy(host).is_some() {
                errors.push(field::invalid(&path.child("hostname"), host, NOT_AN_ADDRESS));
            }
        }
    }
    errors
}

/// The class is a field since 1.18. Source: pkg/registry/networking/ingress/strategy.go.
pub fn ingress_warnings(object: &Object, old: Option<&Object>) -> Vec<String> {
    let by_field = object.json().field("spec").has("ingressClassName");
    if old.is_some() || by_field || object.annotation(CLASS_ANNOTATION).is_none() {
        return Vec::new();
    }
    vec![format!("annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead")]
}

pub fn ingress_class(object: &Object) -> Errors {
    let (spec, path) = (object.json().field("spec"), Path::new("spec"));
    let (controller, at) = (spec.text("controller"), path.child("controller"));
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    if controller.len() > 250 {
        errors.push(field::too_long(&at, 250));
    }
    errors.extend(rules::domain_prefixed_path(&at, controller));
    if spec.has("parameters") {
        errors.extend(parameters(spec.field("parameters"), &path.child("parameters")));
    }
    errors
}

fn parameters(parameters: &Json, path: &Path) -> Errors {
    let mut errors = reference(parameters, path);
    let namespace_path = path.child("namespace");
    match (parameters.opt_text("scope"), parameters.opt_text("namespace")) {
        (None, _) => errors.push(field::required(&path.child("scope"), "")),
        (Some("Namespace"), None) => {
            errors.push(field::required(&namespace_path, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(namespace)) => {
            errors.extend(rules::each(&namespace_path, namespace, names::dns1123_label(namespace)));
        }
        (Some("Cluster"), Some(_)) => {
            errors.push(field::forbidden(&namespace_path, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => {
            errors.push(field::not_supported(&path.child("scope"), other, &["Cluster", "Namespace"]));
        }
    }
    errors
}

pub fn ingress_class_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let controller = |object: &Object| object.json().field("spec").field("controller").clone();
    let path = Path::new("spec").child("controller");
    errors.extend(rules::immutable(&path, "", &controller(new), &controller(old)));
    errors.extend(ingress_class(new));
    errors
}

pub fn network_policy(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(policy_spec(object.json().field("spec"), &[]));
    errors
}

pub fn network_policy_update(new: &Object, old: &Object) -> Errors {
    let old_spec = old.json().field("spec");
    let mut kept = Vec::new();
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for peer in old_spec.list(rules).iter().flat_map(|rule| rule.list(peers)) {
            let block = peer.field("ipBlock");
            kept.push(block.text("cidr"));
            kept.extend(block.texts("except"));
        }
    }
    // The strategy asks the rules for a new policy as well.
    let spec = || policy_spec(new.json().field("spec"), &kept);
    let mut errors = meta::create(new, true, names::name_is_subdomain);
    errors.extend(spec());
    errors.extend(meta::update(new, old));
    errors.extend(spec());
    errors
}

fn policy_spec(spec: &Json, kept: &[&str]) -> Errors {
    let path = Path::new("spec");
    let mut errors = selector::label_selector(spec.get("podSelector"), &path.child("podSelector"));
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in spec.list(rules).iter().enumerate() {
            let path = path.child(rules).index(i);
            for (i, port) in rule.list("ports").iter().enumerate() {
                errors.extend(policy_port(port, &path.child("ports").index(i)));
            }
            for (i, peer) in rule.list(peers).iter().enumerate() {
                errors.extend(policy_peer(peer, &path.child(peers).index(i), kept));
            }
        }
    }
    let (types, path) = (spec.texts("policyTypes"), path.child("policyTypes"));
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        errors.push(field::invalid(&path, spec.field("policyTypes").clone(), detail));
        return errors;
    }
    for (i, kind) in types.into_iter().enumerate().filter(|(_, kind)| !matches!(*kind, "Ingress" | "Egress")) {
        errors.push(field::not_supported(&path.index(i), kind, &["Ingress", "Egress"]));
    }
    errors
}

fn policy_port(port: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(protocol) = port.opt_text("protocol").filter(|p| !matches!(*p, "TCP" | "UDP" | "SCTP")) {
        errors.push(field::not_supported(&path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]));
    }
    let (first, last, last_path) = (port.field("port"), port.opt_int("endPort"), path.child("endPort"));
    let not_with = |last: i64, what: &str| {
        field::invalid(&last_path, last, &format!("may not be specified when `port` is {what}"))
    };
    if let Some(number) = first.as_i64() {
        errors.extend(numbers(&path.child("port"), number));
        if let Some(last) = last {
            if last < number {
                errors.push(field::invalid(&last_path, number, "must be greater than or equal to `port`"));
            }
            errors.extend(numbers(&last_path, last));
        }
    } else if let Some(name) = first.as_str() {
        errors.extend(last.map(|last| not_with(last, "non-numeric")));
        errors.extend(rules::each(&path.child("port"), name, names::port_name(name)));
    } else {
        errors.extend(last.map(|last| not_with(last, "not specified")));
    }
    errors
}

fn policy_peer(peer: &Json, path: &Path, kept: &[&str]) -> Errors {
    let selectors = ["podSelector", "namespaceSelector"];
    let mut errors = Errors::new();
    for name in selectors.into_iter().filter(|name| peer.has(name)) {
        errors.extend(selector::label_selector(peer.get(name), &path.child(name)));
    }
    if peer.has("ipBlock") {
        errors.extend(ip_block(peer.field("ipBlock"), &path.child("ipBlock"), kept));
    }
    let selected = selectors.into_iter().any(|name| peer.has(name));
    if !selected && !peer.has("ipBlock") {
        errors.push(field::required(path, "must specify a peer"));
    } else if selected && peer.has("ipBlock") {
        errors.push(field::forbidden(path, "may not specify both ipBlock and another peer"));
    }
    errors
}

fn ip_block(block: &Json, path: &Path, kept: &[&str]) -> Errors {
    let (text, at) = (block.text("cidr"), path.child("cidr"));
    if text.is_empty() {
        return vec![field::required(&at, "")];
    }
    let check = |path: &Path, text: &str| {
        if kept.contains(&text) { Errors::new() } else { ips::legacy_cidr(path, text) }
    };
    let mut errors = check(&at, text);
    let Some(network) = ips::Cidr::parse_sloppy(text) else { return errors };
    for (i, text) in block.texts("except").into_iter().enumerate() {
        let path = path.child("except").index(i);
        errors.extend(check(&path, text));
        let Some(except) = ips::Cidr::parse_sloppy(text) else { continue };
        if !network.contains(except.network()) || network.length >= except.length {
            errors.push(field::invalid(&path, text, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

/// Networks written in an odd way. Source: pkg/registry/networking/networkpolicy/strategy.go.
pub fn network_policy_warnings(object: &Object) -> Vec<String> {
    let spec = object.json().field("spec");
    let mut warnings = Vec::new();
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in spec.list(rules).iter().enumerate() {
            for (j, peer) in rule.list(peers).iter().enumerate() {
                let path = Path::new("spec").child(rules).index(i).child(peers).index(j).child("ipBlock");
                let block = peer.field("ipBlock");
                if block.is_null() {
                    continue;
                }
                warnings.extend(ips::cidr_warnings(&path.child("cidr"), block.text("cidr")));
                for (k, except) in block.texts("except").into_iter().enumerate() {
                    warnings.extend(ips::cidr_warnings(&path.child("except").index(k), except));
                }
            }
        }
    }
    warnings
}
