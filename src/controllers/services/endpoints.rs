//! The Endpoints of a Service. Source: pkg/controller/endpoint/endpoints_controller.go.

use serde_json::json;

use super::subsets::{Offers, is_over_capacity, truncate};
use super::trigger::Triggers;
use super::{
    HEADLESS, LEADER, OVER_CAPACITY, TRIGGER_TIME, counts, has_cluster_ip, hostname, ips, port_in, ports,
    publishes_not_ready, selected, selector, services_of_pod, target, told_port,
};
use crate::api::{Json, Key, Object, Status};
use crate::controllers::pods::PodView;
use crate::controllers::resources::{ENDPOINTS, PODS, SERVICES, dig, is_terminating_namespace, key_of, text};
use crate::controllers::{Context, Controller, Decision, Write};
use crate::state::{Change, State};

const COMPONENT: &str = "endpoint-controller";

/// Keeps one Endpoints for each Service with a selector.
#[derive(Default)]
pub(in crate::controllers) struct EndpointsController {
    triggers: Triggers,
}

impl EndpointsController {
    fn sync(&self, state: &State, key: &Key, service: &Object) -> Decision {
        let mut decision = Decision::none();
        if selector(service).is_none() {
            return decision;
        }
        let pods = selected(state, service);
        let trigger = self.triggers.since_last(key, service, &pods);
        let mut subsets = wanted(service, &pods);
        let current = state.get(&Key::new(ENDPOINTS.clone(), service.namespace(), service.name()));
        if let Some(current) = current {
            let annotated = current.annotation(OVER_CAPACITY).is_some();
            let kept = dig(current.json(), &["subsets"]).as_array().cloned().unwrap_or_default();
            // A list that had to be cut is written anew each time, as its label says no more than that.
            if kept == subsets && labels(current) == labels(service) && !annotated {
                return decision;
            }
        }
        let mut object = current.map_or_else(|| new(service), |kept| kept.as_ref().clone());
        let over = is_over_capacity(&subsets);
        if over {
            truncate(&mut subsets);
        }
        set(&mut object, "subsets", json!(subsets));
        let mut labels = labels(service);
        if !has_cluster_ip(service) {
            labels[HEADLESS] = json!("");
        }
        annotate(&mut object, TRIGGER_TIME, trigger.as_deref());
        annotate(&mut object, OVER_CAPACITY, over.then_some("truncated"));
        let metadata = object.metadata_mut();
        metadata.remove("labels");
        if labels != json!({}) {
            metadata.insert("labels".into(), labels);
        }
        match current {
            Some(current) if **current == object => (),
            Some(_) => decision.update(object),
            None => decision.create(object),
        }
        decision
    }
}

fn new(service: &Object) -> Object {
    Object::new(json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": service.name(), "namespace": service.namespace()},
    }))
}

/// The labels without the one that only Endpoints have.
fn labels(object: &Object) -> Json {
    let mut labels = dig(object.json(), &["metadata", "labels"]).as_object().cloned().unwrap_or_default();
    if object.kind() == "Endpoints" {
        labels.remove(HEADLESS);
    }
    Json::Object(labels)
}

fn set(object: &mut Object, field: &str, value: Json) {
    let tree = object.json_mut();
    if value.as_array().is_some_and(Vec::is_empty) {
        tree.as_object_mut().map(|fields| fields.remove(field));
    } else {
        tree[field] = value;
    }
}

/// Sets an annotation or takes it away.
pub(super) fn annotate(object: &mut Object, name: &str, value: Option<&str>) {
    let mut annotations = dig(object.json(), &["metadata", "annotations"]).as_object().cloned().unwrap_or_default();
    match value {
        Some(value) => annotations.insert(name.into(), json!(value)),
        None => annotations.remove(name),
    };
    let metadata = object.metadata_mut();
    metadata.remove("annotations");
    if !annotations.is_empty() {
        metadata.insert("annotations".into(), Json::Object(annotations));
    }
}

