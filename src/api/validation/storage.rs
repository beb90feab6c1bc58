//! Whether a StorageClass or a CSIDriver may be. Source: pkg/apis/storage/validation/validation.go.

use std::collections::{BTreeMap, BTreeSet};

use super::field::{self, Errors, Path};
use super::{meta, names, node_selector, rules};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETERS_BYTES: usize = 256 * 1024;

pub fn class(object: &Object) -> Errors {
    let tree = object.json();
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    errors.extend(provisioner(tree.text("provisioner"), &Path::new("provisioner")));
    errors.extend(parameters(tree, &Path::new("parameters")));
    one_of(tree, "reclaimPolicy", &["Delete", "Retain"], &mut errors);
    if tree.has("volumeBindingMode") {
        one_of(tree, "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"], &mut errors);
    } else {
        errors.push(field::required(&Path::new("volumeBindingMode"), ""));
    }
    errors.extend(topologies(tree.list("allowedTopologies"), &Path::new("allowedTopologies")));
    errors
}

fn one_of(tree: &Json, name: &str, allowed: &[&str], errors: &mut Errors) {
    let value = tree.text(name);
    if !value.is_empty() && !allowed.contains(&value) {
        errors.push(field::not_supported(&Path::new(name), value, allowed));
    }
}

pub fn provisioner(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![field::required(path, "")];
    }
    let lower = name.to_lowercase();
    rules::each(path, &lower, names::qualified_name(&lower))
}

pub fn parameters(tree: &Json, path: &Path) -> Errors {
    let parameters = tree.entries("parameters");
    if parameters.len() > MAX_PARAMETERS {
        return vec![field::too_long(path, MAX_PARAMETERS as i64)];
    }
    let mut errors = Errors::new();
    if parameters.iter().any(|(key, _)| key.is_empty()) {
        errors.push(field::invalid(path, "", "field can not be empty."));
    }
    let size: usize = parameters.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > MAX_PARAMETERS_BYTES {
        errors.push(field::too_long(path, MAX_PARAMETERS_BYTES as i64));
    }
    errors
}

fn topologies(terms: &[Json], path: &Path) -> Errors {
    // Kubernetes compares with as many empty terms as there are terms, too.
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = vec![BTreeMap::new(); terms.len()];
    let mut errors = Errors::new();
    for (i, term) in terms.iter().enumerate() {
        let path = path.index(i).child("matchLabelExpressions");
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (i, requirement) in term.list("matchLabelExpressions").iter().enumerate() {
            let (key, values, path) = (requirement.text("key"), requirement.texts("values"), path.index(i));
            if values.is_empty() {
                errors.push(field::required(&path.child("values"), ""));
            }
            let mut set = BTreeSet::new();
            for (i, value) in values.into_iter().enumerate() {
                if !set.insert(value) {
                    errors.push(field::duplicate(&path.child("values").index(i), value));
                }
            }
            errors.extend(meta::label_name(key, &path.child("key")));
            if keys.insert(key, set).is_some() {
                errors.push(field::duplicate(&path.child("key"), key));
            }
        }
        for _ in seen.iter().filter(|other| **other == keys) {
            errors.push(field::duplicate(&path, ""));
        }
        seen.push(keys);
    }
    errors
}

/// Topologies by labels that have a newer name. Source: pkg/api/storage/util.go.
pub fn class_warnings(object: &Object) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, term) in object.json().list("allowedTopologies").iter().enumerate() {
        for (j, requirement) in term.list("matchLabelExpressions").iter().enumerate() {
            if let Some(reason) = node_selector::deprecated_label(requirement.text("key")) {
                warnings.push(format!("allowedTopologies[{i}].matchLabelExpressions[{j}].key: {reason}"));
            }
        }
    }
    warnings
}

pub fn class_update(new: &Object, old: &Object) -> Errors {
    let mut errors = class(new);
    errors.extend(meta::update(new, old));
    let (new, old) = (new.json(), old.json());
    for name in ["parameters", "provisioner", "reclaimPolicy"] {
        if new.field(name) != old.field(name) {
            errors.push(field::forbidden(&Path::new(name), &format!("updates to {name} are forbidden.")));
        }
    }
    let mode = "volumeBindingMode";
    errors.extend(rules::immutable(&Path::new(mode), "", new.field(mode), old.field(mode)));
    errors
}

pub fn csi_driver(object: &Object) -> Errors {
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    errors.extend(csi_driver_spec(object.json().field("spec")));
    errors
}

