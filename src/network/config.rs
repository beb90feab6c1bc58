//! What the gateway is told: all Services with who stands behind them, as one value that is swapped in whole.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Cidr;

/// Everything that the gateway serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayConfig {
    /// Counts the configurations of one watch; the gateway answers with the one that it serves.
    pub generation: u64,
    /// `cluster.local`
    pub domain: String,
    pub namespaces: Vec<String>,
    /// Where pods' questions about names are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_server: Option<SocketAddr>,
    /// Where pods reach the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
    /// Who knows all other names.
    pub upstreams: Vec<SocketAddr>,
    pub services: Vec<ServiceConfig>,
    pub ingress: IngressConfig,
}

/// What clients outside reach by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressConfig {
    /// Where it is served on the machine; nowhere while there is no Ingress.
    pub http: Option<SocketAddr>,
    pub https: Option<SocketAddr>,
    /// In order: where two fit equally well, the earlier one is taken.
    pub rules: Vec<IngressRule>,
    pub default_backend: Option<Backend>,
    pub certificates: Vec<Certificate>,
}

/// One path of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressRule {
    /// `shop.localhost`, `*.localhost`; empty: any.
    pub host: String,
    pub path: String,
    pub kind: PathKind,
    pub backend: Backend,
}

/// How a rule's path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathKind {
    Exact,
    Prefix,
}

/// A Service and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Backend {
    pub namespace: String,
    pub service: String,
    /// 0 where the Service has no port of that name.
    pub port: u16,
}

/// A certificate with its key, as PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Empty: for every host that no other one names.
    pub hosts: Vec<String>,
    pub chain: String,
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({:?}, …)", self.hosts)
    }
}

/// One Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceConfig {
    pub namespace: String,
    pub name: String,
    /// Empty: headless, or ExternalName.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    /// `sessionAffinity: ClientIP`: for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Empty where the Service has one port without a name.
    #[serde(default)]
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
    /// Its endpoints speak HTTP/2 from the first byte (`appProtocol: kubernetes.io/h2c`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// Where it is reached on the machine itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<SocketAddr>,
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Endpoints that share their ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    pub ports: Vec<SlicePort>,
    pub endpoints: Vec<Endpoint>,
}

/// The number that a Service's port (by name) has in a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePort {
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
}

/// One address behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    pub address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    pub state: EndpointState,
}

/// Whether an endpoint is given connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    Ready,
    /// About to end, and still serving: used where no other is ready.
    Leaving,
    NotReady,
}

impl ServiceConfig {
    /// Who a port's connections go to that do not come by an address of the Service: by IPv4, where there is somebody.
    pub fn targets(&self, port: &ServicePort) -> Vec<SocketAddr> {
        let first = self.targets_of(port, false);
        if first.is_empty() { self.targets_of(port, true) } else { first }
    }

    /// Those of one family of addresses: those that are ready, else those that still serve while they end.
    /// Source: pkg/proxy/topology.go: CategorizeEndpoints.
    pub fn targets_of(&self, port: &ServicePort, v6: bool) -> Vec<SocketAddr> {
        let in_state = |state: EndpointState| {
            let mut found: Vec<SocketAddr> = Vec::new();
            for slice in &self.slices {
                let number = slice.ports.iter().find(|p| p.name == port.name && p.protocol == port.protocol);
                let Some(number) = number.map(|p| p.port) else { continue };
                let fitting = slice.endpoints.iter().filter(|e| e.state == state && e.address.is_ipv6() == v6);
                found.extend(fitting.map(|e| SocketAddr::new(e.address, number)));
            }
            found.sort_unstable();
            found.dedup();
            found
        };
        let ready = in_state(EndpointState::Ready);
        if ready.is_empty() { in_state(EndpointState::Leaving) } else { ready }
    }
}

impl GatewayConfig {
    /// Without what nobody answers for: addresses of IPv6 that lie outside `range`, and, where there is none, endpoints of IPv6.
    pub fn within(mut self, range: Option<Cidr>) -> Self {
        for service in &mut self.services {
            service.addresses.retain(|a| a.is_ipv4() || range.is_some_and(|range| range.contains(*a)));
            if range.is_none() {
                service.slices.iter_mut().for_each(|slice| slice.endpoints.retain(|e| e.address.is_ipv4()));
            }
        }
        self
    }

    /// The IPv6 addresses of Services.
    pub fn addresses_v6(&self) -> BTreeSet<Ipv6Addr> {
        let all = self.services.iter().flat_map(|service| &service.addresses);
        all.filter_map(|address| if let IpAddr::V6(v6) = address { Some(*v6) } else { None }).collect()
    }

    /// The addresses that are given connections.
    pub fn in_rotation(&self) -> BTreeSet<IpAddr> {
        let slices = self.services.iter().flat_map(|service| &service.slices);
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        endpoints.filter(|e| e.state == EndpointState::Ready).map(|e| e.address).collect()
    }

    /// Reads what [`GatewayConfig::write`] wrote.
    pub fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&std::fs::read(path)?).map_err(io::Error::other)
    }

    /// Puts it in the file's place, whole.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let made = path.with_extension("new");
        let mut file = std::fs::File::create(&made)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(&made, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(last: u8, state: EndpointState) -> Endpoint {
        Endpoint { address: IpAddr::from([10, 0, 0, last]), hostname: None, state }
    }

    fn service(endpoints: Vec<Endpoint>) -> (ServiceConfig, ServicePort) {
        let port = ServicePort { name: "http".into(), protocol: Protocol::Tcp, port: 80, http2: false, published: Vec::new() };
        let slice = Slice {
            ports: vec![
                SlicePort { name: "admin".into(), protocol: Protocol::Tcp, port: 9 },
                SlicePort { name: "http".into(), protocol: Protocol::Udp, port: 8 },
                SlicePort { name: "http".into(), protocol: Protocol::Tcp, port: 8080 },
            ],
            endpoints,
        };
        (ServiceConfig { ports: vec![port.clone()], slices: vec![slice], ..ServiceConfig::default() }, port)
    }

    #[test]
    fn who_is_ready_is_used_and_who_leaves_only_where_nobody_is() {
        use EndpointState::{Leaving, NotReady, Ready};
        let (all, port) = service(vec![endpoint(1, Ready), endpoint(2, Leaving), endpoint(3, NotReady)]);
        assert_eq!(all.targets(&port), ["10.0.0.1:8080".parse().expect("an address")]);
        let (last, port) = service(vec![endpoint(2, Leaving), endpoint(3, NotReady)]);
        assert_eq!(last.targets(&port), ["10.0.0.2:8080".parse().expect("an address")]);
        let (none, port) = service(vec![endpoint(3, NotReady)]);
        assert!(none.targets(&port).is_empty());
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let (service, _) = service(vec![endpoint(1, EndpointState::Ready)]);
        let config = GatewayConfig { generation: 7, services: vec![service], ..GatewayConfig::default() };
        let path = dir.path().join("config.json");
        config.write(&path).expect("written");
        assert_eq!(GatewayConfig::read(&path).expect("read"), config);
    }
}
