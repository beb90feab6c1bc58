//! Whether a Namespace, Node, ServiceAccount, PodTemplate, ControllerRevision, Lease, PodDisruptionBudget or
//! PriorityClass may be. Sources: pkg/apis/{core,apps,coordination,policy,scheduling}/validation/validation.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::rules::{self, not_negative_at};
use super::{ips, meta, names, pod, selector};
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{Json, Object};

pub fn namespace(object: &Object) -> Errors {
    let mut errors = meta::create(object, false, names::name_is_label);
    for finalizer in object.json().field("spec").texts("finalizers") {
        errors.extend(finalizer_name(finalizer, &Path::new("spec").child("finalizers")));
    }
    errors
}

fn finalizer_name(name: &str, path: &Path) -> Errors {
    let mut errors = rules::each(path, name, names::qualified_name(name));
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(field::invalid(path, name, detail));
    }
    errors
}

/// A change is judged as a new Namespace and as a change (pkg/registry/core/namespace/strategy.go).
pub fn namespace_update(new: &Object, old: &Object) -> Errors {
    let mut errors = namespace(new);
    errors.extend(meta::update(new, old));
    errors
}

pub fn namespace_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let phase = new.json().field("status").text("phase");
    let path = Path::new("status").child("Phase");
    if !new.is_deleting() && phase != "Active" {
        let detail = "may only be 'Active' if `deletionTimestamp` is empty";
        errors.push(field::invalid(&path, phase, detail));
    } else if new.is_deleting() && phase != "Terminating" {
        let detail = "may only be 'Terminating' if `deletionTimestamp` is not empty";
        errors.push(field::invalid(&path, phase, detail));
    }
    errors
}

/// What is wrong with the finalizers that the subresource `finalize` gives a Namespace.
/// Source: `ValidateNamespaceFinalizeUpdate` in pkg/apis/core/validation/validation.go.
pub fn namespace_finalize(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let path = Path::new("spec").child("finalizers");
    for (i, finalizer) in new.json().field("spec").texts("finalizers").into_iter().enumerate() {
        errors.extend(finalizer_name(finalizer, &path.index(i)));
    }
    errors
}

pub fn node(object: &Object) -> Errors {
    let (spec, meta_path) = (object.json().field("spec"), Path::new("metadata"));
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    errors.extend(taints(spec.list("taints"), &meta_path.child("taints")));
    errors.extend(node_resources(object));
    errors.extend(swap(object.json().field("status").field("nodeInfo").field("swap"), &meta_path.child("nodeSwapStatus")));
    errors.extend(declared_features(object));
    errors.extend(pod_cidrs(&spec.texts("podCIDRs")));
    errors
}

fn pod_cidrs(cidrs: &[&str]) -> Errors {
    let path = Path::new("spec").child("podCIDRs");
    let mut errors: Errors =
        cidrs.iter().enumerate().flat_map(|(i, cidr)| ips::legacy_cidr(&path.index(i), cidr)).collect();
    if cidrs.len() < 2 {
        return errors;
    }
    let addresses: Vec<&str> = cidrs.iter().map(|cidr| cidr.split('/').next().unwrap_or("")).collect();
    if !ips::is_dual_stack(&addresses) || cidrs.len() > 2 {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(field::invalid(&path, cidrs.to_vec(), detail));
    }
    errors
}

