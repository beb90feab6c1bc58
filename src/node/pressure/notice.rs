//! What a pod that goes is told, and how it goes.
//! Source: pkg/kubelet/eviction/helpers.go (evictionMessage), eviction_manager.go (evictPod).

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Observations, PressureConfig, Reclaim, Resource};
use crate::api::quantity::{Format, Quantity};
use crate::node::eviction::{Eviction, GRACE, REASON};
use crate::runtime::{ContainerUsage, PodUsage};

/// The message, and what the Event carries besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notice {
    pub message: String,
    pub annotations: BTreeMap<String, String>,
}

/// What a pod is told that goes for this.
pub fn notice(reclaim: &Reclaim, seen: &Observations, pod: &Pod, usage: Option<&PodUsage>) -> Notice {
    let resource = reclaim.resource();
    let name = resource.name();
    let mut message = format!("The node was low on resource: {name}. ");
    let same = reclaim.thresholds.iter().filter(|t| t.signal.resource() == resource);
    if let Some((threshold, observed)) = same.filter_map(|t| Some((t, seen.get(&t.signal)?))).next() {
        let (wanted, available) = (threshold.value.of(observed.capacity), threshold.signal.amount(observed.available));
        message += &format!("Threshold quantity: {wanted}, available: {available}. ");
    }
    let Some(usage) = usage else { return Notice { message, annotations: BTreeMap::new() } };
    let mut annotations = BTreeMap::new();
    if let Some(asked) = of_pod(resource, pod) {
        let (pod, used) = (pod.metadata.name.as_deref().unwrap_or_default(), bytes(usage.memory));
        message += &format!("Pod {pod} was using {used}, request is {asked}, has larger consumption of {name}. ");
        annotations.insert("offending_pod".to_owned(), pod.to_owned());
        annotations.insert("offending_pod_usage".to_owned(), used.to_string());
    }
    let (mut names, mut amounts) = (Vec::new(), Vec::new());
    for container in containers(pod) {
        let Some(used) = usage.containers.get(&container.name).and_then(|used| used_of(resource, used)) else { continue };
        let asked = asked(container, name);
        if used > asked {
            message += &format!("Container {} was using {used}, request is {asked}, has larger consumption of {name}. ", container.name);
            names.push(container.name.clone());
            amounts.push(used.to_string());
        }
    }
    annotations.insert("offending_containers".to_owned(), names.join(","));
    annotations.insert("offending_containers_usage".to_owned(), amounts.join(","));
    annotations.insert("starved_resource".to_owned(), name.to_owned());
    Notice { message, annotations }
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
}

/// What a pod asks for as a whole, where it does.
fn of_pod(resource: Resource, pod: &Pod) -> Option<Quantity> {
    let requests = pod.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    let asked = requests.get("memory").filter(|_| resource == Resource::Memory)?;
    Quantity::parse(&asked.0).ok()
}

fn asked(container: &Container, name: &str) -> Quantity {
    let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    requests.and_then(|r| Quantity::parse(&r.get(name)?.0).ok()).unwrap_or_else(Quantity::zero)
}

fn used_of(resource: Resource, used: &ContainerUsage) -> Option<Quantity> {
    match resource {
        Resource::Memory => Some(bytes(used.memory)),
        Resource::EphemeralStorage => Some(bytes(used.root.bytes.saturating_add(used.logs.bytes))),
        Resource::Inodes | Resource::Pids => None,
    }
}

fn bytes(amount: u64) -> Quantity {
    Quantity::from_i64(i64::try_from(amount).unwrap_or(i64::MAX), Format::BinarySi)
}

