//! Defaults of resource requirements.

use crate::api::pod::{ResourceList, aggregate, is_hugepages, is_overcommitted, is_pod_level};
use crate::api::quantity::Quantity;
use crate::api::tree::{Tree, child};
use crate::api::Json;

/// Thousandths: nothing is counted in smaller parts.
const MILLI: i32 = -3;

/// Rounds every amount of a map of resources up to thousandths.
pub fn round_resources(list: Option<&mut Json>) {
    for (_, amount) in list.and_then(Json::as_object_mut).into_iter().flatten() {
        if let Some(mut quantity) = amount.as_str().and_then(|text| Quantity::parse(text).ok()) {
            quantity.round_up(MILLI);
            *amount = quantity.to_string().into();
        }
    }
}

/// A container that limits a resource and does not ask for it asks for its limit.
pub(super) fn requests_from_limits(container: &mut Json) {
    let limits = container.field("resources").field("limits").clone();
    let Some(limits) = limits.as_object().filter(|l| !l.is_empty()) else { return };
    let Some(resources) = child(container, "resources") else { return };
    let Some(requests) = child(resources, "requests").and_then(Json::as_object_mut) else { return };
    for (name, amount) in limits {
        requests.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

/// Requirements of the Pod as a whole, where it states some. Source: defaultPodRequests and
/// defaultHugePagePodLimits in pkg/apis/core/v1/defaults.go.
pub(super) fn fill_pod_level(spec: &mut Json) {
    let resources = spec.field("resources");
    let mut limits = ResourceList::of(resources.field("limits"));
    let mut requests = ResourceList::of(resources.field("requests"));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    for (name, amount) in aggregate(spec, "limits").0 {
        if is_hugepages(&name) && !requests.0.contains_key(&name) {
            limits.0.entry(name).or_insert(amount);
        }
    }
    if !limits.is_empty() {
        for (name, amount) in aggregate(spec, "requests").0 {
            if is_pod_level(&name) && is_overcommitted(&name) {
                requests.0.entry(name).or_insert(amount);
            }
        }
        for (name, amount) in &limits.0 {
            if is_pod_level(name) {
                requests.0.entry(name.clone()).or_insert_with(|| amount.clone());
            }
        }
    }
    let Some(resources) = child(spec, "resources").and_then(Json::as_object_mut) else { return };
    for (key, list) in [("limits", limits), ("requests", requests)] {
        if !list.is_empty() {
            resources.insert(key.into(), list.json());
        }
    }
}
