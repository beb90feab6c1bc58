//! Where a Pod may go: affinity, tolerations, spreading.

use std::collections::BTreeSet;

use super::super::field::{self, Errors, Path};
use super::super::{meta, names, node_selector, rules, selector};
use super::spec::Options;
use crate::api::Json;
use crate::api::tree::Tree;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const IN_BOTH: &str = "exists in both matchLabelKeys and labelSelector";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(affinity: &Json, path: &Path, options: &Options) -> Errors {
    let mut errors = node_affinity(affinity.field("nodeAffinity"), &path.child("nodeAffinity"));
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (terms, path) = (affinity.field(kind), path.child(kind));
        for (index, term) in terms.list(REQUIRED).iter().enumerate() {
            errors.extend(pod_term(term, &path.child(REQUIRED).index(index), options));
        }
        for (index, weighted) in terms.list(PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(index);
            errors.extend(weight(weighted, &path));
            errors.extend(pod_term(weighted.field("podAffinityTerm"), &path.child("podAffinityTerm"), options));
        }
    }
    errors
}

fn weight(term: &Json, path: &Path) -> Errors {
    let weight = term.int("weight");
    if (1..=100).contains(&weight) {
        return Errors::new();
    }
    vec![field::invalid(&path.child("weight"), weight, "must be in the range 1-100")]
}

fn node_affinity(affinity: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if affinity.has(REQUIRED) {
        errors.extend(node_selector::validate(affinity.field(REQUIRED), &path.child(REQUIRED)));
    }
    for (index, term) in affinity.list(PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        errors.extend(weight(term, &path));
        // Odd values of labels were always taken here: such a term only never matches.
        errors.extend(node_selector::term(term.field("preference"), &path.child("preference"), true));
    }
    errors
}

fn pod_term(term: &Json, path: &Path, options: &Options) -> Errors {
    let mut errors = Errors::new();
    for name in ["labelSelector", "namespaceSelector"] {
        let at = path.child(name);
        errors.extend(selector::label_selector_with(term.get(name), &at, options.any_selector_value));
    }
    for name in term.texts("namespaces") {
        errors.extend(rules::each(&path.child("namespace"), name, names::dns1123_label(name)));
    }
    errors.extend(label_keys(term, path));
    let key = term.text("topologyKey");
    if key.is_empty() {
        errors.push(field::required(&path.child("topologyKey"), "can not be empty"));
    }
    errors.extend(meta::label_name(key, &path.child("topologyKey")));
    errors
}

/// `matchLabelKeys` and `mismatchLabelKeys`. A Pod's selector already holds what the former were turned into.
fn label_keys(term: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let chosen = term.field("labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let (keys, at) = (term.texts(name), path.child(name));
        if keys.is_empty() {
            continue;
        }
        if chosen.is_null() {
            errors.push(field::forbidden(&at, "must not be specified when labelSelector is not set"));
            continue;
        }
        errors.extend(keys.iter().enumerate().flat_map(|(index, key)| meta::label_name(key, &at.index(index))));
    }
    let (keys, other) = (term.texts("matchLabelKeys"), term.texts("mismatchLabelKeys"));
    let mut seen: BTreeSet<&str> = chosen.entries("matchLabels").into_iter().map(|(key, _)| key).collect();
    for expression in chosen.list("matchExpressions") {
        let key = expression.text("key");
        if let Some(index) = keys.iter().rposition(|k| *k == key)
            && seen.contains(key)
        {
            errors.push(field::invalid(&path.index(index), key, IN_BOTH));
        }
        seen.insert(key);
    }
    for (index, key) in keys.iter().enumerate().filter(|(_, key)| other.contains(key)) {
        let at = path.child("matchLabelKeys").index(index);
        errors.push(field::invalid(&at, *key, "exists in both matchLabelKeys and mismatchLabelKeys"));
    }
    errors
}

/// Whether a selector of a Pod affinity has a value that no label can have.
pub(super) fn has_odd_selector_value(spec: &Json) -> bool {
    let affinity = spec.field("affinity");
    let kinds = [affinity.field("podAffinity"), affinity.field("podAntiAffinity")];
    let terms = kinds.into_iter().flat_map(|kind| {
        let preferred = kind.list(PREFERRED).iter().map(|w| w.field("podAffinityTerm"));
        kind.list(REQUIRED).iter().chain(preferred)
    });
    let mut expressions =
        terms.flat_map(|t| [t.field("labelSelector"), t.field("namespaceSelector")]).flat_map(|s| s.list("matchExpressions"));
    expressions.any(|e| e.texts("values").iter().any(|v| !names::label_value(v).is_empty()))
}

