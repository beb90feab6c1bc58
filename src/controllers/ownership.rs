//! Controller references: who owns what, adoption of orphans and release of what no longer fits.
//! Source of the rules: pkg/controller/controller_ref_manager.go.

use std::sync::Arc;

use serde_json::json;

use super::Decision;
use super::resources::{dig, key_of};
use crate::api::{GroupResource, Json, Key, Object};
use crate::state::{Dependent, State};

/// A reference to the owner as its controller.
pub(super) fn controller_ref(owner: &Object) -> Json {
    json!({
        "apiVersion": owner.api_version(),
        "kind": owner.kind(),
        "name": owner.name(),
        "uid": owner.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The objects of a resource that `owner` controls, by name.
pub(super) fn controlled<'a>(
    state: &'a State,
    owner: &Object,
    resource: &GroupResource,
) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
    state.controlled_by(owner.uid(), resource, owner.namespace()).map(Dependent::object)
}

/// What `owner` controls after taking in the orphans that fit and letting go what does not, each as `seen` sees it;
/// what that gives nothing for is left alone. The patches that this takes are added to the decision; what is let go is
/// not in the answer.
pub(super) fn claim<'s, T>(
    state: &'s State,
    owner: &Object,
    resource: &GroupResource,
    seen: impl Fn(&'s Arc<Object>, Option<&'s Dependent>) -> Option<T>,
    fits: impl Fn(&T) -> bool,
    decision: &mut Decision,
) -> Vec<T> {
    claim_tracked(state, owner, resource, seen, fits, None, decision)
}

/// As [`claim`], where what is owned carries a finalizer as long as it is.
pub(super) fn claim_tracked<'s, T>(
    state: &'s State,
    owner: &Object,
    resource: &GroupResource,
    seen: impl Fn(&'s Arc<Object>, Option<&'s Dependent>) -> Option<T>,
    fits: impl Fn(&T) -> bool,
    finalizer: Option<&str>,
    decision: &mut Decision,
) -> Vec<T> {
    let mut claimed = Vec::new();
    for owned in state.controlled_by(owner.uid(), resource, owner.namespace()) {
        let object = owned.object();
        let Some(view) = seen(object, Some(owned)) else { continue };
        if fits(&view) {
            claimed.push(view);
        } else if !owner.is_deleting() {
            release(owner, resource, object, finalizer, decision);
        }
    }
    if owner.is_deleting() {
        return claimed;
    }
    for orphan in state.uncontrolled(resource, owner.namespace()).filter(|orphan| !orphan.is_deleting()) {
        if let Some(view) = seen(orphan, None).filter(&fits) {
            adopt(owner, resource, orphan, finalizer, decision);
            claimed.push(view);
        }
    }
    claimed
}

fn adopt(
    owner: &Object,
    resource: &GroupResource,
    orphan: &Object,
    finalizer: Option<&str>,
    decision: &mut Decision,
) {
    let mut references = orphan.owner_references().to_vec();
    references.push(controller_ref(owner));
    let mut patch = json!({"metadata": {"uid": orphan.uid(), "ownerReferences": references}});
    if let Some(finalizer) = finalizer.filter(|wanted| orphan.finalizers().all(|f| f != *wanted)) {
        let all: Vec<&str> = orphan.finalizers().chain([finalizer]).collect();
        patch["metadata"]["finalizers"] = json!(all);
    }
    decision.patch(key_of(resource, orphan), patch);
}

/// Takes the reference to `owner` off the object, and the finalizer with it.
fn release(
    owner: &Object,
    resource: &GroupResource,
    object: &Object,
    finalizer: Option<&str>,
    decision: &mut Decision,
) {
    let mut patch =
        json!({"metadata": {"uid": object.uid(), "ownerReferences": without_owner(object, owner.uid())}});
    if finalizer.is_some_and(|held| object.finalizers().any(|f| f == held)) {
        let left: Vec<&str> = object.finalizers().filter(|f| Some(*f) != finalizer).collect();
        patch["metadata"]["finalizers"] = if left.is_empty() { Json::Null } else { json!(left) };
    }
    decision.patch(key_of(resource, object), patch);
}

/// The object's owner references without those to `uid`; `Null` where none is left.
pub(super) fn without_owner(object: &Object, uid: &str) -> Json {
    let left: Vec<_> = object.owner_references().iter().filter(|r| dig(r, &["uid"]) != uid).cloned().collect();
    if left.is_empty() { Json::Null } else { Json::Array(left) }
}

/// The key of the object's controller when that is of `kind` (and still the one with the uid).
pub(super) fn controller_key(state: &State, object: &Object, kind: &str, resource: &GroupResource) -> Option<Key> {
    let reference = object.controller_ref()?;
    if dig(reference, &["kind"]) != kind {
        return None;
    }
    let key = Key::new(resource.clone(), object.namespace(), dig(reference, &["name"]).as_str()?);
    let owner = state.get(&key)?;
    (Some(owner.uid()) == object.controller_uid()).then_some(key)
}