/// How a pod goes: for a hard threshold nearly at once, for a soft one in its own time or in what the flag allows.
pub fn eviction(notice: Notice, reclaim: &Reclaim, pod: &Pod, config: &PressureConfig) -> Eviction {
    let own = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
    let grace = match config.max_pod_grace {
        _ if reclaim.threshold().is_hard() => Some(GRACE),
        // A pod has a second at least (pkg/kubelet/pod_workers.go: calculateEffectiveGracePeriod).
        Some(most) => Some(SignedDuration::from_secs(own.map_or(most, |own| own.min(most)).max(1))),
        None => None,
    };
    Eviction { reason: REASON, disruption: Some(notice.message.clone()), message: notice.message, grace, annotations: notice.annotations }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::signals::Observation;
    use super::super::thresholds::Amount;
    use super::super::{Signal, Threshold};
    use super::*;
    use crate::runtime::DiskUse;

    const MIB: u64 = 1 << 20;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn reclaim(signal: Signal, value: Amount, grace: i64) -> Reclaim {
        let grace = SignedDuration::from_secs(grace);
        Reclaim { thresholds: vec![Threshold { signal, value, grace, min_reclaim: None }] }
    }

    fn quantity(text: &str) -> Amount {
        Amount::Quantity(Quantity::parse(text).unwrap())
    }

    fn seen(signal: Signal, available: i64, capacity: i64) -> Observations {
        [(signal, Observation { available, capacity })].into()
    }

    fn usage(memory: u64, disk: u64) -> PodUsage {
        let disk = DiskUse { bytes: disk, inodes: 7 };
        let of = |memory| ContainerUsage { memory, root: disk, logs: disk };
        let containers = [("c", memory), ("d", MIB), ("i", 2 * MIB)].map(|(name, memory)| (name.to_owned(), of(memory)));
        PodUsage { memory: memory + 3 * MIB, containers: containers.into(), ..PodUsage::default() }
    }

    #[test]
    fn memory_is_told_with_every_container_that_has_more_than_it_asked_for() {
        let pod = pod(json!({
            "initContainers": [{"name": "i", "restartPolicy": "Always"}],
            "containers": [{"name": "c"}, {"name": "d", "resources": {"requests": {"memory": "1Mi"}}}]}));
        let reclaim = reclaim(Signal::MemoryAvailable, quantity("100Mi"), 0);
        let seen = seen(Signal::MemoryAvailable, 50 << 20, 1 << 30);
        let told = notice(&reclaim, &seen, &pod, Some(&usage(10 * MIB, 0)));
        let expected = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. \
                        Container c was using 10Mi, request is 0, has larger consumption of memory. \
                        Container i was using 2Mi, request is 0, has larger consumption of memory. ";
        assert_eq!(told.message, expected);
        let expected = [("offending_containers", "c,i"), ("offending_containers_usage", "10Mi,2Mi"), ("starved_resource", "memory")];
        assert_eq!(told.annotations, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let unknown = notice(&reclaim, &seen, &pod, None);
        assert_eq!(unknown.message, "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ");
        assert!(unknown.annotations.is_empty());
    }

    #[test]
    fn a_pod_that_asks_as_a_whole_is_told_as_a_whole_too() {
        let pod = pod(json!({"resources": {"requests": {"memory": "4Mi"}}, "containers": [{"name": "x"}]}));
        let told = notice(&reclaim(Signal::MemoryAvailable, quantity("1"), 0), &Observations::new(), &pod, Some(&usage(MIB, 0)));
        let expected = "The node was low on resource: memory. Pod p was using 4Mi, request is 4Mi, has larger consumption of memory. ";
        assert_eq!(told.message, expected);
        assert_eq!(told.annotations["offending_pod_usage"], "4Mi");
    }

    #[test]
    fn a_disk_is_told_by_bytes_and_inodes_and_processes_without() {
        let pod = pod(json!({"containers": [{"name": "c", "resources": {"requests": {"ephemeral-storage": "1Ki"}}}]}));
        let told = |signal: Signal, value, available| {
            notice(&reclaim(signal, value, 0), &seen(signal, available, 1000), &pod, Some(&usage(0, 1000))).message
        };
        let expected = "The node was low on resource: ephemeral-storage. Threshold quantity: 250, available: 10. \
                        Container c was using 2000, request is 1Ki, has larger consumption of ephemeral-storage. ";
        assert_eq!(told(Signal::ImageFsAvailable, Amount::Share(0.25), 10), expected);
        let expected = "The node was low on resource: inodes. Threshold quantity: 5k, available: 4k. ";
        assert_eq!(told(Signal::NodeFsInodesFree, quantity("5k"), 4000), expected);
        let expected = "The node was low on resource: pids. Threshold quantity: 5, available: -1. ";
        assert_eq!(told(Signal::PidAvailable, quantity("5"), -1), expected);
    }

    #[test]
    fn a_hard_threshold_leaves_a_second_a_soft_one_the_lesser_time() {
        let grace = |own: Option<i64>, most: Option<i64>, soft: i64| {
            let pod = pod(json!({"terminationGracePeriodSeconds": own, "containers": []}));
            let config = PressureConfig { max_pod_grace: most, ..PressureConfig::default() };
            let reclaim = reclaim(Signal::MemoryAvailable, quantity("1"), soft);
            eviction(Notice::default(), &reclaim, &pod, &config).grace.map(|grace| grace.as_secs())
        };
        assert_eq!(grace(Some(30), Some(60), 0), Some(1));
        assert_eq!(grace(Some(30), Some(60), 90), Some(30));
        assert_eq!(grace(Some(30), Some(10), 90), Some(10));
        assert_eq!(grace(Some(0), Some(10), 90), Some(1));
        assert_eq!(grace(Some(30), None, 90), None, "its own");
    }
}