fn taints(taints: &[Json], path: &Path) -> Errors {
    const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let mut seen = BTreeSet::new();
    let mut errors = Errors::new();
    for (i, taint) in taints.iter().enumerate() {
        let path = path.index(i);
        let (key, value, effect) = (taint.text("key"), taint.text("value"), taint.text("effect"));
        errors.extend(meta::label_name(key, &path.child("key")));
        let problems = names::label_value(value);
        if !problems.is_empty() {
            errors.push(field::invalid(&path.child("value"), value, &problems.join(";")));
        }
        if effect.is_empty() {
            errors.push(field::required(&path.child("effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            errors.push(field::not_supported(&path.child("effect"), effect, EFFECTS));
        }
        if !seen.insert((effect, key)) {
            let mut cause = rules::duplicate_struct(&path, "Taint", taint);
            cause.message.push_str(": taints must be unique by key and effect pair");
            errors.push(cause);
        }
    }
    errors
}

fn swap(swap: &Json, path: &Path) -> Errors {
    let capacity = swap.opt_int("capacity");
    capacity.map(|amount| rules::positive(&path.child("capacity"), amount)).unwrap_or_default()
}

/// What the node says it can do: `MyFeature`, `MyFeature/mySubFeature`, in order.
fn declared_features(object: &Object) -> Errors {
    const LONGEST: usize = 253;
    let path = Path::new("status").child("declaredFeatures");
    let features = object.json().field("status").texts("declaredFeatures");
    let is_segment = |segment: &str| {
        segment.starts_with(|c: char| c.is_ascii_alphabetic()) && segment.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let mut errors = Errors::new();
    for (index, feature) in features.iter().enumerate() {
        let problem = if feature.len() > LONGEST {
            format!("must be no more than {LONGEST} characters")
        } else if !feature.starts_with(|c: char| c.is_ascii_uppercase()) || !feature.split('/').all(is_segment) {
            "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or \
             MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
                .into()
        } else {
            String::new()
        };
        if !problem.is_empty() {
            let detail = format!("invalid feature name {}: {problem}", quote(feature));
            errors.push(field::invalid(&path.index(index), *feature, &detail));
        }
        let Some(next) = features.get(index + 1) else { continue };
        let at = path.index(index + 1);
        if feature == next {
            errors.push(field::duplicate(&at, *next));
        } else if feature > next {
            errors.push(field::invalid(&at, *next, "list must be sorted alphabetically"));
        }
    }
    errors
}

fn node_resources(object: &Object) -> Errors {
    let status = object.json().field("status");
    let mut errors = Errors::new();
    for list in ["capacity", "allocatable"] {
        for (resource, amount) in status.entries(list) {
            let path = Path::new("status").child(list).child(resource);
            errors.extend(rules::resource_quantity(resource, amount, &path));
        }
    }
    errors
}

/// A change is judged as a new Node and as a change.
/// Source: `nodeStrategy.ValidateUpdate` in pkg/registry/core/node/strategy.go.
pub fn node_update(new: &Object, old: &Object) -> Errors {
    let mut errors = node(new);
    errors.extend(node_status_update(new, old));
    errors
}

/// What the subresource `status` is asked, which takes a spec for as it was.
pub fn node_status_update(new: &Object, old: &Object) -> Errors {
    let (spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    let path = Path::new("spec");
    let mut errors = meta::update(new, old);
    errors.extend(node_resources(new));
    errors.extend(declared_features(new));
    let addresses = new.json().field("status").list("addresses");
    for (i, address) in addresses.iter().enumerate().filter(|(i, a)| addresses[..*i].contains(a)) {
        let path = Path::new("status").child("addresses").index(i);
        errors.push(rules::duplicate_struct(&path, "NodeAddress", address));
    }
    let (cidrs, old_cidrs) = (spec.texts("podCIDRs"), old_spec.texts("podCIDRs"));
    if !old_cidrs.is_empty() {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        let changed = if cidrs.len() == old_cidrs.len() {
            cidrs.iter().zip(&old_cidrs).filter(|(new, old)| new != old).count()
        } else {
            1
        };
        errors.extend((0..changed).map(|_| field::forbidden(&path.child("podCIDRs"), detail)));
    }
    let provider = "providerID";
    if !old_spec.text(provider).is_empty() && old_spec.text(provider) != spec.text(provider) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(field::forbidden(&path.child(provider), detail));
    }
    errors.extend(taints(spec.list("taints"), &Path::new("metadata").child("taints")));
    if spec.text("externalID") != old_spec.text("externalID") {
        errors.push(field::forbidden(&path.child("externalID"), "may not be updated"));
    }
    errors
}

/// Fields of Nodes that do nothing any more. Source: pkg/api/node/util.go.
pub fn node_warnings(new: &Object) -> Vec<String> {
    let spec = new.json().field("spec");
    let mut warnings = Vec::new();
    if !spec.text("externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
    }
    warnings
}

pub fn service_account(object: &Object) -> Errors {
    meta::create(object, true, names::name_is_subdomain)
}

pub fn service_account_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(service_account(new));
    errors
}

/// Secrets that the account may mount only matter with an old annotation.
pub fn service_account_warnings(object: &Object) -> Vec<String> {
    let key = "kubernetes.io/enforce-mountable-secrets";
    if object.annotation(key).is_none() {
        return Vec::new();
    }
    vec![format!(
        "metadata.annotations[{key}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted \
         secrets"
    )]
}

pub fn pod_template(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(pod::template(object.json().field("template"), &Path::new("template"), None));
    errors
}

pub fn pod_template_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let old_template = Some(old.json().field("template"));
    errors.extend(pod::template(new.json().field("template"), &Path::new("template"), old_template));
    errors
}

/// Odd templates. Source: pkg/registry/core/podtemplate/strategy.go.
pub fn pod_template_warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    if old.is_some_and(|old| old.generation() == new.generation()) {
        return Vec::new();
    }
    pod::warnings::of_template(&Path::new("template"), new.json().field("template"))
}

pub fn controller_revision(object: &Object) -> Errors {
    let tree = object.json();
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    if !tree.has("data") {
        errors.push(field::required(&Path::new("data"), "data is mandatory"));
    }
    errors.extend(not_negative_at(tree, &Path::root(), "revision"));
    errors
}

pub fn controller_revision_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(controller_revision(new));
    let data = (new.json().field("data"), old.json().field("data"));
    errors.extend(rules::immutable(&Path::new("data"), "", data.0, data.1));
    errors
}

