//! Whether an object may be: Kubernetes' rules for every field, worded as the API server words them.

pub mod autoscaling;
pub mod claim;
pub mod classes;
pub mod cluster;
pub mod config;
pub mod cron_job;
pub mod custom_resource;
pub mod definition_parts;
pub mod endpoints;
pub mod event;
pub mod field;
pub mod internal_form;
pub mod ips;
pub mod job;
pub mod job_policies;
pub mod job_status;
pub mod kinds;
pub mod limits;
pub mod meta;
pub mod names;
pub mod networking;
pub mod node_selector;
pub mod pod;
#[cfg(test)]
mod properties;
pub mod rbac;
pub mod resource_names;
pub mod rules;
pub mod selector;
pub mod service;
pub mod service_addresses;
pub mod statuses;
pub mod storage;
pub mod unified_diff;
pub mod volume;
pub mod volume_sources;
pub mod workloads;

use super::{Gvk, Object, schema::Schema};
use field::Errors;

/// What a number that may not be negative must be.
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
/// Said of a field that may not change.
pub const IMMUTABLE: &str = "field is immutable";

/// What is wrong with a new object (defaults are already in it). Empty: it may be created.
/// Where the kind's own rules find nothing, the rules for every object's metadata are asked.
/// Source: k8s.io/apiserver/pkg/registry/rest/create.go, BeforeCreate.
pub fn create(gvk: &Gvk, object: &Object) -> Errors {
    let errors = match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::create(object),
        _ => kinds::create(gvk, object),
    };
    if errors.is_empty() { meta::create_common(object, is_namespaced(gvk), names::path_segment) } else { errors }
}

/// What is wrong with changing `old` into `new` by the main resource: the rules for every object's
/// metadata first, then the kind's own, which say some of it again, as Kubernetes does.
/// Source: k8s.io/apiserver/pkg/registry/rest/update.go, BeforeUpdate.
pub fn update(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    let mut errors = update_generic(gvk, new, old);
    errors.extend(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::update(new, old),
        _ => kinds::update(gvk, new, old),
    });
    errors
}

/// What is wrong with changing `old` into `new` by the subresource `status`.
pub fn update_status(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    let mut errors = update_generic(gvk, new, old);
    errors.extend(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::update_status(new, old),
        _ => kinds::update_status(gvk, new, old),
    });
    errors
}

/// The part of every update that does not depend on the kind; also for other subresources.
pub fn update_generic(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    let mut errors = meta::create_common(new, is_namespaced(gvk), names::path_segment);
    errors.extend(meta::update_common(new, old));
    errors
}

/// Texts for `Warning` headers about an object that is accepted (deprecated fields, odd values).
pub fn warnings(gvk: &Gvk, new: &Object, old: Option<&Object>) -> Vec<String> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::warnings::of_pod(new, old),
        _ => kinds::warnings(gvk, new, old),
    }
}

/// The same about a status.
pub fn status_warnings(gvk: &Gvk, new: &Object) -> Vec<String> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::warnings::of_status(new),
        ("", "Service") => service::status_warnings(new),
        _ => Vec::new(),
    }
}

fn is_namespaced(gvk: &Gvk) -> bool {
    Schema::get().resource_of(gvk).is_none_or(|r| r.namespaced)
}
