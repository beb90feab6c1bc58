//! Facts about Pods that several rooms need: what they ask for in all, and so their class of service.
//! Sources: k8s.io/component-helpers/resource/helpers.go, pkg/apis/core/helper/qos/qos.go.

use std::collections::BTreeMap;

use super::Json;
use super::quantity::Quantity;
use super::tree::Tree;

/// Annotation of a mirror pod, which shows a static pod: that one's hash.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// Annotation: where a pod of a node comes from; `api`, or it is static.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";

/// Amounts by name of resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceList(pub BTreeMap<String, Quantity>);

impl ResourceList {
    /// Reads a map of quantities; what is none is left out.
    pub fn of(map: &Json) -> Self {
        let entries = map.as_object().into_iter().flatten();
        ResourceList(entries.filter_map(|(k, v)| Some((k.clone(), Quantity::parse(v.as_str()?).ok()?))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Quantity> {
        self.0.get(name)
    }

    pub fn json(&self) -> Json {
        Json::Object(self.0.iter().map(|(k, v)| (k.clone(), v.to_string().into())).collect())
    }

    /// Adds every amount of `other`.
    pub fn add(&mut self, other: &ResourceList) {
        for (name, amount) in &other.0 {
            match self.0.get_mut(name) {
                Some(sum) => sum.add(amount),
                None => {
                    self.0.insert(name.clone(), amount.clone());
                }
            }
        }
    }

    /// Raises every amount to that of `other`.
    pub fn raise_to(&mut self, other: &ResourceList) {
        for (name, amount) in &other.0 {
            match self.0.get_mut(name) {
                Some(own) if *own >= *amount => {}
                _ => {
                    self.0.insert(name.clone(), amount.clone());
                }
            }
        }
    }
}

/// Whether an init container runs beside the others (a sidecar).
pub fn is_sidecar(container: &Json) -> bool {
    container.text("restartPolicy") == "Always"
}

/// What all containers of a PodSpec have together in `requests` or `limits`: those that run at the same
/// time added, and at least what any init container has.
pub fn aggregate(spec: &Json, which: &str) -> ResourceList {
    let of = |container: &Json| ResourceList::of(container.field("resources").field(which));
    let mut sum = ResourceList::default();
    for container in spec.list("containers") {
        sum.add(&of(container));
    }
    let (mut sidecars, mut peak) = (ResourceList::default(), ResourceList::default());
    for container in spec.list("initContainers") {
        let mut own = of(container);
        if is_sidecar(container) {
            sum.add(&own);
            sidecars.add(&own);
            own = sidecars.clone();
        } else {
            own.add(&sidecars);
        }
        peak.raise_to(&own);
    }
    sum.raise_to(&peak);
    sum
}

/// What a Pod has in all in `requests` or `limits`: its containers, or what it asks for as a whole, and its
/// overhead. `running`: where a container has, or was promised, more than its spec says, that counts.
/// Source: k8s.io/component-helpers/resource/helpers.go (`PodRequests`, `PodLimits`).
pub fn whole(pod: &Json, which: &str, running: bool) -> ResourceList {
    let spec = pod.field("spec");
    let mut sum = if running { aggregate(&with_running(pod, which), which) } else { aggregate(spec, which) };
    for (name, amount) in ResourceList::of(spec.field("resources").field(which)).0 {
        if is_pod_level(&name) {
            sum.0.insert(name, amount);
        }
    }
    let mut overhead = ResourceList::of(spec.field("overhead"));
    if which == "limits" {
        // Without a limit there is none with overhead either.
        overhead.0.retain(|name, _| sum.get(name).is_some_and(|limit| !limit.is_zero()));
    }
    sum.add(&overhead);
    sum
}

/// The spec with the resources that containers have now.
fn with_running(pod: &Json, which: &str) -> Json {
    let (mut spec, status) = (pod.field("spec").clone(), pod.field("status"));
    let refused = |c: &Json| c.text("type") == "PodResizePending" && c.text("reason") == "Infeasible";
    let refused = status.list("conditions").iter().any(refused);
    for (list, statuses) in [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")] {
        for container in super::tree::items(&mut spec, list) {
            let now = status.list(statuses).iter().find(|s| s.text("name") == container.text("name"));
            let Some(now) = now.filter(|now| now.has("resources")) else { continue };
            let mut amounts = ResourceList::of(now.field("resources").field(which));
            if which == "requests" {
                amounts.raise_to(&ResourceList::of(now.field("allocatedResources")));
            }
            if !refused {
                amounts.raise_to(&ResourceList::of(container.field("resources").field(which)));
            }
            container["resources"][which] = amounts.json();
        }
    }
    spec
}

pub fn is_hugepages(resource: &str) -> bool {
    resource.starts_with("hugepages-")
}

/// Whether more of a resource may be promised than there is.
pub fn is_overcommitted(resource: &str) -> bool {
    (!resource.contains('/') || resource.contains("kubernetes.io/")) && !is_hugepages(resource)
}

/// Whether a Pod as a whole may ask for a resource.
pub fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || is_hugepages(resource)
}

/// `Guaranteed`, `Burstable` or `BestEffort`, from what the Pod or its containers ask for and are limited to.
pub fn qos_class(spec: &Json) -> &'static str {
    let of = |resources: &Json, which: &str| {
        let mut list = ResourceList::of(resources.field(which));
        list.0.retain(|name, amount| matches!(name.as_str(), "cpu" | "memory") && amount.signum() > 0);
        list
    };
    let (mut requests, mut limits, mut guaranteed) = (ResourceList::default(), ResourceList::default(), true);
    let whole = spec.field("resources");
    let mut count = |resources: &Json| {
        requests.add(&of(resources, "requests"));
        let own = of(resources, "limits");
        guaranteed &= own.0.len() == 2;
        limits.add(&own);
    };
    if !whole.is_null() && (!whole.entries("requests").is_empty() || !whole.entries("limits").is_empty()) {
        count(whole);
    } else {
        spec.list("containers").iter().chain(spec.list("initContainers")).for_each(|c| count(c.field("resources")));
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.0.iter().all(|(name, amount)| limits.get(name) == Some(amount));
    if guaranteed && equal && requests.0.len() == limits.0.len() { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_class_of_service_follows_requests_and_limits() {
        let spec = |resources: Json| json!({"containers": [{"name": "c", "resources": resources}]});
        let all = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(qos_class(&spec(json!({}))), "BestEffort");
        assert_eq!(qos_class(&spec(json!({"requests": {"example.com/gpu": "1"}}))), "BestEffort");
        assert_eq!(qos_class(&spec(json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(qos_class(&spec(json!({"requests": all, "limits": all}))), "Guaranteed");
        assert_eq!(qos_class(&spec(json!({"requests": {"cpu": "1"}, "limits": all}))), "Burstable");
    }

    #[test]
    fn sidecars_count_with_the_containers_and_init_containers_alone() {
        let with = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let spec = json!({
            "containers": [{"resources": with("1")}],
            "initContainers": [
                {"resources": with("500m"), "restartPolicy": "Always"},
                {"resources": with("2")},
            ],
        });
        assert_eq!(aggregate(&spec, "requests").json(), json!({"cpu": "2500m"}));
    }
}
