//! What needs the running node: logs, exec, attach, port-forward.
//! Source: pkg/registry/core/pod/strategy.go: LogLocation, streamLocation; pkg/registry/core/pod/rest/log.go.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;

use super::answer::{Reply, full};
use super::query::Query;
use super::route::Target;
use super::{Call, Server};
use crate::api::validation::field::{self, Path};
use crate::api::{GroupResource, Json, Key, Object, Status, status::quote};

/// What of a container's log is wanted (`PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub container: String,
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since_seconds: Option<i64>,
    pub since_time: Option<Timestamp>,
    pub tail_lines: Option<i64>,
    pub limit_bytes: Option<i64>,
    /// `All`, `Stdout` or `Stderr`; `None`: all.
    pub stream: Option<String>,
}

/// Why a stream cannot be had, in the words for the client.
pub type StreamError = Status;

/// Bytes as they come.
pub type ByteStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// What an API server asks of the node that runs its pods.
pub trait PodStreams: Send + Sync {
    /// The log of one container of a pod, to its end or, with `follow`, to the container's.
    fn logs<'a>(
        &'a self,
        pod: &'a Object,
        options: LogOptions,
    ) -> Pin<Box<dyn Future<Output = Result<ByteStream, StreamError>> + Send + 'a>>;
}

pub(crate) async fn connect(server: &Server, call: &Call, target: &Target) -> Result<Reply, Status> {
    let name = target.name.as_deref().unwrap_or("");
    let subresource = target.subresource.as_deref().unwrap_or("");
    let options = if subresource == "log" { Some(log_options(&call.query, name)?) } else { None };
    let pods = GroupResource::new("", "pods");
    if target.resource.group_resource() != pods {
        return Err(Status::new(503, "ServiceUnavailable", "proxying to this resource is not offered here"));
    }
    let state = server.store.snapshot();
    let key = Key::new(pods.clone(), &target.namespace, name);
    let pod = state.get(&key).ok_or_else(|| Status::not_found(&pods, name))?;
    match (subresource, options) {
        ("log", Some(options)) => logs(server, pod, options).await,
        ("proxy", _) => Err(Status::bad_request("address not allowed")),
        ("portforward", _) => Err(host(pod).err().unwrap_or_else(no_streams)),
        _ => {
            container(pod, call.query.text("container").unwrap_or(""))?;
            host(pod)?;
            Err(no_streams())
        }
    }
}

fn no_streams() -> Status {
    Status::new(503, "ServiceUnavailable", "no node runs beside this server")
}

fn host(pod: &Object) -> Result<(), Status> {
    if pod.str_at("/spec/nodeName").unwrap_or("").is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", pod.name())));
    }
    Ok(())
}

fn names<'a>(pod: &'a Object, list: &str) -> Vec<&'a str> {
    let list = pod.at(&format!("/spec/{list}")).and_then(Json::as_array);
    list.into_iter().flatten().filter_map(|c| c.get("name")?.as_str()).collect()
}

/// The container that is meant, or why that is not clear.
fn container(pod: &Object, asked: &str) -> Result<String, Status> {
    let containers = names(pod, "containers");
    let init = names(pod, "initContainers");
    let ephemeral = names(pod, "ephemeralContainers");
    let all: Vec<&str> = init.iter().chain(&containers).chain(&ephemeral).copied().collect();
    if !asked.is_empty() {
        if all.contains(&asked) {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {}", pod.name())));
    }
    match containers.as_slice() {
        [only] if all.len() == 1 => Ok((*only).to_owned()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {}", pod.name()))),
        _ => {
            let mut why = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                pod.name(),
                init.iter().chain(&containers).copied().collect::<Vec<_>>().join(" ")
            );
            if !ephemeral.is_empty() {
                why.push_str(&format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" ")));
            }
            Err(Status::bad_request(why))
        }
    }
}

async fn logs(server: &Server, pod: &Object, mut options: LogOptions) -> Result<Reply, Status> {
    options.container = container(pod, &options.container)?;
    if pod.str_at("/spec/nodeName").unwrap_or("").is_empty() {
        return Ok(Reply { code: 204, media: String::new(), headers: Vec::new(), body: full("") });
    }
    let Some(streams) = &server.streams else { return Err(no_streams()) };
    let bytes = streams.logs(pod, options).await?;
    let frames = futures_util::StreamExt::map(bytes, |bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes)));
    let body = StreamBody::new(frames).boxed_unsync();
    Ok(Reply { code: 200, media: "text/plain".into(), headers: Vec::new(), body })
}

/// Reads and checks `PodLogOptions` (pkg/apis/core/validation: ValidatePodLogOptions).
fn log_options(query: &Query, name: &str) -> Result<LogOptions, Status> {
    let since_time = match query.text("sinceTime") {
        None => None,
        Some(text) => Some(text.parse::<Timestamp>().map_err(|_| bad_time(text))?),
    };
    let options = LogOptions {
        container: query.text("container").unwrap_or("").to_owned(),
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        since_seconds: query.number("sinceSeconds")?,
        since_time,
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        stream: query.text("stream").map(str::to_owned),
    };
    let mut errors = Vec::new();
    if let Some(lines) = options.tail_lines.filter(|n| *n < 0) {
        errors.push(field::invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = options.limit_bytes.filter(|n| *n < 1) {
        errors.push(field::invalid(&Path::new("limitBytes"), bytes, "must be greater than 0"));
    }
    match (options.since_seconds, options.since_time) {
        (Some(_), Some(_)) => {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(field::forbidden(&Path::new("[]"), why));
        }
        (Some(seconds), None) if seconds < 1 => {
            errors.push(field::invalid(&Path::new("sinceSeconds"), seconds, "must be greater than 0"));
        }
        _ => {}
    }
    if options.stream.is_some() {
        errors.push(field::forbidden(&Path::new("stream"), "may not be specified"));
    }
    if errors.is_empty() { Ok(options) } else { Err(Status::invalid("", "PodLogOptions", name, &errors)) }
}

fn bad_time(text: &str) -> Status {
    let value = quote(text);
    Status::bad_request(format!(
        "parsing time {value} as \"2006-01-02T15:04:05Z07:00\": cannot parse {value} as \"2006\""
    ))
}
