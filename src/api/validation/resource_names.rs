//! Names of resources. Source: pkg/apis/core/validation/validation.go, pkg/apis/core/helper/helpers.go.

use super::field::{self, Errors, Path};
use super::{names, rules};
use crate::api::pod::is_hugepages;

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Resources without a domain that there are at all.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "requests.storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
    "storage",
];

/// A resource's name: qualified, and one of the known ones if it has no domain.
pub fn resource_name(name: &str, path: &Path) -> Errors {
    let errors = rules::each(path, name, names::qualified_name(name));
    if !errors.is_empty() || name.contains('/') {
        return errors;
    }
    let is_standard = STANDARD.contains(&name) || is_hugepages(name) || name.starts_with("requests.hugepages-");
    if is_standard {
        return errors;
    }
    vec![field::invalid(path, name, "must be a standard resource type or fully qualified")]
}

/// A resource that containers can ask for.
pub fn container_resource_name(name: &str, path: &Path) -> Errors {
    let mut errors = resource_name(name, path);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_hugepages(name) {
            errors.push(field::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !rules::is_native_resource(name) && !rules::is_extended(name) {
        errors.push(field::invalid(path, name, "doesn't follow extended resource name standard"));
    }
    errors
}