fn wanted(service: &Object, pods: &[PodView<'_>]) -> Vec<Json> {
    let publish = publishes_not_ready(service);
    let mut offers = Offers::default();
    for pod in pods.iter().filter(|pod| counts(pod, publish)) {
        let Some(ip) = ip_for(service, pod) else { continue };
        let mut address = json!({"ip": ip, "nodeName": pod.node(), "targetRef": target(pod)});
        if let Some(name) = hostname(pod, service) {
            address["hostname"] = json!(name);
        }
        let ready = publish || pod.is_ready();
        if ports(service).is_empty() && text(service, &["spec", "clusterIP"]) == "None" {
            offers.add(&address, None, ready);
        }
        for port in ports(service) {
            if let Some(number) = port_in(pod, port) {
                let mut told = told_port(port, number);
                if told["name"] == "" {
                    told.as_object_mut().map(|fields| fields.remove("name"));
                }
                offers.add(&address, Some(told), ready);
            }
        }
    }
    offers.subsets()
}

/// The pod's address in the first family of the Service; Endpoints have but one.
fn ip_for(service: &Object, pod: &PodView<'_>) -> Option<String> {
    let family = dig(service.json(), &["spec", "ipFamilies"]).get(0).and_then(Json::as_str);
    let cluster_ip = text(service, &["spec", "clusterIP"]);
    let wants_v6 = family.map_or(cluster_ip.contains(':'), |f| f == "IPv6");
    if family.is_none() && !has_cluster_ip(service) {
        return Some(text(pod, &["status", "podIP"]).to_owned());
    }
    ips(pod).find(|ip| ip.contains(':') == wants_v6).map(str::to_owned)
}

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        COMPONENT
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let key = &change.key;
        if key.resource == *SERVICES {
            return vec![key.clone()];
        }
        if key.resource == *PODS {
            return services_of_pod(state, change);
        }
        let is_news = match (&change.before, &change.after) {
            (Some(_), None) => true,
            // At start: what was left behind by a Service that went unseen.
            (None, Some(found)) => is_ours(found),
            _ => false,
        };
        if key.resource == *ENDPOINTS && is_news {
            return vec![Key::new(SERVICES.clone(), &key.namespace, &key.name)];
        }
        Vec::new()
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        if let Some(service) = state.get(key) {
            return self.sync(state, key, service);
        }
        self.triggers.forget(key);
        let mut decision = Decision::none();
        let left = state.get(&Key::new(ENDPOINTS.clone(), &key.namespace, &key.name));
        if let Some(left) = left.filter(|left| !left.is_deleting() && left.annotation(LEADER).is_none()) {
            decision.delete(key_of(&ENDPOINTS, left), left);
        }
        decision
    }

    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, _context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let (reason, message, object) = match write {
            Write::Create { object } if !is_terminating_namespace(why) => (
                "FailedToCreateEndpoint",
                format!("Failed to create endpoint for service {}/{}: {}", key.namespace, key.name, why.message),
                object,
            ),
            Write::Update { object } => (
                "FailedToUpdateEndpoint",
                format!("Failed to update endpoint {}/{}: {}", key.namespace, key.name, why.message),
                object,
            ),
            Write::Create { .. }
            | Write::Delete { .. }
            | Write::UpdateStatus { .. }
            | Write::Finalize { .. }
            | Write::Patch { .. }
            | Write::Event(_) => return decision,
        };
        if state.get(key).is_some() {
            decision.warning(COMPONENT, object, reason, message);
        }
        decision
    }
}

/// Whether this controller has written them, as the API server noted.
fn is_ours(endpoints: &Object) -> bool {
    let managers = dig(endpoints.json(), &["metadata", "managedFields"]).as_array();
    managers.into_iter().flatten().any(|entry| dig(entry, &["manager"]) == COMPONENT)
}
