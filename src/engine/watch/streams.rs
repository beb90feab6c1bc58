//! What the API server wants of the pods: logs, from the files of their containers; commands, streams and ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::api::{Json, Object, Status};
use crate::apiserver::{
    Answering, ByteStream, CommandOptions, LogOptions, Pipe, PodStreams, Process, StreamError,
};
use crate::engine::scheduling;
use crate::network::inside::Inside;
use crate::podman::{self, Podman, Streams, logs};
use crate::runtime::{Container, ContainerState, Runtime};

/// Between two looks whether a container that is followed still runs.
const LOOK: Duration = Duration::from_millis(500);

/// Reads logs beside the running node.
pub struct NodeStreams {
    runtime: Arc<Podman>,
}

impl NodeStreams {
    pub fn new(runtime: Arc<Podman>) -> Self {
        NodeStreams { runtime }
    }

    async fn open(&self, pod: &Object, options: LogOptions) -> Result<ByteStream, StreamError> {
        let name = options.container.clone();
        let sandbox = self.runtime.observe_pod(pod.uid()).await.map_err(|e| Status::internal(&e.message))?;
        let mut attempts: Vec<&Container> =
            sandbox.iter().flat_map(|s| &s.containers).filter(|c| c.name == name).collect();
        attempts.sort_by_key(|c| std::cmp::Reverse(c.attempt));
        let container = if options.previous { previous(pod, &name, &attempts) } else { newest(&attempts) };
        let path = match container {
            Some(container) => Some(container.log_path.clone().into()),
            // What has ended may have given its containers back for room, but not their logs.
            None if attempts.is_empty() && scheduling::is_final(pod) => self.kept(pod.uid(), &name, options.previous),
            None => None,
        };
        let Some(path) = path else { return Err(refusal(pod, &name, options.previous)) };
        let since = options.since_time.or_else(|| {
            let seconds = jiff::SignedDuration::from_secs(options.since_seconds?);
            super::super::clock::system()().checked_sub(seconds).ok()
        });
        let stream = match options.stream.as_deref() {
            Some("Stdout") => Some(logs::Stream::Stdout),
            Some("Stderr") => Some(logs::Stream::Stderr),
            _ => None,
        };
        let read = logs::LogOptions {
            follow: options.follow,
            timestamps: options.timestamps,
            tail_lines: options.tail_lines.and_then(|n| usize::try_from(n).ok()),
            since,
            limit_bytes: options.limit_bytes.and_then(|n| u64::try_from(n).ok()),
            stream,
        };
        let running = container.filter(|c| matches!(c.state, ContainerState::Running { .. }));
        let (ended, has_ended) = watch::channel(running.is_none());
        let (out, pieces) = mpsc::channel::<Bytes>(16);
        if let Some(container) = running.filter(|_| options.follow) {
            let id = container.id.clone();
            tokio::spawn(tell_end(self.runtime.clone(), pod.uid().to_owned(), id, ended, out.clone()));
        }
        tokio::spawn(async move {
            // A file that is not there has nothing to say: the container has not written yet.
            let _ = logs::read(path, read, has_ended, out).await;
        });
        Ok(Box::pin(futures_util::stream::unfold(
            pieces,
            |mut pieces| async move { Some((pieces.recv().await?, pieces)) },
        )))
    }

    /// The log of a container that is no more.
    fn kept(&self, uid: &str, container: &str, previous: bool) -> Option<PathBuf> {
        self.runtime.kept_logs(uid, container).into_iter().nth(usize::from(previous))
    }

    /// The runtime's id of a container that runs now.
    async fn running(&self, pod: &Object, container: &str) -> Result<String, String> {
        let sandbox = self.runtime.observe_pod(pod.uid()).await.map_err(|e| e.message)?;
        let containers = sandbox.iter().flat_map(|s| &s.containers).filter(|c| c.name == container);
        let running = containers.filter(|c| matches!(c.state, ContainerState::Running { .. })).max_by_key(|c| c.attempt);
        // Source: pkg/kubelet/kubelet_pods.go: GetExec.
        running.map(|c| c.id.clone()).ok_or_else(|| format!("container not found ({container:?})"))
    }

