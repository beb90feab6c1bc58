//! Warnings about Pods.
use crate::api::Object;

pub fn of_pod(new: &Object, old: Option<&Object>) -> Vec<String> {
    let _ = (new, old);
    Vec::new()
}

/// Warnings about a template within another object, at `path`.
pub fn of_template(path: &super::Path, new: &crate::api::Json, old: Option<&crate::api::Json>) -> Vec<String> {
    let _ = (path, new, old);
    Vec::new()
}
