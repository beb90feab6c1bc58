//! `LimitRanger`: a namespace's LimitRanges give containers their default requests and limits, and bound them.
//! Source: plugin/pkg/admission/limitranger/admission.go.

use std::collections::BTreeMap;

use super::pod_resources::{self, Amounts, amounts, quantity};
use super::{Attributes, Operation, World};
use crate::api::quantity::Quantity;
use crate::api::tree::{self, Tree};
use crate::api::{GroupResource, Json, Object, Status};

/// Says what this plugin has set.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The LimitRanges that bear on a request, and whether any can.
fn ranges<'a>(world: &'a World<'_>, attributes: &Attributes<'a>) -> Vec<&'a Object> {
    let pods = attributes.is_pods() && attributes.operation == Operation::Create;
    let claims = attributes.is("", "persistentvolumeclaims") && attributes.operation != Operation::Delete;
    if !attributes.is_main() || !(pods || claims) {
        return Vec::new();
    }
    let resource = GroupResource::new("", "limitranges");
    world.state.in_namespace(&resource, attributes.namespace).map(AsRef::as_ref).collect()
}

pub(super) fn mutate(world: &World<'_>, attributes: &Attributes<'_>, object: &mut Object) {
    if !attributes.is_pods() {
        return;
    }
    for range in ranges(world, attributes) {
        let (requests, limits) = defaults(range.json());
        let mut said = Vec::new();
        let Some(spec) = tree::present(object.json_mut(), "spec") else { return };
        for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
            for container in tree::items(spec, list) {
                fill(container, word, &requests, &limits, &mut said);
            }
        }
        if !said.is_empty() {
            let text = format!("LimitRanger plugin set: {}", said.join("; "));
            let annotations =
                object.metadata_mut().entry("annotations").or_insert_with(|| Json::Object(Default::default()));
            if let Json::Object(map) = annotations {
                map.insert(ANNOTATION.into(), text.into());
            }
        }
    }
}

/// Default requests and limits of containers.
fn defaults(range: &Json) -> (BTreeMap<String, Json>, BTreeMap<String, Json>) {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let items = range.field("spec").list("limits").iter().filter(|l| l.text("type") == "Container");
    for item in items {
        let own = |field: &str| item.entries(field).into_iter().map(|(k, v)| (k.to_owned(), v.clone()));
        requests.extend(own("defaultRequest"));
        limits.extend(own("default"));
    }
    (requests, limits)
}

fn fill(
    container: &mut Json,
    word: &str,
    requests: &BTreeMap<String, Json>,
    limits: &BTreeMap<String, Json>,
    said: &mut Vec<String>,
) {
    let name = container.text("name").to_owned();
    let Some(resources) = tree::child(container, "resources") else { return };
    for (kind, defaults, noun) in [("requests", requests, "request"), ("limits", limits, "limit")] {
        let missing: Vec<_> =
            defaults.iter().filter(|(k, _)| resources.field(kind).field(k).is_null()).collect();
        if missing.is_empty() {
            continue;
        }
        if let Some(map) = tree::object_at(resources, kind) {
            map.extend(missing.iter().map(|(k, v)| ((*k).clone(), (*v).clone())));
        }
        let names: Vec<_> = missing.iter().map(|(k, _)| k.as_str()).collect();
        said.push(format!("{} {noun} for {word} {name}", names.join(", ")));
    }
}

pub(super) fn validate(world: &World<'_>, attributes: &Attributes<'_>, object: &Object) -> Result<(), Status> {
    for range in ranges(world, attributes) {
        let mut errors = Vec::new();
        for limit in range.json().field("spec").list("limits") {
            if attributes.is_pods() {
                check_pod(limit, object.json().field("spec"), &mut errors);
            } else if limit.text("type") == "PersistentVolumeClaim" {
                check_claim(limit, object.json().field("spec"), &mut errors);
            }
        }
        if !errors.is_empty() {
            return Err(attributes.forbidden(object, &aggregate(errors)));
        }
    }
    Ok(())
}