    /// Connects to a port as the pod itself would.
    async fn dial(&self, pod: &Object, port: u16) -> Result<Box<dyn Pipe>, String> {
        let sandbox = self.runtime.observe_pod(pod.uid()).await.map_err(|e| e.message)?;
        let pid = sandbox.and_then(|s| s.pid).ok_or("the pod is not running")?;
        let program = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
        let inside = Inside::new(pid, program);
        let connect = |ip: IpAddr| {
            let inside = &inside;
            async move { inside.connect(SocketAddr::new(ip, port)).await }
        };
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        match connect(v4).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(first) => match connect(v6).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(second) => Err(format!(
                    "failed to connect to localhost:{port} inside namespace of the pod, IPv4: {first} IPv6: {second}"
                )),
            },
        }
    }
}

fn wanted(options: &CommandOptions) -> Streams {
    Streams { stdin: options.stdin, stdout: options.stdout, stderr: options.stderr, tty: options.tty }
}

fn process(process: podman::Process) -> Process {
    let podman::Process { stdin, stdout, stderr, resize, ended } = process;
    Process { stdin, stdout, stderr, resize, ended: Box::pin(async move { ended.await.map_err(|e| e.message) }) }
}

/// Says when a container has ended.
async fn tell_end(runtime: Arc<Podman>, uid: String, id: String, ended: watch::Sender<bool>, out: mpsc::Sender<Bytes>) {
    while !out.is_closed() && !*ended.borrow() {
        let runs = match runtime.observe_pod(&uid).await {
            Ok(sandbox) => sandbox
                .iter()
                .flat_map(|s| &s.containers)
                .any(|c| c.id == id && matches!(c.state, ContainerState::Running { .. })),
            Err(_) => true,
        };
        if !runs {
            let _ = ended.send(true);
            return;
        }
        tokio::select! {
            () = out.closed() => return,
            () = super::super::clock::sleep(LOOK) => {}
        }
    }
}

fn status_of<'a>(pod: &'a Object, name: &str) -> Option<&'a Json> {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses", "/status/ephemeralContainerStatuses"];
    let statuses = lists.iter().filter_map(|l| pod.at(l)?.as_array()).flatten();
    statuses.into_iter().find(|s| s["name"] == name)
}

/// The attempt that runs, or the last that did: the next one may be made already.
fn newest<'a, 'b>(attempts: &'a [&'b Container]) -> Option<&'a &'b Container> {
    attempts.iter().find(|c| c.state != ContainerState::Created)
}

/// The attempt that is shown as the one before: of a container that waits to be started again the newest.
fn previous<'a, 'b>(pod: &Object, name: &str, attempts: &'a [&'b Container]) -> Option<&'a &'b Container> {
    let last = status_of(pod, name)?.pointer("/lastState/terminated/containerID")?.as_str()?;
    let id = last.split_once("://").map_or(last, |(_, id)| id);
    attempts.iter().find(|c| c.id == id)
}

/// Why there is no log, in the kubelet's words.
/// Source: pkg/kubelet/kubelet_pods.go: validateContainerLogStatus.
fn refusal(pod: &Object, name: &str, previous: bool) -> Status {
    let status = status_of(pod, name);
    let container = format!("container \"{name}\" in pod \"{}\"", pod.name());
    let Some(status) = status else { return Status::bad_request(format!("{container} is not available")) };
    if previous {
        return Status::bad_request(format!("previous terminated {container} not found"));
    }
    let has_ended = ["/state/terminated", "/lastState/terminated"].iter().any(|state| status.pointer(state).is_some_and(|s| !s.is_null()));
    let reason = status.pointer("/state/waiting/reason").and_then(|r| r.as_str());
    let why = match reason {
        _ if has_ended => "is terminated".to_owned(),
        Some("ErrImagePull") => "is waiting to start: image can't be pulled".to_owned(),
        Some("ImagePullBackOff") => "is waiting to start: trying and failing to pull image".to_owned(),
        Some(reason) => format!("is waiting to start: {reason}"),
        None => "is waiting to start - no logs yet".to_owned(),
    };
    Status::bad_request(format!("{container} {why}"))
}

