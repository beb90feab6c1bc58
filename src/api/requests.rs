//! What a pod asks for and may use: sums over containers, init containers, sidecars and overhead.
//! Source: k8s.io/component-helpers/resource/helpers.go.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource name: `cpu` in thousandths, everything else in whole units, rounded up.
pub type Amounts = BTreeMap<String, i64>;

/// Thousandths, for `cpu`.
pub fn milli(quantity: &Quantity) -> i64 {
    super::quantity::Quantity::parse(&quantity.0).map_or(0, |q| q.milli_value())
}

/// Whole units, rounded up.
pub fn whole(quantity: &Quantity) -> i64 {
    super::quantity::Quantity::parse(&quantity.0).map_or(0, |q| q.value())
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
    with_overhead(spec, over_pod(spec, Side::Requests, |c| of_requirements(c.resources.as_ref(), Side::Requests)), Side::Requests)
}

/// What the node has promised to a pod: of a running container what its status tells, else what its spec asks for.
/// Source: pkg/kubelet/allocation/allocation_manager.go: getAllocatedPods.
pub fn promised(pod: &Pod) -> Amounts {
    of_pod(pod, |_, told| told)
}

/// What a scheduler counts for a pod that may be resized: the larger of what it asks for and what it was promised.
/// Source: k8s.io/component-helpers/resource/helpers.go: PodRequests (UseStatusResources).
pub fn scheduled(pod: &Pod) -> Amounts {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let refused = conditions.iter().any(|c| c.type_ == "PodResizePending" && c.reason.as_deref() == Some("Infeasible"));
    of_pod(pod, |asked, mut told| {
        if !refused {
            raise(&mut told, &asked);
        }
        told
    })
}

fn of_pod(pod: &Pod, choose: impl Fn(Amounts, Amounts) -> Amounts) -> Amounts {
    let (Some(spec), status) = (&pod.spec, pod.status.as_ref()) else { return Amounts::new() };
    let statuses = || {
        let lists = status.map(|s| [&s.container_statuses, &s.init_container_statuses]);
        lists.into_iter().flatten().flatten().flatten()
    };
    if statuses().all(|s| s.allocated_resources.is_none()) {
        return pod_requests(spec);
    }
    let amounts = |list: Option<&BTreeMap<String, Quantity>>| -> Amounts {
        list.into_iter().flatten().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
    };
    let chosen = |container: &Container| {
        let asked = of_requirements(container.resources.as_ref(), Side::Requests);
        let status = statuses().find(|s| s.name == container.name && s.allocated_resources.is_some());
        let Some(status) = status else { return asked };
        let mut told = amounts(status.allocated_resources.as_ref());
        raise(&mut told, &of_requirements(status.resources.as_ref(), Side::Requests));
        choose(asked, told)
    };
    with_overhead(spec, over_pod(spec, Side::Requests, chosen), Side::Requests)
}

/// The same for limits. A container without a limit counts nothing.
pub fn pod_limits(spec: &PodSpec) -> Amounts {
    with_overhead(spec, over_pod(spec, Side::Limits, |c| of_requirements(c.resources.as_ref(), Side::Limits)), Side::Limits)
}

fn over_pod(spec: &PodSpec, side: Side, of: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &of(container));
    }
    let mut sidecars = Amounts::new();
    let mut peak = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
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
