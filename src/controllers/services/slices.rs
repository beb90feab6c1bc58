//! The EndpointSlices of a Service: one list of slices for each family of addresses and set of ports.
//! Source: k8s.io/endpointslice/reconciler.go, utils.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::endpoints::annotate;
use super::packing::{Changes, Identity, Wanted, endpoints, pack};
use super::trigger::Triggers;
use super::{
    HEADLESS, MANAGED_BY, SERVICE_NAME, TRIGGER_TIME, counts, has_cluster_ip, hostname, ips, port_in, ports,
    publishes_not_ready, selected, selector, services_of_pod, target, told_port,
};
use crate::api::{Json, Key, Object, Random};
use crate::controllers::names::generated;
use crate::controllers::ownership::controller_ref;
use crate::controllers::pods::PodView;
use crate::controllers::resources::{ENDPOINT_SLICES, NODES, PODS, SERVICES, dig, key_of, sides, text};
use crate::controllers::{Context, Controller, Decision};
use crate::state::{Change, State};

pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
const RESERVED: [&str; 3] = [SERVICE_NAME, MANAGED_BY, HEADLESS];
const ZONE: &str = "topology.kubernetes.io/zone";

/// Keeps the slices of each Service with a selector.
#[derive(Default)]
pub(in crate::controllers) struct EndpointSliceController {
    triggers: Triggers,
}

/// The slices of a Service that a controller manages, by name.
pub(super) fn managed(state: &State, key: &Key, manager: &str) -> Vec<Arc<Object>> {
    let slices = state.in_namespace(&ENDPOINT_SLICES, &key.namespace);
    let fits = |slice: &&Arc<Object>| {
        label(slice, SERVICE_NAME) == Some(&*key.name) && label(slice, MANAGED_BY) == Some(manager)
    };
    slices.filter(fits).cloned().collect()
}

fn label<'s>(slice: &'s Object, name: &str) -> Option<&'s str> {
    dig(slice.json(), &["metadata", "labels", name]).as_str()
}

/// The Service (or Endpoints) of a slice that has changed, if `manager` looks after the slice.
pub(super) fn services_of_slice(change: &Change, manager: &str) -> Vec<Key> {
    let is_ours = sides(change).any(|slice| label(slice, MANAGED_BY) == Some(manager));
    let names = sides(change).filter_map(|slice| label(slice, SERVICE_NAME));
    let mut keys: Vec<Key> = names.map(|name| Key::new(SERVICES.clone(), &change.key.namespace, name)).collect();
    keys.sort();
    keys.dedup();
    if is_ours { keys } else { Vec::new() }
}

/// A new slice's name, and what it is made from: one that is too long takes no dash.
/// Source: getEndpointSlicePrefix.
pub(super) fn name(object: &mut Object, owner: &str, random: &mut dyn Random) {
    let base = if owner.len() < 253 { format!("{owner}-") } else { owner.to_owned() };
    let name = generated(&base, random);
    object.metadata_mut().insert("name".into(), json!(name));
    object.metadata_mut().insert("generateName".into(), json!(base));
}

/// The labels of a Service's slice, and whether it lacks some of the Service's own.
fn labels(service: &Object, slice: &Object) -> (Json, bool) {
    let own = |object: &Object| {
        let mut labels = dig(object.json(), &["metadata", "labels"]).as_object().cloned().unwrap_or_default();
        labels.retain(|name, _| !RESERVED.contains(&name.as_str()));
        labels
    };
    let differ = own(slice) != own(service);
    let mut wanted = own(service);
    if !has_cluster_ip(service) {
        wanted.insert(HEADLESS.into(), json!(""));
    }
    wanted.insert(SERVICE_NAME.into(), json!(service.name()));
    wanted.insert(MANAGED_BY.into(), json!(MANAGER));
    (Json::Object(wanted), differ)
}

fn empty(service: &Object, family: &str, ports: &[Json]) -> Object {
    let mut slice = Object::new(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"namespace": service.namespace(), "ownerReferences": [controller_ref(service)]},
        "addressType": family, "endpoints": [], "ports": ports,
    }));
    let (labels, _) = labels(service, &slice);
    slice.metadata_mut().insert("labels".into(), labels);
    slice
}

/// The families of a Service's addresses.
fn families(service: &Object) -> Vec<&str> {
    let told = dig(service.json(), &["spec", "ipFamilies"]).as_array().into_iter().flatten();
    let mut told: Vec<&str> = told.filter_map(Json::as_str).collect();
    if told.is_empty() {
        let ip = text(service, &["spec", "clusterIP"]);
        told = match ip {
            "" | "None" => vec!["IPv4", "IPv6"],
            ip if ip.contains(':') => vec!["IPv6"],
            _ => vec!["IPv4"],
        };
    }
    told
}

fn is_owned_by(slice: &Object, service: &Object) -> bool {
    slice.owner_references().iter().any(|r| dig(r, &["uid"]) == service.uid() && dig(r, &["kind"]) == "Service")
}

/// The ports that a Service has in a pod, in an order that does not depend on the Service's.
fn ports_in(service: &Object, pod: &Object) -> Vec<Json> {
    ports(service).iter().filter_map(|port| Some(told_port(port, port_in(pod, port)?))).collect()
}

/// What tells sets of ports apart.
pub(super) fn port_key(ports: &[Json]) -> Vec<String> {
    let mut texts: Vec<String> = ports
        .iter()
        .map(|port| {
            let field = |name: &str| dig(port, &[name]).to_string();
            format!("{} {} {} {}", field("name"), field("protocol"), field("port"), field("appProtocol"))
        })
        .collect();
    texts.sort();
    texts
}

