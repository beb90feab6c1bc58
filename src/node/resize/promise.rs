//! What a pod was promised, and whether there is room for more.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};

use super::amounts::Compute;
use crate::api::requests::{self, Amounts, is_sidecar};
use crate::node::observed;
use crate::node::NodeConfig;
use crate::runtime::Machine;

/// What the containers that can be resized, and the pod as a whole, were promised. Two are the same if the amounts are.
#[derive(Clone, Debug, Default)]
pub struct Promise {
    containers: BTreeMap<String, ResourceRequirements>,
    whole: Option<ResourceRequirements>,
}

impl PartialEq for Promise {
    fn eq(&self, other: &Self) -> bool {
        let amounts = |p: &Self| -> (Vec<(String, Compute)>, Option<Compute>) {
            (p.containers.iter().map(|(n, r)| (n.clone(), Compute::of(r))).collect(), p.whole.as_ref().map(Compute::of))
        };
        amounts(self) == amounts(other)
    }
}

impl Promise {
    /// All that the spec asks for.
    pub fn of_spec(pod: &Pod) -> Self {
        let containers = resizable(pod).map(|c| (c.name.clone(), c.resources.clone().unwrap_or_default())).collect();
        Promise { containers, whole: pod.spec.as_ref().and_then(|s| s.resources.clone()) }
    }

    /// As the status tells; where it says nothing, as the spec asks. Of a promise that was on its way when the next was asked
    /// for, the status has the requests; its limits are those that the containers have.
    pub fn told(pod: &Pod) -> Self {
        let mut promise = Promise::of_spec(pod);
        for (name, resources) in &mut promise.containers {
            let Some(status) = observed::status_of(pod, name) else { continue };
            let Some(told) = status.resources.clone() else { continue };
            let claims = resources.claims.take();
            let requests = status.allocated_resources.clone().or_else(|| told.requests.clone());
            *resources = ResourceRequirements { claims, limits: told.limits, requests };
        }
        if let Some(told) = pod.status.as_ref().and_then(|s| s.resources.clone())
            && promise.whole.is_some()
        {
            promise.whole = Some(told);
        }
        promise
    }

    /// The pod with what it was promised in the place of what it asks for.
    pub fn put_into<'p>(&self, pod: &'p Pod) -> Cow<'p, Pod> {
        if *self == Promise::of_spec(pod) {
            return Cow::Borrowed(pod);
        }
        let spec = pod.spec.as_ref().map(|spec| PodSpec {
            resources: self.whole.clone(),
            ..spec_with(spec, |container| self.containers.get(&container.name).cloned())
        });
        Cow::Owned(Pod { spec, ..pod.clone() })
    }
}

/// Main containers and sidecars (allocation_manager.go: IsResizableContainer).
fn resizable(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let sidecars = spec.into_iter().flat_map(|s| s.init_containers.iter().flatten()).filter(|c| is_sidecar(c));
    spec.into_iter().flat_map(|s| &s.containers).chain(sidecars)
}

pub fn is_resizable(pod: &Pod, name: &str) -> bool {
    resizable(pod).any(|c| c.name == name)
}

/// What a pod has for a container, which is its promise where the pod is as promised.
pub fn of(pod: &Pod, name: &str) -> ResourceRequirements {
    let spec = pod.spec.as_ref();
    let init = spec.into_iter().flat_map(|s| s.init_containers.iter().flatten());
    let found = spec.into_iter().flat_map(|s| &s.containers).chain(init).find(|c| c.name == name);
    found.and_then(|c| c.resources.clone()).unwrap_or_default()
}

/// Whether what a pod asks for can be promised.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Fits,
    /// Not while the others are there.
    Deferred(String),
    /// Not on this node.
    Infeasible(String),
}

/// Judges what the spec asks for, beside what others were promised. `before`: what this pod was promised, as
/// [`requests::promised`] counts it.
/// Source: pkg/kubelet/allocation, pkg/kubelet/lifecycle/predicate.go.
pub fn judge(pod: &Pod, before: &Amounts, others: &[Amounts], config: &NodeConfig, machine: &Machine) -> Verdict {
    let Some(spec) = &pod.spec else { return Verdict::Fits };
    if machine.lacks_controllers {
        return Verdict::Infeasible(no_control(machine));
    }
    let asked = requests::pod_requests(spec);
    let get = |amounts: &Amounts, name: &str| amounts.get(name).copied().unwrap_or(0);
    let rooms = [("memory", config.allocatable_memory), ("cpu", config.allocatable_milli_cpu)];
    for (name, capacity) in rooms {
        let requested = get(&asked, name);
        if requested > capacity {
            return Verdict::Infeasible(format!(
                "Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}"
            ));
        }
    }
    for (name, capacity) in rooms.into_iter().rev() {
        let requested = get(&asked, name);
        let used: i64 = others.iter().map(|other| get(other, name)).sum();
        // What does not grow needs no more room.
        if requested > get(before, name) && requested > capacity.saturating_sub(used) {
            return Verdict::Deferred(format!(
                "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
            ));
        }
    }
    Verdict::Fits
}

fn no_control(machine: &Machine) -> String {
    let why = if machine.cgroup_version == 2 {
        "the cpu and memory controllers of cgroup v2 are not delegated to this user"
    } else {
        "cgroup v1 gives an ordinary user no control over cpu and memory"
    };
    format!("Limits have no effect here, so none can be changed: {why}")
}

/// The spec with what `has` gives in the place of containers' resources.
pub fn spec_with(spec: &PodSpec, mut has: impl FnMut(&Container) -> Option<ResourceRequirements>) -> PodSpec {
    let mut spec = spec.clone();
    let init = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(init) {
        if let Some(resources) = has(container) {
            container.resources = Some(resources);
        }
    }
    spec
}
