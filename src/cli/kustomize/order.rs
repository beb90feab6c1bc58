//! The order in which objects are printed and made.
//! Source: sigs.k8s.io/kustomize/api/internal/builtins/SortOrderTransformer.go (the legacy order, which kubectl uses).

use super::Resource;

const FIRST: &[&str] = &[
    "Namespace", "ResourceQuota", "StorageClass", "CustomResourceDefinition", "ServiceAccount", "PodSecurityPolicy", "Role",
    "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ConfigMap", "Secret", "Endpoints", "Service", "LimitRange",
    "PriorityClass", "PersistentVolume", "PersistentVolumeClaim", "Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget",
];
const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// By kind, then by group, version, namespace and name; what is empty comes behind all letters.
pub fn sort(resources: &mut [Resource]) {
    resources.sort_by_cached_key(|resource| {
        let gvk = resource.object().gvk();
        let rank = match (FIRST.iter().position(|k| *k == gvk.kind), LAST.iter().position(|k| *k == gvk.kind)) {
            (Some(at), _) => at,
            (None, None) => FIRST.len(),
            (None, Some(at)) => FIRST.len() + 1 + at,
        };
        let or = |text: &str, instead: &str| if text.is_empty() { instead.to_owned() } else { text.to_owned() };
        let kind = [or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K")].join("_");
        (rank, format!("{kind}|{}|{}", or(resource.namespace(), "~X"), or(resource.name(), "~N")))
    });
}
