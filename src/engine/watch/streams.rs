//! Logs for the API server, from the files of the pods' containers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::api::{Object, Status};
use crate::apiserver::{ByteStream, LogOptions, PodStreams, StreamError};
use crate::podman::{Podman, logs};
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
        let wanted = if options.previous { attempts.get(1) } else { attempts.first() };
        let Some(container) = wanted.filter(|c| c.state != ContainerState::Created) else {
            return Err(refusal(pod, &name, options.previous));
        };
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
        let (ended, has_ended) = watch::channel(!matches!(container.state, ContainerState::Running { .. }));
        let (out, pieces) = mpsc::channel::<Bytes>(16);
        let path = container.log_path.clone().into();
        if options.follow {
            tokio::spawn(tell_end(
                self.runtime.clone(),
                pod.uid().to_owned(),
                container.id.clone(),
                ended,
                out.clone(),
            ));
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

/// Why there is no log, in the kubelet's words.
/// Source: pkg/kubelet/kubelet_pods.go: validateContainerLogStatus.
fn refusal(pod: &Object, name: &str, previous: bool) -> Status {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let statuses = lists.iter().filter_map(|l| pod.at(l)?.as_array()).flatten();
    let status = statuses.into_iter().find(|s| s["name"] == name);
    let reason = status.and_then(|s| s.pointer("/state/waiting/reason")).and_then(|r| r.as_str());
    let message = match reason {
        _ if previous => format!("previous terminated container \"{name}\" in pod \"{}\" not found", pod.name()),
        Some(reason) => format!("container \"{name}\" in pod \"{}\" is waiting to start: {reason}", pod.name()),
        None => format!("container \"{name}\" in pod \"{}\" is not available", pod.name()),
    };
    Status::bad_request(message)
}

impl PodStreams for NodeStreams {
    fn logs<'a>(
        &'a self,
        pod: &'a Object,
        options: LogOptions,
    ) -> Pin<Box<dyn Future<Output = Result<ByteStream, StreamError>> + Send + 'a>> {
        Box::pin(self.open(pod, options))
    }
}