/// Several errors in one text, equal ones once. Source: `Aggregate.Error` in k8s.io/apimachinery/pkg/util/errors.
fn aggregate(errors: Vec<String>) -> String {
    let mut seen = std::collections::HashSet::new();
    let errors: Vec<_> = errors.into_iter().filter(|e| seen.insert(e.clone())).collect();
    match errors.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn check_claim(limit: &Json, spec: &Json, errors: &mut Vec<String>) {
    let requests = amounts(spec.field("resources").field("requests"));
    let bounds = Bounds { kind: "PersistentVolumeClaim", requests: &requests, limits: &Amounts::new() };
    for (name, amount) in amounts(limit.field("min")) {
        bounds.at_least(&name, &amount, errors);
    }
    for (name, amount) in amounts(limit.field("max")) {
        bounds.request_at_most(&name, &amount, errors);
    }
}

fn check_pod(limit: &Json, spec: &Json, errors: &mut Vec<String>) {
    match limit.text("type") {
        "Container" => {
            for list in ["containers", "initContainers"] {
                for container in spec.list(list) {
                    let resources = container.field("resources");
                    let (requests, limits) = (amounts(resources.field("requests")), amounts(resources.field("limits")));
                    Bounds { kind: "Container", requests: &requests, limits: &limits }.check(limit, errors);
                }
            }
        }
        "Pod" => {
            let (requests, limits) = (pod_resources::requests(spec), pod_resources::limits(spec));
            Bounds { kind: "Pod", requests: &requests, limits: &limits }.check(limit, errors);
        }
        _ => {}
    }
}

/// What is bounded, and how messages call it.
struct Bounds<'a> {
    kind: &'a str,
    requests: &'a Amounts,
    limits: &'a Amounts,
}

impl Bounds<'_> {
    fn check(&self, limit: &Json, errors: &mut Vec<String>) {
        for (name, amount) in amounts(limit.field("min")) {
            self.at_least(&name, &amount, errors);
        }
        for (name, amount) in amounts(limit.field("max")) {
            self.at_most(&name, &amount, errors);
        }
        for (name, value) in limit.entries("maxLimitRequestRatio") {
            if let Some(ratio) = quantity(value) {
                self.ratio(name, &ratio, errors);
            }
        }
    }

    fn at_least(&self, name: &str, min: &Quantity, errors: &mut Vec<String>) {
        let usage = format!("minimum {name} usage per {} is {min}", self.kind);
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        match (request, limit) {
            (None, _) => errors.push(format!("{usage}.  No request is specified")),
            (Some(request), _) if request < min => errors.push(format!("{usage}, but request is {request}")),
            (_, Some(limit)) if limit < min => errors.push(format!("{usage}, but limit is {limit}")),
            _ => {}
        }
    }

    fn at_most(&self, name: &str, max: &Quantity, errors: &mut Vec<String>) {
        let usage = format!("maximum {name} usage per {} is {max}", self.kind);
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        match (limit, request) {
            (None, _) => errors.push(format!("{usage}.  No limit is specified")),
            (Some(limit), _) if limit > max => errors.push(format!("{usage}, but limit is {limit}")),
            (_, Some(request)) if request > max => errors.push(format!("{usage}, but request is {request}")),
            _ => {}
        }
    }

    fn request_at_most(&self, name: &str, max: &Quantity, errors: &mut Vec<String>) {
        let usage = format!("maximum {name} usage per {} is {max}", self.kind);
        match self.requests.get(name) {
            None => errors.push(format!("{usage}.  No request is specified")),
            Some(request) if request > max => errors.push(format!("{usage}, but request is {request}")),
            _ => {}
        }
    }

    fn ratio(&self, name: &str, max: &Quantity, errors: &mut Vec<String>) {
        let rule = format!("{name} max limit to request ratio per {} is {max}", self.kind);
        let nonzero = |amounts: &Amounts| amounts.get(name).filter(|a| !a.is_zero()).cloned();
        let Some(request) = nonzero(self.requests) else {
            return errors.push(format!("{rule}, but no request is specified or request is 0"));
        };
        let Some(limit) = nonzero(self.limits) else {
            return errors.push(format!("{rule}, but no limit is specified or limit is 0"));
        };
        let ratio = limit.as_f64() / request.as_f64();
        if ratio > max.as_f64() {
            errors.push(format!("{rule}, but provided ratio is {ratio:.6}"));
        }
    }
}
