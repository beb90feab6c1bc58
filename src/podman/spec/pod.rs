//! The body of `pods/create`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Namespace, OciResources, is_empty, resources};
use crate::podman::naming::{self, InstanceId};
use crate::runtime::SandboxConfig;

/// `specgen.PodSpecGenerator`, as far as `wl` fills it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PodSpec {
    pub name: String,
    pub infra_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    pub labels: BTreeMap<String, String>,
    pub shared_namespaces: Vec<&'static str>,
    pub netns: Option<Namespace>,
    #[serde(rename = "Networks", skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, NetworkOptions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub portmappings: Vec<PortMapping>,
    /// The containers get files that `wl` writes.
    pub no_manage_resolv_conf: bool,
    pub no_manage_hosts: bool,
    #[serde(skip_serializing_if = "is_empty")]
    pub sysctl: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<OciResources>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NetworkOptions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_ips: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortMapping {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: String,
}

/// The pod of `config` in the network of `instance`.
pub fn pod(instance: &InstanceId, config: &SandboxConfig) -> PodSpec {
    let name = naming::pod(instance, config);
    let on_host = config.network.is_none();
    let mut shared = vec!["net"];
    if !on_host {
        // In the host's network each container has the host's name by itself.
        shared.push("uts");
    }
    if !config.host_ipc {
        shared.push("ipc");
    }
    if config.share_process_namespace && !config.host_pid {
        shared.push("pid");
    }
    let networks = config.network.iter().map(|network| {
        let static_ips = network.ips.iter().map(ToString::to_string).collect();
        (instance.network(), NetworkOptions { static_ips })
    });
    PodSpec {
        infra_name: naming::infra(&name),
        name,
        hostname: if on_host { String::new() } else { config.hostname.clone() },
        labels: naming::pod_labels(instance, config),
        shared_namespaces: shared,
        netns: if on_host { Namespace::host() } else { Some(Namespace { nsmode: "bridge", value: String::new() }) },
        networks: networks.collect(),
        portmappings: if on_host { Vec::new() } else { ports(config) },
        no_manage_resolv_conf: true,
        no_manage_hosts: true,
        sysctl: config.sysctls.clone(),
        resource_limits: resources(&config.resources),
    }
}

/// Only what is to be reached from the host is Podman's business.
fn ports(config: &SandboxConfig) -> Vec<PortMapping> {
    let published = config.ports.iter().filter(|port| port.host_port != 0);
    published
        .map(|port| PortMapping {
            host_ip: port.host_ip.clone(),
            host_port: port.host_port,
            container_port: port.container_port,
            protocol: port.protocol.to_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{LinuxResources, PodNetwork, PortMapping as Port};
    use serde_json::json;

    #[test]
    fn a_pod_is_sent_with_these_keys() {
        let config = SandboxConfig {
            uid: "u-1".into(),
            namespace: "default".into(),
            name: "web".into(),
            hostname: "web".into(),
            network: Some(PodNetwork { ips: vec!["10.1.0.9".parse().expect("an address")] }),
            share_process_namespace: true,
            ports: vec![Port { host_ip: String::new(), host_port: 8080, container_port: 80, protocol: "TCP".into() }],
            sysctls: [("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned())].into(),
            resources: LinuxResources { cpu_shares: Some(2), pids_limit: Some(9), ..LinuxResources::default() },
            ..SandboxConfig::default()
        };
        let instance = InstanceId::parse("i1").expect("an id");
        let expected = json!({
            "name": "wl-i1_default_web_u-1_0",
            "infra_name": "wl-i1_default_web_u-1_0_infra",
            "hostname": "web",
            "labels": {
                "io.wl.attempt": "0", "io.wl.format": "1", "io.wl.instance": "i1", "io.wl.pod-ips": "10.1.0.9",
                "io.wl.pod-name": "web", "io.wl.pod-namespace": "default", "io.wl.pod-uid": "u-1",
            },
            "shared_namespaces": ["net", "uts", "ipc", "pid"],
            "netns": {"nsmode": "bridge"},
            "Networks": {"wl-i1": {"static_ips": ["10.1.0.9"]}},
            "portmappings": [{"host_port": 8080, "container_port": 80, "protocol": "tcp"}],
            "no_manage_resolv_conf": true,
            "no_manage_hosts": true,
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"},
            "resource_limits": {"cpu": {"shares": 2}, "pids": {"limit": 9}},
        });
        assert_eq!(serde_json::to_value(pod(&instance, &config)).expect("JSON"), expected);
    }

    #[test]
    fn a_pod_of_the_hosts_network_has_neither_name_nor_ports_of_its_own() {
        let ports = vec![Port { host_ip: String::new(), host_port: 80, container_port: 80, protocol: "tcp".into() }];
        let config = SandboxConfig { hostname: "x".into(), ports, host_ipc: true, ..SandboxConfig::default() };
        let made = pod(&InstanceId::parse("i1").expect("an id"), &config);
        assert_eq!((made.hostname.as_str(), made.portmappings.len()), ("", 0));
        assert_eq!(made.netns, Namespace::host());
        assert_eq!(made.shared_namespaces, ["net"]);
    }
}
