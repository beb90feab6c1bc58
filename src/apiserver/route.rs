//! Paths and methods: which resource, which object, what is to be done.
//! Source: k8s.io/apiserver/pkg/endpoints/{installer.go,request/requestinfo.go}.

use std::sync::Arc;

use hyper::Method;
use serde_json::json;

use super::query::{Query, decode};
use super::{Server, catalog};
use crate::api::{Json, Resource, Status, status::quote};
use crate::registry;

/// Where a path leads.
pub(crate) enum Route {
    /// Paths outside of any API.
    NotFoundText,
    Health { checks: String, name: Option<String> },
    Version,
    Discovery(Discovery),
    Resource(Target),
}

pub(crate) enum Discovery {
    Root,
    Api,
    Apis,
    Group(String),
    Version { group: String, version: String },
    OpenApi(Vec<String>),
}

/// A resource, or one of its objects, or a subresource of that.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub resource: Arc<Resource>,
    /// Empty: cluster-scoped, or all namespaces.
    pub namespace: String,
    /// A namespaced resource without a namespace in the path.
    pub all_namespaces: bool,
    pub name: Option<String>,
    pub subresource: Option<String>,
    /// By the old `/watch/` path.
    pub watch: bool,
}

pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Write(registry::Verb),
    Connect,
}

/// 404 for a path inside of the API.
pub(crate) fn not_found() -> Status {
    Status::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
}

pub(crate) fn method_not_allowed() -> Status {
    let message = "the server does not allow this method on the requested resource";
    Status::new(405, "MethodNotAllowed", message).with_details(json!({}))
}

/// Reads a path.
pub(crate) fn parse(server: &Server, path: &str) -> Result<Route, Status> {
    let trimmed = path.trim_matches('/');
    let parts: Vec<String> = trimmed.split('/').map(|part| decode(part, false)).collect();
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    Ok(match words.as_slice() {
        [""] => Route::Discovery(Discovery::Root),
        [check @ ("healthz" | "livez" | "readyz"), name @ ..] if name.len() < 2 => {
            Route::Health { checks: (*check).to_owned(), name: name.first().map(|n| (*n).to_owned()) }
        }
        ["version"] => Route::Version,
        ["openapi", rest @ ..] => Route::Discovery(Discovery::OpenApi(rest.iter().map(|w| (*w).to_owned()).collect())),
        ["api"] => Route::Discovery(Discovery::Api),
        ["apis"] => Route::Discovery(Discovery::Apis),
        ["api", "v1"] => Route::Discovery(Discovery::Version { group: String::new(), version: "v1".into() }),
        ["api", version, rest @ ..] => target(server, "", version, rest)?,
        ["apis", group] if has_group(server, group) => Route::Discovery(Discovery::Group((*group).to_owned())),
        ["apis", group, version] if has_group(server, group) => {
            Route::Discovery(Discovery::Version { group: (*group).to_owned(), version: (*version).to_owned() })
        }
        ["apis", group, version, rest @ ..] if has_group(server, group) => target(server, group, version, rest)?,
        _ => Route::NotFoundText,
    })
}

fn has_group(server: &Server, group: &str) -> bool {
    !group.is_empty() && catalog::has_group(&server.store.snapshot(), group)
}

