//! Templates as ControllerRevisions keep them. Source: pkg/controller/history/controller_history.go.

use std::sync::Arc;

use serde_json::json;

use super::names::hash;
use super::ownership::controller_ref;
use super::resources::dig;
use crate::api::{Json, Object};

/// A template as the patch that would bring it back.
pub(super) fn data_of(template: &Json) -> Json {
    let mut template = template.clone();
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

/// The template that a revision keeps.
pub(super) fn template_of(revision: &Object) -> Json {
    let mut template = dig(revision.json(), &["data", "spec", "template"]).clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    template
}

pub(super) fn number(revision: &Object) -> i64 {
    dig(revision.json(), &["revision"]).as_i64().unwrap_or(0)
}

/// Sorts by number, then age, then name.
pub(super) fn sort(revisions: &mut [Arc<Object>]) {
    revisions.sort_by_cached_key(|r| (number(r), r.creation_timestamp(), r.name().to_owned()));
}

/// A new revision of the owner's template. Its name ends in a hash of the template, which `label` carries too.
pub(super) fn revision(owner: &Object, label: &str, number: i64, collisions: Option<i64>) -> Object {
    let template = dig(owner.json(), &["spec", "template"]);
    let hash = hash(template, collisions);
    let mut labels = dig(template, &["metadata", "labels"]).as_object().cloned().unwrap_or_default();
    labels.insert(label.into(), json!(hash));
    let mut metadata = json!({
        "name": format!("{}-{hash}", owner.name()),
        "namespace": owner.namespace(),
        "labels": labels,
        "ownerReferences": [controller_ref(owner)],
    });
    let annotations = dig(owner.json(), &["metadata", "annotations"]);
    if annotations.as_object().is_some_and(|map| !map.is_empty()) {
        metadata["annotations"] = annotations.clone();
    }
    Object::new(json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": metadata,
        "data": data_of(template),
        "revision": number,
    }))
}

/// Whether two revisions keep the same.
pub(super) fn is_same(a: &Object, b: &Object) -> bool {
    dig(a.json(), &["data"]) == dig(b.json(), &["data"])
}
