//! Whether an object may be: Kubernetes' rules for every field, worded as the API server words them.

pub mod field;
pub mod internal_form;
pub mod unified_diff;

use super::{Gvk, Object};
use field::Errors;

/// What is wrong with a new object (defaults are already in it). Empty: it may be created.
pub fn create(gvk: &Gvk, object: &Object) -> Errors {
    let _ = (gvk, object);
    Errors::new()
}

/// What is wrong with changing `old` into `new` by the main resource.
pub fn update(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    let _ = (gvk, new, old);
    Errors::new()
}

/// What is wrong with changing `old` into `new` by the subresource `status`.
pub fn update_status(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    let _ = (gvk, new, old);
    Errors::new()
}

/// Texts for `Warning` headers about an object that is accepted (deprecated fields, odd values).
pub fn warnings(gvk: &Gvk, new: &Object, old: Option<&Object>) -> Vec<String> {
    let _ = (gvk, new, old);
    Vec::new()
}
