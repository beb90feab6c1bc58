//! `matchLabelKeys`: the pod's own labels become part of the selectors that name their keys.
//! Source: pkg/registry/core/pod/strategy.go: mutatePodAffinity, mutateTopologySpreadConstraints.

use serde_json::json;

use crate::api::{Json, JsonMap, Object};

pub(super) fn select_by_label_keys(pod: &mut Object) {
    let labels = pod.at("/metadata/labels").and_then(Json::as_object).cloned().unwrap_or_default();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let required = format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution");
        for term in terms(pod, &required) {
            affinity_term(term, &labels);
        }
        let preferred = format!("/spec/affinity/{kind}/preferredDuringSchedulingIgnoredDuringExecution");
        for weighted in terms(pod, &preferred) {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                affinity_term(term, &labels);
            }
        }
    }
    for constraint in terms(pod, "/spec/topologySpreadConstraints") {
        select(constraint, "matchLabelKeys", "In", &labels);
    }
}

fn terms<'a>(pod: &'a mut Object, pointer: &str) -> impl Iterator<Item = &'a mut Json> {
    let has = pod.at(pointer).is_some();
    let list = if has { pod.json_mut().pointer_mut(pointer).and_then(Json::as_array_mut) } else { None };
    list.into_iter().flatten()
}

fn affinity_term(term: &mut Json, labels: &JsonMap) {
    select(term, "matchLabelKeys", "In", labels);
    select(term, "mismatchLabelKeys", "NotIn", labels);
}

/// Adds an expression for each key that the pod has a label for; without a selector there is nothing to add to.
fn select(term: &mut Json, keys: &str, operator: &str, labels: &JsonMap) {
    if !term.get("labelSelector").is_some_and(Json::is_object) {
        return;
    }
    let keys = term.get(keys).and_then(Json::as_array).cloned().unwrap_or_default();
    for key in keys.iter().filter_map(Json::as_str) {
        let Some(value) = labels.get(key) else { continue };
        let expressions = &mut term["labelSelector"]["matchExpressions"];
        if !expressions.is_array() {
            *expressions = json!([]);
        }
        if let Some(list) = expressions.as_array_mut() {
            list.push(json!({"key": key, "operator": operator, "values": [value]}));
        }
    }
}
