//! GET of one object and of a list.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/get.go, …/storage/cacher/cacher.go, …/storage/continue.go.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::answer::Reply;
use super::negotiate::{self, As, Endpoint};
use super::query::Query;
use super::route::Target;
use super::shape::{Include, List, Shape};
use super::{Call, Server};
use crate::api::validation::field::{self, Path};
use crate::api::{Cause, GroupResource, Json, Key, Object, Status, status::quote};
use crate::registry::{conversion, list::Selection, list, text};
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
        let scale = crate::registry::scale::of(&target.resource, object)?;
        return Ok(Reply::tree(200, accepted.media, &scale));
    }
    let shape = Shape { resource: target.resource.clone(), what: accepted.what, include, now: server.store.now() };
    Ok(Reply::tree(200, accepted.media, &*shape.object(object, true)))
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

/// Where a continued list goes on.
struct Continue {
    /// -1: from whatever is there now.
    revision: i64,
    start: String,
}

impl Continue {
    fn parse(token: &str) -> Result<Self, Status> {
        let bad = |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|e| bad(base64_error(&e)))?;
        let tree = text::read_json(&bytes).map_err(bad)?.tree;
        let part = |key: &str| tree.get(key);
        let version = part("v").and_then(Json::as_str).unwrap_or("");
        if version != "meta.k8s.io/v1" {
            let why = format!("server does not recognize this encoded version {}", quote(version));
            return Err(bad(why));
        }
        let revision = part("rv").and_then(Json::as_i64).unwrap_or(0);
        if revision == 0 {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()));
        }
        let start = part("start").and_then(Json::as_str).unwrap_or("");
        if start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)".into()));
        }
        if start.split('/').any(|segment| segment == "..") {
            return Err(bad(start.to_owned()));
        }
        Ok(Continue { revision, start: start.to_owned() })
    }

    fn show(&self) -> String {
        let tree = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start});
        URL_SAFE_NO_PAD.encode(tree.to_string())
    }
}

fn base64_error(error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(at) => *at,
        base64::DecodeError::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

/// An object's place in a list, as etcd's keys order it.
fn place(object: &Object, namespaced: bool) -> String {
    if namespaced { format!("{}/{}", object.namespace(), object.name()) } else { object.name().to_owned() }
}

pub(crate) async fn list(server: &Server, call: &Call, target: &Target) -> Result<Reply, Status> {
    let accepted = negotiate::accept(&call.headers, Endpoint::List)?;
    let include = include(&accepted.what, call)?;
    let options = ListOptions::parse(target, &call.query, false)?;
    let (state, start) = match state_for(server, &options).await? {
        Found::State(state, start) => (*state, start),
        Found::Expired(start) => return Ok(expired_token(&start, accepted.media)),
    };
    let kept_as = conversion::kept_as(&target.resource);
    let mut objects = sorted(&state, &kept_as, target);
    if let Some(start) = &start {
        // The key in a token ends with NUL: the first one after that name.
        let start = start.trim_end_matches('\0');
        objects.retain(|object| place(object, target.all_namespaces).as_str() > start);
    }
    let matching = objects.into_iter().filter(|object| options.selection.matches(object));
    let from_cache = options.token.is_none() && options.version.as_deref() == Some("0");
    let limit = if options.limit == 0 || from_cache { usize::MAX } else { options.limit };
    let mut found: Vec<&Arc<Object>> = matching.collect();
    let mut metadata = json!({"resourceVersion": state.revision().to_string()});
    if found.len() > limit {
        let revision = i64::try_from(state.revision()).unwrap_or(i64::MAX);
        let next = Continue { revision, start: format!("{}\0", place(found[limit - 1], target.all_namespaces)) };
        metadata["continue"] = next.show().into();
        if options.selection.is_empty() {
            metadata["remainingItemCount"] = (found.len() - limit).into();
        }
        found.truncate(limit);
    }
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
    State(Box<State>, Option<String>),
    /// The token's revision is no longer known; where it would have gone on.
    Expired(String),
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
            return Ok(Found::State(Box::new(server.store.snapshot()), Some(from.start)));
        };
        return Ok(match server.store.at(revision) {
            Ok(state) => Found::State(Box::new(state), Some(from.start)),
            Err(_) => Found::Expired(from.start),
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
fn expired_token(start: &str, media: negotiate::Media) -> Reply {
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a \
        new list without the continue parameter, or use the continue token in this response to retrieve the \
        remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
        were created, modified, or deleted between the time the first chunk was returned and now may show up in the \
        list.";
    let next = Continue { revision: -1, start: start.to_owned() }.show();
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {"continue": next}, "status": "Failure",
        "message": message, "reason": "Expired", "code": 410,
    });
    Reply::tree(410, media, &body)
}
