//! Objects as rows, as `kubectl get` prints them.
//! Source: pkg/printers/internalversion/printers.go.

mod cluster;
mod custom;
mod events;
mod network;
mod pods;
mod policy;
mod storage;
mod view;
mod workloads;

use jiff::Timestamp;
use serde_json::json;

use crate::api::{Json, Resource, resource::Column};
use view::View;

/// The column definitions of a resource's Table.
pub(crate) fn columns(resource: &Resource) -> Vec<Json> {
    if resource.columns.is_empty() {
        return vec![column("Name", "string", "name", 0), column("Created At", "date", "", 0)];
    }
    let show = |c: &Column| column(&c.name, &c.kind, &c.format, c.priority);
    resource.columns.iter().map(show).collect()
}

/// Whether the kind has no printer; an empty Table of it has no rows at all, not even none
/// (k8s.io/apiserver/pkg/registry/rest/table.go).
pub(crate) fn is_plain(resource: &Resource) -> bool {
    resource.columns.is_empty() || !resource.custom && resource.columns.iter().any(|column| column.name == "Created At")
}

fn column(name: &str, kind: &str, format: &str, priority: i64) -> Json {
    json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
}

/// A row: its cells, and the conditions that printers may note.
pub(crate) fn row(resource: &Resource, object: &Json, now: Timestamp) -> Json {
    let view = View { object, now };
    let name = Json::from(view.text("/metadata/name"));
    let mut cells = vec![name];
    let mut conditions = None;
    if resource.custom {
        cells.extend(custom::cells(resource, &view));
        return json!({"cells": cells});
    }
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") => {
            cells.extend(pods::cells(&view));
            conditions = pods::conditions(&view);
        }
        ("apps" | "batch", _) | ("", "replicationcontrollers" | "podtemplates") => {
            cells.extend(workloads::cells(&resource.resource, &view));
        }
        ("networking.k8s.io", "ingressclasses") => cells = network::class(&view),
        ("", "services" | "endpoints") | ("discovery.k8s.io" | "networking.k8s.io", _) => {
            cells.extend(network::cells(&resource.resource, &view));
        }
        ("", "persistentvolumes" | "persistentvolumeclaims") => {
            cells.extend(storage::cells(&resource.resource, &view));
        }
        ("storage.k8s.io", "storageclasses") => cells = storage::class(&view),
        ("" | "events.k8s.io", "events") => cells = events::cells(&view),
        ("autoscaling" | "policy", _) => cells.extend(policy::cells(&resource.resource, &view)),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => cells.extend(policy::binding(&view)),
        _ => cells.extend(cluster::cells(&resource.resource, &view).unwrap_or_else(|| generic(resource, &view))),
    }
    match conditions {
        Some(conditions) => json!({"cells": cells, "conditions": conditions}),
        None => json!({"cells": cells}),
    }
}

/// For kinds without a printer: the age, or when it was made.
fn generic(resource: &Resource, view: &View<'_>) -> Vec<Json> {
    let columns = resource.columns.iter().skip(1);
    let cells = columns.map(|column| match column.name.as_str() {
        "Age" => Json::from(view.age("/metadata/creationTimestamp")),
        "Created At" => Json::from(view.text("/metadata/creationTimestamp")),
        _ => Json::from(""),
    });
    if resource.columns.is_empty() { vec![Json::from(view.text("/metadata/creationTimestamp"))] } else { cells.collect() }
}
