//! Slices that mirror Endpoints made by hand for a Service without a selector.
//! Source: pkg/controller/endpointslicemirroring.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use super::packing::{Changes, Identity, Wanted, endpoints, says_the_same, set_endpoints};
use super::slices::{managed, name, port_key, services_of_slice, slice_ports};
use super::{LEADER, MANAGED_BY, SERVICE_NAME, SKIP_MIRROR, TRIGGER_TIME, told_port};
use crate::api::{Json, Key, Object};
use crate::controllers::ownership::controller_ref;
use crate::controllers::resources::{ENDPOINT_SLICES, ENDPOINTS, SERVICES, dig, key_of};
use crate::controllers::{Context, Controller, Decision};
use crate::state::{Change, State};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const COMPONENT: &str = "endpoint-slice-mirroring-controller";
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Most addresses of one subset that are mirrored. Source: --mirroring-max-endpoints-per-subset.
const MOST: usize = 1000;

/// Keeps one slice for each family and subset of such Endpoints.
pub(in crate::controllers) struct MirroringController;

/// Whether these Endpoints are to be mirrored at all.
fn is_mirrored(endpoints: &Object) -> bool {
    dig(endpoints.json(), &["metadata", "labels", SKIP_MIRROR]) != "true" && endpoints.annotation(LEADER).is_none()
}

/// A family of addresses and a set of ports.
type Group = (&'static str, Vec<String>);

/// The wanted endpoints by family and ports, and what could not be mirrored.
#[derive(Default)]
struct Mirror {
    groups: BTreeMap<Group, (Vec<Json>, Wanted)>,
    invalid: usize,
    skipped: usize,
}

impl Mirror {
    fn of(endpoints: &Object) -> Self {
        let mut mirror = Mirror::default();
        for subset in dig(endpoints.json(), &["subsets"]).as_array().into_iter().flatten() {
            mirror.add_subset(subset);
        }
        mirror
    }

    fn add_subset(&mut self, subset: &Json) {
        let listed = dig(subset, &["ports"]).as_array().into_iter().flatten();
        let ports: Vec<Json> = listed.map(|p| told_port(p, dig(p, &["port"]).as_i64().unwrap_or(0))).collect();
        let key = port_key(&ports);
        for family in ["IPv4", "IPv6"] {
            self.groups.entry((family, key.clone())).or_insert_with(|| (ports.clone(), Wanted::new()));
        }
        let list = |field: &str| dig(subset, &[field]).as_array().cloned().unwrap_or_default();
        let sides = [("addresses", true), ("notReadyAddresses", false)];
        let all = sides.iter().flat_map(|(field, ready)| list(field).into_iter().map(|address| (address, *ready)));
        let mut added = 0;
        for (address, ready) in all {
            if added == MOST {
                self.skipped += 1;
                continue;
            }
            let ip = dig(&address, &["ip"]).as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
            let Some(ip) = ip else {
                self.invalid += 1;
                continue;
            };
            let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
            let endpoint = mirrored(&address, ip, ready);
            if let Some((_, wanted)) = self.groups.get_mut(&(family, key.clone())) {
                wanted.insert(Identity::of(&endpoint), endpoint);
            }
            added += 1;
        }
    }
}

fn mirrored(address: &Json, ip: IpAddr, ready: bool) -> Json {
    let mut endpoint = json!({"addresses": [ip.to_string()], "conditions": {"ready": ready}});
    for field in ["targetRef", "nodeName", "hostname"] {
        let value = dig(address, &[field]);
        if !value.is_null() && value != "" {
            endpoint[field] = value.clone();
        }
    }
    endpoint
}

/// The Endpoints' annotations that a slice has too.
fn annotations(endpoints: &Object) -> Json {
    let mut all = dig(endpoints.json(), &["metadata", "annotations"]).as_object().cloned().unwrap_or_default();
    all.retain(|name, _| name != TRIGGER_TIME && name != APPLIED);
    Json::Object(all)
}

fn new_slice(owner: &Object, family: &str, ports: &[Json], wanted: Wanted) -> Object {
    let mut labels = dig(owner.json(), &["metadata", "labels"]).as_object().cloned().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), json!(owner.name()));
    labels.insert(MANAGED_BY.into(), json!(MANAGER));
    let mut slice = Object::new(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": owner.namespace(), "labels": labels, "ownerReferences": [controller_ref(owner)],
        },
        "addressType": family, "endpoints": [], "ports": ports,
    }));
    let annotations = annotations(owner);
    if annotations != json!({}) {
        slice.metadata_mut().insert("annotations".into(), annotations);
    }
    set_endpoints(&mut slice, wanted.into_values().collect());
    slice
}

