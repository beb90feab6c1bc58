//! The Kubernetes REST API over the store, on any byte stream: HTTP/1.1 and HTTP/2.
//!
//! Reads work on a snapshot and write answers straight from the kept trees; writes go through the
//! store to [`crate::registry`]. What needs the running node (logs, exec) comes through [`PodStreams`].

mod access;
mod answer;
mod catalog;
mod certificate;
mod discovery;
mod health;
mod listen;
mod negotiate;
mod openapi;
mod query;
mod read;
mod route;
mod shape;
mod streams;
mod table;
mod watch;
mod write;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response};

pub use catalog::{all as resources, find as resource};
pub use certificate::Authority;
pub use health::architecture;
pub use listen::{listen, listen_secured, serve};
pub use streams::{
    Answering, ByteStream, CommandOptions, LogOptions, Pipe, PodStreams, Process, StreamError,
};

use crate::api::{Resource, Status};
use crate::registry::User;
use crate::store::Store;
use answer::{Body, Reply};
use route::Route;

/// The largest body that is read (k8s.io/apiserver: MaxRequestBodyBytes).
const MAX_BODY: usize = 3 * 1024 * 1024;

/// How long a body may take to come (kube-apiserver's `--request-timeout`).
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// One API server; clones share it.
#[derive(Clone)]
pub struct Server {
    store: Store,
    streams: Option<Arc<dyn PodStreams>>,
    user: Arc<User>,
    controllers: bool,
}

/// A request whose body has been read.
pub(crate) struct Call {
    pub method: Method,
    pub path: String,
    pub query: query::Query,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
    /// Who asks.
    pub user: Arc<User>,
    /// The connection itself, for who takes it over.
    pub upgrade: Mutex<Option<OnUpgrade>>,
}

impl Server {
    pub fn new(store: Store) -> Self {
        let user = User { name: "kubernetes-admin".into(), groups: vec!["system:masters".into(), "system:authenticated".into()], ..User::default() };
        Server { store, streams: None, user: Arc::new(user), controllers: false }
    }

    /// The same server for who is nobody until a token says who he is.
    /// Source: k8s.io/apiserver/pkg/authentication/request/anonymous.
    pub fn for_strangers(mut self) -> Self {
        let groups = vec!["system:unauthenticated".into()];
        self.user = Arc::new(User { name: "system:anonymous".into(), groups, ..User::default() });
        self
    }

    /// With a running node behind it, logs and exec work.
    pub fn with_streams(mut self, streams: Arc<dyn PodStreams>) -> Self {
        self.streams = Some(streams);
        self
    }

    /// With controllers beside it, objects do not stay as they are: `/readyz/controllers` says so.
    pub fn with_controllers(mut self, run: bool) -> Self {
        self.controllers = run;
        self
    }

    /// Answers one request; never fails, it says so in the answer.
    pub(crate) async fn handle(&self, mut request: Request<Incoming>) -> Response<Body> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let accept = negotiate::errors_as(&head.headers);
        let is_head = head.method == Method::HEAD;
        let body = match tokio::time::timeout(BODY_WITHIN, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return answer::status(&too_large(), accept),
            Ok(Err(error)) => {
                let why = format!("the body of the request could not be read: {error}");
                return answer::closing(answer::status(&Status::bad_request(why), accept));
            }
            Err(_) => return answer::closing(answer::status(&too_slow(), accept)),
        };
        let mut call = Call {
            user: self.user.clone(),
            method: head.method,
            path: head.uri.path().to_owned(),
            query: query::Query::parse(head.uri.query().unwrap_or("")),
            headers: head.headers,
            body,
            upgrade: Mutex::new(Some(upgrade)),
        };
        let reply = match access::check(self, &mut call) {
            Ok(()) => self.answer(&call).await,
            Err(status) => Err(status),
        };
        let mut response = match reply {
            Ok(reply) => reply.into_response(),
            Err(status) => answer::status(&status, accept),
        };
        if is_head {
            *response.body_mut() = answer::full(Bytes::new());
        }
        response
    }

    async fn answer(&self, call: &Call) -> Result<Reply, Status> {
        match route::parse(self, &call.path)? {
            Route::NotFoundText => Ok(Reply::text(404, "404 page not found\n")),
            Route::Health { checks, name } => health::answer(call, &checks, name.as_deref(), self.controllers),
            Route::Version => only_get(call).and_then(|()| health::version(call)),
            Route::Discovery(what) => only_get(call).and_then(|()| discovery::answer(self, call, &what)),
            Route::Resource(target) => self.resource(call, target).await,
        }
    }

    async fn resource(&self, call: &Call, target: route::Target) -> Result<Reply, Status> {
        let verb = route::verb(&call.method, &target, &call.query)?;
        let answer = match verb {
            route::Verb::Get => read::get(self, call, &target).await,
            route::Verb::List => read::list(self, call, &target).await,
            route::Verb::Watch => watch::watch(self, call, &target).await,
            route::Verb::Write(verb) => write::write(self, call, &target, verb).await,
            route::Verb::Connect => streams::connect(self, call, &target).await,
        };
        let Some(text) = deprecated(&target.resource) else { return answer };
        match answer {
            Ok(reply) => Ok(reply.with_warnings(&[text.to_owned()])),
            Err(mut status) => {
                status.warnings.push(text.to_owned());
                Err(status)
            }
        }
    }
}

/// What every request of a resource that Kubernetes wants to be rid of is told.
/// Source: `APILifecycleReplacement` and its like in k8s.io/api/core/v1/zz_generated.prerelease-lifecycle.go.
fn deprecated(resource: &Resource) -> Option<&'static str> {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}

fn only_get(call: &Call) -> Result<(), Status> {
    if call.method == Method::GET { Ok(()) } else { Err(route::method_not_allowed()) }
}

fn too_slow() -> Status {
    Status::new(408, "Timeout", "the body of the request did not arrive in time")
}

/// 413, as k8s.io/apiserver/pkg/endpoints/handlers/rest.go: limitedReadBody.
fn too_large() -> Status {
    let message = format!("Request entity too large: limit is {MAX_BODY}");
    Status::new(413, "RequestEntityTooLarge", message)
}

#[cfg(test)]
mod tests;
