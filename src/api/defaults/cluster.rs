//! Defaults of Namespace, Node, Secret, LimitRange, PriorityClass and the storage kinds.
//! Source: pkg/apis/{core,scheduling,storage}/v1/defaults.go.

use base64::Engine as _;

use crate::api::Json;
use crate::api::tree::{Tree, child, default_text, default_to, items, object_at, present, remove};

pub fn namespace(tree: &mut Json) {
    // The label is corrected by defaulting, before validation sees it.
    let name = tree.field("metadata").text("name").to_owned();
    if !name.is_empty()
        && let Some(labels) = child(tree, "metadata").and_then(|m| object_at(m, "labels"))
    {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
    if let Some(status) = child(tree, "status") {
        default_text(status, "phase", "Active");
    }
}

/// What can be allocated is the whole capacity unless the node says otherwise.
pub fn node(tree: &mut Json) {
    if let Some(spec) = present(tree, "spec") {
        pod_cidrs(spec);
    }
    let Some(status) = child(tree, "status") else { return };
    let capacity = status.field("capacity").clone();
    if let Json::Object(capacity) = capacity
        && let Some(allocatable) = object_at(status, "allocatable")
    {
        for (resource, amount) in capacity {
            allocatable.entry(resource).or_insert(amount);
        }
    }
}

/// The old single field and the list agree; the single one wins.
/// Source: pkg/apis/core/v1/conversion.go.
fn pod_cidrs(spec: &mut Json) {
    let single = spec.text("podCIDR").to_owned();
    let first = spec.texts("podCIDRs").first().copied().unwrap_or("").to_owned();
    if !single.is_empty() && single != first {
        spec["podCIDRs"] = Json::Array(vec![single.into()]);
    } else if !first.is_empty() {
        spec["podCIDR"] = first.into();
    }
}

/// `stringData` is taken over into `data` by the conversion; the type is `Opaque` by default.
pub fn secret(tree: &mut Json) {
    default_text(tree, "type", "Opaque");
    let strings = tree.field("stringData").clone();
    if let Json::Object(strings) = strings
        && !strings.is_empty()
        && let Some(data) = object_at(tree, "data")
    {
        for (key, text) in strings {
            let bytes = text.as_str().unwrap_or("").as_bytes();
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(bytes).into());
        }
    }
    remove(tree, "stringData");
    let data = present(tree, "data").and_then(Json::as_object_mut);
    for value in data.into_iter().flat_map(|data| data.values_mut()).filter(|value| value.is_null()) {
        *value = "".into();
    }
}

/// For containers: max → default → defaultRequest ← min.
pub fn limit_range(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    for item in items(spec, "limits").filter(|i| i.text("type") == "Container") {
        copy_missing(item, "max", "default");
        copy_missing(item, "default", "defaultRequest");
        copy_missing(item, "min", "defaultRequest");
    }
}

fn copy_missing(item: &mut Json, from: &str, to: &str) {
    if let Json::Object(source) = item.field(from).clone()
        && !source.is_empty()
        && let Some(target) = object_at(item, to)
    {
        for (resource, amount) in source {
            target.entry(resource).or_insert(amount);
        }
    }
}

pub fn priority_class(tree: &mut Json) {
    default_to(tree, "preemptionPolicy", "PreemptLowerPriority");
}

pub fn storage_class(tree: &mut Json) {
    default_to(tree, "reclaimPolicy", "Delete");
    default_to(tree, "volumeBindingMode", "Immediate");
}

pub fn csi_driver(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    default_to(spec, "attachRequired", true);
    default_to(spec, "podInfoOnMount", false);
    default_to(spec, "storageCapacity", false);
    default_to(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    default_to(spec, "requiresRepublish", false);
    default_to(spec, "seLinuxMount", false);
    if !spec.has("volumeLifecycleModes") || spec.list("volumeLifecycleModes").is_empty() {
        spec["volumeLifecycleModes"] = Json::Array(vec!["Persistent".into()]);
    }
}

/// Names that follow from the kind (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/defaults.go).
pub fn definition(tree: &mut Json) {
    let Some(spec) = present(tree, "spec") else { return };
    default_to(spec, "conversion", serde_json::json!({"strategy": "None"}));
    let kind = spec.field("names").text("kind").to_owned();
    if kind.is_empty() {
        return;
    }
    if let Some(names) = present(spec, "names") {
        default_text(names, "singular", &kind.to_lowercase());
        default_text(names, "listKind", &format!("{kind}List"));
    }
}
