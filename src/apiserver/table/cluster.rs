//! Rows of nodes, namespaces, configuration and the rest. Source: printNode, printNamespace, printConfigMap, printSecret …

use serde_json::json;

use super::view::{View, text};
use crate::api::Json;
use crate::api::shown::node_roles;

/// `None` for kinds without a printer of their own.
pub(super) fn cells(resource: &str, view: &View<'_>) -> Option<Vec<Json>> {
    let age = view.own_age();
    let count = |pointer: &str| view.count(pointer);
    Some(match resource {
        "nodes" => node(view),
        "namespaces" => vec![json!(view.text("/status/phase")), age],
        "configmaps" => vec![json!(count("/data") + count("/binaryData")), age],
        "secrets" => vec![json!(view.text("/type")), json!(count("/data")), age],
        "resourcequotas" => quota(view),
        "leases" => vec![json!(view.text("/spec/holderIdentity")), age],
        "priorityclasses" => vec![
            json!(view.int("/value")),
            json!(view.at("/globalDefault").and_then(Json::as_bool).unwrap_or(false)),
            age,
            json!(view.text("/preemptionPolicy")),
        ],
        "runtimeclasses" => vec![json!(view.text("/handler")), age],
        "apiservices" => return None,
        "csidrivers" => csi_driver(view),
        "csinodes" => vec![json!(count("/spec/drivers")), age],
        "volumeattachments" => vec![
            json!(view.text("/spec/attacher")),
            json!(view.text("/spec/source/persistentVolumeName")),
            json!(view.text("/spec/nodeName")),
            json!(view.at("/status/attached").and_then(Json::as_bool).unwrap_or(false)),
            age,
        ],
        "volumeattributesclasses" => vec![json!(view.text("/driverName")), age],
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => vec![json!(count("/webhooks")), age],
        _ => return None,
    })
}

fn csi_driver(view: &View<'_>) -> Vec<Json> {
    let flag = |pointer: &str, default: bool| view.at(pointer).and_then(Json::as_bool).unwrap_or(default);
    let audiences: Vec<&str> = view.list("/spec/tokenRequests").iter().map(|t| text(t, "/audience")).collect();
    let modes: Vec<&str> = view.list("/spec/volumeLifecycleModes").iter().filter_map(Json::as_str).collect();
    let tokens = if audiences.is_empty() { "<unset>".to_owned() } else { audiences.join(",") };
    vec![
        json!(flag("/spec/attachRequired", true)),
        json!(flag("/spec/podInfoOnMount", false)),
        json!(flag("/spec/storageCapacity", false)),
        json!(tokens),
        json!(flag("/spec/requiresRepublish", false)),
        json!(if modes.is_empty() { "<none>".to_owned() } else { modes.join(",") }),
        view.own_age(),
    ]
}

fn node(view: &View<'_>) -> Vec<Json> {
    // Of several conditions of a type the last counts here.
    let condition = view.list("/status/conditions").iter().rev().find(|c| text(c, "/type") == "Ready");
    let ready = match condition.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = view.at("/spec/unschedulable").and_then(Json::as_bool) == Some(true);
    let status = if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() };
    let roles = node_roles(view.get("/metadata/labels"));
    let address = |kind: &str| {
        let found = view.list("/status/addresses").iter().find(|a| text(a, "/type") == kind);
        found.map_or("<none>", |a| text(a, "/address")).to_owned()
    };
    let info = |field: &str| view.text_or(&format!("/status/nodeInfo/{field}"), "<unknown>").to_owned();
    let mut kernel = info("kernelVersion");
    let architecture = view.text("/status/nodeInfo/architecture");
    if !architecture.is_empty() {
        kernel.push_str(&format!(" ({architecture})"));
    }
    vec![
        json!(status),
        json!(if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }),
        view.own_age(),
        json!(view.text("/status/nodeInfo/kubeletVersion")),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        json!(info("osImage")),
        json!(kernel),
        json!(info("containerRuntimeVersion")),
    ]
}

fn quota(view: &View<'_>) -> Vec<Json> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let used = view.at("/status/used");
    for (name, hard) in view.at("/status/hard").and_then(Json::as_object).into_iter().flatten() {
        let used = used.and_then(|u| u.get(name)).and_then(Json::as_str).unwrap_or("0");
        let part = format!("{name}: {used}/{}", hard.as_str().unwrap_or(""));
        if name.starts_with("limits") { limits.push(part) } else { requests.push(part) }
    }
    vec![json!(requests.join(", ")), json!(limits.join(", ")), view.own_age()]
}
