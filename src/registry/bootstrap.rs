//! What a new server holds from the start: its namespaces and the Service of the API itself.
//! Source: pkg/controlplane/controller/{systemnamespaces,kubernetesservice}.

use std::sync::Arc;

use serde_json::json;

use super::{Body, Options, Request, Settings, Verb};
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
    if state.get(&Key::new(GroupResource::new("", "services"), "default", "kubernetes")).is_none() {
        found.extend(create("services", "default", kubernetes_service(settings)));
    }
    found
}

fn create(resource: &str, namespace: &str, tree: Json) -> Option<Request> {
    let resource = Schema::get().resource("", "v1", resource)?;
    Some(Request {
        verb: Verb::Create,
        resource: Arc::new(resource.clone()),
        subresource: None,
        namespace: namespace.into(),
        name: String::new(),
        body: Body::Tree(tree),
        options: Options { user_agent: "wl".into(), ..Options::default() },
    })
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
