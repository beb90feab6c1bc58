//! The rules of Pods and of the templates they are made from.
//! Source: pkg/apis/core/validation/validation.go.

mod annotations;
mod change;
mod container;
mod env;
mod handlers;
mod mounts;
mod overlaps;
mod projected;
mod resize;
mod resources;
mod retired_volumes;
mod scheduling;
mod security;
mod settings;
mod spec;
mod status;
mod volumes;
pub mod warnings;
mod windows;

pub use change::{bind, same, update, update_ephemeral_containers};
pub use resize::resize;
pub use resources::fixed_overhead;
pub use scheduling::tolerations;
pub use security::is_apparmor_profile;
pub use spec::Options;
pub use status::update_status;

use super::field::{self, Errors, Path};
use super::{meta, names};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

/// What is wrong with a new Pod.
pub fn create(pod: &Object) -> Errors {
    let mut errors = metadata_and_spec(pod, &Options::of_pod(None));
    let spec = pod.json().field("spec");
    let path = Path::new("spec");
    if !spec.list("ephemeralContainers").is_empty() {
        errors.push(field::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !spec.text("nodeName").is_empty() && !spec.list("schedulingGates").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(field::forbidden(&path.child("nodeName"), detail));
    }
    let annotations = pod.json().field("metadata").field("annotations");
    errors.extend(annotations::seccomp_matches(annotations, spec, &path));
    errors.extend(annotations::apparmor_matches(annotations, spec, &path));
    errors
}

/// What a Pod's metadata and spec must be, new or changed.
fn metadata_and_spec(pod: &Object, options: &Options) -> Errors {
    let mut errors = meta::create(pod, true, names::name_is_subdomain);
    let spec = pod.json().field("spec");
    let path = Path::new("spec");
    let annotations = pod.json().field("metadata").field("annotations");
    errors.extend(annotations::validate(annotations, spec, &Path::new("metadata").child("annotations"), options));
    errors.extend(spec::validate(spec, pod.json().field("metadata"), &path, options));
    if spec.text("serviceAccountName").is_empty() {
        errors.extend(projected::tokens_without_account(spec, &path));
    }
    for kind in ["containers", "initContainers"] {
        for (index, container) in spec.list(kind).iter().enumerate() {
            errors.extend(container::only_for_pod(container, &path.child(kind).index(index)));
        }
    }
    errors
}

/// The rules for a Pod template (`spec.template` of a workload); `path` is the template's own.
/// `old` is the template before the change: what it already had and newer rules forbid stays allowed.
pub fn template(template: &Json, path: &Path, old: Option<&Json>) -> Errors {
    let options = Options::of_template(old);
    let (metadata, spec) = (template.field("metadata"), template.field("spec"));
    let (annotations, spec_path) = (metadata.field("annotations"), path.child("spec"));
    let mut errors = meta::labels(metadata.get("labels"), &path.child("labels"));
    let at = path.child("annotations");
    errors.extend(meta::annotations(metadata.get("annotations"), &at));
    errors.extend(annotations::validate(annotations, spec, &at, &options));
    errors.extend(spec::validate(spec, metadata, &spec_path, &options));
    errors.extend(annotations::seccomp_matches(annotations, spec, &spec_path));
    errors.extend(annotations::apparmor_matches(annotations, spec, &spec_path));
    if !spec.list("ephemeralContainers").is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(field::forbidden(&spec_path.child("ephemeralContainers"), detail));
    }
    errors
}

/// All containers of a PodSpec with their paths: init, regular, ephemeral.
fn all_containers<'a>(spec: &'a Json, path: &Path) -> Vec<(&'a Json, Path)> {
    let kinds = ["initContainers", "containers", "ephemeralContainers"];
    kinds
        .into_iter()
        .flat_map(|kind| {
            let path = path.child(kind);
            spec.list(kind).iter().enumerate().map(move |(i, container)| (container, path.index(i)))
        })
        .collect()
}

#[cfg(test)]
mod tests;
