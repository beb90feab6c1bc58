//! The rules of Pods.
pub mod warnings;

use super::field::{Errors, Path};
use crate::api::{Json, Object};

/// The rules for a Pod template (`spec.template` of a workload); `path` is the template's own.
/// `old` is the template before the change: what it already had and newer rules forbid stays allowed.
pub fn template(template: &Json, path: &Path, old: Option<&Json>) -> Errors {
    let _ = (template, path, old);
    Errors::new()
}

pub fn create(pod: &Object) -> Errors {
    let _ = pod;
    Errors::new()
}
pub fn update(new: &Object, old: &Object) -> Errors {
    let _ = (new, old);
    Errors::new()
}
pub fn update_status(new: &Object, old: &Object) -> Errors {
    let _ = (new, old);
    Errors::new()
}

/// What is wrong with a change by the subresource `ephemeralcontainers`
/// (pkg/apis/core/validation: ValidatePodEphemeralContainersUpdate).
pub fn update_ephemeral_containers(new: &Object, old: &Object) -> Errors {
    let _ = (new, old);
    Errors::new()
}

/// What is wrong with a change by the subresource `resize` (pkg/apis/core/validation: ValidatePodResize).
pub fn resize(new: &Object, old: &Object) -> Errors {
    let _ = (new, old);
    Errors::new()
}
