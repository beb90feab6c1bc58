//! The garbage collector: what has no owner left goes, what is deleted in the foreground waits for what
//! it owns, what is deleted as an orphanage lets it go free.
//! Source: pkg/controller/garbagecollector/garbagecollector.go.

use std::sync::Arc;

use serde_json::json;

use super::{Context, Controller, Decision, Propagation, Write};
use crate::api::{Json, Key, Object};
use crate::state::{Change, State};

/// Source: k8s.io/apimachinery/pkg/apis/meta/v1/types.go.
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Collects garbage of every kind.
pub struct GarbageCollector;

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let mut keys = Vec::new();
        if let Some(after) = &change.after {
            if !after.owner_references().is_empty() || waits(after) {
                keys.push(change.key.clone());
            }
            if waits(after) && change.before.as_ref().is_none_or(|before| !before.is_deleting()) {
                keys.extend(state.keys_owned_by(after.uid()).cloned());
            }
        } else if let Some(before) = &change.before {
            keys.extend(state.keys_owned_by(before.uid()).cloned());
        }
        // An owner that waits for its dependents looks again when one of them has changed.
        for object in change.before.iter().chain(&change.after) {
            let owners = object.owner_references().iter().filter_map(|r| owner(state, r));
            keys.extend(owners.filter(|(_, owner)| waits(owner)).map(|(key, _)| key));
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let Some(object) = state.get(key) else { return Decision::none() };
        if object.is_deleting() {
            if has(object, ORPHAN) {
                return set_free(state, key, object);
            }
            if has(object, FOREGROUND) {
                return wait_for_dependents(state, key, object);
            }
            return Decision::none();
        }
        collect(state, key, object)
    }
}

fn has(object: &Object, finalizer: &str) -> bool {
    object.finalizers().any(|f| f == finalizer)
}

/// Whether an object is only there until the collector has dealt with what it owns.
fn waits(object: &Object) -> bool {
    object.is_deleting() && (has(object, FOREGROUND) || has(object, ORPHAN))
}

fn text<'j>(reference: &'j Json, field: &str) -> &'j str {
    reference.get(field).and_then(Json::as_str).unwrap_or("")
}

/// The object that an owner reference means, if it is there.
fn owner<'s>(state: &'s State, reference: &Json) -> Option<(Key, &'s Arc<Object>)> {
    let key = state.key_with_uid(text(reference, "uid"))?;
    Some((key.clone(), state.get(key)?))
}

/// Takes an object's references to an owner away.
fn without(object: &Object, gone: impl Fn(&Json) -> bool) -> Json {
    let kept: Vec<&Json> = object.owner_references().iter().filter(|r| !gone(r)).collect();
    json!({"metadata": {"uid": object.uid(), "ownerReferences": if kept.is_empty() { Json::Null } else { json!(kept) }}})
}

fn without_finalizer(object: &Object, finalizer: &str) -> Json {
    let kept: Vec<&str> = object.finalizers().filter(|f| *f != finalizer).collect();
    json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": if kept.is_empty() { Json::Null } else { json!(kept) }}})
}

fn set_free(state: &State, key: &Key, object: &Object) -> Decision {
    let mut decision = Decision::none();
    for dependent in state.keys_owned_by(object.uid()) {
        if let Some(held) = state.get(dependent) {
            decision.patch(dependent.clone(), without(held, |r| text(r, "uid") == object.uid()));
        }
    }
    if decision.is_empty() {
        decision.patch(key.clone(), without_finalizer(object, ORPHAN));
    }
    decision
}

fn wait_for_dependents(state: &State, key: &Key, object: &Object) -> Decision {
    let blocks = |held: &&Arc<Object>| {
        held.owner_references().iter().any(|r| {
            text(r, "uid") == object.uid() && r.get("blockOwnerDeletion").and_then(Json::as_bool) == Some(true)
        })
    };
    let mut decision = Decision::none();
    if !state.owned_by(object.uid()).any(|held| blocks(&held)) {
        decision.patch(key.clone(), without_finalizer(object, FOREGROUND));
    }
    decision
}

/// Deletes what no owner holds any more; takes references away that lead nowhere.
fn collect(state: &State, key: &Key, object: &Object) -> Decision {
    let mut decision = Decision::none();
    let (mut solid, mut waiting, mut dangling) = (0, 0, 0);
    let is_absent = |reference: &Json| owner(state, reference).is_none();
    // Whether it holds the owner up or not.
    let is_waiting =
        |reference: &Json| owner(state, reference).is_some_and(|(_, o)| o.is_deleting() && has(o, FOREGROUND));
    for reference in object.owner_references() {
        if is_absent(reference) {
            dangling += 1;
        } else if is_waiting(reference) {
            waiting += 1;
        } else {
            solid += 1;
        }
    }
    if solid > 0 {
        if dangling + waiting > 0 {
            decision.patch(key.clone(), without(object, |r| is_absent(r) || is_waiting(r)));
        }
        return decision;
    }
    if dangling + waiting == 0 {
        return decision;
    }
    let owns = state.keys_owned_by(object.uid()).next().is_some();
    let propagation = if waiting > 0 && owns {
        Propagation::Foreground
    } else if has(object, ORPHAN) {
        Propagation::Orphan
    } else if has(object, FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let uid = Some(object.uid().to_owned());
    decision.writes.push(Write::Delete { key: key.clone(), uid, propagation: Some(propagation), grace_seconds: None });
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_waits_is_let_go_of_where_another_holds_on() {
        let mut state = State::new();
        let mut put = |name: &str, metadata: Json| {
            let mut tree = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
            tree["metadata"]["name"] = json!(name);
            tree["metadata"]["uid"] = json!(name);
            tree["metadata"]["namespace"] = json!("n");
            let object = Object::new(tree);
            let key = Key::new(crate::api::GroupResource::new("", "configmaps"), "n", name);
            state.put(key.clone(), object);
            key
        };
        put("holds", json!({}));
        put("waits", json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [FOREGROUND]}));
        let owner = |uid: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid});
        let key = put("owned", json!({"ownerReferences": [owner("holds"), owner("waits"), owner("gone")]}));
        let decision = collect(&state, &key, state.get(&key).unwrap());
        let [Write::Patch { patch, .. }] = decision.writes.as_slice() else { panic!("{decision:?}") };
        assert_eq!(patch["metadata"]["ownerReferences"], json!([owner("holds")]));
    }
}
