//! Decisions of controllers and node as requests to the registry.

use std::sync::Arc;

use serde_json::json;

use crate::api::schema::Schema;
use crate::api::{GroupResource, Gvk, Json, Key, Object, Resource};
use crate::apiserver;
use crate::controllers::{Propagation, Write};
use crate::registry::{Body, Options, PatchKind, Request, User, Verb};
use crate::state::State;

/// Who writes: a part of the engine, with all rights.
fn options(agent: &str) -> Options {
    let user =
        User { name: format!("system:{agent}"), groups: vec!["system:masters".into(), "system:authenticated".into()], ..User::default() };
    Options { user_agent: agent.to_owned(), field_manager: Some(agent.to_owned()), user, ..Options::default() }
}

/// The resource that a kind is offered as; custom kinds by their definitions.
pub fn resource_of(state: &State, gvk: &Gvk) -> Option<Arc<Resource>> {
    if let Some(found) = Schema::get().resource_of(gvk) {
        return apiserver::resource(state, &found.group, &found.version, &found.resource);
    }
    apiserver::resources(state).into_iter().find(|r| r.gvk() == *gvk)
}

fn resource_of_key(state: &State, resource: &GroupResource) -> Option<Arc<Resource>> {
    let own = Schema::get().resources.iter().find(|r| r.group == *resource.group && r.resource == *resource.resource);
    if let Some(found) = own {
        return apiserver::resource(state, &found.group, &found.version, &found.resource);
    }
    apiserver::resources(state).into_iter().find(|r| r.group_resource() == *resource)
}

/// One of Kubernetes' own resources of the core group.
pub fn core(resource: &str) -> Arc<Resource> {
    let found = Schema::get().resource("", "v1", resource);
    Arc::new(found.expect("the schema has the core resources").clone())
}

/// A write of a controller; `None`: there is no such resource, or it is an event.
pub fn of_write(state: &State, write: &Write, agent: &str) -> Option<Request> {
    let options = options(agent);
    let whole = |verb, object: &Object, subresource: Option<&str>| {
        let resource = resource_of(state, &object.gvk())?;
        let name = if verb == Verb::Create { String::new() } else { object.name().to_owned() };
        Some(Request {
            verb,
            namespace: if resource.namespaced { object.namespace().to_owned() } else { String::new() },
            resource,
            subresource: subresource.map(str::to_owned),
            name,
            body: Body::Tree(object.json().clone()),
            options: options.clone(),
        })
    };
    match write {
        Write::Create { object } => whole(Verb::Create, object, None),
        Write::Update { object } => whole(Verb::Update, object, None),
        Write::UpdateStatus { object } => whole(Verb::Update, object, Some("status")),
        Write::Finalize { object } => whole(Verb::Update, object, Some("finalize")),
        Write::Patch { key, subresource, patch } => Some(Request {
            verb: Verb::Patch,
            resource: resource_of_key(state, &key.resource)?,
            subresource: subresource.map(str::to_owned),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            body: Body::Patch { kind: PatchKind::Merge, tree: patch.clone() },
            options,
        }),
        Write::Delete { key, uid, propagation, grace_seconds } => {
            delete(state, key, uid.as_deref(), *propagation, *grace_seconds, agent)
        }
        Write::Event(_) => None,
    }
}

/// A deletion, of exactly this uid where one is given.
pub fn delete(
    state: &State,
    key: &Key,
    uid: Option<&str>,
    propagation: Option<Propagation>,
    grace_seconds: Option<i64>,
    agent: &str,
) -> Option<Request> {
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    if let Some(uid) = uid {
        body["preconditions"] = json!({"uid": uid});
    }
    if let Some(propagation) = propagation {
        body["propagationPolicy"] = json!(match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        });
    }
    if let Some(seconds) = grace_seconds {
        body["gracePeriodSeconds"] = json!(seconds);
    }
    Some(Request {
        verb: Verb::Delete,
        resource: resource_of_key(state, &key.resource)?,
        subresource: None,
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        body: Body::Tree(body),
        options: options(agent),
    })
}

/// A write on one object of a core resource.
pub fn on_core(
    verb: Verb,
    resource: &str,
    subresource: Option<&str>,
    namespace: &str,
    name: &str,
    tree: Json,
    agent: &str,
) -> Request {
    Request {
        verb,
        resource: core(resource),
        subresource: subresource.map(str::to_owned),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        body: if verb == Verb::Patch { Body::Patch { kind: PatchKind::Merge, tree } } else { Body::Tree(tree) },
        options: options(agent),
    }
}

/// An update of an object's status; `None`: there is no such resource.
pub fn on_status(group: &str, resource: &str, object: &Object, tree: Json, agent: &str) -> Option<Request> {
    let resource = Schema::get().resource(group, "v1", resource)?;
    Some(Request {
        verb: Verb::Update,
        resource: Arc::new(resource.clone()),
        subresource: Some("status".into()),
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
        body: Body::Tree(tree),
        options: options(agent),
    })
}
