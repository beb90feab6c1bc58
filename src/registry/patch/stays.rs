//! Applies of which a look says that they change nothing.

use crate::admission::{self, Attributes, Operation, World};
use crate::api::Object;
use crate::apply::{FieldManager, manager_name};
use crate::registry::strategy;
use crate::registry::{Body, Env, PatchKind, Request, Verb, conversion};
use crate::state::State;

/// Kinds that more than the patch has a say in: allocation, admission and controllers' claims change them at any write.
const CHANGED_BY_OTHERS: &[&str] = &["pods", "services", "persistentvolumes", "persistentvolumeclaims", "customresourcedefinitions"];

/// The warnings of an apply that surely leaves its object as it is. `None` says nothing: the apply has to be carried out to
/// know. Far cheaper than to carry it out.
pub(crate) fn stays(state: &State, request: &Request, env: &Env<'_>) -> Option<Vec<String>> {
    let resource = &request.resource;
    let Body::Patch { kind: PatchKind::Apply, tree: patch } = &request.body else { return None };
    if request.verb != Verb::Patch || request.subresource.is_some() || resource.custom || CHANGED_BY_OTHERS.contains(&resource.resource.as_str()) {
        return None;
    }
    let kept = crate::api::Key::new(conversion::kept_as(resource), &request.namespace, &request.name);
    let live = state.get(&kept).filter(|live| !live.is_deleting())?;
    if live.api_version() != resource.api_version() {
        return None;
    }
    let gvk = resource.gvk();
    let manager = manager_name(request.options.field_manager.as_deref(), &request.options.user_agent);
    if !FieldManager::new(&gvk, "").sends_nothing_new(live.json(), patch, &manager) {
        return None;
    }
    let mut warnings = strategy::of(resource).warnings(&gvk, live, Some(live));
    warnings.extend(admitted(state, request, env, live)?);
    Some(warnings)
}

/// What admission says of the object as it stands. `None`: it would not let it in now.
fn admitted(state: &State, request: &Request, env: &Env<'_>, live: &Object) -> Option<Vec<String>> {
    let settings = env.settings;
    let world = World { state, plugins: &settings.admission, pod_security: settings.pod_security, now: env.now };
    let attributes = Attributes {
        operation: Operation::Update,
        resource: &request.resource,
        subresource: "",
        namespace: &request.namespace,
        name: &request.name,
    };
    admission::validate(&world, &attributes, live, Some(live)).ok()
}