pub(super) fn slice_ports(slice: &Object) -> &[Json] {
    dig(slice.json(), &["ports"]).as_array().map_or(&[], Vec::as_slice)
}

fn endpoint(state: &State, service: &Object, pod: &PodView<'_>, family: &str) -> Option<Json> {
    let publish = publishes_not_ready(service);
    let node = state.get(&Key::new(NODES.clone(), "", pod.node()));
    if node.is_none() && !publish {
        return None;
    }
    let addresses: Vec<&str> = ips(pod).filter(|ip| ip.contains(':') == (family == "IPv6")).collect();
    if addresses.is_empty() {
        return None;
    }
    let (serving, terminating) = (pod.is_ready(), pod.is_deleting());
    let mut endpoint = json!({
        "addresses": addresses,
        "conditions": {"ready": publish || (serving && !terminating), "serving": serving, "terminating": terminating},
        "targetRef": target(pod),
    });
    let zone = node.map(|node| dig(node.json(), &["metadata", "labels", ZONE]).as_str().unwrap_or(""));
    for (field, value) in
        [("nodeName", Some(pod.node())), ("zone", zone), ("hostname", hostname(pod, service))]
    {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            endpoint[field] = json!(value);
        }
    }
    Some(endpoint)
}

/// The changes of the slices of one family.
fn of_family(state: &State, service: &Object, pods: &[PodView<'_>], slices: &[Arc<Object>], family: &str) -> Changes {
    let mut changes = Changes::default();
    let mut existing: BTreeMap<Vec<String>, Vec<Arc<Object>>> = BTreeMap::new();
    for slice in slices {
        if is_owned_by(slice, service) {
            existing.entry(port_key(slice_ports(slice))).or_default().push(slice.clone());
        } else {
            changes.delete.push(slice.clone());
        }
    }
    let mut wanted: BTreeMap<Vec<String>, (Vec<Json>, Wanted)> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| counts(pod, true)) {
        let ports = ports_in(service, pod);
        let (_, list) = wanted.entry(port_key(&ports)).or_insert_with(|| (ports, Wanted::new()));
        if let Some(endpoint) = endpoint(state, service, pod, family) {
            list.insert(Identity::of(&endpoint), endpoint);
        }
    }
    for (key, (ports, wanted)) in wanted {
        let there = existing.remove(&key).unwrap_or_default();
        changes.append(pack(&there, wanted, |slice| labels(service, slice), || empty(service, family, &ports)));
    }
    changes.delete.extend(existing.into_values().flatten());
    if changes.delete.len() == slices.len() && changes.create.is_empty() {
        let placeholder = empty(service, family, &[]);
        match changes.delete.as_slice() {
            [only] if is_placeholder(only, &placeholder) => changes.delete.clear(),
            _ => changes.create.push(placeholder),
        }
    }
    changes
}

fn is_placeholder(slice: &Object, placeholder: &Object) -> bool {
    let labels = |object: &Object| dig(object.json(), &["metadata", "labels"]).clone();
    endpoints(slice).is_empty() && slice_ports(slice).is_empty() && labels(slice) == labels(placeholder)
}

impl EndpointSliceController {
    fn sync(&self, state: &State, key: &Key, service: &Object, random: &mut dyn Random) -> Decision {
        let mut decision = Decision::none();
        if selector(service).is_none() {
            return decision;
        }
        let pods = selected(state, service);
        let trigger = self.triggers.since_last(key, service, &pods);
        let families = families(service);
        let (of_family_, others): (Vec<_>, Vec<_>) = managed(state, key, MANAGER)
            .into_iter()
            .partition(|slice| families.contains(&text(slice, &["addressType"])));
        let mut changes = Changes { delete: others, ..Changes::default() };
        for family in families {
            let slices: Vec<_> =
                of_family_.iter().filter(|slice| text(slice, &["addressType"]) == family).cloned().collect();
            let mut more = of_family(state, service, &pods, &slices, family);
            more.recycle(|old, _| is_owned_by(old, service));
            changes.append(more);
        }
        if service.is_deleting() {
            changes.create.clear();
        }
        for mut slice in changes.create {
            name(&mut slice, service.name(), random);
            annotate(&mut slice, TRIGGER_TIME, trigger.as_deref());
            decision.create(slice);
        }
        for mut slice in changes.update {
            annotate(&mut slice, TRIGGER_TIME, trigger.as_deref());
            decision.update(slice);
        }
        for slice in changes.delete.iter().filter(|slice| !slice.is_deleting()) {
            decision.delete(key_of(&ENDPOINT_SLICES, slice), slice);
        }
        decision
    }
}

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let resource = &change.key.resource;
        if *resource == *SERVICES {
            vec![change.key.clone()]
        } else if *resource == *PODS {
            services_of_pod(state, change)
        } else if *resource == *ENDPOINT_SLICES {
            services_of_slice(change, MANAGER)
        } else if *resource == *NODES && is_news_of_node(change) {
            state.all(&SERVICES).map(|service| key_of(&SERVICES, service)).collect()
        } else {
            Vec::new()
        }
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let Some(service) = state.get(key) else {
            // Its slices go by their owner references.
            self.triggers.forget(key);
            return Decision::none();
        };
        self.sync(state, key, service, context.random)
    }
}

/// Whether a node has come or gone, or is in another zone.
fn is_news_of_node(change: &Change) -> bool {
    let zone = |node: &Arc<Object>| dig(node.json(), &["metadata", "labels", ZONE]).clone();
    change.before.as_ref().map(zone) != change.after.as_ref().map(zone)
}