/// Whether a slice says what the Endpoints say.
fn is_current(slice: &Object, owner: &Object, wanted: &Wanted) -> bool {
    let map = |object: &Object, field: &str| {
        dig(object.json(), &["metadata", field]).as_object().cloned().unwrap_or_default()
    };
    let mut labels = map(slice, "labels");
    labels.retain(|name, _| name != SERVICE_NAME && name != MANAGED_BY);
    let same = |endpoint: &Json| wanted.get(&Identity::of(endpoint)).is_some_and(|want| says_the_same(want, endpoint));
    endpoints(slice).len() == wanted.len()
        && endpoints(slice).iter().all(same)
        && labels == map(owner, "labels")
        && Json::Object(map(slice, "annotations")) == annotations(owner)
}

fn changes(owner: &Object, slices: Vec<Arc<Object>>, mirror: Mirror) -> Changes {
    let mut existing: BTreeMap<(String, Vec<String>), Vec<Arc<Object>>> = BTreeMap::new();
    for slice in slices {
        let family = dig(slice.json(), &["addressType"]).as_str().unwrap_or("").to_owned();
        existing.entry((family, port_key(slice_ports(&slice)))).or_default().push(slice);
    }
    let mut changes = Changes::default();
    for ((family, key), (ports, wanted)) in mirror.groups {
        let mut there = existing.remove(&(family.to_owned(), key)).unwrap_or_default();
        if wanted.is_empty() {
            changes.delete.extend(there);
            continue;
        }
        let first = if there.is_empty() { None } else { Some(there.remove(0)) };
        changes.delete.extend(there);
        if first.as_ref().is_some_and(|slice| is_current(slice, owner, &wanted)) {
            continue;
        }
        let mut one = Changes { create: vec![new_slice(owner, family, &ports, wanted)], ..Changes::default() };
        one.delete.extend(first);
        one.recycle(|_, _| true);
        changes.append(one);
    }
    changes.delete.extend(existing.into_values().flatten());
    changes.recycle(|old, new| dig(old.json(), &["addressType"]) == dig(new.json(), &["addressType"]));
    changes
}

impl Controller for MirroringController {
    fn name(&self) -> &'static str {
        "endpointslicemirroring-controller"
    }

    fn wakes(&self, _state: &State, change: &Change) -> Vec<Key> {
        let key = &change.key;
        let keys = if key.resource == *SERVICES || key.resource == *ENDPOINTS {
            vec![key.clone()]
        } else if key.resource == *ENDPOINT_SLICES {
            services_of_slice(change, MANAGER)
        } else {
            Vec::new()
        };
        keys.into_iter().map(|key| Key::new(ENDPOINTS.clone(), &key.namespace, &key.name)).collect()
    }

    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let slices = managed(state, key, MANAGER);
        let service = state.get(&Key::new(SERVICES.clone(), &key.namespace, &key.name));
        let by_hand = service.is_some_and(|service| dig(service.json(), &["spec", "selector"]).is_null());
        let Some(owner) = state.get(key).filter(|owner| by_hand && is_mirrored(owner)) else {
            for slice in slices.iter().filter(|slice| !slice.is_deleting()) {
                decision.delete(key_of(&ENDPOINT_SLICES, slice), slice);
            }
            return decision;
        };
        let mirror = Mirror::of(owner);
        let (invalid, skipped) = (mirror.invalid, mirror.skipped + mirror.invalid);
        let changes = changes(owner, slices, mirror);
        if !owner.is_deleting() {
            for mut slice in changes.create {
                name(&mut slice, owner.name(), context.random);
                decision.create(slice);
            }
        }
        changes.update.into_iter().for_each(|slice| decision.update(slice));
        for slice in changes.delete.iter().filter(|slice| !slice.is_deleting()) {
            decision.delete(key_of(&ENDPOINT_SLICES, slice), slice);
        }
        // Told with what it was found at, not at every look.
        if !decision.is_empty() && invalid > 0 {
            let message = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
            decision.warning(COMPONENT, owner, "InvalidIPAddress", message);
        }
        if !decision.is_empty() && skipped > invalid {
            let message = format!(
                "A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
            );
            decision.warning(COMPONENT, owner, "TooManyAddressesToMirror", message);
        }
        decision
    }
}
