//! What needs the running node: logs, exec, attach, port-forward.
//! Source: pkg/registry/core/pod/strategy.go: LogLocation, streamLocation; pkg/registry/core/pod/rest/subresources.go.

mod commands;
mod logs;
mod ports;
mod protocol;
mod spdy;
mod websocket;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::answer::Reply;
use super::route::Target;
use super::{Call, Server};
use crate::api::{GroupResource, Json, Key, Object, Status};

pub use logs::LogOptions;

/// Why a stream cannot be had, in the words for the client.
pub type StreamError = Status;

/// Bytes as they come.
pub type ByteStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// An answer that may take a while.
pub type Answering<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Bytes in both directions.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Which streams of a command or container are wanted (`PodExecOptions`, `PodAttachOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandOptions {
    pub container: String,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A command that runs, or a container that is attached to. Dropping it lets go of it: a command is ended with that.
pub struct Process {
    pub stdin: Option<Writer>,
    pub stdout: Option<Reader>,
    pub stderr: Option<Reader>,
    /// Columns and rows; only where there is a terminal.
    pub resize: Option<watch::Sender<(u16, u16)>>,
    /// The exit code, or why there is none.
    pub ended: Pin<Box<dyn Future<Output = Result<i32, String>> + Send>>,
}

/// What an API server asks of the node that runs its pods.
pub trait PodStreams: Send + Sync {
    /// The log of one container of a pod, to its end or, with `follow`, to the container's.
    fn logs<'a>(&'a self, pod: &'a Object, options: LogOptions) -> Answering<'a, ByteStream, StreamError>;
    /// Starts a command in a container that runs.
    fn exec<'a>(&'a self, pod: &'a Object, options: CommandOptions, command: Vec<String>) -> Answering<'a, Process, String>;
    /// The streams of a container's own process.
    fn attach<'a>(&'a self, pod: &'a Object, options: CommandOptions) -> Answering<'a, Process, String>;
    /// A connection to a port of the pod's own loopback device.
    fn port<'a>(&'a self, pod: &'a Object, port: u16) -> Answering<'a, Box<dyn Pipe>, String>;
}

pub(crate) async fn connect(server: &Server, call: &Call, target: &Target) -> Result<Reply, Status> {
    let name = target.name.as_deref().unwrap_or("");
    let subresource = target.subresource.as_deref().unwrap_or("");
    let options = if subresource == "log" { Some(logs::log_options(&call.query, name)?) } else { None };
    let pods = GroupResource::new("", "pods");
    if target.resource.group_resource() != pods {
        return Err(Status::new(503, "ServiceUnavailable", "proxying to this resource is not offered here"));
    }
    let state = server.store.snapshot();
    let key = Key::new(pods.clone(), &target.namespace, name);
    let pod = state.get(&key).ok_or_else(|| Status::not_found(&pods, name))?;
    match (subresource, options) {
        ("log", Some(options)) => logs::logs(server, pod, options).await,
        ("exec" | "attach", _) => {
            let container = container(pod, call.query.text("container").unwrap_or(""))?;
            host(pod)?;
            commands::connect(call, streams(server)?, pod.clone(), container, subresource == "exec")
        }
        ("portforward", _) => {
            host(pod)?;
            ports::connect(call, streams(server)?, pod.clone())
        }
        _ => Err(Status::bad_request("address not allowed")),
    }
}

fn streams(server: &Server) -> Result<Arc<dyn PodStreams>, Status> {
    server.streams.clone().ok_or_else(no_streams)
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
