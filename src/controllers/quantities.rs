//! Numbers that may be percentages.

use crate::api::Json;

/// A number or a share of `total`, rounded up or down; `None` for what is neither.
/// Source: k8s.io/apimachinery/pkg/util/intstr (GetScaledValueFromIntOrPercent).
pub(super) fn scaled(value: &Json, total: i64, round_up: bool) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let product = percent.saturating_mul(total);
    Some(if round_up { product.div_euclid(100) + i64::from(product.rem_euclid(100) > 0) } else { product.div_euclid(100) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        assert_eq!(scaled(&json!("25%"), 10, true), Some(3));
        assert_eq!(scaled(&json!("25%"), 10, false), Some(2));
        assert_eq!(scaled(&json!(2), 10, true), Some(2));
        assert_eq!(scaled(&json!("ten"), 10, true), None);
    }
}
