//! Defaults of Service, Endpoints and EndpointSlice.
//! Source: pkg/apis/core/v1/defaults.go, pkg/apis/discovery/v1/defaults.go.

use serde_json::json;

use crate::api::Json;
use crate::api::tree::{Tree, child, default_text, default_to, items, present, remove};

/// How long a client stays with its endpoint: three hours.
const AFFINITY_SECONDS: i32 = 10_800;

pub fn service(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    affinity(spec);
    default_text(spec, "type", "ClusterIP");
    for port in items(spec, "ports") {
        default_text(port, "protocol", "TCP");
        let target = port.field("targetPort");
        if target.is_null() || target.as_i64() == Some(0) || target.as_str() == Some("") {
            port["targetPort"] = port.field("port").as_i64().unwrap_or(0).into();
        }
    }
    let kind = spec.text("type").to_owned();
    let external = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if external || (kind == "ClusterIP" && !spec.list("externalIPs").is_empty()) {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if external || kind == "ClusterIP" {
        default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default_to(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(balancer) = present(tree, "status").and_then(|s| present(s, "loadBalancer")) {
            for ingress in items(balancer, "ingress").filter(|i| !i.text("ip").is_empty()) {
                default_to(ingress, "ipMode", "VIP");
            }
        }
    }
}

fn affinity(spec: &mut Json) {
    default_text(spec, "sessionAffinity", "None");
    match spec.text("sessionAffinity") {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" if !spec.field("sessionAffinityConfig").field("clientIP").has("timeoutSeconds") => {
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}});
        }
        _ => {}
    }
}

pub fn endpoints(tree: &mut Json) {
    for subset in items(tree, "subsets") {
        for port in items(subset, "ports") {
            default_text(port, "protocol", "TCP");
        }
    }
}

pub fn endpoint_slice(tree: &mut Json) {
    // Kept as protobuf, which knows no empty list: it comes back as null.
    for list in ["endpoints", "ports"] {
        if tree.field(list).as_array().is_some_and(Vec::is_empty) {
            tree[list] = Json::Null;
        }
    }
    for port in items(tree, "ports") {
        default_to(port, "name", "");
        default_to(port, "protocol", "TCP");
    }
}
