//! From the objects of the API to what the gateway is told.
//! Source: pkg/proxy/{endpointslicecache.go,serviceconfig.go,servicechangetracker.go}.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::compile_ingress::compile_ingress;
use super::config::{Endpoint, EndpointState, GatewayConfig, Protocol, ServiceConfig, ServicePort, Slice, SlicePort};
use crate::api::GroupResource;
use crate::state::State;

/// What ports are called that speak HTTP/2 without TLS: the name that is Kubernetes' own (KEP-3726), and those in use before it.
const HTTP2: [&str; 3] = ["kubernetes.io/h2c", "h2c", "grpc"];
/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Set on Services and slices that somebody else looks after.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// `service.spec.sessionAffinityConfig.clientIP.timeoutSeconds` where it says nothing (DefaultClientIPServiceAffinitySeconds).
const AFFINITY_SECONDS: i32 = 10_800;

/// The resources whose changes can change what the gateway is told.
pub fn concerns(resource: &GroupResource) -> bool {
    matches!(
        (&*resource.group, &*resource.resource),
        ("", "services" | "namespaces" | "secrets")
            | ("discovery.k8s.io", "endpointslices")
            | ("networking.k8s.io", "ingresses")
    )
}

/// What of Services is opened on the machine, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    pub address: IpAddr,
    /// Ports of Ingress.
    pub http: u16,
    pub https: u16,
}

/// All that the gateway is told. Endpoints at the addresses of `leaving` get new connections only where no other is ready.
pub fn compile(state: &State, domain: &str, publish: &Publish, leaving: &BTreeSet<IpAddr>) -> GatewayConfig {
    let mut slices = slices(state, leaving);
    let services = GroupResource::new("", "services");
    let namespaces = GroupResource::new("", "namespaces");
    let services = state.all(&services).filter_map(|object| object.typed::<Service>().ok());
    let services = services.filter(|s| !has(&s.metadata.labels, PROXY_NAME)).filter_map(|service| {
        let key = (service.metadata.namespace.clone()?, service.metadata.name.clone()?);
        let slices = slices.remove(&key).unwrap_or_default();
        Some(of_service(key, &service, slices, publish.address))
    });
    GatewayConfig {
        domain: domain.to_owned(),
        namespaces: state.all(&namespaces).map(|n| n.name().to_owned()).collect(),
        services: services.collect(),
        ingress: compile_ingress(state, publish),
        ..GatewayConfig::default()
    }
}

fn has(labels: &Option<BTreeMap<String, String>>, name: &str) -> bool {
    labels.as_ref().is_some_and(|labels| labels.contains_key(name))
}

fn of_service(
    (namespace, name): (String, String),
    service: &Service,
    slices: Vec<Slice>,
    publish: IpAddr,
) -> ServiceConfig {
    let Some(spec) = &service.spec else { return ServiceConfig { namespace, name, ..ServiceConfig::default() } };
    let external = spec.type_.as_deref() == Some("ExternalName");
    let addresses = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.iter());
    let mut addresses: Vec<IpAddr> = addresses.filter_map(|text| text.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
        u32::try_from(config.unwrap_or(AFFINITY_SECONDS)).unwrap_or(0)
    });
    let ports = spec.ports.iter().flatten().filter_map(|port| {
        Some(ServicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: protocol(port.protocol.as_deref())?,
            port: u16::try_from(port.port).ok()?,
            http2: port.app_protocol.as_deref().is_some_and(|name| HTTP2.contains(&name)),
            published: published(spec, port).into_iter().map(|number| SocketAddr::new(publish, number)).collect(),
        })
    });
    ServiceConfig {
        addresses: if external { Vec::new() } else { addresses },
        external_name: spec.external_name.clone().filter(|_| external),
        affinity_seconds: affinity,
        ports: ports.collect(),
        slices: if external { Vec::new() } else { slices },
        namespace,
        name,
    }
}

/// The ports of the machine that a Service's port has: its node port, and a balancer's own.
fn published(spec: &ServiceSpec, port: &k8s_openapi::api::core::v1::ServicePort) -> Vec<u16> {
    let kind = spec.type_.as_deref().unwrap_or_default();
    let node_port = port.node_port.filter(|number| *number > 0 && matches!(kind, "NodePort" | "LoadBalancer"));
    // Another balancer's (`loadBalancerClass`) is not opened here.
    let balancer = (kind == "LoadBalancer" && spec.load_balancer_class.is_none()).then_some(port.port);
    let mut all: Vec<u16> = balancer.into_iter().chain(node_port).filter_map(|n| u16::try_from(n).ok()).collect();
    all.dedup();
    all
}

