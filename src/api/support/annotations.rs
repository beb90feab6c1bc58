//! Annotations by which an Ingress or a Service instructs one controller of many: none of those is here.

use super::findings::Finding;
use super::table::{Entry, Verdict};
use crate::api::tree::Tree;
use crate::api::{Gvk, Json};

/// Domains of controllers that read annotations of an Ingress, besides all that end in `ingress.kubernetes.io`.
const OF_INGRESS: [&str; 12] = [
    "appgw.ingress.azure.io",
    "cert-manager.io",
    "external-dns.alpha.kubernetes.io",
    "haproxy-ingress.github.io",
    "haproxy.org",
    "ingress.cloud.ibm.com",
    "konghq.com",
    "kubernetes.io",
    "networking.gke.io",
    "nginx.org",
    "projectcontour.io",
    "traefik.io",
];
/// The same for a Service that wants a balancer.
const OF_SERVICE: [&str; 6] = [
    "cloud.google.com",
    "external-dns.alpha.kubernetes.io",
    "load-balancer.hetzner.cloud",
    "metallb.io",
    "metallb.universe.tf",
    "service.beta.kubernetes.io",
];

/// The instructions that have no effect here.
pub(super) fn findings(gvk: &Gvk, object: &Json) -> Vec<Finding> {
    let is_meant: fn(&str) -> bool = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("networking.k8s.io", "Ingress") => |domain| domain.ends_with("ingress.kubernetes.io") || OF_INGRESS.contains(&domain),
        ("", "Service") => |domain| OF_SERVICE.contains(&domain),
        _ => return Vec::new(),
    };
    let annotations = object.field("metadata").field("annotations").as_object().into_iter().flatten();
    let found = annotations.filter_map(|(name, value)| {
        let (domain, rest) = name.split_once('/')?;
        // Of the project's own domain one alone is an instruction; the others are notes.
        let is_note = domain == "kubernetes.io" && rest != "ingress.class";
        (is_meant(domain) && !is_note).then(|| Finding {
            path: format!("metadata.annotations[{name}]"),
            value: value.clone(),
            entry: Entry { verdict: Verdict::Ignored, reason: reason(domain), test: None },
        })
    });
    found.collect()
}

fn reason(domain: &str) -> String {
    match domain {
        "kubernetes.io" => "every Ingress is served, whatever its class".into(),
        _ => format!("it instructs a controller of {domain}, which is not here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(version: &str, kind: &str, annotation: &str) -> Option<String> {
        let tree = json!({"metadata": {"annotations": {annotation: "x"}}});
        findings(&Gvk::of(version, kind), &tree).into_iter().map(|f| format!("{}: {}", f.path, f.entry.reason)).next()
    }

    #[test]
    fn instructions_to_particular_controllers_are_found_and_notes_are_not() {
        let ingress = |annotation: &str| check("networking.k8s.io/v1", "Ingress", annotation);
        assert_eq!(
            ingress("nginx.ingress.kubernetes.io/rewrite-target").as_deref(),
            Some(
                "metadata.annotations[nginx.ingress.kubernetes.io/rewrite-target]: it instructs a controller of \
                 nginx.ingress.kubernetes.io, which is not here"
            )
        );
        for instruction in ["kubernetes.io/ingress.class", "cert-manager.io/cluster-issuer", "konghq.com/strip-path"] {
            assert!(ingress(instruction).is_some(), "{instruction}");
        }
        for note in ["kubernetes.io/description", "example.org/owner", "plain"] {
            assert_eq!(ingress(note), None, "{note}");
        }
        assert!(check("v1", "Service", "service.beta.kubernetes.io/aws-load-balancer-type").is_some());
        assert_eq!(check("v1", "Service", "nginx.ingress.kubernetes.io/x"), None);
        assert_eq!(check("v1", "ConfigMap", "konghq.com/strip-path"), None);
    }
}
