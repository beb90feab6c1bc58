//! What a pod asks for and may use: sums over containers, init containers, sidecars and overhead.
//! Source: k8s.io/component-helpers/resource/helpers.go.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource name: `cpu` in thousandths, everything else in whole units, rounded up.
pub type Amounts = BTreeMap<String, i64>;

/// A quantity in units of `10^-places`, rounded away from zero. `None`: no quantity.
pub fn scaled(text: &str, places: u32) -> Option<i128> {
    let (mantissa, decimals, ten, two) = parse(text)?;
    // mantissa × 10^(ten - decimals + places) × 2^two
    let exponent = ten - decimals + i32::try_from(places).ok()?;
    let binary = 1i128.checked_shl(u32::try_from(two).ok()?)?;
    let value = mantissa.checked_mul(binary)?;
    if exponent >= 0 {
        return value.checked_mul(10i128.checked_pow(u32::try_from(exponent).ok()?)?);
    }
    let Some(divisor) = 10i128.checked_pow(exponent.unsigned_abs()) else {
        return Some(value.signum());
    };
    let whole = value / divisor;
    Some(if value % divisor == 0 { whole } else { whole + value.signum() })
}

/// Digits without the point, how many of them are decimals, power of ten and of two of the suffix.
fn parse(text: &str) -> Option<(i128, i32, i32, i32)> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || number == "." || decimals.contains('.') || number.len() > 30 {
        return None;
    }
    let digits: i128 = format!("{whole}{decimals}").parse().ok()?;
    let (ten, two) = match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        exponent => (exponent.strip_prefix(['e', 'E'])?.parse().ok().filter(|e: &i32| e.abs() < 40)?, 0),
    };
    Some((sign * digits, i32::try_from(decimals.len()).ok()?, ten, two))
}

/// Thousandths, for `cpu`.
pub fn milli(quantity: &Quantity) -> i64 {
    clamp(scaled(&quantity.0, 3))
}

/// Whole units, rounded up.
pub fn whole(quantity: &Quantity) -> i64 {
    clamp(scaled(&quantity.0, 0))
}

fn clamp(value: Option<i128>) -> i64 {
    let value = value.unwrap_or(0);
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// In the unit in which [`Amounts`] holds the resource.
pub fn amount(name: &str, quantity: &Quantity) -> i64 {
    if name == "cpu" { milli(quantity) } else { whole(quantity) }
}

/// Whether an init container is a native sidecar.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Requests,
    Limits,
}

fn of_requirements(resources: Option<&ResourceRequirements>, side: Side) -> Amounts {
    let list = resources.and_then(|r| if side == Side::Requests { r.requests.as_ref() } else { r.limits.as_ref() });
    list.into_iter().flatten().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

/// What one container asks for.
pub fn container_requests(container: &Container) -> Amounts {
    of_requirements(container.resources.as_ref(), Side::Requests)
}

/// What one container may use at most.
pub fn container_limits(container: &Container) -> Amounts {
    of_requirements(container.resources.as_ref(), Side::Limits)
}

/// What the scheduler counts for a pod: the larger of what its containers need together and what any
/// of its init containers needs beside the sidecars before it; plus overhead.
pub fn pod_requests(spec: &PodSpec) -> Amounts {
    with_overhead(spec, over_pod(spec, Side::Requests), Side::Requests)
}

/// The same for limits. A container without a limit counts nothing.
pub fn pod_limits(spec: &PodSpec) -> Amounts {
    with_overhead(spec, over_pod(spec, Side::Limits), Side::Limits)
}

fn over_pod(spec: &PodSpec, side: Side) -> Amounts {
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &of_requirements(container.resources.as_ref(), side));
    }
    let mut sidecars = Amounts::new();
    let mut peak = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let own = of_requirements(container.resources.as_ref(), side);
        if is_sidecar(container) {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut beside = sidecars.clone();
            add(&mut beside, &own);
            raise(&mut peak, &beside);
        }
    }
    raise(&mut total, &peak);
    // Pod-level resources win over the sum of the containers.
    let pod_level = of_requirements(spec.resources.as_ref(), side);
    total.extend(pod_level);
    total
}

fn with_overhead(spec: &PodSpec, mut total: Amounts, side: Side) -> Amounts {
    for (name, quantity) in spec.overhead.iter().flatten() {
        let counted = side == Side::Requests || total.get(name).is_some_and(|v| *v != 0);
        if counted {
            *total.entry(name.clone()).or_default() += amount(name, quantity);
        }
    }
    total
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, value) in more {
        let entry = total.entry(name.clone()).or_default();
        *entry = entry.saturating_add(*value);
    }
}

fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, value) in other {
        let entry = total.entry(name.clone()).or_insert(*value);
        *entry = (*entry).max(*value);
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
/// Source: k8s.io/kubernetes/pkg/apis/core/v1/helper/qos/qos.go.
pub fn qos_class(spec: &PodSpec) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    let pod_level = spec.resources.as_ref().filter(|r| r.requests.is_some() || r.limits.is_some());
    let all: Vec<Option<&ResourceRequirements>> = match pod_level {
        Some(resources) => vec![Some(resources)],
        None => {
            let init = spec.init_containers.iter().flatten();
            spec.containers.iter().chain(init).map(|c| c.resources.as_ref()).collect()
        }
    };
    for resources in all {
        let compute = |side| {
            let mut amounts = of_requirements(resources, side);
            amounts.retain(|name, value| (name == "cpu" || name == "memory") && *value > 0);
            amounts
        };
        let (requests, limits) = (compute(Side::Requests), compute(Side::Limits));
        any |= !requests.is_empty() || !limits.is_empty();
        let complete = limits.len() == 2 && requests.iter().all(|(name, value)| limits.get(name) == Some(value));
        guaranteed &= complete;
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_round_away_from_zero() {
        assert_eq!(scaled("100m", 3), Some(100));
        assert_eq!(scaled("0.0015", 3), Some(2));
        assert_eq!(scaled("128974848.5", 0), Some(128_974_849));
        assert_eq!(scaled("1Gi", 0), Some(1 << 30));
        assert_eq!(scaled("1.5Ki", 0), Some(1536));
        assert_eq!(scaled("2e3", 0), Some(2000));
        assert_eq!(scaled("5n", 3), Some(1));
        assert_eq!(scaled("x", 0), None);
        assert_eq!(scaled("1.2.3", 0), None);
    }

    fn spec(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_init_container_counts_beside_the_sidecars_before_it() {
        let pod = spec(serde_json::json!({
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "i", "resources": {"requests": {"cpu": "500m"}}}],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "200m", "memory": "1Mi"}}}]}));
        assert_eq!(pod_requests(&pod)["cpu"], 600);
        assert_eq!(pod_requests(&pod)["memory"], 1 << 20);
    }

    #[test]
    fn a_burstable_init_container_spoils_guaranteed() {
        let full = serde_json::json!({"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "1", "memory": "1Mi"}});
        let pod = spec(serde_json::json!({"containers": [{"name": "c", "resources": full}]}));
        assert_eq!(qos_class(&pod), "Guaranteed");
        let pod = spec(serde_json::json!({"containers": [{"name": "c", "resources": full}],
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "1"}}}]}));
        assert_eq!(qos_class(&pod), "Burstable");
        let pod = spec(serde_json::json!({"containers": [{"name": "c", "resources": {"requests": {"ephemeral-storage": "1Gi"}}}]}));
        assert_eq!(qos_class(&pod), "BestEffort");
    }
}
