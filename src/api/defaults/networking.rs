//! Defaults of NetworkPolicy, Ingress and IngressClass. Source: pkg/apis/networking/v1/defaults.go.

use crate::api::Json;
use crate::api::tree::{Tree, child, default_to, items, present};

pub fn network_policy(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    for (direction, _) in [("ingress", ()), ("egress", ())] {
        for rule in items(spec, direction) {
            for port in items(rule, "ports") {
                default_to(port, "protocol", "TCP");
            }
        }
    }
    // Policies written before egress rules existed are about ingress; egress rules tell that egress is meant too.
    if spec.list("policyTypes").is_empty() {
        let mut types = vec![Json::from("Ingress")];
        if !spec.list("egress").is_empty() {
            types.push("Egress".into());
        }
        spec["policyTypes"] = Json::Array(types);
    }
}

pub fn ingress_class(tree: &mut Json) {
    if let Some(parameters) = present(tree, "spec").and_then(|s| present(s, "parameters")) {
        default_to(parameters, "scope", "Cluster");
    }
}
