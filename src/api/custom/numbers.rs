//! Bounds of numbers and lengths. Source: k8s.io/kube-openapi/pkg/validation/validate/values.go.

use crate::api::Json;
use crate::api::custom::check::Found;
use crate::api::tree::Tree;

/// A number against its bounds.
pub(super) fn number(schema: &Json, value: &Json, found: &mut Found<'_>) {
    let Some(number) = value.as_f64() else { return };
    let bound = |name: &str| schema.field(name).as_f64();
    if let Some(step) = bound("multipleOf").filter(|step| *step > 0.0) {
        let times = number / step;
        if (times - times.round()).abs() > 1e-9 * times.abs().max(1.0) {
            found.invalid(value, &format!("should be a multiple of {}", schema.field("multipleOf")));
        }
    }
    if let Some(most) = bound("maximum") {
        let shown = schema.field("maximum");
        if schema.flag("exclusiveMaximum") && number >= most {
            found.invalid(value, &format!("should be less than {shown}"));
        } else if number > most {
            found.invalid(value, &format!("should be less than or equal to {shown}"));
        }
    }
    if let Some(least) = bound("minimum") {
        let shown = schema.field("minimum");
        if schema.flag("exclusiveMinimum") && number <= least {
            found.invalid(value, &format!("should be greater than {shown}"));
        } else if number < least {
            found.invalid(value, &format!("should be greater than or equal to {shown}"));
        }
    }
}

/// How many of something there are, against the least and the most that there may be.
pub(super) fn count(schema: &Json, (least, most): (&str, &str), count: usize) -> (Option<i64>, Option<i64>) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let least = schema.opt_int(least).filter(|least| count < *least);
    let most = schema.opt_int(most).filter(|most| count > *most);
    (least, most)
}
