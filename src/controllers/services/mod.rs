//! What stands behind a Service: Endpoints, EndpointSlices, and slices that mirror Endpoints made by hand.
//! Source of the rules: k8s.io/endpointslice, pkg/controller/endpoint.

mod endpoints;
mod mirroring;
mod packing;
mod slices;
mod subsets;
#[cfg(test)]
mod tests;
mod trigger;

use std::sync::Arc;

pub(super) use endpoints::EndpointsController;
pub(super) use mirroring::MirroringController;
pub(super) use slices::EndpointSliceController;

use super::pods::PodView;
use super::resources::{PODS, SERVICES, dig, key_of, text};
use super::selection::contains;
use crate::api::selector::LabelSelector;
use crate::api::{Json, Key, Object};
use crate::state::{Change, State};

/// Source: k8s.io/api/core/v1/annotation_key_constants.go, k8s.io/api/discovery/v1/well_known_labels.go.
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const HEADLESS: &str = "service.kubernetes.io/headless";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";

/// The selector of a Service whose pods are looked for; `None` where others say what stands behind it.
fn selector(service: &Object) -> Option<&Json> {
    let selector = Some(dig(service.json(), &["spec", "selector"])).filter(|s| s.is_object());
    selector.filter(|_| text(service, &["spec", "type"]) != "ExternalName")
}

/// The pods that a Service selects, by name.
fn selected<'s>(state: &'s State, service: &Object) -> Vec<PodView<'s>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let selector = LabelSelector::of_map(Some(selector));
    let pods = state.in_namespace(&PODS, service.namespace()).map(PodView::of);
    pods.filter(|pod| pod.is_selected_by(&selector)).collect()
}

/// The Services that a change of a pod is news for.
fn services_of_pod(state: &State, change: &Change) -> Vec<Key> {
    let labels = |pod: &Object| dig(pod.json(), &["metadata", "labels"]).clone();
    let matching = |pod: &Object| -> Vec<Key> {
        let labels = labels(pod);
        let services = state.in_namespace(&SERVICES, pod.namespace());
        let fits = |service: &&Arc<Object>| {
            let selector = dig(service.json(), &["spec", "selector"]);
            selector.is_object() && contains(&labels, selector)
        };
        services.filter(fits).map(|service| key_of(&SERVICES, service)).collect()
    };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let pod_changed = has_changed(before, after);
            let at_new_place = text(before, &["spec", "hostname"]) != text(after, &["spec", "hostname"])
                || text(before, &["spec", "subdomain"]) != text(after, &["spec", "subdomain"]);
            let labels_changed = labels(before) != labels(after);
            if !pod_changed && !labels_changed && !at_new_place {
                return Vec::new();
            }
            let mut keys = matching(after);
            if labels_changed {
                let old = matching(before);
                if pod_changed {
                    keys.extend(old);
                } else {
                    let (joined, left): (Vec<_>, Vec<_>) = (
                        keys.iter().filter(|k| !old.contains(k)).cloned().collect(),
                        old.iter().filter(|k| !keys.contains(k)).cloned().collect(),
                    );
                    keys = [joined, left].concat();
                }
            }
            keys.sort();
            keys.dedup();
            keys
        }
        (Some(pod), None) | (None, Some(pod)) => matching(pod),
        (None, None) => Vec::new(),
    }
}

/// Whether what is told of a pod behind a Service may have changed. A phase alone is no such news.
/// Source: k8s.io/endpointslice/util/controller_utils.go (podEndpointsChanged).
fn has_changed(before: &Arc<Object>, after: &Arc<Object>) -> bool {
    let ips = |pod: &Object| dig(pod.json(), &["status", "podIPs"]).clone();
    let ready = |pod: &Arc<Object>| PodView::of(pod).is_ready();
    before.is_deleting() || after.is_deleting() || ready(before) != ready(after) || ips(before) != ips(after)
}

/// Whether a pod stands behind its Services at all.
fn counts(pod: &PodView<'_>, terminating_too: bool) -> bool {
    let has_ip = !text(pod, &["status", "podIP"]).is_empty() || ips(pod).next().is_some();
    !pod.has_ended() && has_ip && (terminating_too || !pod.is_deleting())
}

fn ips(pod: &Object) -> impl Iterator<Item = &str> {
    let list = dig(pod.json(), &["status", "podIPs"]).as_array().into_iter().flatten();
    list.filter_map(|entry| dig(entry, &["ip"]).as_str())
}

/// The name that a pod has under its Service, if it has one.
fn hostname<'p>(pod: &'p Object, service: &Object) -> Option<&'p str> {
    let is_of_service = text(pod, &["spec", "subdomain"]) == service.name();
    Some(text(pod, &["spec", "hostname"])).filter(|name| is_of_service && !name.is_empty())
}

/// What an address is the address of.
fn target(pod: &Object) -> Json {
    serde_json::json!({"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()})
}

fn has_cluster_ip(service: &Object) -> bool {
    !matches!(text(service, &["spec", "clusterIP"]), "" | "None")
}

fn publishes_not_ready(service: &Object) -> bool {
    dig(service.json(), &["spec", "publishNotReadyAddresses"]).as_bool() == Some(true)
}

fn ports(service: &Object) -> &[Json] {
    dig(service.json(), &["spec", "ports"]).as_array().map_or(&[], Vec::as_slice)
}

/// The number that a port of a Service has in a pod; a name is looked up in its containers and sidecars.
fn port_in(pod: &Object, port: &Json) -> Option<i64> {
    let wanted = dig(port, &["targetPort"]);
    let Some(name) = wanted.as_str() else { return wanted.as_i64().or(dig(port, &["port"]).as_i64()) };
    let containers = |field| dig(pod.json(), &["spec", field]).as_array().into_iter().flatten();
    let sidecars = containers("initContainers").filter(|c| dig(c, &["restartPolicy"]) == "Always");
    let ports = containers("containers").chain(sidecars).flat_map(|c| dig(c, &["ports"]).as_array().into_iter().flatten());
    let protocol = |port: &Json| dig(port, &["protocol"]).as_str().unwrap_or("TCP").to_owned();
    let mut fitting = ports.filter(|p| dig(p, &["name"]) == name && protocol(p) == protocol(port));
    fitting.next().and_then(|p| dig(p, &["containerPort"]).as_i64())
}

/// A port as Endpoints and EndpointSlices name it.
fn told_port(port: &Json, number: i64) -> Json {
    let mut told = serde_json::json!({
        "name": dig(port, &["name"]).as_str().unwrap_or(""),
        "port": number,
        "protocol": dig(port, &["protocol"]).as_str().unwrap_or("TCP"),
    });
    if let Some(application) = dig(port, &["appProtocol"]).as_str() {
        told["appProtocol"] = application.into();
    }
    told
}
