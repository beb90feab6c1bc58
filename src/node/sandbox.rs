//! What a pod's sandbox is made from.
//! Source: pkg/kubelet/kuberuntime/kuberuntime_sandbox.go.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{Context, PodEvent, hosts, identity, resources};
use crate::runtime::{POD_ANNOTATION, PodNetwork, PortMapping, SandboxConfig};

/// The configuration and warnings about it; `Err`: FailedCreatePodSandBox.
pub fn config(pod: &Pod, attempt: u32, context: &Context<'_>) -> Result<(SandboxConfig, Vec<PodEvent>), String> {
    let spec = pod.spec.as_ref().ok_or("the pod has no spec")?;
    let hostname = hosts::kernel_hostname(pod, context)?;
    let (dns, events) = hosts::dns(pod, context);
    let host_network = hosts::host_network(pod);
    let ips: Vec<String> = context.addresses.iter().map(ToString::to_string).collect();
    let config = SandboxConfig {
        uid: identity::uid(pod).to_owned(),
        namespace: identity::namespace(pod).to_owned(),
        name: identity::name(pod).to_owned(),
        attempt,
        hostname,
        network: (!host_network).then(|| PodNetwork { ips: context.addresses.to_vec() }),
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        share_process_namespace: spec.share_process_namespace.unwrap_or(false),
        ports: if host_network { Vec::new() } else { ports(spec) },
        dns,
        hosts: hosts::hosts_file(pod, &ips, context),
        sysctls: sysctls(spec),
        resources: resources::pod(spec),
        labels: BTreeMap::new(),
        annotations: annotations(pod),
    };
    Ok((config, events))
}

/// The Pod itself, without its status.
fn annotations(pod: &Pod) -> BTreeMap<String, String> {
    let mut bare = pod.clone();
    bare.status = None;
    bare.metadata.managed_fields = None;
    let text = serde_json::to_string(&bare).unwrap_or_default();
    BTreeMap::from([(POD_ANNOTATION.to_owned(), text)])
}

fn ports(spec: &PodSpec) -> Vec<PortMapping> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| crate::api::requests::is_sidecar(c));
    let all = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let number = |n: i32| u16::try_from(n).ok().filter(|n| *n > 0);
    let mapped = all.filter_map(|p| {
        Some(PortMapping {
            host_ip: p.host_ip.clone().unwrap_or_default(),
            host_port: number(p.host_port?)?,
            container_port: number(p.container_port)?,
            protocol: p.protocol.as_deref().unwrap_or("TCP").to_lowercase(),
        })
    });
    mapped.collect()
}

fn sysctls(spec: &PodSpec) -> BTreeMap<String, String> {
    let list = spec.security_context.as_ref().and_then(|s| s.sysctls.as_deref()).unwrap_or_default();
    list.iter().map(|s| (s.name.replace('/', "."), s.value.clone())).collect()
}

/// Sysctls that every pod may set.
/// Source: pkg/kubelet/sysctl/safe_sysctls.go.
const SAFE_SYSCTLS: [&str; 11] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
];

/// The first sysctl that this node forbids, in the kubelet's words.
pub fn forbidden_sysctl(pod: &Pod, allowed: &[String]) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let list = spec.security_context.as_ref().and_then(|s| s.sysctls.as_deref()).unwrap_or_default();
    for sysctl in list {
        let name = sysctl.name.replace('/', ".");
        let safe = SAFE_SYSCTLS.contains(&name.as_str()) || name == "net.ipv4.tcp_wmem";
        let listed = allowed.iter().any(|a| match a.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *a == name,
        });
        if !safe && !listed {
            return Some(format!("forbidden sysctl: \"{name}\" not allowlisted"));
        }
        if spec.host_network == Some(true) && name.starts_with("net.") {
            return Some(format!("forbidden sysctl: \"{name}\" not allowed with host net enabled"));
        }
        if spec.host_ipc == Some(true) && (name.starts_with("kernel.shm") || name.starts_with("kernel.msg") || name == "kernel.sem" || name.starts_with("fs.mqueue.")) {
            return Some(format!("forbidden sysctl: \"{name}\" not allowed with host ipc enabled"));
        }
    }
    None
}
