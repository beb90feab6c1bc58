//! Whether a write is admitted, and what admission adds to it: Kubernetes' plugins by their names, and
//! `LocalSupport` for what one machine cannot do. Pure: plugins see the state and the object.
//!
//! Plugins that are asked run in Kubernetes' order, whatever the order they are named in.
//! Source: pkg/kubeapiserver/options/plugins.go.

mod default_toleration_seconds;
mod limit_ranger;
mod local_support;
mod namespace_lifecycle;
mod pod_resources;
mod pod_security;
mod priority;
pub mod resource_quota;
mod service_account;
mod storage_object_in_use_protection;

use jiff::Timestamp;

use crate::api::{GroupResource, Key, Object, Random, Resource, Status};
use crate::state::State;

pub use pod_security::Level as PodSecurityLevel;

/// All plugins that there are, in the order in which they run.
pub const PLUGINS: &[&str] = &[
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "LocalSupport",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "StorageObjectInUseProtection",
    "ResourceQuota",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// What is asked for, besides the object itself.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    pub operation: Operation,
    pub resource: &'a Resource,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    pub namespace: &'a str,
    /// As the path has it; empty for a create.
    pub name: &'a str,
}

/// What plugins may know of the world.
#[derive(Clone, Copy)]
pub struct World<'a> {
    pub state: &'a State,
    /// The plugins that are switched on.
    pub plugins: &'a [String],
    /// What namespaces without `pod-security.kubernetes.io/…` labels enforce.
    pub pod_security: PodSecurityLevel,
    pub now: Timestamp,
}

impl World<'_> {
    fn on(&self, plugin: &str) -> bool {
        self.plugins.iter().any(|p| p == plugin)
    }

    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<&Object> {
        let key = Key::new(GroupResource::new(group, resource), namespace, name);
        self.state.get(&key).map(AsRef::as_ref)
    }

    fn namespace(&self, name: &str) -> Option<&Object> {
        self.get("", "namespaces", "", name)
    }
}

impl Attributes<'_> {
    fn is(&self, group: &str, resource: &str) -> bool {
        self.resource.group == group && self.resource.resource == resource
    }

    fn is_pods(&self) -> bool {
        self.is("", "pods")
    }

    fn is_main(&self) -> bool {
        self.subresource.is_empty()
    }

    /// 403 about the object, in the words of `admission.NewForbidden`.
    /// Source: k8s.io/apiserver/pkg/admission/errors.go.
    fn forbidden(&self, object: &Object, why: &str) -> Status {
        let name = match self.name {
            "" if !object.name().is_empty() => object.name(),
            "" => object.str_at("/metadata/generateName").filter(|n| !n.is_empty()).unwrap_or("Unknown"),
            name => name,
        };
        Status::forbidden(&self.resource.group_resource(), name, why)
    }
}

/// Asks the plugins that may change the object.
pub fn mutate(
    world: &World<'_>,
    random: &mut dyn Random,
    attributes: &Attributes<'_>,
    object: &mut Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    for plugin in PLUGINS.iter().filter(|p| world.on(p)) {
        match *plugin {
            "NamespaceLifecycle" => namespace_lifecycle::admit(world, attributes, object)?,
            "LimitRanger" => limit_ranger::mutate(world, attributes, object),
            "ServiceAccount" => service_account::mutate(world, random, attributes, object)?,
            "Priority" => priority::mutate(world, attributes, object, old)?,
            "DefaultTolerationSeconds" => default_toleration_seconds::mutate(attributes, object),
            "StorageObjectInUseProtection" => storage_object_in_use_protection::mutate(attributes, object),
            _ => {}
        }
    }
    Ok(())
}

/// Asks the plugins that only look. Returns texts for `Warning` headers.
pub fn validate(
    world: &World<'_>,
    attributes: &Attributes<'_>,
    object: &Object,
    old: Option<&Object>,
) -> Result<Vec<String>, Status> {
    let mut warnings = Vec::new();
    for plugin in PLUGINS.iter().filter(|p| world.on(p)) {
        match *plugin {
            "LimitRanger" => limit_ranger::validate(world, attributes, object)?,
            "ServiceAccount" => service_account::validate(world, attributes, object)?,
            "LocalSupport" => warnings.extend(local_support::validate(attributes, object, old)?),
            "PodSecurity" => warnings.extend(pod_security::validate(world, attributes, object, old)?),
            "Priority" => priority::validate(world, attributes, object)?,
            "ResourceQuota" => resource_quota::validate(world, attributes, object, old)?,
            _ => {}
        }
    }
    Ok(warnings)
}

/// Asks the plugins that have a say in deletions.
pub fn delete(world: &World<'_>, attributes: &Attributes<'_>, object: &Object) -> Result<(), Status> {
    if world.on("NamespaceLifecycle") {
        namespace_lifecycle::admit(world, attributes, object)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