fn target(server: &Server, group: &str, version: &str, rest: &[&str]) -> Result<Route, Status> {
    let (watch, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let namespaces = group.is_empty() && version == "v1";
    let (namespace, rest) = match rest {
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] if namespaces => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let [resource, rest @ ..] = rest else { return Err(not_found()) };
    let state = server.store.snapshot();
    let resource = catalog::find(&state, group, version, resource).ok_or_else(not_found)?;
    if namespace.is_some() != resource.namespaced && (namespace.is_some() || !rest.is_empty()) {
        return Err(not_found());
    }
    let (name, subresource) = match rest {
        [] => (None, None),
        [name] => (Some(*name), None),
        [name, subresource] => (Some(*name), Some(*subresource)),
        [name, "proxy", ..] => (Some(*name), Some("proxy")),
        _ => return Err(not_found()),
    };
    if let Some(name) = name {
        check_name(name)?;
    }
    if subresource.is_some_and(|sub| catalog::subresource(&resource, sub).is_none()) {
        // k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go: ServeHTTP.
        let of_custom = name.filter(|_| resource.custom).map(|name| Status::not_found(&resource.group_resource(), name));
        return Err(of_custom.unwrap_or_else(not_found));
    }
    Ok(Route::Resource(Target {
        all_namespaces: resource.namespaced && namespace.is_none(),
        resource,
        namespace: namespace.unwrap_or("").to_owned(),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
        watch,
    }))
}

/// apimachinery/pkg/api/validation/path: IsValidPathSegmentName.
fn check_name(name: &str) -> Result<(), Status> {
    let why = match name {
        "" => return Err(not_found()),
        "." => "may not be '.'".to_owned(),
        ".." => "may not be '..'".to_owned(),
        name if name.contains('/') => return Err(not_found()),
        name if name.contains('%') => "may not contain '%'".to_owned(),
        _ => return Ok(()),
    };
    Err(Status::bad_request(format!("Name parameter invalid: {}: {why}", quote(name))))
}

/// What a method does with a target, if it may.
pub(crate) fn verb(method: &Method, target: &Target, query: &Query) -> Result<Verb, Status> {
    let asked = match (&target.name, &target.subresource) {
        (None, _) => collection_verb(method, target, query),
        (Some(_), None) => object_verb(method, target),
        (Some(_), Some(subresource)) => subresource_verb(method, target, subresource),
    };
    asked.ok_or_else(method_not_allowed)
}

fn collection_verb(method: &Method, target: &Target, query: &Query) -> Option<Verb> {
    let has = |verb: &str| target.resource.verbs.iter().any(|v| v == verb);
    match method.as_str() {
        "GET" if target.watch || query.flag("watch") => has("watch").then_some(Verb::Watch),
        "GET" => has("list").then_some(Verb::List),
        "POST" if !target.all_namespaces => has("create").then_some(Verb::Write(registry::Verb::Create)),
        "DELETE" if !target.all_namespaces => {
            has("deletecollection").then_some(Verb::Write(registry::Verb::DeleteCollection))
        }
        _ => None,
    }
}

fn object_verb(method: &Method, target: &Target) -> Option<Verb> {
    let has = |verb: &str| target.resource.verbs.iter().any(|v| v == verb);
    match method.as_str() {
        "GET" if target.watch => has("watch").then_some(Verb::Watch),
        "GET" => has("get").then_some(Verb::Get),
        "PUT" => has("update").then_some(Verb::Write(registry::Verb::Update)),
        "PATCH" => has("patch").then_some(Verb::Write(registry::Verb::Patch)),
        "DELETE" => has("delete").then_some(Verb::Write(registry::Verb::Delete)),
        _ => None,
    }
}

fn subresource_verb(method: &Method, target: &Target, subresource: &str) -> Option<Verb> {
    let verbs = catalog::subresource(&target.resource, subresource)?.get("verbs")?.as_array()?;
    let has = |verb: &str| verbs.iter().any(|v| v.as_str() == Some(verb));
    if matches!(subresource, "exec" | "attach" | "portforward" | "proxy" | "log") {
        let allowed = match method.as_str() {
            "GET" => has("get"),
            "POST" => has("create"),
            "PUT" => has("update"),
            "PATCH" => has("patch"),
            "DELETE" => has("delete"),
            _ => false,
        };
        return allowed.then_some(Verb::Connect);
    }
    match method.as_str() {
        "GET" => has("get").then_some(Verb::Get),
        "PUT" => has("update").then_some(Verb::Write(registry::Verb::Update)),
        "PATCH" => has("patch").then_some(Verb::Write(registry::Verb::Patch)),
        "POST" => has("create").then_some(Verb::Write(registry::Verb::Create)),
        _ => None,
    }
}

/// The kind of a subresource, as messages and answers have it.
pub(crate) fn subresource_text<'a>(subresource: &'a Json, key: &str) -> &'a str {
    subresource.get(key).and_then(Json::as_str).unwrap_or("")
}
