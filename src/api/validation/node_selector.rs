//! What a NodeSelector (`nodeSelectorTerms`) may say. Source: pkg/apis/core/validation/validation.go.

use super::field::{self, Errors, Path};
use super::{meta, names, rules};
use crate::api::{Json, tree::Tree};

pub fn validate(selector: &Json, path: &Path) -> Errors {
    let path = path.child("nodeSelectorTerms");
    let terms = selector.list("nodeSelectorTerms");
    if terms.is_empty() {
        return vec![field::required(&path, "must have at least one node selector term")];
    }
    terms.iter().enumerate().flat_map(|(i, term)| self::term(term, &path.index(i), false)).collect()
}

/// One term; `any_value` lets values pass that no label can have.
pub fn term(term: &Json, path: &Path, any_value: bool) -> Errors {
    let mut errors = Errors::new();
    for (i, requirement) in term.list("matchExpressions").iter().enumerate() {
        errors.extend(self::requirement(requirement, &path.child("matchExpressions").index(i), any_value));
    }
    for (i, requirement) in term.list("matchFields").iter().enumerate() {
        errors.extend(field_requirement(requirement, &path.child("matchFields").index(i)));
    }
    errors
}

fn requirement(requirement: &Json, path: &Path, any_value: bool) -> Errors {
    let (operator, values) = (requirement.text("operator"), requirement.texts("values"));
    let values_path = path.child("values");
    let mut errors = Errors::new();
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(field::required(&values_path, detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(field::forbidden(&values_path, detail));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(field::required(&values_path, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(field::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    errors.extend(meta::label_name(requirement.text("key"), &path.child("key")));
    for (i, value) in values.iter().enumerate().filter(|_| !any_value) {
        errors.extend(rules::each(&values_path.index(i), value, names::label_value(value)));
    }
    errors
}

fn field_requirement(requirement: &Json, path: &Path) -> Errors {
    let (key, values) = (requirement.text("key"), requirement.texts("values"));
    let mut errors = Errors::new();
    match requirement.text("operator") {
        "In" | "NotIn" => {
            if values.len() != 1 {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(field::required(&path.child("values"), detail));
            }
        }
        other => errors.push(field::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    if key == "metadata.name" {
        for (i, value) in values.iter().enumerate() {
            let path = path.child("values").index(i);
            errors.extend(rules::each(&path, value, names::dns1123_subdomain(value)));
        }
    } else {
        errors.push(field::invalid(&path.child("key"), key, "not a valid field selector key"));
    }
    errors
}

/// Why a label of nodes should not be used any more. Source: pkg/api/node/util.go.
pub fn deprecated_label(key: &str) -> Option<String> {
    let (since, stable) = match key {
        "beta.kubernetes.io/arch" => ("deprecated since v1.14; ", "kubernetes.io/arch"),
        "beta.kubernetes.io/os" => ("deprecated since v1.14; ", "kubernetes.io/os"),
        "failure-domain.beta.kubernetes.io/region" => ("deprecated since v1.17; ", "topology.kubernetes.io/region"),
        "failure-domain.beta.kubernetes.io/zone" => ("deprecated since v1.17; ", "topology.kubernetes.io/zone"),
        "beta.kubernetes.io/instance-type" => ("deprecated since v1.17; ", "node.kubernetes.io/instance-type"),
        "node-role.kubernetes.io/master" => ("", "node-role.kubernetes.io/control-plane"),
        "app.kubernetes.io/created-by" => return Some("deprecated since v1.9".into()),
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => {
            return Some("deprecated since v1.22; use Taints and Tolerations instead".into());
        }
        _ => return None,
    };
    Some(format!("{since}use {stable:?} instead"))
}

/// Warnings about one term: labels that have a newer name, and with `check_values` values that no label can have.
pub fn term_warnings(term: &Json, check_values: bool, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, requirement) in term.list("matchExpressions").iter().enumerate() {
        let (path, key) = (path.child("matchExpressions").index(i), requirement.text("key"));
        if let Some(reason) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {reason}", path.child("key")));
        }
        for (k, value) in requirement.texts("values").into_iter().enumerate().filter(|_| check_values) {
            for problem in names::label_value(value) {
                warnings.push(format!("{}: {value} is invalid, {problem}", path.child("values").index(k)));
            }
        }
    }
    warnings
}
