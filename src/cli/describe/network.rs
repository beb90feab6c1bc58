//! Ingresses, network policies and addresses.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describeIngressV1`, `describeNetworkPolicySpec` …).

use super::Related;
use super::document::{Document, or_none, plain};
use super::events::events;
use super::service::endpoints_of;
use crate::api::tree::Tree;
use crate::api::{Json, shown};

pub fn ingress(doc: &mut Document, object: &Json, related: &Related) {
    let (metadata, spec) = (object.field("metadata"), object.field("spec"));
    doc.name(object);
    doc.labels("Labels", metadata.field("labels"));
    doc.namespace(object);
    let addresses = object.field("status").field("loadBalancer").list("ingress");
    doc.field(0, "Address", shown::balancer(addresses));
    doc.field(0, "Ingress Class", spec.opt_text("ingressClassName").unwrap_or("<none>"));
    let default = match spec.field("defaultBackend") {
        Json::Null => "<default>".to_owned(),
        default => backend(default, related),
    };
    doc.field(0, "Default backend", &default);
    if !spec.list("tls").is_empty() {
        doc.line(0, "TLS:");
    }
    for tls in spec.list("tls") {
        let hosts = tls.texts("hosts").join(",");
        match tls.text("secretName") {
            "" => doc.line(1, &format!("SNI routes {hosts}")),
            secret => doc.line(1, &format!("{secret} terminates {hosts}")),
        }
    }
    doc.line(0, "Rules:\n  Host\tPath\tBackends");
    doc.line(1, "----\t----\t--------");
    let rules: Vec<&Json> = spec.list("rules").iter().filter(|rule| rule.has("http")).collect();
    if rules.is_empty() {
        doc.line(1, &format!("*\t*\t{default}"));
    }
    for rule in rules {
        let host = Some(rule.text("host")).filter(|h| !h.is_empty()).unwrap_or("*");
        doc.line(1, &format!("{host}\t"));
        for path in rule.field("http").list("paths") {
            doc.line(2, &format!("\t{} \t{}", path.text("path"), backend(path.field("backend"), related)));
        }
    }
    doc.annotations("Annotations", metadata.field("annotations"));
    events(doc, related.events());
}

fn backend(backend: &Json, related: &Related) -> String {
    let (service, resource) = (backend.field("service"), backend.field("resource"));
    if !service.is_null() {
        let (name, port) = (service.text("name"), service.field("port"));
        let (number, port_name) = (port.int("number"), port.text("name"));
        let shown = if number != 0 { format!("{name}:{number}") } else { format!("{name}:{port_name}") };
        let found = match related.backends.get(name) {
            Some(Ok(found)) => found,
            Some(Err(error)) => return format!("{shown} (<error: {error}>)"),
            None => return shown,
        };
        let is_meant = |p: &&Json| {
            (number != 0 && p.int("port") == number) || (!port_name.is_empty() && p.text("name") == port_name)
        };
        let meant = found.service.field("spec").list("ports").iter().rfind(is_meant).map_or("", |p| p.text("name"));
        return format!("{shown} ({})", endpoints_of(&found.slices, meant));
    }
    if resource.is_null() {
        return String::new();
    }
    let group = resource.opt_text("apiGroup").unwrap_or("<none>");
    format!("APIGroup: {group}, Kind: {}, Name: {}", resource.text("kind"), resource.text("name"))
}

pub fn ingress_class(doc: &mut Document, object: &Json, related: &Related) {
    let spec = object.field("spec");
    doc.name(object);
    doc.marks(object);
    doc.field(0, "Controller", spec.text("controller"));
    let parameters = spec.field("parameters");
    if !parameters.is_null() {
        doc.line(0, "Parameters:");
        if parameters.has("apiGroup") {
            doc.field(1, "APIGroup", parameters.text("apiGroup"));
        }
        doc.field(1, "Kind", parameters.text("kind"));
        doc.field(1, "Name", parameters.text("name"));
    }
    events(doc, related.events());
}