/// A Lease's finalizers need no domain.
pub fn lease(object: &Object) -> Errors {
    let mut errors = meta::create_common(object, true, names::name_is_subdomain);
    errors.extend(lease_spec(object.json().field("spec")));
    errors
}

pub fn lease_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update_common(new, old);
    errors.extend(lease_spec(new.json().field("spec")));
    errors
}

fn lease_spec(spec: &Json) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    if let Some(seconds) = spec.opt_int("leaseDurationSeconds") {
        errors.extend(rules::positive(&path.child("leaseDurationSeconds"), seconds));
    }
    errors.extend(not_negative_at(spec, &path, "leaseTransitions"));
    errors
}

pub fn disruption_budget(object: &Object) -> Errors {
    let (spec, path) = (object.json().field("spec"), Path::new("spec"));
    let mut errors = Errors::new();
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.push(rules::invalid_struct(&path, "PodDisruptionBudgetSpec", spec, detail));
    }
    for name in ["minAvailable", "maxUnavailable"] {
        if spec.has(name) {
            errors.extend(rules::int_or_percent(&path.child(name), spec.field(name)));
            errors.extend(rules::at_most_100_percent(&path.child(name), spec.field(name)));
        }
    }
    errors.extend(selector::label_selector(spec.get("selector"), &path.child("selector")));
    const POLICIES: &[&str] = &["AlwaysAllow", "IfHealthyBudget"];
    if let Some(policy) = spec.opt_text("unhealthyPodEvictionPolicy").filter(|policy| !POLICIES.contains(policy)) {
        errors.push(field::not_supported(&path.child("unhealthyPodEvictionPolicy"), policy, POLICIES));
    }
    errors
}

pub fn disruption_budget_status(new: &Object) -> Errors {
    let (status, path) = (new.json().field("status"), Path::new("status"));
    let mut errors = conditions(status.list("conditions"), &path.child("conditions"));
    for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        errors.extend(not_negative_at(status, &path, name));
    }
    errors
}

/// `metav1.Condition`s. Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go.
pub fn conditions(conditions: &[Json], path: &Path) -> Errors {
    const STATUSES: &[&str] = &["False", "True", "Unknown"];
    let mut seen = BTreeSet::new();
    let mut errors = Errors::new();
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        let (kind, status, reason) = (condition.text("type"), condition.text("status"), condition.text("reason"));
        if !seen.insert(kind) {
            errors.push(field::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(field::required(&path.child("type"), "is required"));
        } else {
            errors.extend(meta::label_name(kind, &path.child("type")));
        }
        if status.is_empty() {
            errors.push(field::required(&path.child("status"), ""));
        } else if !STATUSES.contains(&status) {
            errors.push(field::not_supported(&path.child("status"), status, STATUSES));
        }
        let generation = condition.int("observedGeneration");
        if generation < 0 {
            let detail = "must be greater than or equal to zero";
            errors.push(field::invalid(&path.child("observedGeneration"), generation, detail));
        }
        if condition.text("lastTransitionTime").is_empty() {
            errors.push(field::required(&path.child("lastTransitionTime"), ""));
        }
        errors.extend(condition_reason(reason, &path.child("reason")));
        if condition.text("message").len() > 32 * 1024 {
            errors.push(field::too_long(&path.child("message"), 32 * 1024));
        }
    }
    errors
}

fn condition_reason(reason: &str, path: &Path) -> Errors {
    if reason.is_empty() {
        return vec![field::required(path, "")];
    }
    let mut errors = Errors::new();
    let inner = |c: char| c.is_ascii_alphanumeric() || "_,:".contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let valid = reason.starts_with(|c: char| c.is_ascii_alphabetic()) && reason.ends_with(ends);
    if !valid || !reason.chars().all(inner) {
        let message = "a condition reason must start with alphabetic character, optionally followed by a string of \
                       alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
        let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
        let detail = names::regex_says(message, "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", &examples);
        errors.push(field::invalid(path, reason, &detail));
    }
    if reason.len() > 1024 {
        errors.push(field::too_long(path, 1024));
    }
    errors
}