fn csi_driver_spec(spec: &Json) -> Errors {
    const POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
    let path = Path::new("spec");
    let required =
        [("attachRequired", "attachedRequired"), ("podInfoOnMount", "podInfoOnMount"), ("storageCapacity", "storageCapacity")];
    let missing = required.iter().filter(|(name, _)| !spec.has(name));
    let mut errors: Errors = missing.map(|(_, shown)| field::required(&path.child(shown), "")).collect();
    if let Some(policy) = spec.opt_text("fsGroupPolicy").filter(|policy| !POLICIES.contains(policy)) {
        errors.push(field::not_supported(&path.child("fsGroupPolicy"), policy, POLICIES));
    }
    errors.extend(token_requests(spec.list("tokenRequests"), &path.child("tokenRequests")));
    for mode in spec.texts("volumeLifecycleModes").into_iter().filter(|m| !matches!(*m, "Persistent" | "Ephemeral")) {
        let path = path.child("volumeLifecycleModes");
        errors.push(field::not_supported(&path, mode, &["Persistent", "Ephemeral"]));
    }
    if !spec.has("seLinuxMount") {
        errors.push(field::required(&path.child("seLinuxMount"), ""));
    }
    let period = "nodeAllocatableUpdatePeriodSeconds";
    if let Some(seconds) = spec.opt_int(period).filter(|seconds| *seconds < 10) {
        let detail = "must be greater than or equal to 10 seconds";
        errors.push(field::invalid(&path.child(period), seconds, detail));
    }
    let in_secrets = "serviceAccountTokenInSecrets";
    if spec.has(in_secrets) && spec.list("tokenRequests").is_empty() {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(field::invalid(&path.child(in_secrets), spec.field(in_secrets).clone(), detail));
    }
    errors
}

fn token_requests(requests: &[Json], path: &Path) -> Errors {
    let mut seen = BTreeSet::new();
    let mut errors = Errors::new();
    for (i, request) in requests.iter().enumerate() {
        let (audience, path) = (request.text("audience"), path.index(i));
        if !seen.insert(audience) {
            errors.push(field::duplicate(&path.child("audience"), audience));
            continue;
        }
        let Some(seconds) = request.opt_int("expirationSeconds") else { continue };
        let path = path.child("expirationSeconds");
        if seconds < 600 {
            errors.push(field::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > 1 << 32 {
            errors.push(field::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
    errors
}

pub fn csi_driver_update(new: &Object, old: &Object) -> Errors {
    let (spec, old_spec, path) = (new.json().field("spec"), old.json().field("spec"), Path::new("spec"));
    let mut errors = meta::update(new, old);
    errors.extend(csi_driver_spec(spec));
    for (name, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
        errors.extend(rules::immutable(&path.child(shown), "", spec.field(name), old_spec.field(name)));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(errors: &Errors) -> Vec<String> {
        errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
    }

    #[test]
    fn a_drivers_tokens_in_secrets_need_requests() {
        let mut spec = json!({
            "attachRequired": true, "podInfoOnMount": false, "storageCapacity": false, "seLinuxMount": false,
            "serviceAccountTokenInSecrets": false, "tokenRequests": [{"audience": "a"}],
        });
        let of = |spec: &Json| {
            let driver = json!({"metadata": {"name": "csi.example.com"}, "spec": spec});
            shown(&csi_driver(&Object::new(driver)))
        };
        assert_eq!(of(&spec), Vec::<String>::new());
        spec["tokenRequests"] = json!([]);
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        assert_eq!(of(&spec), [format!("spec.serviceAccountTokenInSecrets: Invalid value: false: {detail}")]);
    }

    #[test]
    fn a_changed_class_is_judged_as_a_new_one_too() {
        let class = |provisioner: &str, topologies: Json| {
            Object::new(json!({
                "metadata": {"name": "c", "resourceVersion": "1"}, "provisioner": provisioner, "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate", "allowedTopologies": topologies,
            }))
        };
        let old = class("example.com/a", Json::Null);
        let gone = shown(&class_update(&class("", Json::Null), &old));
        let forbidden = "provisioner: Forbidden: updates to provisioner are forbidden.";
        assert_eq!(gone, ["provisioner: Required value", forbidden]);
        let term = json!({"matchLabelExpressions": [{"key": "zone", "values": []}]});
        let at = "allowedTopologies[0].matchLabelExpressions[0]";
        let bad = shown(&class_update(&class("example.com/a", json!([term])), &old));
        assert_eq!(bad, [format!("{at}.values: Required value")]);
        let empty = shown(&class_update(&class("example.com/a", json!([{}])), &old));
        assert_eq!(empty, ["allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\""]);
    }
}
