//! What a `LabelSelector` in an object may say.
//! Source: k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go.

use crate::api::Json;

use super::field::{self, Errors, Path};
use super::{meta, names};

/// The rules for a selector of Pods; `None` and an empty one are fine.
pub fn label_selector(selector: Option<&Json>, path: &Path) -> Errors {
    label_selector_with(selector, path, false)
}

/// As [`label_selector`]; `any_value` lets label values pass that were accepted before they were checked.
pub fn label_selector_with(selector: Option<&Json>, path: &Path, any_value: bool) -> Errors {
    let Some(selector) = selector else { return Errors::new() };
    let mut errors = meta::labels(selector.get("matchLabels"), &path.child("matchLabels"));
    let expressions = selector.get("matchExpressions").and_then(Json::as_array);
    for (index, expression) in expressions.into_iter().flatten().enumerate() {
        errors.extend(requirement(expression, &path.child("matchExpressions").index(index), any_value));
    }
    errors
}

fn requirement(expression: &Json, path: &Path, any_value: bool) -> Errors {
    let mut errors = Errors::new();
    let text = |key: &str| expression.get(key).and_then(Json::as_str).unwrap_or("");
    let values = expression.get("values").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    match text("operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(field::required(&path.child("values"), detail));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(field::forbidden(&path.child("values"), detail));
            }
        }
        other => errors.push(field::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    errors.extend(meta::label_name(text("key"), &path.child("key")));
    if !any_value {
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            let at = path.child("values").index(index);
            errors.extend(names::label_value(value).iter().map(|m| field::invalid(&at, value, m)));
        }
    }
    errors
}
