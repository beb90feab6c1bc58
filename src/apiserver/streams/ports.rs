//! `pods/NAME/portforward`: connections to ports of a pod over one WebSocket.
//! Source: k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::Call;
use super::super::answer::Reply;
use super::protocol::{Protocol, Said};
use super::websocket::{Socket, accept, accept_spdy};
use super::{Pipe, PodStreams, spdy};
use crate::api::{Object, Status};

const PROTOCOLS: &[&str] = &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
/// kubectl's: SPDY's frames in a WebSocket's messages (k8s.io/apimachinery/pkg/util/portforward/constants.go).
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// The same frames on the connection itself: kubectl before 1.31.
const SPDY_PROTOCOL: &str = "portforward.k8s.io";

/// Read from a port at once.
const BLOCK: usize = 32 << 10;
/// Pieces on their way to a port that is slow to read.
pub(super) const QUEUE: usize = 16;
/// Ports of one request: their streams are numbered by one byte.
const MAX_PORTS: usize = 100;

pub(super) fn connect(call: &Call, streams: Arc<dyn PodStreams>, pod: Arc<Object>) -> Result<Reply, Status> {
    if let Some(spdy) = accept_spdy(call, SPDY_PROTOCOL)? {
        return Ok(spdy.serve(move |pipe| spdy::serve(pipe, streams, pod)));
    }
    let accepted = accept(call, PROTOCOLS)?;
    if accepted.protocol == TUNNEL {
        return Ok(accepted.serve(move |socket, _| spdy::serve_in_messages(socket, streams, pod)));
    }
    let ports = ports(call)?;
    Ok(accepted.serve(move |socket, name| serve(socket, Protocol::of(&name), streams, pod, ports)))
}

/// `?ports=80&ports=443`, `?ports=80,443`.
fn ports(call: &Call) -> Result<Vec<u16>, Status> {
    let texts = call.query.all("ports");
    let texts: Vec<&str> = texts.iter().flat_map(|t| t.split(',')).collect();
    if texts.iter().all(|t| t.is_empty()) {
        return Err(Status::bad_request("query parameter \"ports\" is required"));
    }
    if texts.len() > MAX_PORTS {
        return Err(Status::bad_request(format!("more than {MAX_PORTS} ports")));
    }
    let port = |text: &&str| {
        let port = text.parse::<u16>().ok().filter(|p| *p > 0);
        port.ok_or_else(|| Status::bad_request(format!("invalid port {text:?}")))
    };
    texts.iter().map(port).collect()
}

/// Carries the ports' bytes: stream 2i is port i's data, 2i+1 its error.
async fn serve(socket: Socket, protocol: Protocol, streams: Arc<dyn PodStreams>, pod: Arc<Object>, ports: Vec<u16>) {
    let (mut sink, mut source) = socket.split();
    let (out, mut pieces) = mpsc::channel::<(u8, Bytes)>(QUEUE);
    let mut inputs = Vec::new();
    let mut carriers = JoinSet::new();
    for (port, data) in ports.into_iter().zip((0u8..).step_by(2)) {
        // Both streams begin with the port's number, so that the client knows which is which.
        let number = port.to_le_bytes();
        for stream in [data, data + 1] {
            if sink.send(protocol.message(stream, &number)).await.is_err() {
                return;
            }
        }
        let (input, said) = mpsc::channel(QUEUE);
        inputs.push(input);
        let (streams, pod, out) = (streams.clone(), pod.clone(), out.clone());
        carriers.spawn(async move {
            let result = match streams.port(&pod, port).await {
                Ok(pipe) => carry(pipe, said, |bytes| (data, bytes), &out).await.map_err(|e| e.to_string()),
                Err(why) => Err(why),
            };
            if let Err(why) = result {
                let text = trouble(&pod, port, &why);
                // Who has gone needs no reason.
                let _ = out.send((data + 1, text.into())).await;
            }
        });
    }
    drop(out);
    let listening = async {
        while let Some(Ok(message)) = source.next().await {
            if let Said::Data { stream, bytes } = protocol.read(message)
                && stream.is_multiple_of(2)
                && let Some(input) = inputs.get(usize::from(stream / 2))
            {
                // A port that has closed takes nothing more.
                let _ = input.send(bytes).await;
            }
        }
    };
    let telling = async {
        while let Some((stream, bytes)) = pieces.recv().await {
            if sink.send(protocol.message(stream, &bytes)).await.is_err() {
                return;
            }
        }
        // Every port has closed.
        let _ = sink.close().await;
    };
    tokio::select! {
        () = listening => {}
        () = telling => {}
    }
}

/// What a client is told of a port that cannot be reached, in the kubelet's words.
pub(super) fn trouble(pod: &Object, port: u16, why: &str) -> String {
    format!("error forwarding port {port} to pod {}, uid {}: {why}", pod.name(), pod.uid())
}

/// Bytes in both directions, until the port closes; `wrap` makes messages of them.
pub(super) async fn carry<T>(
    pipe: Box<dyn Pipe>,
    mut said: mpsc::Receiver<Bytes>,
    wrap: impl Fn(Bytes) -> T,
    out: &mpsc::Sender<T>,
) -> std::io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let sending = async {
        while let Some(bytes) = said.recv().await {
            if bytes.is_empty() {
                // The client's side is done: it has no other way to say so.
                break;
            }
            writer.write_all(&bytes).await?;
            writer.flush().await?;
        }
        writer.shutdown().await
    };
    let receiving = async {
        let mut block = vec![0; BLOCK];
        loop {
            let read = reader.read(&mut block).await?;
            if read == 0 || out.send(wrap(Bytes::copy_from_slice(&block[..read]))).await.is_err() {
                return std::io::Result::Ok(());
            }
        }
    };
    tokio::pin!(sending, receiving);
    tokio::select! {
        received = &mut receiving => received,
        sent = &mut sending => { sent?; receiving.await }
    }
}
