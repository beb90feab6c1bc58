//! Whether a RuntimeClass, a VolumeAttributesClass or a CSIStorageCapacity may be.
//! Source: pkg/apis/node/validation/validation.go, pkg/apis/storage/validation/validation.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::storage::{parameters, provisioner};
use super::{meta, names, node_selector, pod, rules, selector};
use crate::api::tree::Tree;
use crate::api::{Json, Object, quantity::Quantity};

pub fn runtime(object: &Object) -> Errors {
    let tree = object.json();
    let (handler, scheduling) = (tree.text("handler"), tree.field("scheduling"));
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    errors.extend(rules::each(&Path::new("handler"), handler, names::dns1123_label(handler)));
    errors.extend(pod::fixed_overhead(tree.field("overhead").field("podFixed"), &Path::new("overhead")));
    let path = Path::new("scheduling");
    errors.extend(meta::labels(scheduling.get("nodeSelector"), &path.child("nodeSelector")));
    errors.extend(tolerations(scheduling.list("tolerations"), &path.child("tolerations")));
    errors
}

/// The rules of tolerations, and each only once.
fn tolerations(tolerations: &[Json], path: &Path) -> Errors {
    let mut errors = pod::tolerations(tolerations, path);
    let mut seen = BTreeSet::new();
    for (i, toleration) in tolerations.iter().enumerate() {
        if !seen.insert(["key", "operator", "value", "effect"].map(|name| toleration.text(name))) {
            errors.push(rules::duplicate_struct(&path.index(i), "Toleration", toleration));
        }
    }
    errors
}

pub fn runtime_update(new: &Object, old: &Object) -> Errors {
    let mut errors = runtime(new);
    errors.extend(meta::update(new, old));
    let handler = (new.json().field("handler"), old.json().field("handler"));
    errors.extend(rules::immutable(&Path::new("handler"), "", handler.0, handler.1));
    errors
}

/// Labels that have a newer name. Source: pkg/api/node/util.go.
pub fn runtime_warnings(object: &Object) -> Vec<String> {
    let labels = object.json().field("scheduling").entries("nodeSelector").into_iter();
    let reasons = labels.filter_map(|(key, _)| node_selector::deprecated_label(key));
    reasons.map(|reason| format!("scheduling.nodeSelector: {reason}")).collect()
}

pub fn attributes(object: &Object) -> Errors {
    let (tree, path) = (object.json(), Path::new("parameters"));
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    errors.extend(provisioner(tree.text("driverName"), &Path::new("driverName")));
    errors.extend(parameters(tree, &path));
    if tree.entries("parameters").is_empty() {
        errors.push(field::required(&path, "must contain at least one key/value pair"));
    }
    errors
}

pub fn attributes_update(new: &Object, old: &Object) -> Errors {
    let mut errors = attributes(new);
    errors.extend(meta::update(new, old));
    for name in ["driverName", "parameters"] {
        if new.json().field(name) != old.json().field(name) {
            errors.push(field::forbidden(&Path::new(name), &format!("updates to {name} are forbidden.")));
        }
    }
    errors.extend(attributes(new));
    errors
}

pub fn capacity(object: &Object) -> Errors {
    let (tree, class) = (object.json(), object.json().text("storageClassName"));
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(selector::label_selector(tree.get("nodeTopology"), &Path::new("nodeTopology")));
    errors.extend(rules::each(&Path::new("storageClassName"), class, names::dns1123_subdomain(class)));
    if let Some(amount) = tree.opt_text("capacity").and_then(|text| Quantity::parse(text).ok())
        && amount < Quantity::zero()
    {
        errors.push(field::invalid(&Path::new("capacity"), amount.to_string(), super::NOT_NEGATIVE));
    }
    errors
}

pub fn capacity_update(new: &Object, old: &Object) -> Errors {
    let mut errors = capacity(new);
    errors.extend(meta::update(new, old));
    for (name, kind) in [("nodeTopology", "LabelSelector"), ("storageClassName", "")] {
        errors.extend(rules::immutable(&Path::new(name), kind, new.json().field(name), old.json().field(name)));
    }
    errors
}