/// The highest value a user may give a priority; above are Kubernetes' own.
const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;

pub fn priority_class(object: &Object) -> Errors {
    let tree = object.json();
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    let (name, value) = (object.name(), tree.int("value"));
    if name.starts_with("system-") {
        let known = matches!(
            (name, value),
            ("system-node-critical", 2_000_001_000) | ("system-cluster-critical", 2_000_000_000)
        ) && !tree.flag("globalDefault");
        if !known {
            let detail = "priority class names with 'system-' prefix are reserved for system use only. error: \
                          this is not a system priority class";
            let detail = detail.replace("this is not a system priority class", &unknown_system_class(name, tree));
            errors.push(field::forbidden(&Path::new("metadata").child("name"), &detail));
        }
    } else if value > HIGHEST_USER_PRIORITY {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        errors.push(field::forbidden(&Path::new("value"), &detail));
    }
    errors.extend(preemption_policy(tree.opt_text("preemptionPolicy"), &Path::new("preemptionPolicy")));
    errors
}

fn preemption_policy(policy: Option<&str>, path: &Path) -> Errors {
    match policy {
        None | Some("PreemptLowerPriority" | "Never") => Errors::new(),
        Some("") => vec![field::required(path, "")],
        Some(other) => vec![field::not_supported(path, other, &["PreemptLowerPriority", "Never"])],
    }
}

fn unknown_system_class(name: &str, tree: &Json) -> String {
    let expected = match name {
        "system-node-critical" => 2_000_001_000_i64,
        "system-cluster-critical" => 2_000_000_000,
        _ => return format!("{name} is not a known system priority class"),
    };
    if tree.int("value") != expected {
        format!("value of {name} PriorityClass must be {expected}")
    } else {
        format!("globalDefault of {name} PriorityClass must be false")
    }
}

pub fn priority_class_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let (new, old) = (new.json(), old.json());
    if new.int("value") != old.int("value") {
        errors.push(field::forbidden(&Path::new("value"), "may not be changed in an update."));
    }
    let policy = "preemptionPolicy";
    errors.extend(rules::immutable(&Path::new(policy), "", new.field(policy), old.field(policy)));
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_of_a_priority_are_told_in_order() {
        let of = |policy: &str| {
            let class = json!({"metadata": {"name": "a"}, "value": 1, "preemptionPolicy": policy});
            let errors = priority_class(&Object::new(class));
            errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>()
        };
        assert_eq!(of("Never"), Vec::<String>::new());
        assert_eq!(of(""), ["preemptionPolicy: Required value"]);
        let all = "supported values: \"PreemptLowerPriority\", \"Never\"";
        assert_eq!(of("Maybe"), [format!("preemptionPolicy: Unsupported value: \"Maybe\": {all}")]);
    }

    #[test]
    fn a_finalizer_of_a_lease_needs_no_domain() {
        let held = |name: &str| {
            let metadata = json!({"name": name, "namespace": "n", "finalizers": ["hold.me"], "resourceVersion": "1"});
            Object::new(json!({"metadata": metadata, "spec": {}}))
        };
        assert!(lease(&held("a")).is_empty());
        assert!(lease_update(&held("a"), &held("a")).is_empty());
    }

    #[test]
    fn features_of_a_node_are_named_and_in_order() {
        let declared = |features: Json| {
            let node = Object::new(json!({"metadata": {"name": "n"}, "status": {"declaredFeatures": features}}));
            declared_features(&node).iter().map(|c| format!("{}: {}", c.field, c.message)).collect::<Vec<_>>()
        };
        assert_eq!(declared(json!(["A", "B/sub"])), Vec::<String>::new());
        assert_eq!(
            declared(json!(["B", "A", "A"])),
            [
                "status.declaredFeatures[1]: Invalid value: \"A\": list must be sorted alphabetically",
                "status.declaredFeatures[2]: Duplicate value: \"A\"",
            ]
        );
        let odd = declared(json!(["lower", "X//y"]));
        assert_eq!(odd.len(), 3, "{odd:?}");
        assert!(odd[0].contains("invalid feature name \"lower\": must start with an UpperCamelCase segment"), "{odd:?}");
    }
}
