//! The subresource `binding` of a Pod: gives it its node, once.
//! Source: pkg/registry/core/pod/storage/storage.go: BindingREST, setPodNodeAndMetadata.

use serde_json::json;

use super::Answer;
use super::run::Run;
use super::{admit, body, metadata};
use crate::api::tree::Tree;
use crate::api::{GroupResource, Gvk, Json, Key, Object, Resource, Status, validation};

/// Whether this is the old collection of bindings, which binds the pod that the body names.
pub(crate) fn is_of(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.resource == "bindings"
}

/// Binds the pod that the request names.
pub(crate) fn create(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let gvk = Gvk::of("v1", "Binding");
    let mut binding = body::object_as(&mut run, &gvk)?;
    metadata::match_namespace(&run, &mut binding)?;
    let of_collection = is_of(&run.request.resource);
    let name = if of_collection { binding.name().to_owned() } else { run.request.name.clone() };
    if binding.name() != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    admit::mutate(&mut run, admit::Operation::Create, &mut binding, None)?;
    admit::validate(&mut run, admit::Operation::Create, &binding, None)?;
    check(&binding)?;
    let pods = GroupResource::new("", "pods");
    let key = Key::new(pods.clone(), &run.request.namespace, &name);
    let pod = run.state.get(&key).cloned().ok_or_else(|| Status::not_found(&pods, &name))?;
    let refuse = |why: String| {
        let resource = GroupResource::new("", "pods/binding");
        Err(Status::conflict(&resource, &name, &why))
    };
    if !binding.uid().is_empty() && binding.uid() != pod.uid() {
        return refuse(format!("Precondition failed: UID in precondition: {}, UID in object meta: {}", binding.uid(), pod.uid()));
    }
    let wanted = binding.resource_version();
    if !wanted.is_empty() && wanted != pod.resource_version() {
        let is = pod.resource_version();
        return refuse(format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {is}"
        ));
    }
    if pod.is_deleting() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if let Some(node) = pod.str_at("/spec/nodeName").filter(|n| !n.is_empty()) {
        return refuse(format!("pod {name} is already assigned to node \"{node}\""));
    }
    if pod.at("/spec/schedulingGates").and_then(Json::as_array).is_some_and(|g| !g.is_empty()) {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let bound = bind(&run, &pod, &binding);
    run.state.put(key, bound);
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Answer { code: 201, body, warnings: run.warnings })
}

/// What is wrong with a binding is no Status of its own, so a 500 with the texts.
fn check(binding: &Object) -> Result<(), Status> {
    let errors = validation::pod::bind(binding.json());
    if errors.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
    let text = if let [one] = texts.as_slice() { one.clone() } else { format!("[{}]", texts.join(", ")) };
    Err(Status::new(500, "", text))
}

fn bind(run: &Run<'_, '_>, pod: &Object, binding: &Object) -> Object {
    let mut bound = pod.clone();
    // Labels too, since PodTopologyLabelsAdmission.
    for name in ["annotations", "labels"] {
        let extra = binding.json().field("metadata").entries(name);
        if extra.is_empty() {
            continue;
        }
        let own = bound.metadata_mut().entry(name).or_insert_with(|| json!({}));
        for (key, value) in extra {
            own[key] = value.clone();
        }
    }
    let tree = bound.json_mut();
    tree["spec"]["nodeName"] = json!(binding.str_at("/target/name").unwrap_or_default());
    let conditions = tree.pointer("/status/conditions").and_then(Json::as_array).cloned().unwrap_or_default();
    let mut conditions: Vec<Json> = conditions.into_iter().filter(|c| c["type"] != "PodScheduled").collect();
    conditions.push(json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": run.now(), "lastProbeTime": null}));
    if !tree["status"].is_object() {
        tree["status"] = json!({});
    }
    tree["status"]["conditions"] = Json::Array(conditions);
    crate::api::tree::remove(&mut tree["status"], "nominatedNodeName");
    bound
}
