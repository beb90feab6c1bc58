//! What a namespace on its way out tells of what is left in it.
//! Source: pkg/controller/namespace/deletion/status_condition_utils.go.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::Left;
use crate::api::{Json, Object};
use crate::controllers::conditions::{field, list, new};

/// The namespace with conditions that say what is left, where they do not yet.
pub(super) fn updated(namespace: &Object, left: &Left, now: Timestamp) -> Option<Object> {
    let mut conditions = list(namespace);
    let mut changed = false;
    for (kind, status, reason, message) in wanted(left) {
        let fresh = new(kind, status, reason, &message, now);
        let Some(told) = conditions.iter_mut().find(|c| field(Some(c), "type") == kind) else {
            conditions.push(fresh);
            changed = true;
            continue;
        };
        let same = ["status", "reason", "message"].iter().all(|name| told.get(name) == fresh.get(name));
        if same {
            continue;
        }
        let since = told["lastTransitionTime"].clone();
        let kept = told["status"] == fresh["status"];
        *told = fresh;
        if kept {
            told["lastTransitionTime"] = since;
        }
        changed = true;
    }
    changed.then(|| {
        let mut told = namespace.clone();
        told.json_mut()["status"]["phase"] = json!("Terminating");
        told.json_mut()["status"]["conditions"] = Json::Array(conditions);
        told
    })
}

fn wanted(left: &Left) -> [(&'static str, &'static str, &'static str, String); 5] {
    let all_well = |kind, reason, message: &str| (kind, "False", reason, message.to_owned());
    let (resources, finalizers) = (left.by_resource(), left.by_finalizer());
    let remaining = if resources.is_empty() {
        all_well("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed")
    } else {
        let text = format!("Some resources are remaining: {}", listed(&resources, "has", "resource instances"));
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain", text)
    };
    let holding = if finalizers.is_empty() {
        let text = "All content-preserving finalizers finished";
        all_well("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", text)
    } else {
        let finalizers = listed(&finalizers, "in", "resource instances");
        let text = format!("Some content in the namespace has finalizers remaining: {finalizers}");
        ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", text)
    };
    [
        all_well("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        all_well(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        all_well(
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        remaining,
        holding,
    ]
}

fn listed(counts: &BTreeMap<String, usize>, verb: &str, noun: &str) -> String {
    counts.iter().map(|(name, count)| format!("{name} {verb} {count} {noun}")).collect::<Vec<_>>().join(", ")
}
