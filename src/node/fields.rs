//! The downward API: fields and resources of the pod as text.
//! Source: k8s.io/kubernetes/pkg/fieldpath/fieldpath.go, pkg/api/v1/resource/helpers.go.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceFieldSelector};

use super::{Context, hosts};
use crate::api::pod::CONFIG_SOURCE;
use crate::api::requests;
use crate::api::status::quote;

/// A field of the pod as an environment variable or a file has it; `Err`: the kubelet's words.
pub fn field(pod: &Pod, path: &str, addresses: &Addresses) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((base, key)) = subscript(path) {
        let map = match base {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => return Ok(annotations(pod).get(key).cloned().unwrap_or_default()),
            _ => return Err(format!("fieldPath {} does not support subscript", quote(path))),
        };
        return Ok(map.and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let join = |list: &[String]| list.join(",");
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref().into_iter().flatten()),
        "metadata.annotations" => lines(annotations(pod).iter()),
        "spec.nodeName" => spec.and_then(|s| s.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec.and_then(|s| s.service_account_name.clone()).unwrap_or_default(),
        "status.hostIP" => addresses.host.first().cloned().unwrap_or_default(),
        "status.hostIPs" => join(&addresses.host),
        "status.podIP" => addresses.pod.first().cloned().unwrap_or_default(),
        "status.podIPs" => join(&addresses.pod),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// Addresses that fields may show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addresses {
    pub host: Vec<String>,
    pub pod: Vec<String>,
}

impl Addresses {
    pub fn of(pod: &Pod, context: &Context<'_>, sandbox_ips: &[std::net::IpAddr]) -> Self {
        let host = hosts::node_addresses(context.machine, context.config);
        let host: Vec<String> = host.iter().map(ToString::to_string).collect();
        let pod = if hosts::host_network(pod) {
            host.clone()
        } else {
            let ips = if sandbox_ips.is_empty() { context.addresses } else { sandbox_ips };
            ips.iter().map(ToString::to_string).collect()
        };
        Addresses { host, pod }
    }
}

/// `metadata.labels['a/b']` as its two halves.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_suffix("']")?;
    rest.split_once("['")
}

/// The pod's annotations as the kubelet shows them, with the two of its own.
fn annotations(pod: &Pod) -> BTreeMap<String, String> {
    let mut all = pod.metadata.annotations.clone().unwrap_or_default();
    all.entry(CONFIG_SOURCE.into()).or_insert_with(|| "api".into());
    if let Some(seen) = &pod.metadata.creation_timestamp {
        all.entry("kubernetes.io/config.seen".into()).or_insert_with(|| format!("{:.9}", seen.0));
    }
    all
}

fn lines<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    map.map(|(key, value)| format!("{key}={}", quote(value))).collect::<Vec<_>>().join("\n")
}

/// A request or limit in units of the divisor, rounded up; without a limit what the node has.
pub fn resource(
    spec: &PodSpec,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    context: &Context<'_>,
) -> Result<String, String> {
    let container = match selector.container_name.as_deref().filter(|n| !n.is_empty()) {
        None => own,
        Some(name) => {
            let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            all.into_iter().find(|c| c.name == name)
        }
    };
    let container = container.ok_or_else(|| {
        format!("container {} not found", selector.container_name.as_deref().unwrap_or_default())
    })?;
    let (side, name) = selector.resource.split_once('.').unwrap_or(("", &selector.resource));
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if !known || !matches!(side, "limits" | "requests") {
        return Err(format!("Unsupported container resource : {}", selector.resource));
    }
    let amounts =
        if side == "limits" { requests::container_limits(container) } else { requests::container_requests(container) };
    let node = match name {
        "cpu" => context.config.allocatable_milli_cpu,
        "memory" => context.config.allocatable_memory,
        "ephemeral-storage" => context.config.allocatable_storage,
        _ => 0,
    };
    let without = if side == "limits" { node } else { 0 };
    let amount = amounts.get(name).copied().filter(|v| *v != 0).unwrap_or(without);
    let divisor = selector.divisor.as_ref().map_or(0, |d| requests::amount(name, d));
    let divisor = if divisor == 0 { if name == "cpu" { 1000 } else { 1 } } else { divisor };
    Ok(ceil_div(amount, divisor).to_string())
}

fn ceil_div(amount: i64, divisor: i64) -> i64 {
    let whole = amount / divisor;
    if amount % divisor != 0 && (amount > 0) == (divisor > 0) { whole + 1 } else { whole }
}
