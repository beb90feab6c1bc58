//! The names of the cluster's domain, made from what the gateway is told.
//! Source: github.com/kubernetes/dns/blob/master/docs/specification.md (version 1.1.0).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::network::config::{EndpointState, GatewayConfig, Protocol, ServiceConfig};

/// What a name has. Without anything it is only the end of longer ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub addresses: Vec<IpAddr>,
    pub services: Vec<Srv>,
    pub alias: Option<String>,
    pub text: Option<String>,
}

/// A port and the name of who has it, below the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    pub port: u16,
    pub target: String,
}

/// All names below one domain, in lower case and without the domain; `""` is the domain itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    domain: String,
    names: HashMap<String, Node>,
    /// Address → names below the domain.
    reverse: HashMap<IpAddr, Vec<String>>,
    namespaces: HashSet<String>,
}

/// What is known about a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<'z> {
    /// Not below the domain: somebody else's.
    Foreign,
    /// Below the domain, and there is none.
    Unknown,
    Known(std::borrow::Cow<'z, Node>),
}

/// A port's name, protocol and number.
type NamedPort = (String, Protocol, u16);

/// The version of the specification that the records follow.
const VERSION: &str = "1.1.0";

impl Zone {
    pub fn of(config: &GatewayConfig) -> Self {
        let mut zone = Zone {
            domain: config.domain.trim_matches('.').to_lowercase(),
            namespaces: config.namespaces.iter().cloned().collect(),
            ..Zone::default()
        };
        zone.node("").addresses.clear();
        zone.node("dns-version").text = Some(VERSION.to_owned());
        for kind in ["svc", "pod"] {
            zone.node(kind);
            for namespace in &config.namespaces {
                zone.node(&format!("{namespace}.{kind}"));
            }
        }
        for service in &config.services {
            zone.add(service);
        }
        zone
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Looks for a name without its last dot.
    pub fn lookup(&self, name: &str) -> Lookup<'_> {
        let name = name.to_lowercase();
        let below = match name.strip_suffix(&self.domain) {
            Some("") => "",
            Some(rest) => match rest.strip_suffix('.') {
                Some(below) => below,
                None => return Lookup::Foreign,
            },
            None => return Lookup::Foreign,
        };
        match self.names.get(below) {
            Some(node) => Lookup::Known(std::borrow::Cow::Borrowed(node)),
            None => match self.pod(below) {
                Some(node) => Lookup::Known(std::borrow::Cow::Owned(node)),
                None => Lookup::Unknown,
            },
        }
    }

    /// The names of an address; `None`: it is nobody's here.
    pub fn names_of(&self, address: IpAddr) -> Option<&[String]> {
        self.reverse.get(&address).map(Vec::as_slice)
    }

    /// What a name below the domain has.
    pub fn node_of(&self, below: &str) -> Option<&Node> {
        self.names.get(below)
    }

    /// `10-1-2-3.default.pod`, `fd00--5.default.pod` (CoreDNS' kubernetes plugin: dashes of IPv4 are three, and none stand together).
    fn pod(&self, below: &str) -> Option<Node> {
        let (name, namespace) = below.strip_suffix(".pod")?.split_once('.')?;
        let is_v4 = name.matches('-').count() == 3 && !name.contains("--");
        let address: IpAddr = name.replace('-', if is_v4 { "." } else { ":" }).parse().ok()?;
        let node = Node { addresses: vec![address], ..Node::default() };
        self.namespaces.contains(namespace).then_some(node)
    }

    /// The node of a name, made with all shorter names where it is missing.
    fn node(&mut self, name: &str) -> &mut Node {
        let mut shorter = name;
        while let Some((_, rest)) = shorter.split_once('.') {
            self.names.entry(rest.to_owned()).or_default();
            shorter = rest;
        }
        self.names.entry(name.to_owned()).or_default()
    }

    fn add(&mut self, service: &ServiceConfig) {
        let name = format!("{}.{}.svc", service.name, service.namespace);
        if let Some(target) = &service.external_name {
            self.node(&name).alias = Some(target.trim_end_matches('.').to_lowercase());
        } else if service.addresses.is_empty() {
            self.add_headless(service, &name);
        } else {
            self.node(&name).addresses.clone_from(&service.addresses);
            for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
                let srv = Srv { port: port.port, target: name.clone() };
                self.node(&port_name(&port.name, port.protocol, &name)).services.push(srv);
            }
            for address in &service.addresses {
                self.reverse.entry(*address).or_default().push(name.clone());
            }
        }
    }

    /// One record for each ready endpoint. Without one, the name is unknown.
    fn add_headless(&mut self, service: &ServiceConfig, name: &str) {
        let mut hosts: BTreeMap<(String, IpAddr), Vec<NamedPort>> = BTreeMap::new();
        for slice in &service.slices {
            for endpoint in slice.endpoints.iter().filter(|e| e.state == EndpointState::Ready) {
                let host = endpoint.hostname.clone().unwrap_or_else(|| dashed(endpoint.address)).to_lowercase();
                let ports = hosts.entry((host, endpoint.address)).or_default();
                let named = slice.ports.iter().filter(|p| !p.name.is_empty());
                ports.extend(named.map(|p| (p.name.clone(), p.protocol, p.port)));
            }
        }
        for ((host, address), mut ports) in hosts {
            let full = format!("{host}.{name}");
            let own = self.node(name);
            if !own.addresses.contains(&address) {
                own.addresses.push(address);
            }
            self.node(&full).addresses.push(address);
            self.reverse.entry(address).or_default().push(full.clone());
            ports.sort();
            ports.dedup();
            for (port, protocol, number) in ports {
                let node = self.node(&port_name(&port, protocol, name));
                let srv = Srv { port: number, target: full.clone() };
                if !node.services.contains(&srv) {
                    node.services.push(srv);
                }
            }
        }
    }
}

fn port_name(port: &str, protocol: Protocol, service: &str) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("_{}._{protocol}.{service}", port.to_lowercase())
}

/// The name of an endpoint that has none of its own.
fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}