/// Labels that have a newer name. Source: pkg/api/node/util.go.
pub fn capacity_warnings(object: &Object) -> Vec<String> {
    let (topology, path) = (object.json().field("nodeTopology"), Path::new("nodeTopology"));
    let mut warnings = Vec::new();
    for (i, requirement) in topology.list("matchExpressions").iter().enumerate() {
        let key = requirement.text("key");
        if let Some(reason) = node_selector::deprecated_label(key) {
            warnings.push(format!("{}: {key} is {reason}", path.child("matchExpressions").index(i).child("key")));
        }
    }
    for (key, _) in topology.entries("matchLabels") {
        if let Some(reason) = node_selector::deprecated_label(key) {
            warnings.push(format!("{}: {reason}", path.child("matchLabels").child(key)));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(errors: &Errors) -> Vec<String> {
        errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
    }

    fn object(mut tree: Json) -> Object {
        tree["metadata"] = json!({"name": "a", "namespace": "n", "resourceVersion": "1"});
        Object::new(tree)
    }

    fn cluster_wide(mut tree: Json) -> Object {
        tree["metadata"] = json!({"name": "a", "resourceVersion": "1"});
        Object::new(tree)
    }

    #[test]
    fn a_runtime_class_tolerates_each_thing_once_and_keeps_its_handler() {
        let toleration = json!({"key": "k", "operator": "Exists"});
        let of = |handler: &str| {
            let scheduling = json!({"tolerations": [toleration, toleration], "nodeSelector": {"beta.kubernetes.io/os": "a"}});
            let overhead = json!({"podFixed": {"cpu": "-1"}});
            cluster_wide(json!({"handler": handler, "scheduling": scheduling, "overhead": overhead}))
        };
        let errors = shown(&runtime_update(&of("b"), &of("a")));
        let twice = r#"Duplicate value: {"Key":"k","Operator":"Exists","Value":"","Effect":"","TolerationSeconds":null}"#;
        assert_eq!(
            errors,
            [
                "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                &format!("scheduling.tolerations[1]: {twice}"),
                "handler: Invalid value: \"b\": field is immutable",
            ]
        );
        let told = "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead";
        assert_eq!(runtime_warnings(&of("a")), [told]);
    }

    #[test]
    fn a_class_of_attributes_stays_as_it_is() {
        let old = cluster_wide(json!({"driverName": "example.com/a", "parameters": {"a": "b"}}));
        let new = cluster_wide(json!({"driverName": "example.com/b", "parameters": {}}));
        let missing = "parameters: Required value: must contain at least one key/value pair";
        let changed = |name: &str| format!("{name}: Forbidden: updates to {name} are forbidden.");
        assert_eq!(
            shown(&attributes_update(&new, &old)),
            [missing, &changed("driverName"), &changed("parameters"), missing]
        );
    }

    #[test]
    fn a_capacity_is_of_one_class_and_topology() {
        let old = object(json!({"storageClassName": "a", "nodeTopology": {"matchLabels": {"zone": "a"}}}));
        let mut new = old.clone();
        new.json_mut()["storageClassName"] = json!("b");
        new.json_mut()["capacity"] = json!("-1");
        new.json_mut()["nodeTopology"] = json!({"matchLabels": {"beta.kubernetes.io/os": "a"}});
        let topology = r#"{"matchLabels":{"beta.kubernetes.io/os":"a"}}"#;
        assert_eq!(
            shown(&capacity_update(&new, &old)),
            [
                "capacity: Invalid value: \"-1\": must be greater than or equal to 0",
                &format!("nodeTopology: Invalid value: {topology}: field is immutable"),
                "storageClassName: Invalid value: \"b\": field is immutable",
            ]
        );
        let told = "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead";
        assert_eq!(capacity_warnings(&new), [told]);
    }
}
