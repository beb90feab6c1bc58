//! What a new server holds from the start: its namespaces, the range of cluster IPs and the Service of the API itself.
//! Source: pkg/controlplane/controller/{systemnamespaces,kubernetesservice,defaultservicecidr}.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::access::MASTERS;
use super::allocation::{self, KUBERNETES};
use super::{Body, Options, Request, Settings, User, Verb};
use crate::api::schema::Schema;
use crate::api::{GroupResource, Json, Key};
use crate::controllers;
use crate::state::State;

/// The port that the API has inside (kube-apiserver's `--secure-port`).
pub const API_PORT: u16 = 6443;
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// The writes that make what is missing.
pub fn requests(state: &State, settings: &Settings) -> Vec<Request> {
    let mut found = Vec::new();
    let namespaces = GroupResource::new("", "namespaces");
    for name in NAMESPACES {
        if state.get(&Key::new(namespaces.clone(), "", name)).is_none() {
            let tree = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            found.extend(create("namespaces", "", tree));
        }
    }
    // The range is another where the pods' network was made anew: what has an address of the old one moves.
    let kept = allocation::kept_cidrs(state);
    let moves = !kept.is_empty() && kept.first().copied() != settings.service_cidrs.first().map(String::as_str);
    // A second range may come and go: what has an address of the first one stays.
    let differs = kept != settings.service_cidrs;
    let api = Key::new(GroupResource::new("", "services"), "default", KUBERNETES);
    let is_there = state.get(&api).is_some();
    if moves {
        found.extend(is_there.then(|| delete("", "services", "default")).flatten());
    }
    if differs {
        found.extend((!kept.is_empty()).then(|| delete("networking.k8s.io", "servicecidrs", "")).flatten());
        let tree = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": KUBERNETES},
            "spec": {"cidrs": settings.service_cidrs},
        });
        found.extend(request(Verb::Create, "networking.k8s.io", "servicecidrs", "", "", Body::Tree(tree)));
    }
    if moves || !is_there {
        found.extend(create("services", "default", kubernetes_service(settings)));
    }
    found.extend(roles(state));
    if is_there && !moves {
        found.extend(settings.api_address.into_iter().flat_map(|address| endpoints(state, address)));
    }
    found
}

/// Who answers behind the API's own Service, where that is another than before
/// (pkg/controlplane/reconcilers/{instancecount,endpointsadapter}.go).
fn endpoints(state: &State, address: IpAddr) -> Vec<Request> {
    let metadata = |label: &str, value: &str| json!({"name": KUBERNETES, "namespace": "default", "labels": {label: value}});
    let port = json!({"name": "https", "port": API_PORT, "protocol": "TCP"});
    let address = address.to_string();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": metadata("kubernetes.io/service-name", KUBERNETES),
        "addressType": if address.contains(':') { "IPv6" } else { "IPv4" },
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [port],
    });
    let list = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": metadata("endpointslice.kubernetes.io/skip-mirror", "true"),
        "subsets": [{"addresses": [{"ip": address}], "ports": [port]}],
    });
    let all = [
        ("discovery.k8s.io", "endpointslices", "/endpoints/0/addresses/0", slice),
        ("", "endpoints", "/subsets/0/addresses/0/ip", list),
    ];
    let wanted = all.into_iter().filter_map(|(group, resource, place, tree)| {
        match state.get(&Key::new(GroupResource::new(group, resource), "default", KUBERNETES)) {
            None => create_of(group, resource, "default", tree),
            Some(there) if there.str_at(place) == Some(&address) => None,
            Some(_) => request(Verb::Update, group, resource, "default", KUBERNETES, Body::Tree(tree)),
        }
    });
    wanted.collect()
}

/// What keeps the authority that signs the API's certificate.
pub fn authority(certificate: &str, key: &str) -> Option<Request> {
    let place = controllers::authority();
    let tree = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": &*place.name, "namespace": &*place.namespace},
        "data": {"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key)},
    });
    create("secrets", &place.namespace, tree)
}

/// Whether nobody has taken away what pods reach the API by.
pub fn api_is_reached(state: &State) -> bool {
    let own = |group: &str, resource: &str| Key::new(GroupResource::new(group, resource), "default", KUBERNETES);
    [own("", "services"), own("", "endpoints"), own("discovery.k8s.io", "endpointslices")]
        .iter()
        .all(|key| state.get(key).is_some())
}

/// The server itself, who may do everything.
fn own_user() -> User {
    User { name: "system:apiserver".into(), groups: vec![MASTERS.into()], ..User::default() }
}

fn create(resource: &str, namespace: &str, tree: Json) -> Option<Request> {
    create_of("", resource, namespace, tree)
}

fn create_of(group: &str, resource: &str, namespace: &str, tree: Json) -> Option<Request> {
    request(Verb::Create, group, resource, namespace, "", Body::Tree(tree))
}

fn delete(group: &str, resource: &str, namespace: &str) -> Option<Request> {
    request(Verb::Delete, group, resource, namespace, KUBERNETES, Body::None)
}

fn request(verb: Verb, group: &str, resource: &str, namespace: &str, name: &str, body: Body) -> Option<Request> {
    let resource = Schema::get().resource(group, "v1", resource)?;
    Some(Request {
        verb,
        resource: Arc::new(resource.clone()),
        subresource: None,
        namespace: namespace.into(),
        name: name.into(),
        body,
        options: Options { user_agent: "wl".into(), user: own_user(), ..Options::default() },
    })
}

/// The roles that every server has, and who has them
/// (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go).
fn roles(state: &State) -> Vec<Request> {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let all: Vec<Json> = serde_json::from_str(include_str!("access/defaults.json")).unwrap_or_default();
    let missing = |tree: &Json| {
        let resource = if tree["kind"] == "ClusterRole" { "clusterroles" } else { "clusterrolebindings" };
        let name = tree.pointer("/metadata/name").and_then(Json::as_str).unwrap_or("");
        state.get(&Key::new(GroupResource::new(GROUP, resource), "", name)).is_none().then_some(resource)
    };
    all.into_iter().filter_map(|tree| missing(&tree).and_then(|resource| create_of(GROUP, resource, "", tree))).collect()
}

fn kubernetes_service(settings: &Settings) -> Json {
    let range = settings.service_cidrs.first().and_then(|cidr| allocation::Range::parse(cidr));
    let first = range.map(|range| range.first().to_string());
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": first, "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": API_PORT}],
        },
    })
}