/// SCTP is not carried.
fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text.unwrap_or("TCP") {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        _ => None,
    }
}

fn slices(state: &State, leaving: &BTreeSet<IpAddr>) -> BTreeMap<(String, String), Vec<Slice>> {
    let resource = GroupResource::new("discovery.k8s.io", "endpointslices");
    let mut found: BTreeMap<(String, String), Vec<Slice>> = BTreeMap::new();
    for object in state.all(&resource) {
        let Ok(slice) = object.typed::<EndpointSlice>() else { continue };
        if has(&slice.metadata.labels, PROXY_NAME) || slice.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let labels = slice.metadata.labels.as_ref();
        let Some(service) = labels.and_then(|l| l.get(SERVICE_NAME)).cloned() else { continue };
        // Names (FQDN) are no endpoints of a proxy.
        if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") {
            continue;
        }
        let made = of_slice(&slice, leaving);
        found.entry((slice.metadata.namespace.clone().unwrap_or_default(), service)).or_default().push(made);
    }
    found
}

fn of_slice(slice: &EndpointSlice, leaving: &BTreeSet<IpAddr>) -> Slice {
    let ports = slice.ports.iter().flatten().filter_map(|port| {
        Some(SlicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: protocol(port.protocol.as_deref())?,
            port: u16::try_from(port.port?).ok()?,
        })
    });
    let endpoints = slice.endpoints.iter().flatten().filter_map(|endpoint| {
        // Only the first address counts (discovery/v1 EndpointSlice: addresses).
        let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
        let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
        let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
        let state = match (ready, serving && terminating) {
            (true, _) if leaving.contains(&address) => EndpointState::Leaving,
            (true, _) => EndpointState::Ready,
            (false, true) => EndpointState::Leaving,
            (false, false) => EndpointState::NotReady,
        };
        Some(Endpoint { address, hostname: endpoint.hostname.clone().filter(|h| !h.is_empty()), state })
    });
    Slice { ports: ports.collect(), endpoints: endpoints.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Key, Object};
    use serde_json::{Value, json};

    fn state(objects: &[Value]) -> State {
        let mut state = State::new();
        for tree in objects {
            let object = Object::new(tree.clone());
            let resource = match object.kind() {
                "Service" => GroupResource::new("", "services"),
                "Namespace" => GroupResource::new("", "namespaces"),
                _ => GroupResource::new("discovery.k8s.io", "endpointslices"),
            };
            state.put(Key::new(resource, object.namespace(), object.name()), object);
        }
        state
    }

    fn service(spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "web"}, "spec": spec})
    }

    fn slice(name: &str, kind: &str, endpoints: Value) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind,
            "metadata": {"namespace": "a", "name": name, "labels": {SERVICE_NAME: "web"}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "any"}],
            "endpoints": endpoints,
        })
    }

    const HERE: &Publish =
        &Publish { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), http: 8080, https: 8443 };

    #[test]
    fn node_ports_and_balancers_are_on_the_machine() {
        let published = |spec: Value| {
            let made = compile(&state(&[service(spec)]), "cluster.local", HERE, &BTreeSet::new());
            made.services[0].ports[0].published.iter().map(SocketAddr::port).collect::<Vec<_>>()
        };
        let ports = json!([{"port": 80, "nodePort": 30_080}]);
        assert_eq!(published(json!({"type": "ClusterIP", "ports": ports})), [0u16; 0]);
        assert_eq!(published(json!({"type": "NodePort", "ports": ports})), [30_080]);
        assert_eq!(published(json!({"type": "LoadBalancer", "ports": ports})), [80, 30_080]);
        assert_eq!(published(json!({"type": "LoadBalancer", "loadBalancerClass": "x/y", "ports": ports})), [30_080]);
    }

    fn states(config: &GatewayConfig) -> Vec<EndpointState> {
        config.services[0].slices.iter().flat_map(|s| &s.endpoints).map(|e| e.state).collect()
    }

    #[test]
    fn a_service_has_its_slices_ports_and_affinity() {
        let web = service(json!({
            "type": "ClusterIP", "clusterIP": "10.9.0.1", "clusterIPs": ["10.9.0.1"], "sessionAffinity": "ClientIP",
            "ports": [{"name": "http", "port": 80, "appProtocol": "kubernetes.io/h2c"}, {"name": "dns", "port": 53, "protocol": "UDP"},
                      {"name": "no", "port": 1, "protocol": "SCTP"}],
        }));
        let endpoints = json!([{"addresses": ["10.1.0.5", "10.1.0.6"], "hostname": "web-0"}]);
        let foreign = slice("named", "FQDN", json!([{"addresses": ["a.example.org"]}]));
        let made = compile(&state(&[web, slice("web-x", "IPv4", endpoints), foreign]), "cluster.local", HERE, &BTreeSet::new());
        let found = &made.services[0];
        assert_eq!((found.addresses.len(), found.affinity_seconds, found.ports.len()), (1, Some(10_800), 2));
        assert_eq!(found.ports.iter().map(|p| p.http2).collect::<Vec<_>>(), [true, false]);
        assert_eq!(found.slices.len(), 1);
        assert_eq!(found.slices[0].ports.len(), 1);
        assert_eq!(found.slices[0].endpoints[0].hostname.as_deref(), Some("web-0"));
        assert_eq!(found.targets(&found.ports[0]), ["10.1.0.5:8080".parse().expect("an address")]);
    }

    #[test]
    fn a_service_of_both_families_keeps_them_apart() {
        let both = service(json!({
            "type": "NodePort", "clusterIP": "10.9.0.1", "clusterIPs": ["10.9.0.1", "fd00::8001"], "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"name": "http", "port": 80, "nodePort": 30_080}],
        }));
        let v4 = slice("web-4", "IPv4", json!([{"addresses": ["10.1.0.5"]}]));
        let v6 = slice("web-6", "IPv6", json!([{"addresses": ["fd00::5"]}]));
        let made = compile(&state(&[both, v4, v6]), "cluster.local", HERE, &BTreeSet::new());
        let shown = |config: &GatewayConfig| -> Vec<String> {
            let places = crate::network::proxy::places(config);
            places.iter().map(|((_, at), behind)| format!("{at} {:?}", behind.targets)).collect()
        };
        let here = "127.0.0.1:30080 [10.1.0.5:8080]";
        let whole = made.clone().within("fd00::8000/113".parse().ok());
        assert_eq!(shown(&whole), ["10.9.0.1:80 [10.1.0.5:8080]", here, "[fd00::8001]:80 [[fd00::5]:8080]"]);
        assert_eq!(whole.addresses_v6(), ["fd00::8001".parse().expect("an address")].into());
        // An address of a range that was another network's is nobody's.
        assert!(made.clone().within("fd01::/113".parse().ok()).addresses_v6().is_empty());
        let single = made.within(None);
        assert_eq!(shown(&single), ["10.9.0.1:80 [10.1.0.5:8080]", here]);
        assert!(single.services[0].slices.iter().flat_map(|s| &s.endpoints).all(|e| e.address.is_ipv4()));
    }

    #[test]
    fn conditions_that_say_nothing_mean_ready() {
        use EndpointState::{Leaving, NotReady, Ready};
        let of = |conditions: Value| json!({"addresses": ["10.1.0.5"], "conditions": conditions});
        let endpoints = json!([
            of(json!({})),
            of(json!({"ready": false})),
            of(json!({"ready": false, "serving": true, "terminating": true})),
            of(json!({"ready": false, "serving": false, "terminating": true})),
            of(json!({"ready": true, "serving": true, "terminating": true})),
        ]);
        let objects = [service(json!({"clusterIP": "10.9.0.1"})), slice("x", "IPv4", endpoints)];
        let made = compile(&state(&objects), "cluster.local", HERE, &BTreeSet::new());
        assert_eq!(states(&made), [Ready, NotReady, Leaving, NotReady, Ready]);
        let leaving = BTreeSet::from([IpAddr::from([10, 1, 0, 5])]);
        let made = compile(&state(&objects), "cluster.local", HERE, &leaving);
        assert_eq!(states(&made), [Leaving, NotReady, Leaving, NotReady, Leaving]);
    }

    #[test]
    fn services_of_other_proxies_and_external_names_have_no_addresses() {
        let mut other = service(json!({"clusterIP": "10.9.0.1"}));
        other["metadata"]["labels"] = json!({PROXY_NAME: "mine"});
        assert!(compile(&state(&[other]), "cluster.local", HERE, &BTreeSet::new()).services.is_empty());
        let named = service(json!({"type": "ExternalName", "externalName": "example.org"}));
        let made = compile(&state(&[named]), "cluster.local", HERE, &BTreeSet::new());
        assert_eq!(made.services[0].external_name.as_deref(), Some("example.org"));
        let headless = service(json!({"clusterIP": "None", "clusterIPs": ["None"]}));
        assert!(compile(&state(&[headless]), "cluster.local", HERE, &BTreeSet::new()).services[0].addresses.is_empty());
    }
}