pub fn tolerations(tolerations: &[Json], path: &Path) -> Errors {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let mut errors = Errors::new();
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = path.index(index);
        let (key, operator) = (toleration.text("key"), toleration.text("operator"));
        let (value, effect) = (toleration.text("value"), toleration.text("effect"));
        let at = path.child("operator");
        if !key.is_empty() {
            errors.extend(meta::label_name(key, &path.child("key")));
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(field::invalid(&at, operator, detail));
        }
        if toleration.has("tolerationSeconds") && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(field::invalid(&path.child("effect"), effect, detail));
        }
        match operator {
            "Equal" | "" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errors.push(field::invalid(&at, value, &wrong.join(";")));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => errors.push(field::invalid(&at, value, "value must be empty when `operator` is 'Exists'")),
            other => errors.push(field::not_supported(&at, other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.push(field::not_supported(&path.child("effect"), effect, &EFFECTS));
        }
    }
    errors
}

/// `topologySpreadConstraints`.
pub(super) fn spread(spec: &Json, path: &Path, options: &Options) -> Errors {
    const ACTIONS: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
    const POSITIVE: &str = "must be greater than zero";
    let mut errors = Errors::new();
    let constraints = spec.list("topologySpreadConstraints");
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        let (key, action) = (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
        let skew = constraint.int("maxSkew");
        if skew <= 0 {
            errors.push(field::invalid(&path.child("maxSkew"), skew, POSITIVE));
        }
        if key.is_empty() {
            errors.push(field::required(&path.child("topologyKey"), "can not be empty"));
        }
        if !ACTIONS.contains(&action) {
            errors.push(field::not_supported(&path.child("whenUnsatisfiable"), action, &ACTIONS));
        }
        let same = |other: &Json| other.text("topologyKey") == key && other.text("whenUnsatisfiable") == action;
        if constraints[index + 1..].iter().any(same) {
            let at = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(field::duplicate(&at, format!("{{{key}, {action}}}")));
        }
        if let Some(domains) = constraint.opt_int("minDomains") {
            let at = path.child("minDomains");
            if domains <= 0 {
                errors.push(field::invalid(&at, domains, POSITIVE));
            }
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(field::invalid(&at, domains, &detail));
            }
        }
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(policy) = constraint.opt_text(name).filter(|p| !["Honor", "Ignore"].contains(p)) {
                errors.push(field::not_supported(&path.child(name), policy, &["Honor", "Ignore"]));
            }
        }
        errors.extend(if options.legacy_spread_keys {
            legacy_spread_keys(constraint, &path.child("matchLabelKeys"))
        } else {
            label_keys(constraint, &path)
        });
        if !options.any_spread_selector {
            errors.extend(selector::label_selector(constraint.get("labelSelector"), &path.child("labelSelector")));
        }
    }
    errors
}

/// The older rule, for what it was accepted by.
fn legacy_spread_keys(constraint: &Json, path: &Path) -> Errors {
    let keys = constraint.texts("matchLabelKeys");
    if keys.is_empty() {
        return Errors::new();
    }
    let chosen = constraint.field("labelSelector");
    let mut errors = Errors::new();
    if chosen.is_null() {
        errors.push(field::forbidden(path, "must not be specified when labelSelector is not set"));
    }
    let expressed = chosen.list("matchExpressions").iter().map(|expression| expression.text("key"));
    let seen: BTreeSet<&str> = chosen.entries("matchLabels").into_iter().map(|(key, _)| key).chain(expressed).collect();
    for (index, key) in keys.iter().enumerate() {
        errors.extend(meta::label_name(key, &path.index(index)));
        if seen.contains(key) {
            errors.push(field::invalid(&path.index(index), *key, IN_BOTH));
        }
    }
    errors
}

/// What is wrong with `matchLabelKeys` of spread constraints.
pub(super) fn spread_keys(spec: &Json, path: &Path) -> Errors {
    spec.list("topologySpreadConstraints").iter().flat_map(|constraint| label_keys(constraint, path)).collect()
}

/// What is wrong with selectors of spread constraints.
pub(super) fn spread_selectors(spec: &Json, path: &Path) -> Errors {
    let constraints = spec.list("topologySpreadConstraints");
    constraints.iter().flat_map(|c| selector::label_selector(c.get("labelSelector"), path)).collect()
}
