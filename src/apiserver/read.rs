//! GET of one object and of a list.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/get.go, …/storage/cacher/cacher.go, …/storage/continue.go.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::answer::Reply;
use super::negotiate::{self, As, Endpoint};
use super::query::Query;
use super::route::Target;
use super::shape::{Include, List, Shape};
use super::{Call, Server};
use crate::api::validation::field::{self, Path};
use crate::api::{Cause, GroupResource, Key, Object, Resource, Status, status::quote};
use crate::registry::list::{self, Selection};
use crate::registry::paging::{self, Continue, Page};
use crate::registry::{body, conversion, scale};
use crate::state::State;

/// How long a read waits for a revision that is not there yet (cacher: blockTimeout).
const FRESH_WAIT: Duration = Duration::from_secs(3);

pub(crate) async fn get(server: &Server, call: &Call, target: &Target) -> Result<Reply, Status> {
    let accepted = negotiate::accept(&call.headers, Endpoint::Object)?;
    let include = include(&accepted.what, call)?;
    if let Some(version) = call.query.text("resourceVersion") {
        let revision = revision(version).map_err(|why| Status::new(500, "", why))?;
        fresh(server, revision).await?;
    }
    let name = target.name.as_deref().unwrap_or("");
    let state = server.store.snapshot();
    let key = Key::new(conversion::kept_as(&target.resource), &target.namespace, name);
    let object = state.get(&key).ok_or_else(|| Status::not_found(&target.resource.group_resource(), name))?;
    if target.subresource.as_deref() == Some("scale") {
        let shown = Object::new(scale::of(&target.resource, object)?);
        let shape = Shape { resource: Arc::new(scale::shown()), what: accepted.what, include, now: server.store.now() };
        return Ok(Reply::tree(200, accepted.media, &*shape.object(&shown, true)));
    }
    fits(&accepted.what, &target.resource, false)?;
    let shape = Shape { resource: target.resource.clone(), what: accepted.what, include, now: server.store.now() };
    Ok(Reply::tree(200, accepted.media, &*shape.object(object, true)))
}

/// Refuses the metadata of a list where there is one object, and the other way round
/// (k8s.io/apiserver/pkg/endpoints/handlers/response.go: doTransformObject).
pub(crate) fn fits(what: &As, resource: &Resource, is_list: bool) -> Result<(), Status> {
    let As::Metadata { of_list, .. } = what else { return Ok(()) };
    if *of_list == is_list {
        return Ok(());
    }
    let kind = format!("*{}.{}", body::internal_package(conversion::internal_group(resource)), resource.kind);
    let message = if is_list {
        format!("you requested PartialObjectMetadata, but the requested object is a list ({kind}List)")
    } else {
        format!("you requested PartialObjectMetadataList, but the requested object is not a list ({kind})")
    };
    Err(Status::new(406, "NotAcceptable", message))
}

pub(crate) fn include(what: &As, call: &Call) -> Result<Include, Status> {
    if matches!(what, As::Table(_)) { Include::parse(call.query.get("includeObject")) } else { Ok(Include::Metadata) }
}

/// Go's way to read a resource version.
pub(crate) fn revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        let value = quote(text);
        format!("resourceVersion: Invalid value: {value}: strconv.ParseUint: parsing {value}: invalid syntax")
    })
}

/// Waits until the store is as new as `revision`, for a while.
async fn fresh(server: &Server, revision: u64) -> Result<(), Status> {
    let current = || server.store.snapshot().revision();
    if current() >= revision {
        return Ok(());
    }
    let wait = async {
        let (_, mut changes) = server.store.snapshot_and_changes();
        while current() < revision {
            if changes.next().await.is_err() {
                changes = server.store.snapshot_and_changes().1;
            }
        }
    };
    if tokio::time::timeout(FRESH_WAIT, wait).await.is_ok() {
        return Ok(());
    }
    let message = format!("Timeout: Too large resource version: {revision}, current: {}", current());
    let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
    Err(Status::new(504, "Timeout", message).with_details(json!({"causes": [cause], "retryAfterSeconds": 1})))
}

/// What a list or watch may ask for.
pub(crate) struct ListOptions {
    pub selection: Selection,
    pub limit: usize,
    pub token: Option<String>,
    pub version: Option<String>,
    pub version_match: Option<String>,
    pub timeout_seconds: Option<i64>,
    pub send_initial_events: Option<bool>,
    pub bookmarks: bool,
}