pub fn service_cidr(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.marks(object);
    doc.field(0, "CIDRs", object.field("spec").texts("cidrs").join(", "));
    if !object.field("status").list("conditions").is_empty() {
        doc.line(0, "Status:");
        dated_conditions(doc, object);
    }
    events(doc, related.events());
}

/// The conditions of the status, with when they changed; nothing where there are none.
pub fn dated_conditions(doc: &mut Document, object: &Json) {
    let all = object.field("status").list("conditions");
    if all.is_empty() {
        return;
    }
    doc.line(0, "Conditions:");
    doc.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
    doc.line(1, "----\t------\t------------------\t------\t-------");
    for c in all {
        let changed = doc.date(c.text("lastTransitionTime"));
        let (kind, status, reason) = (c.text("type"), c.text("status"), c.text("reason"));
        doc.line(1, &format!("{kind}\t{status}\t{changed}\t{reason}\t{}", c.text("message")));
    }
}

pub fn ip_address(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.marks(object);
    let parent = object.field("spec").field("parentRef");
    if !parent.is_null() {
        doc.line(0, "Parent Reference:");
        for (title, field) in [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")] {
            doc.field(1, title, parent.text(field));
        }
    }
    events(doc, related.events());
}

pub fn network_policy(doc: &mut Document, object: &Json, _: &Related) {
    let spec = object.field("spec");
    doc.name(object);
    doc.namespace(object);
    doc.field(0, "Created on", doc.go_time(object.field("metadata").text("creationTimestamp")));
    doc.marks(object);
    doc.line(0, "Spec:");
    let pods = match shown::selector(spec.field("podSelector")).as_str() {
        "<none>" => "<none> (Allowing the specific traffic to all pods in this namespace)".to_owned(),
        selector => selector.to_owned(),
    };
    doc.line(1, &format!("PodSelector:     {pods}"));
    let types = spec.texts("policyTypes");
    for (way, rules, peers, to_peers, ends) in [
        ("ingress", "ingress", "from", "From", "source"),
        ("egress", "egress", "to", "To", "destination"),
    ] {
        if !types.iter().any(|t| t.to_lowercase() == way) {
            doc.line(1, &format!("Not affecting {way} traffic"));
            continue;
        }
        doc.line(1, &format!("Allowing {way} traffic:"));
        let rules = spec.list(rules);
        if rules.is_empty() {
            doc.line(2, &format!("<none> (Selected pods are isolated for {way} connectivity)"));
        }
        for (i, rule) in rules.iter().enumerate() {
            if i > 0 {
                doc.line(2, "----------");
            }
            policy_ports(doc, rule.list("ports"));
            if rule.list(peers).is_empty() {
                doc.line(2, &format!("{to_peers}: <any> (traffic not restricted by {ends})"));
            }
            rule.list(peers).iter().for_each(|p| peer(doc, to_peers, p));
        }
    }
    doc.line(1, &format!("Policy Types: {}", or_none(&types.join(", "))));
}

fn policy_ports(doc: &mut Document, ports: &[Json]) {
    if ports.is_empty() {
        return doc.line(2, "To Port: <any> (traffic allowed to all ports)");
    }
    for port in ports {
        let protocol = port.opt_text("protocol").unwrap_or("TCP");
        let number = if port.has("port") { plain(port.field("port")) } else { "<nil>".into() };
        match port.opt_int("endPort") {
            None => doc.line(2, &format!("To Port: {number}/{protocol}")),
            Some(end) => doc.line(2, &format!("To Port Range: {number}-{end}/{protocol}")),
        }
    }
}

fn peer(doc: &mut Document, title: &str, peer: &Json) {
    doc.line(2, &format!("{title}:"));
    let block = peer.field("ipBlock");
    for (title, field) in [("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")] {
        if peer.has(field) {
            doc.line(3, &format!("{title}: {}", shown::selector(peer.field(field))));
        }
    }
    if !block.is_null() && !peer.has("namespaceSelector") && !peer.has("podSelector") {
        doc.line(3, "IPBlock:");
        doc.line(4, &format!("CIDR: {}", block.text("cidr")));
        doc.line(4, &format!("Except: {}", block.texts("except").join(", ")));
    }
}
