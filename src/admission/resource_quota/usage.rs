//! What one object uses of which resources.
//! Source: pkg/quota/v1/evaluator/core/{pods,services,persistent_volume_claims,registry}.go, and
//! k8s.io/apiserver/pkg/quota/v1/generic/evaluator.go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::admission::pod_resources::{self, Amounts, amounts, quantity};
use crate::admission::{Attributes, Operation};
use crate::api::Json;
use crate::api::quantity::{Format, Quantity};
use crate::api::tree::Tree;

/// Counts the objects of one resource.
pub(super) struct Evaluator<'a> {
    pub group: &'a str,
    pub resource: &'a str,
}

/// Names of compute resources that every container of a quota's Pods must say.
const REQUIRED: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

const POD_RESOURCES: &[&str] = &[
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";

/// Counts of objects that have a name of their own besides `count/…`.
const PLAIN_COUNTS: &[&str] = &["configmaps", "secrets", "replicationcontrollers", "resourcequotas"];

fn one() -> Quantity {
    Quantity::from_i64(1, Format::DecimalSi)
}

impl<'a> Evaluator<'a> {
    pub fn of(group: &'a str, resource: &'a str) -> Self {
        Evaluator { group, resource }
    }

    /// The one that counts a quota's resource; `None`: nobody does.
    pub fn counting(name: &'a str) -> Option<Self> {
        if let Some(counted) = name.strip_prefix("count/") {
            let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
            return Some(Evaluator { group, resource });
        }
        let core = |resource| Some(Evaluator { group: "", resource });
        match name {
            "services" | "services.nodeports" | "services.loadbalancers" => core("services"),
            "persistentvolumeclaims" | "requests.storage" => core("persistentvolumeclaims"),
            name if name.contains(STORAGE_CLASS) => core("persistentvolumeclaims"),
            name if PLAIN_COUNTS.contains(&name) => core(name),
            name if is_pod_resource(name) => core("pods"),
            _ => None,
        }
    }

    fn is(&self, resource: &str) -> bool {
        self.group.is_empty() && self.resource == resource
    }

    fn count_name(&self) -> String {
        if self.group.is_empty() {
            format!("count/{}", self.resource)
        } else {
            format!("count/{}.{}", self.resource, self.group)
        }
    }

    pub fn handles(&self, attributes: &Attributes<'_>) -> bool {
        let create = attributes.operation == Operation::Create;
        match attributes.subresource {
            "" if self.is("services") || self.is("persistentvolumeclaims") => true,
            "" => create,
            "resize" => self.is("pods"),
            _ => false,
        }
    }

    /// Whether a quota's resource is one that these objects use.
    pub fn counts(&self, name: &str) -> bool {
        if name == self.count_name() {
            return true;
        }
        match self.resource {
            _ if !self.group.is_empty() => false,
            "pods" => is_pod_resource(name),
            "services" => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
            "persistentvolumeclaims" => {
                matches!(name, "persistentvolumeclaims" | "requests.storage") || name.contains(STORAGE_CLASS)
            }
            resource => name == resource && PLAIN_COUNTS.contains(&name),
        }
    }

    /// A quota of cpu or memory wants every container to say how much. `Err`: which does not.
    pub fn constraints(&self, restricted: &[&String], object: &Json) -> Result<(), String> {
        if !self.is("pods") {
            return Ok(());
        }
        let spec = object.field("spec");
        let required: BTreeSet<&str> =
            restricted.iter().map(|n| n.as_str()).filter(|n| REQUIRED.contains(n)).collect();
        let whole = compute(&amounts(spec.field("resources").field("requests")), &amounts(spec.field("resources").field("limits")));
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for container in spec.list("containers").iter().chain(spec.list("initContainers")) {
            let resources = container.field("resources");
            let said = compute(&amounts(resources.field("requests")), &amounts(resources.field("limits")));
            for name in required.iter().filter(|n| !said.contains_key(**n) && !whole.contains_key(**n)) {
                missing.entry(name).or_default().insert(container.text("name"));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let parts: Vec<String> = missing
            .into_iter()
            .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")))
            .collect();
        Err(format!("must specify {}", parts.join("; ")))
    }

    /// What an object uses, by names of quota resources.
    pub fn usage(&self, object: &Json, now: Timestamp) -> Amounts {
        let mut used = Amounts::from([(self.count_name(), one())]);
        match self.resource {
            _ if !self.group.is_empty() => {}
            "pods" => used.extend(pod(object, now)),
            "services" => used.extend(service(object)),
            "persistentvolumeclaims" => used.extend(claim(object)),
            resource if PLAIN_COUNTS.contains(&resource) => {
                used.insert(resource.to_owned(), one());
            }
            _ => {}
        }
        used
    }
}

fn is_pod_resource(name: &str) -> bool {
    POD_RESOURCES.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        // Extended resources have requests only, and their names have a domain.
        || (name.starts_with("requests.") && name.contains('/') && !name.contains(STORAGE_CLASS))
}

/// Amounts of containers by the names of quota resources.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::new();
    for (name, amount) in requests {
        let plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if plain {
            used.insert(name.clone(), amount.clone());
        }
        if plain || name.contains('/') {
            used.insert(format!("requests.{name}"), amount.clone());
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), amount.clone());
        }
    }
    used
}

/// A Pod that has ended uses nothing but its place among the objects.
fn pod(object: &Json, now: Timestamp) -> Amounts {
    let ended = matches!(object.field("status").text("phase"), "Failed" | "Succeeded");
    let metadata = object.field("metadata");
    let deleted_at: Option<Timestamp> = metadata.opt_text("deletionTimestamp").and_then(|t| t.parse().ok());
    // The time of deletion has the grace period in it already; Kubernetes adds it once more.
    let grace = metadata.int("deletionGracePeriodSeconds");
    let overdue = deleted_at.is_some_and(|at| now.as_second() > at.as_second().saturating_add(grace));
    if ended || overdue {
        return Amounts::new();
    }
    let spec = object.field("spec");
    let mut used = compute(&pod_resources::requests(spec), &pod_resources::limits(spec));
    used.insert("pods".into(), one());
    used
}

fn service(object: &Json) -> Amounts {
    let spec = object.field("spec");
    let ports = i64::try_from(spec.list("ports").len()).unwrap_or(i64::MAX);
    let mut used = Amounts::from([("services".to_owned(), one())]);
    let nodeports = match spec.text("type") {
        "NodePort" => ports,
        "LoadBalancer" => {
            used.insert("services.loadbalancers".into(), one());
            if spec.field("allocateLoadBalancerNodePorts").as_bool() == Some(false) {
                let given = spec.list("ports").iter().filter(|p| p.int("nodePort") != 0).count();
                i64::try_from(given).unwrap_or(i64::MAX)
            } else {
                ports
            }
        }
        _ => 0,
    };
    used.insert("services.nodeports".into(), Quantity::from_i64(nodeports, Format::DecimalSi));
    used
}

fn claim(object: &Json) -> Amounts {
    let spec = object.field("spec");
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), one())]);
    let annotated = object.field("metadata").field("annotations").text("volume.beta.kubernetes.io/storage-class");
    let class = if annotated.is_empty() { spec.text("storageClassName") } else { annotated };
    if !class.is_empty() {
        used.insert(format!("{class}{STORAGE_CLASS}persistentvolumeclaims"), one());
    }
    if let Some(storage) = quantity(spec.field("resources").field("requests").field("storage")) {
        if !class.is_empty() {
            used.insert(format!("{class}{STORAGE_CLASS}requests.storage"), storage.clone());
        }
        used.insert("requests.storage".into(), storage);
    }
    used
}