impl PodStreams for NodeStreams {
    fn logs<'a>(&'a self, pod: &'a Object, options: LogOptions) -> Answering<'a, ByteStream, StreamError> {
        Box::pin(self.open(pod, options))
    }

    fn exec<'a>(&'a self, pod: &'a Object, options: CommandOptions, command: Vec<String>) -> Answering<'a, Process, String> {
        Box::pin(async move {
            let id = self.running(pod, &options.container).await?;
            self.runtime.exec(&id, &command, wanted(&options)).await.map(process).map_err(|e| e.message)
        })
    }

    fn attach<'a>(&'a self, pod: &'a Object, options: CommandOptions) -> Answering<'a, Process, String> {
        Box::pin(async move {
            let id = self.running(pod, &options.container).await?;
            self.runtime.attach(&id, wanted(&options)).await.map(process).map_err(|e| e.message)
        })
    }

    fn port<'a>(&'a self, pod: &'a Object, port: u16) -> Answering<'a, Box<dyn Pipe>, String> {
        Box::pin(self.dial(pod, port))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(state: Json, last: Json) -> Object {
        let status = json!({"name": "c", "state": state, "lastState": last});
        Object::new(json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}}))
    }

    fn container(id: &str) -> Container {
        Container {
            id: id.into(),
            name: "c".into(),
            attempt: 0,
            state: ContainerState::Unknown,
            image: String::new(),
            image_id: String::new(),
            spec_hash: String::new(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            log_path: String::new(),
            annotations: Default::default(),
        }
    }

    #[test]
    fn the_log_before_is_that_of_the_last_state_which_may_be_the_newest() {
        let (new, old) = (container("new"), container("old"));
        let attempts = [&new, &old];
        let ended = |id: &str| json!({"terminated": {"containerID": format!("podman://{id}")}});
        let id = |pod: &Object| previous(pod, "c", &attempts).map(|c| c.id.clone());
        assert_eq!(id(&pod(json!({"waiting": {}}), ended("new"))).as_deref(), Some("new"));
        assert_eq!(id(&pod(json!({"running": {}}), ended("old"))).as_deref(), Some("old"));
        assert_eq!(id(&pod(json!({"running": {}}), json!({}))), None);
        assert_eq!(id(&pod(json!({"running": {}}), ended("lost"))), None);
    }

    #[test]
    fn the_log_is_that_of_the_attempt_that_has_begun() {
        let (mut next, old) = (container("next"), container("old"));
        assert_eq!(newest(&[&next, &old]).map(|c| c.id.as_str()), Some("next"));
        next.state = ContainerState::Created;
        assert_eq!(newest(&[&next, &old]).map(|c| c.id.as_str()), Some("old"));
        assert!(newest(&[&next]).is_none());
    }

    #[test]
    fn why_there_is_no_log_is_told_in_the_kubelets_words() {
        let waits = |reason: &str| pod(json!({"waiting": {"reason": reason}}), json!({}));
        let told = |pod: &Object, name: &str, previous: bool| refusal(pod, name, previous).message;
        for (reason, end) in [
            ("ErrImagePull", "waiting to start: image can't be pulled"),
            ("ImagePullBackOff", "waiting to start: trying and failing to pull image"),
            ("ErrImageNeverPull", "waiting to start: ErrImageNeverPull"),
        ] {
            assert_eq!(told(&waits(reason), "c", false), format!("container \"c\" in pod \"p\" is {end}"));
        }
        assert_eq!(told(&waits("x"), "c", true), "previous terminated container \"c\" in pod \"p\" not found");
        assert_eq!(told(&waits("x"), "d", true), "container \"d\" in pod \"p\" is not available");
        let lost = pod(json!({"waiting": {}}), json!({"terminated": {"exitCode": 137}}));
        assert_eq!(told(&lost, "c", false), "container \"c\" in pod \"p\" is terminated");
    }
}
