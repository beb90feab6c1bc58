//! `pods/NAME/portforward` as kubectl asks for it: SPDY/3.1 frames, in the messages of a WebSocket or on the connection
//! itself. Each connection is two streams, one for its bytes and one for what goes wrong.
//! Source: k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go; k8s.io/apiserver/pkg/util/proxy/translatinghandler.go.

mod frame;
mod headers;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::ports::{QUEUE, carry, trouble};
use super::websocket::Socket;
use super::{Pipe, PodStreams};
use crate::api::Object;
use frame::{Event, Frames};
use headers::Deflate;

/// Room between the socket and the frames.
const PIPE: usize = 64 << 10;
/// Connections at once in one request.
const MOST: usize = 1000;

/// The two streams of one connection, as far as they are open.
#[derive(Default)]
struct Pair {
    error: Option<u32>,
    data: Option<u32>,
}

/// Serves the frames that come in a WebSocket's messages.
pub async fn serve_in_messages(socket: Socket, streams: Arc<dyn PodStreams>, pod: Arc<Object>) {
    let (near, far) = tokio::io::duplex(PIPE);
    tokio::select! {
        () = serve(near, streams, pod) => {}
        () = unpack(socket, far) => {}
    }
}

/// The bytes in a WebSocket's messages, in both directions.
async fn unpack(socket: Socket, far: DuplexStream) {
    let (mut sink, mut source) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(far);
    let incoming = async {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Binary(bytes) = message
                && writer.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
    };
    let outgoing = async {
        let mut block = vec![0; PIPE];
        while let Ok(read @ 1..) = reader.read(&mut block).await {
            if sink.send(Message::binary(block[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = incoming => {}
        () = outgoing => {}
    }
}

/// Serves frames until the client has gone.
pub async fn serve(pipe: impl Pipe, streams: Arc<dyn PodStreams>, pod: Arc<Object>) {
    let (reader, mut writer) = tokio::io::split(pipe);
    let (out, mut frames) = mpsc::channel::<Vec<u8>>(QUEUE);
    let writing = async {
        while let Some(frame) = frames.recv().await {
            if writer.write_all(&frame).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let reading = Session::new(streams, pod, out).run(Frames::new(reader));
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
}

struct Session {
    streams: Arc<dyn PodStreams>,
    pod: Arc<Object>,
    out: mpsc::Sender<Vec<u8>>,
    deflate: Deflate,
    /// By the client's number of the connection.
    pairs: HashMap<String, Pair>,
    /// Of data streams: what the client says in them.
    inputs: HashMap<u32, mpsc::Sender<Bytes>>,
    carriers: JoinSet<()>,
}

impl Session {
    fn new(streams: Arc<dyn PodStreams>, pod: Arc<Object>, out: mpsc::Sender<Vec<u8>>) -> Self {
        Session {
            streams,
            pod,
            out,
            deflate: Deflate::default(),
            pairs: HashMap::new(),
            inputs: HashMap::new(),
            carriers: JoinSet::new(),
        }
    }

    async fn run<R: tokio::io::AsyncRead + Unpin>(mut self, mut frames: Frames<R>) {
        // What cannot be read ends it, as a closed connection does.
        while let Ok(Some(event)) = frames.next().await {
            while self.carriers.try_join_next().is_some() {}
            match event {
                Event::Open { stream, headers, is_last } => self.open(stream, &headers, is_last).await,
                Event::Data { stream, bytes, is_last } => {
                    if let Some(input) = self.inputs.get(&stream)
                        && !bytes.is_empty()
                    {
                        // A port that has closed takes nothing more.
                        let _ = input.send(bytes).await;
                    }
                    if is_last {
                        self.inputs.remove(&stream);
                    }
                }
                Event::Reset { stream } => drop(self.inputs.remove(&stream)),
                Event::Ping(id) => drop(self.out.send(frame::ping(id)).await),
                Event::GoAway => return,
            }
        }
    }

    async fn open(&mut self, stream: u32, headers: &[(String, String)], is_last: bool) {
        let header = |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v.as_str());
        let port = header("port").parse::<u16>().ok().filter(|port| *port > 0);
        let (kind, id) = (header("streamtype"), header("requestid").to_owned());
        let (Some(port), true) = (port, matches!(kind, "data" | "error") && self.carriers.len() < MOST) else {
            let _ = self.out.send(frame::refuse(stream)).await;
            return;
        };
        let _ = self.out.send(frame::reply(stream, &mut self.deflate)).await;
        let pair = self.pairs.entry(id.clone()).or_default();
        if kind == "data" {
            pair.data = Some(stream);
        } else {
            pair.error = Some(stream);
        }
        let Pair { error: Some(error), data: Some(data) } = *pair else { return };
        self.pairs.remove(&id);
        let (input, said) = mpsc::channel(QUEUE);
        if !(is_last && kind == "data") {
            self.inputs.insert(data, input);
        }
        let (streams, pod, out) = (self.streams.clone(), self.pod.clone(), self.out.clone());
        self.carriers.spawn(async move {
            let result = match streams.port(&pod, port).await {
                Ok(pipe) => carry(pipe, said, |bytes| frame::data(data, &bytes, false), &out).await.map_err(|e| e.to_string()),
                Err(why) => Err(why),
            };
            let why = result.err().map(|why| trouble(&pod, port, &why)).unwrap_or_default();
            // Who has gone needs neither a reason nor an end.
            let _ = out.send(frame::data(error, why.as_bytes(), true)).await;
            let _ = out.send(frame::data(data, &[], true)).await;
        });
    }
}
