//! Which module holds the rules of which kind (all but Pod).

use crate::api::{Gvk, Object};

use super::field::Errors;

/// The kind's own rules for a new object; its metadata is theirs to check, too.
pub fn create(gvk: &Gvk, object: &Object) -> Errors {
    let _ = (gvk, object);
    Errors::new()
}

/// The kind's own rules for a change; its metadata is theirs to check, too.
pub fn update(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    let _ = (gvk, new, old);
    Errors::new()
}

/// The kind's own rules for a change of its status.
pub fn update_status(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    let _ = (gvk, new, old);
    Errors::new()
}

/// Warnings about an accepted object.
pub fn warnings(gvk: &Gvk, new: &Object, old: Option<&Object>) -> Vec<String> {
    let _ = (gvk, new, old);
    Vec::new()
}
