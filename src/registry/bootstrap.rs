//! What a new server holds from the start: its namespaces, the range of cluster IPs and the Service of the API itself.
//! Source: pkg/controlplane/controller/{systemnamespaces,kubernetesservice,defaultservicecidr}.

use std::sync::Arc;

use serde_json::json;

use super::access::MASTERS;
use super::{Body, Options, Request, Settings, User, Verb};
use crate::api::schema::Schema;
use crate::api::{GroupResource, Json, Key};
use crate::state::State;

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
    let moves = super::allocation::kept_cidr(state).is_some_and(|kept| kept != settings.service_cidr);
    let api = Key::new(GroupResource::new("", "services"), "default", super::allocation::KUBERNETES);
    let is_there = state.get(&api).is_some();
    if moves {
        found.extend(is_there.then(|| delete("", "services", "default")).flatten());
        found.extend(delete("networking.k8s.io", "servicecidrs", ""));
    }
    if moves || super::allocation::kept_cidr(state).is_none() {
        let tree = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": super::allocation::KUBERNETES},
            "spec": {"cidrs": [settings.service_cidr]},
        });
        found.extend(request(Verb::Create, "networking.k8s.io", "servicecidrs", "", "", Body::Tree(tree)));
    }
    if moves || !is_there {
        found.extend(create("services", "default", kubernetes_service(settings)));
    }
    found.extend(roles(state));
    found
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
    request(Verb::Delete, group, resource, namespace, super::allocation::KUBERNETES, Body::None)
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
    let first = super::allocation::Range::parse(&settings.service_cidr).map(|range| range.first().to_string());
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": first, "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    })
}