impl ListOptions {
    pub(crate) fn parse(target: &Target, query: &Query, watch: bool) -> Result<Self, Status> {
        let limit = query.number("limit")?.filter(|l| *l > 0).unwrap_or(0);
        let timeout_seconds = query.number("timeoutSeconds")?;
        let text = |name: &str| query.text(name).map(str::to_owned);
        let labels = query.text("labelSelector").unwrap_or("");
        let fields = query.text("fieldSelector").unwrap_or("");
        let mut selection = Selection::parse(&target.resource, labels, fields)?;
        if let Some(name) = &target.name {
            selection.require_name(name);
        }
        let options = ListOptions {
            selection,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            token: text("continue"),
            version: text("resourceVersion"),
            version_match: text("resourceVersionMatch"),
            timeout_seconds,
            send_initial_events: query.option("sendInitialEvents"),
            bookmarks: query.flag("allowWatchBookmarks"),
        };
        let errors = if watch { options.watch_errors() } else { options.list_errors() };
        if errors.is_empty() {
            return Ok(options);
        }
        Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors))
    }

    fn match_is_known(&self) -> Option<Cause> {
        let value = self.version_match.as_deref()?;
        if matches!(value, "Exact" | "NotOlderThan") {
            return None;
        }
        Some(field::not_supported(&Path::new("resourceVersionMatch"), value, &["Exact", "NotOlderThan", ""]))
    }

    /// apimachinery/pkg/apis/meta/internalversion/validation: ValidateListOptions.
    fn list_errors(&self) -> Vec<Cause> {
        let mut errors = Vec::new();
        let path = Path::new("resourceVersionMatch");
        if let Some(value) = &self.version_match {
            if self.version.is_none() {
                errors.push(field::forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
            }
            if self.token.is_some() {
                errors.push(field::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
            }
            errors.extend(self.match_is_known());
            if value == "Exact" && self.version.as_deref() == Some("0") {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(field::forbidden(&path, why));
            }
        }
        if self.send_initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(field::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn watch_errors(&self) -> Vec<Cause> {
        let mut errors = Vec::new();
        let path = Path::new("resourceVersionMatch");
        let value = self.version_match.as_deref();
        if self.send_initial_events.is_some() && value != Some("NotOlderThan") {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(field::forbidden(&path, why));
        }
        if value.is_some() {
            if self.send_initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(field::forbidden(&path, why));
            }
            errors.extend(self.match_is_known());
            if self.token.is_some() {
                errors.push(field::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
            }
        }
        errors
    }
}

pub(crate) async fn list(server: &Server, call: &Call, target: &Target) -> Result<Reply, Status> {
    let accepted = negotiate::accept(&call.headers, Endpoint::List)?;
    let include = include(&accepted.what, call)?;
    let options = ListOptions::parse(target, &call.query, false)?;
    let (state, from) = match state_for(server, &options).await? {
        Found::State(state, from) => (*state, from),
        Found::Expired(from) => return Ok(expired_token(from, accepted.media)),
    };
    fits(&accepted.what, &target.resource, true)?;
    let kept_as = conversion::kept_as(&target.resource);
    let mut objects = sorted(&state, &kept_as, target);
    if let Some(from) = &from {
        objects.retain(|object| from.is_before(&paging::place(object, target.all_namespaces)));
    }
    let from_cache = options.token.is_none() && options.version.as_deref() == Some("0");
    let page = Page {
        limit: if from_cache { 0 } else { options.limit },
        revision: state.revision(),
        all_namespaces: target.all_namespaces,
        selects: !options.selection.is_empty(),
    };
    let mut found: Vec<&Arc<Object>> = objects.into_iter().filter(|o| options.selection.matches(o)).collect();
    let mut metadata = json!({"resourceVersion": state.revision().to_string()});
    paging::cut(&mut found, &page, &mut metadata);
    let shape = Shape { resource: target.resource.clone(), what: accepted.what, include, now: server.store.now() };
    Ok(Reply::tree(200, accepted.media, &List { shape: &shape, metadata, objects: &found }))
}

/// All objects of the target in the order of etcd's keys.
fn sorted<'a>(state: &'a State, kept_as: &'a GroupResource, target: &'a Target) -> Vec<&'a Arc<Object>> {
    let mut objects: Vec<&Arc<Object>> = list::objects(state, kept_as, &target.namespace).collect();
    if target.all_namespaces {
        let key = |object: &Arc<Object>| {
            let namespace = object.namespace().bytes().chain([b'/']);
            namespace.chain(object.name().bytes()).collect::<Vec<u8>>()
        };
        if !objects.is_sorted_by_key(|object| key(object)) {
            objects.sort_by_cached_key(|object| key(object));
        }
    }
    objects
}

enum Found {
    State(Box<State>, Option<Continue>),
    /// The token's revision is no longer known; where it would have gone on.
    Expired(Continue),
}

/// The state that a list is of.
async fn state_for(server: &Server, options: &ListOptions) -> Result<Found, Status> {
    if let Some(token) = &options.token {
        if options.version.as_deref().is_some_and(|v| v != "0") {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(why));
        }
        let from = Continue::parse(token)?;
        let Ok(revision) = u64::try_from(from.revision) else {
            return Ok(Found::State(Box::new(server.store.snapshot()), Some(from)));
        };
        return Ok(match server.store.at(revision) {
            Ok(state) => Found::State(Box::new(state), Some(from)),
            Err(_) => Found::Expired(from),
        });
    }
    let Some(version) = options.version.as_deref() else {
        return Ok(Found::State(Box::new(server.store.snapshot()), None));
    };
    let wanted = revision(version).map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
    fresh(server, wanted).await?;
    let exact = match options.version_match.as_deref() {
        Some(value) => value == "Exact",
        None => options.limit > 0 && wanted > 0,
    };
    if exact {
        let gone = |_| Status::new(410, "Expired", "The resourceVersion for the provided list is too old.");
        return Ok(Found::State(Box::new(server.store.at(wanted).map_err(gone)?), None));
    }
    Ok(Found::State(Box::new(server.store.snapshot()), None))
}

/// 410, with a token to go on without consistency (storage/etcd3/errors.go: handleCompactedErrorForPaging).
fn expired_token(from: Continue, media: negotiate::Media) -> Reply {
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a \
        new list without the continue parameter, or use the continue token in this response to retrieve the \
        remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
        were created, modified, or deleted between the time the first chunk was returned and now may show up in the \
        list.";
    let next = Continue { revision: -1, ..from }.show();
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {"continue": next}, "status": "Failure",
        "message": message, "reason": "Expired", "code": 410,
    });
    Reply::tree(410, media, &body)
}
