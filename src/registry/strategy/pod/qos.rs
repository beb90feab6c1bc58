//! The quality-of-service class of a pod.
//! Source: pkg/apis/core/v1/helper/qos/qos.go: ComputePodQOS.

use std::collections::BTreeMap;

use crate::api::quantity::Quantity;
use crate::api::{Json, Object};

const COUNTED: [&str; 2] = ["cpu", "memory"];

type Sums = BTreeMap<&'static str, Quantity>;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(pod: &Object) -> &'static str {
    let (mut requests, mut limits) = (Sums::new(), Sums::new());
    let mut guaranteed = true;
    for resources in counted(pod) {
        add(&mut requests, resources.get("requests"));
        guaranteed &= add(&mut limits, resources.get("limits")) == COUNTED.len();
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.iter().all(|(name, sum)| limits.get(name).is_some_and(|limit| limit == sum));
    if guaranteed && equal && requests.len() == limits.len() { "Guaranteed" } else { "Burstable" }
}

/// The pod's own resources where it has any, else those of its containers.
fn counted(pod: &Object) -> Vec<Json> {
    let own = pod.at("/spec/resources");
    let has = |kind: &str| own.and_then(|r| r.get(kind)).and_then(Json::as_object).is_some_and(|m| !m.is_empty());
    if has("requests") || has("limits") {
        return own.cloned().into_iter().collect();
    }
    let lists = ["/spec/containers", "/spec/initContainers"];
    let containers = lists.iter().filter_map(|list| pod.at(list)?.as_array()).flatten();
    containers.map(|container| container.get("resources").cloned().unwrap_or_default()).collect()
}

/// Adds what is above zero; returns how many of the counted resources there were.
fn add(sums: &mut Sums, list: Option<&Json>) -> usize {
    let mut found = 0;
    for name in COUNTED {
        let text = list.and_then(|list| list.get(name)).and_then(Json::as_str);
        let Some(quantity) = text.and_then(|text| Quantity::parse(text).ok()).filter(|q| q.signum() > 0) else {
            continue;
        };
        found += 1;
        match sums.get_mut(name) {
            Some(sum) => sum.add(&quantity),
            None => {
                sums.insert(name, quantity);
            }
        }
    }
    found
}
