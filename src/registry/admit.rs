//! The door to admission: which plugins are asked, and in which words.

use super::run::Run;
use crate::admission::{self, Attributes, World};
use crate::api::{Object, Random, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
}

impl Operation {
    fn as_asked(self) -> admission::Operation {
        match self {
            Operation::Create => admission::Operation::Create,
            Operation::Update => admission::Operation::Update,
        }
    }
}

/// Asks `plugins` with what they may know of the write.
fn ask<T>(
    run: &mut Run<'_, '_>,
    operation: admission::Operation,
    plugins: impl FnOnce(&World<'_>, &mut dyn Random, &Attributes<'_>) -> T,
) -> T {
    let request = run.request;
    let world = World {
        state: run.state,
        plugins: &run.env.settings.admission,
        pod_security: run.env.settings.pod_security,
        now: run.env.now,
    };
    let attributes = Attributes {
        operation,
        resource: &request.resource,
        subresource: request.subresource.as_deref().unwrap_or(""),
        namespace: &request.namespace,
        name: &request.name,
    };
    plugins(&world, &mut *run.env.random, &attributes)
}

/// Plugins that may change the object.
pub(crate) fn mutate(
    run: &mut Run<'_, '_>,
    operation: Operation,
    object: &mut Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    ask(run, operation.as_asked(), |world, random, attributes| {
        admission::mutate(world, random, attributes, object, old)
    })
}

/// Plugins that only look.
pub(crate) fn validate(
    run: &mut Run<'_, '_>,
    operation: Operation,
    object: &Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    let warnings = ask(run, operation.as_asked(), |world, _, attributes| {
        admission::validate(world, attributes, object, old)
    })?;
    run.warn(warnings);
    Ok(())
}

/// Plugins about a deletion.
pub(crate) fn delete(run: &mut Run<'_, '_>, object: &Object) -> Result<(), Status> {
    ask(run, admission::Operation::Delete, |world, _, attributes| admission::delete(world, attributes, object))
}

/// After a write: the quotas of its namespace say what is used now.
pub(crate) fn settle(run: &mut Run<'_, '_>) {
    let namespace = &run.request.namespace;
    if namespace.is_empty() || !run.env.settings.admission.iter().any(|p| p == "ResourceQuota") {
        return;
    }
    for (key, quota) in admission::resource_quota::outdated(run.state, namespace, run.env.now) {
        run.state.put(key, quota);
    }
}
