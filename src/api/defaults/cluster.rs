//! Defaults of Namespace, Node, Secret, LimitRange, ResourceQuota, PriorityClass and the storage kinds.
//! Source: pkg/apis/{core,scheduling,storage}/v1/defaults.go.

use base64::Engine as _;

use super::pod::round_resources;
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
    round_resources(status.get_mut("capacity"));
    round_resources(status.get_mut("allocatable"));
    if status.has("capacity") && !status.has("allocatable") {
        status["allocatable"] = status.field("capacity").clone();
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
    no_null_bytes(tree, "data");
}

pub fn config_map(tree: &mut Json) {
    no_null_bytes(tree, "binaryData");
}

/// Bytes that are null come back empty: what a kube-apiserver keeps, and what it only tries, goes through protobuf, which
/// knows no null.
fn no_null_bytes(tree: &mut Json, name: &str) {
    let data = present(tree, name).and_then(Json::as_object_mut);
    for value in data.into_iter().flat_map(|data| data.values_mut()).filter(|value| value.is_null()) {
        *value = "".into();
    }
}

/// For containers: max → default → defaultRequest ← min.
pub fn limit_range(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    for item in items(spec, "limits") {
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            round_resources(item.get_mut(list));
        }
        if item.text("type") != "Container" {
            continue;
        }
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

pub fn resource_quota(tree: &mut Json) {
    for (part, list) in [("spec", "hard"), ("status", "hard"), ("status", "used")] {
        round_resources(present(tree, part).and_then(|part| part.get_mut(list)));
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
    let client = present(spec, "conversion").and_then(|c| present(c, "webhook")).and_then(|w| present(w, "clientConfig"));
    if let Some(service) = client.and_then(|client| present(client, "service")) {
        default_to(service, "port", 443);
    }
    let stored = spec.list("versions").iter().find(|version| version.flag("storage"));
    let stored = stored.map(|version| version.text("name").to_owned());
    if let (Some(status), Some(stored)) = (present(tree, "status"), stored)
        && status.list("storedVersions").is_empty()
    {
        status["storedVersions"] = Json::Array(vec![stored.into()]);
    }
    let Some(spec) = present(tree, "spec") else { return };
    let kind = spec.field("names").text("kind").to_owned();
    if kind.is_empty() {
        return;
    }
    if let Some(names) = present(spec, "names") {
        default_text(names, "singular", &kind.to_lowercase());
        default_text(names, "listKind", &format!("{kind}List"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_told_in_thousandths() {
        let mut quota = json!({"spec": {"hard": {"cpu": "1.0001"}}});
        resource_quota(&mut quota);
        assert_eq!(quota["spec"]["hard"]["cpu"], "1001m");
        let mut range = json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "0.0001"}}]}});
        limit_range(&mut range);
        assert_eq!(range["spec"]["limits"][0]["max"]["cpu"], "1m");
    }

    #[test]
    fn bytes_that_are_null_are_empty() {
        let mut map = json!({"binaryData": {"key.der": null, "seal": "AQI="}});
        config_map(&mut map);
        assert_eq!(map, json!({"binaryData": {"key.der": "", "seal": "AQI="}}));
    }

    #[test]
    fn what_a_node_can_allocate_is_its_own_say() {
        let mut tree = json!({"status": {"capacity": {"cpu": "4", "memory": "1Gi"}, "allocatable": {"cpu": "3"}}});
        node(&mut tree);
        assert_eq!(tree["status"]["allocatable"], json!({"cpu": "3"}));
        let mut tree = json!({"status": {"capacity": {"cpu": "4"}}});
        node(&mut tree);
        assert_eq!(tree["status"]["allocatable"], json!({"cpu": "4"}));
    }

    #[test]
    fn a_definition_knows_its_stored_version_and_the_port_of_its_webhook() {
        let service = json!({"namespace": "n", "name": "s"});
        let conversion = json!({"strategy": "Webhook", "webhook": {"clientConfig": {"service": service}}});
        let versions = json!([{"name": "v1"}, {"name": "v2", "storage": true}]);
        let spec = json!({"names": {"kind": "Thing"}, "conversion": conversion, "versions": versions});
        let mut tree = json!({"spec": spec, "status": {"storedVersions": []}});
        definition(&mut tree);
        assert_eq!(tree["status"]["storedVersions"], json!(["v2"]));
        assert_eq!(tree.pointer("/spec/conversion/webhook/clientConfig/service/port"), Some(&json!(443)));
        assert_eq!(tree["spec"]["names"], json!({"kind": "Thing", "singular": "thing", "listKind": "ThingList"}));
    }
}
