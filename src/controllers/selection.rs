//! Label selectors as trees, matched against labels as trees.

use super::resources::dig;
use crate::api::selector::LabelSelector;
use crate::api::{Json, Object};

/// A LabelSelector, read once to be asked often; an invalid one selects nothing, as none does.
pub(super) fn of(selector: &Json) -> LabelSelector {
    LabelSelector::of(Some(selector)).unwrap_or_else(|_| LabelSelector::nothing())
}

/// Whether a LabelSelector (`matchLabels`, `matchExpressions`) matches the labels of an object.
/// An empty selector matches everything, none and an invalid one nothing.
pub(super) fn selects(selector: &Json, object: &Object) -> bool {
    matches(selector, dig(object.json(), &["metadata", "labels"]))
}

/// Whether a LabelSelector matches these labels.
pub(super) fn matches(selector: &Json, labels: &Json) -> bool {
    let Some(selector) = selector.as_object() else { return false };
    selector.get("matchLabels").is_none_or(|wanted| contains(labels, wanted))
        && selector
            .get("matchExpressions")
            .and_then(Json::as_array)
            .is_none_or(|list| list.iter().all(|expression| fulfils(expression, labels)))
}

/// Whether all of `wanted` are among the labels.
pub(super) fn contains(labels: &Json, wanted: &Json) -> bool {
    wanted.as_object().into_iter().flatten().all(|(k, v)| labels.get(k) == Some(v))
}

fn fulfils(expression: &Json, labels: &Json) -> bool {
    let Some(key) = dig(expression, &["key"]).as_str() else { return false };
    let value = labels.get(key);
    let listed = || dig(expression, &["values"]).as_array().into_iter().flatten().any(|v| Some(v) == value);
    match dig(expression, &["operator"]).as_str() {
        Some("In") => value.is_some() && listed(),
        Some("NotIn") => value.is_none() || !listed(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        _ => false,
    }
}

/// Whether a LabelSelector has no requirement at all.
pub(super) fn is_empty(selector: &Json) -> bool {
    let empty = |field: &str| match dig(selector, &[field]) {
        Json::Object(map) => map.is_empty(),
        Json::Array(list) => list.is_empty(),
        _ => true,
    };
    empty("matchLabels") && empty("matchExpressions")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_requirements_must_hold() {
        let labels = json!({"app": "web", "tier": "front"});
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front", "back"]},
            {"key": "old", "operator": "DoesNotExist"},
            {"key": "app", "operator": "NotIn", "values": ["db"]},
        ]});
        assert!(matches(&selector, &labels));
        assert!(!matches(&selector, &json!({"app": "web"})));
        assert!(matches(&json!({}), &labels));
        assert!(!matches(&Json::Null, &labels));
    }

    #[test]
    fn each_operator_is_fulfilled_by_what_it_says() {
        let object = Object::new(json!({"metadata": {"labels": {"app": "web"}}}));
        let by = |key: &str, operator: &str, values: &[&str]| {
            selects(&json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}), &object)
        };
        assert!(by("app", "In", &["db", "web"]) && !by("app", "In", &["db"]) && !by("old", "In", &["web"]));
        assert!(by("app", "NotIn", &["db"]) && !by("app", "NotIn", &["web"]) && by("old", "NotIn", &["web"]));
        assert!(by("app", "Exists", &[]) && !by("old", "Exists", &[]));
        assert!(by("old", "DoesNotExist", &[]) && !by("app", "DoesNotExist", &[]));
        assert!(!by("app", "Is", &["web"]), "nobody knows it");
        assert!(!selects(&json!({"matchLabels": {"app": "web", "tier": "front"}}), &object));
    }

    #[test]
    fn only_a_selector_without_requirements_is_empty() {
        for empty in [json!({}), json!({"matchLabels": {}}), json!({"matchLabels": {}, "matchExpressions": []}), Json::Null] {
            assert!(is_empty(&empty), "{empty}");
        }
        for full in [json!({"matchLabels": {"a": "b"}}), json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]})] {
            assert!(!is_empty(&full), "{full}");
        }
    }
}
