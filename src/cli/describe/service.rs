//! Services and where they lead.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describeService`, `describeEndpoints`, `describeEndpointSliceV1`).

use super::Related;
use super::document::{Document, or_none, or_unset, plain};
use super::events::events;
use crate::api::tree::Tree;
use crate::api::{Json, shown};

/// So many endpoints are listed.
const MOST: usize = 3;

pub fn service(doc: &mut Document, object: &Json, related: &Related) {
    let spec = object.field("spec");
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    doc.field(0, "Selector", shown::labels(spec.field("selector")));
    doc.field(0, "Type", spec.text("type"));
    doc.some_field(0, "IP Family Policy", spec.text("ipFamilyPolicy"));
    doc.field(0, "IP Families", or_none(&spec.texts("ipFamilies").join(",")));
    doc.field(0, "IP", spec.text("clusterIP"));
    doc.field(0, "IPs", or_none(&spec.texts("clusterIPs").join(",")));
    doc.some_field(0, "External IPs", &spec.texts("externalIPs").join(","));
    doc.some_field(0, "Desired LoadBalancer IP", spec.text("loadBalancerIP"));
    doc.some_field(0, "External Name", spec.text("externalName"));
    let ingress = object.field("status").field("loadBalancer").list("ingress");
    if !ingress.is_empty() {
        doc.field(0, "LoadBalancer Ingress", ingress.iter().map(balancer).collect::<Vec<_>>().join(", "));
    }
    spec.list("ports").iter().for_each(|p| port(doc, p, &related.slices));
    doc.field(0, "Session Affinity", spec.text("sessionAffinity"));
    doc.some_field(0, "External Traffic Policy", spec.text("externalTrafficPolicy"));
    doc.some_field(0, "Internal Traffic Policy", spec.text("internalTrafficPolicy"));
    if spec.int("healthCheckNodePort") != 0 {
        doc.field(0, "HealthCheck NodePort", spec.int("healthCheckNodePort"));
    }
    doc.some_field(0, "LoadBalancer Source Ranges", &spec.texts("loadBalancerSourceRanges").join(","));
    doc.some_field(0, "Traffic Distribution", spec.text("trafficDistribution"));
    events(doc, related.events());
}

fn balancer(ingress: &Json) -> String {
    match (ingress.text("ip"), ingress.opt_text("ipMode")) {
        ("", _) => ingress.text("hostname").to_owned(),
        (ip, Some(mode)) => format!("{ip} ({mode})"),
        (ip, None) => ip.to_owned(),
    }
}

fn port(doc: &mut Document, port: &Json, slices: &[Json]) {
    let (name, protocol) = (port.text("name"), port.text("protocol"));
    let shown_name = if name.is_empty() { "<unset>" } else { name };
    doc.field(0, "Port", format!("{shown_name}\t{}/{protocol}", port.int("port")));
    let target = if port.has("targetPort") { plain(port.field("targetPort")) } else { "0".into() };
    doc.field(0, "TargetPort", format!("{target}/{protocol}"));
    doc.some_field(0, "AppProtocol", port.text("appProtocol"));
    if port.int("nodePort") != 0 {
        doc.field(0, "NodePort", format!("{shown_name}\t{}/{protocol}", port.int("nodePort")));
    }
    doc.field(0, "Endpoints", endpoints_of(slices, name));
}

