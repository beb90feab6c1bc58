//! Watches: the present objects where asked for, then every change, as lines of JSON.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/watch.go, …/storage/cacher/cacher.go.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::answer::Reply;
use super::negotiate::{self, As, Endpoint};
use super::read::{self, ListOptions};
use super::route::Target;
use super::shape::Shape;
use super::{Call, Server};
use crate::api::{GroupResource, Json, Object, Status};
use crate::registry::{conversion, list};
use crate::state::Change;
use crate::store::{Changes, Gone};

/// Least time a watch without `timeoutSeconds` lasts (`--min-request-timeout`).
const MIN_TIMEOUT: u64 = 1800;
/// How often an idle watch is told how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// A watch under way.
struct Watching {
    server: Server,
    shape: Shape,
    kept_as: GroupResource,
    target: Target,
    options: ListOptions,
    changes: Option<Changes>,
    ready: VecDeque<Bytes>,
    ends_at: Instant,
    bookmark_at: Instant,
    columns_sent: bool,
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    object: &'a Json,
}

fn line(kind: &str, object: &Json) -> Bytes {
    let mut bytes = serde_json::to_vec(&Event { kind, object }).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

pub(crate) async fn watch(server: &Server, call: &Call, target: &Target) -> Result<Reply, Status> {
    let accepted = negotiate::accept(&call.headers, Endpoint::List)?;
    let include = read::include(&accepted.what, call)?;
    let options = ListOptions::parse(target, &call.query, true)?;
    let since = match options.version.as_deref() {
        None => None,
        Some(version) => Some(read::revision(version).map_err(|why| Status::new(500, "", why))?).filter(|r| *r > 0),
    };
    let timeout = options.timeout_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    let timeout = timeout.unwrap_or_else(|| MIN_TIMEOUT + server.store.snapshot().revision() % MIN_TIMEOUT);
    let now = Instant::now();
    let mut watching = Watching {
        server: server.clone(),
        shape: Shape { resource: target.resource.clone(), what: accepted.what, include, now: server.store.now() },
        kept_as: conversion::kept_as(&target.resource),
        target: target.clone(),
        options,
        changes: None,
        ready: VecDeque::new(),
        ends_at: now + Duration::from_secs(timeout),
        bookmark_at: now + BOOKMARK_EVERY,
        columns_sent: false,
    };
    watching.start(since);
    let lines = stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(line)), watching))
    });
    let body = StreamBody::new(lines).boxed_unsync();
    Ok(Reply { code: 200, media: "application/json".into(), headers: Vec::new(), body })
}

impl Watching {
    /// Where the watch begins: at a revision, or with what is there now.
    fn start(&mut self, since: Option<u64>) {
        let initial = self.options.send_initial_events;
        let from_now_on = initial == Some(false);
        if let Some(revision) = since.filter(|_| initial != Some(true)) {
            match self.server.store.watch(revision) {
                Ok(changes) => self.changes = Some(changes),
                Err(gone) => self.expire(gone),
            }
            return;
        }
        let (state, changes) = self.server.store.snapshot_and_changes();
        self.changes = Some(changes);
        if !from_now_on {
            let objects: Vec<Arc<Object>> =
                list::objects(&state, &self.kept_as, &self.target.namespace).cloned().collect();
            for object in objects {
                if self.options.selection.matches(&object) {
                    self.send("ADDED", &object);
                }
            }
        }
        if initial == Some(true) && self.options.bookmarks {
            self.bookmark(state.revision(), true);
        }
    }

    /// The next line; `None`: the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            let changes = self.changes.as_mut()?;
            tokio::select! {
                biased;
                batch = changes.next() => match batch {
                    Ok(batch) => batch.iter().for_each(|change| self.change(change)),
                    Err(gone) => self.expire(gone),
                },
                () = tokio::time::sleep_until(self.ends_at) => return None,
                () = tokio::time::sleep_until(self.bookmark_at) => {
                    self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
                    let seen = changes.seen();
                    if self.options.bookmarks {
                        self.bookmark(seen, false);
                    }
                }
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let key = &change.key;
        let elsewhere = !self.target.namespace.is_empty() && *key.namespace != *self.target.namespace;
        if key.resource != self.kept_as || elsewhere {
            return;
        }
        let selected = |object: &Option<Arc<Object>>| {
            object.as_ref().filter(|object| self.options.selection.matches(object)).cloned()
        };
        match (selected(&change.before), selected(&change.after)) {
            (None, None) => {}
            (None, Some(after)) => self.send("ADDED", &after),
            (Some(_), Some(after)) => self.send("MODIFIED", &after),
            (Some(before), None) => {
                let mut gone = Object::clone(&before);
                gone.metadata_mut().insert("resourceVersion".into(), change.revision.to_string().into());
                self.send("DELETED", &gone);
            }
        }
    }

    fn send(&mut self, kind: &str, object: &Object) {
        self.shape.now = self.server.store.now();
        let shown = self.shape.object(object, !self.columns_sent);
        let line = line(kind, &shown);
        self.columns_sent = true;
        self.ready.push_back(line);
    }

    /// Tells how far the watch has come.
    fn bookmark(&mut self, revision: u64, initial_events_end: bool) {
        let resource = &self.shape.resource;
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = Object::new(json!({
            "kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata,
        }));
        let shown = match &self.shape.what {
            As::Table(version) => {
                let columns = if self.columns_sent { Json::Null } else { json!(super::table::columns(resource)) };
                let row = json!({"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": object.at("/metadata"),
                }});
                json!({
                    "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": {"resourceVersion": revision.to_string()},
                    "columnDefinitions": columns, "rows": [row],
                })
            }
            _ => self.shape.object(&object, false).into_owned(),
        };
        self.ready.push_back(line("BOOKMARK", &shown));
    }

    /// What the watch should go on from is forgotten: the client has to list anew.
    fn expire(&mut self, gone: Gone) {
        self.changes = None;
        let status = Status::new(410, "Expired", gone.to_string());
        self.ready.push_back(line("ERROR", &status.json()));
    }
}
