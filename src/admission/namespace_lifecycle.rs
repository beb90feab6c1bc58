//! `NamespaceLifecycle`: nothing is made in a namespace that is not there or on its way out.
//! Source: k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go.

use serde_json::json;

use super::{Attributes, Operation, World};
use crate::api::{GroupResource, Object, Status};

/// Namespaces that cannot be deleted.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

pub(super) fn admit(world: &World<'_>, attributes: &Attributes<'_>, object: &Object) -> Result<(), Status> {
    let is_namespace = attributes.is("", "namespaces");
    if is_namespace {
        let name = if attributes.name.is_empty() { object.name() } else { attributes.name };
        if attributes.operation == Operation::Delete && IMMORTAL.contains(&name) {
            let resource = attributes.resource.group_resource();
            return Err(Status::forbidden(&resource, name, "this namespace may not be deleted"));
        }
        return Ok(());
    }
    let reviews = attributes.resource.group == "authorization.k8s.io";
    if attributes.namespace.is_empty() || attributes.operation == Operation::Delete || reviews {
        return Ok(());
    }
    let Some(namespace) = world.namespace(attributes.namespace) else {
        return Err(Status::not_found(&GroupResource::new("", "namespaces"), attributes.namespace));
    };
    let terminating = namespace.str_at("/status/phase") == Some("Terminating");
    if attributes.operation != Operation::Create || !terminating {
        return Ok(());
    }
    let name = attributes.namespace;
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let mut refused = attributes.forbidden(object, &why);
    if let Some(details) = &mut refused.details {
        details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {name} is being terminated"),
            "field": "metadata.namespace",
        }]);
    }
    Err(refused)
}