/// The ready endpoints behind the port of this name. Source: `formatEndpointSlices`.
pub fn endpoints_of(slices: &[Json], port: &str) -> String {
    if slices.is_empty() {
        return "<none>".into();
    }
    let (mut listed, mut ready, mut more) = (Vec::new(), 0, false);
    let mut count = |endpoint: &Json, port: Option<i64>| {
        // One that is not ready makes a full list one with more too.
        more |= listed.len() == MOST;
        if endpoint.field("conditions").field("ready") == &Json::Bool(false) {
            return;
        }
        ready += 1;
        if !more {
            let address = endpoint.texts("addresses").first().copied().unwrap_or("");
            listed.push(port.map_or_else(|| address.to_owned(), |port| shown::host_port(address, port)));
        }
    };
    for slice in slices {
        let ports = slice.list("ports");
        if ports.is_empty() {
            slice.list("endpoints").iter().for_each(|e| count(e, None));
        }
        for port in ports.iter().filter(|p| p.text("name") == port) {
            slice.list("endpoints").iter().for_each(|e| count(e, Some(port.int("port"))));
        }
    }
    let text = listed.join(",");
    if more { format!("{text} + {} more...", ready - MOST) } else { text }
}

pub fn endpoints(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    doc.line(0, "Subsets:");
    for subset in object.list("subsets") {
        for (title, field) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
            let all: Vec<&str> = subset.list(field).iter().map(|a| a.text("ip")).collect();
            doc.field(1, title, or_none(&all.join(",")));
        }
        let ports = subset.list("ports");
        if !ports.is_empty() {
            doc.line(1, "Ports:");
            doc.line(2, "Name\tPort\tProtocol");
            doc.line(2, "----\t----\t--------");
        }
        for port in ports {
            let name = Some(port.text("name")).filter(|n| !n.is_empty()).unwrap_or("<unset>");
            doc.line(2, &format!("{name}\t{}\t{}", port.int("port"), port.text("protocol")));
        }
        doc.line(0, "");
    }
    events(doc, related.events());
}

pub fn endpoint_slice(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    doc.field(0, "AddressType", object.text("addressType"));
    slice_ports(doc, object.list("ports"));
    let all = object.list("endpoints");
    doc.line(0, if all.is_empty() { "Endpoints: <none>" } else { "Endpoints:" });
    for endpoint in all {
        doc.field(1, "- Addresses", or_none(&endpoint.texts("addresses").join(", ")));
        doc.line(2, "Conditions:");
        doc.field(3, "Ready", or_unset(endpoint.field("conditions").field("ready")));
        doc.field(2, "Hostname", or_unset(endpoint.field("hostname")));
        let target = endpoint.field("targetRef");
        if !target.is_null() {
            doc.field(2, "TargetRef", format!("{}/{}", target.text("kind"), target.text("name")));
        }
        doc.field(2, "NodeName", or_unset(endpoint.field("nodeName")));
        doc.field(2, "Zone", or_unset(endpoint.field("zone")));
    }
    events(doc, related.events());
}

fn slice_ports(doc: &mut Document, ports: &[Json]) {
    if ports.is_empty() {
        return doc.line(0, "Ports: <unset>");
    }
    doc.line(0, "Ports:");
    doc.line(1, "Name\tPort\tProtocol");
    doc.line(1, "----\t----\t--------");
    for port in ports {
        let name = Some(port.text("name")).filter(|n| !n.is_empty()).unwrap_or("<unset>");
        doc.line(1, &format!("{name}\t{}\t{}", or_unset(port.field("port")), port.text("protocol")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_ready_endpoints_of_a_port_are_listed() {
        let endpoint = |ip: &str, ready: Json| json!({"addresses": [ip], "conditions": {"ready": ready}});
        let slice = json!({
            "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}],
            "endpoints": [
                endpoint("10.0.0.1", true.into()), endpoint("10.0.0.2", false.into()), endpoint("fd00::1", Json::Null),
                endpoint("10.0.0.3", true.into()), endpoint("10.0.0.4", true.into()),
            ],
        });
        assert_eq!(endpoints_of(std::slice::from_ref(&slice), "http"), "10.0.0.1:80,[fd00::1]:80,10.0.0.3:80 + 1 more...");
        assert_eq!(endpoints_of(std::slice::from_ref(&slice), "nosuch"), "");
        assert_eq!(endpoints_of(&[], "http"), "<none>");
    }
}
