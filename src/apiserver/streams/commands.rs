//! `pods/NAME/exec` and `pods/NAME/attach`: the streams of a process over one WebSocket.
//! Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand/{exec,attach,websocket}.go.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::super::Call;
use super::super::answer::Reply;
use super::protocol::{Protocol, Said};
use super::websocket::{Socket, accept};
use super::{CommandOptions, PodStreams, Process, Reader, Writer};
use crate::api::{Json, Object, Status};

const PROTOCOLS: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// A command that has ended has written all it had to say; what it left running may hold its output for ever.
const DRAIN: Duration = Duration::from_millis(100);
/// Read from a stream at once.
const BLOCK: usize = 32 << 10;

pub(super) fn connect(
    call: &Call, streams: Arc<dyn PodStreams>, pod: Arc<Object>, container: String, is_exec: bool,
) -> Result<Reply, Status> {
    let flag = |name: &str| call.query.flag(name);
    let options = CommandOptions {
        container,
        stdin: flag("stdin"),
        stdout: flag("stdout"),
        // A terminal has one output only.
        stderr: flag("stderr") && !flag("tty"),
        tty: flag("tty"),
    };
    if !options.stdin && !options.stdout && !options.stderr {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let command = call.query.all("command");
    if is_exec && command.iter().all(String::is_empty) {
        return Err(Status::bad_request("you must specify at least one command for the container"));
    }
    let accepted = accept(call, PROTOCOLS)?;
    Ok(accepted.serve(move |socket, name| async move {
        let begun = async {
            let begun = match is_exec {
                true => streams.exec(&pod, options.clone(), command).await,
                false => streams.attach(&pod, options.clone()).await,
            };
            let doing = if is_exec { "executing command in" } else { "attaching to" };
            begun.map_err(|why| Status::internal(format!("error {doing} container: {why}")))
        };
        // A client that breaks off needs no answer.
        let _ = Session { protocol: Protocol::of(&name), socket }.run(&options, begun).await;
    }))
}

struct Session {
    protocol: Protocol,
    socket: Socket,
}

type Broken = tokio_tungstenite::tungstenite::Error;

impl Session {
    async fn run(
        self, options: &CommandOptions, begun: impl Future<Output = Result<Process, Status>>,
    ) -> Result<(), Broken> {
        let Session { protocol, socket } = self;
        let (mut sink, source) = socket.split();
        // So that the client knows at once that it is connected.
        let first = if options.stdout { STDOUT } else if options.stderr { STDERR } else { ERROR };
        sink.send(protocol.message(first, b"")).await?;
        let result = match begun.await {
            Err(status) => Err(status),
            Ok(process) => {
                let Process { stdin, stdout, stderr, resize, mut ended } = process;
                let mut output = Output::new(stdout, stderr);
                let input = listen(protocol, source, stdin, resize);
                tokio::pin!(input);
                let code = loop {
                    tokio::select! {
                        piece = output.next(), if !output.is_done() => {
                            if let Some((stream, bytes)) = piece {
                                sink.send(protocol.message(stream, &bytes)).await?;
                            }
                        }
                        code = &mut ended => break code,
                        // The client has gone; the process is let go of.
                        () = &mut input => return Ok(()),
                    }
                };
                while !output.is_done()
                    && let Ok(piece) = tokio::time::timeout(DRAIN, output.next()).await
                {
                    if let Some((stream, bytes)) = piece {
                        sink.send(protocol.message(stream, &bytes)).await?;
                    }
                }
                code.map_err(Status::internal)
            }
        };
        let last = end(protocol, &result);
        if !last.is_empty() {
            sink.send(protocol.message(ERROR, &last)).await?;
        }
        sink.close().await
    }
}

/// How it ended, as the last message has it.
fn end(protocol: Protocol, result: &Result<i32, Status>) -> Vec<u8> {
    let text = |code: i32| format!("command terminated with non-zero exit code: exit status {code}");
    let status = match result {
        Ok(0) if !protocol.tells_status() => return Vec::new(),
        Ok(code) if !protocol.tells_status() => return text(*code).into_bytes(),
        Err(status) if !protocol.tells_status() => return status.message.clone().into_bytes(),
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {}, "status": "Failure", "message": text(*code), "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(status) => {
            let mut status = status.json();
            if let Some(map) = status.as_object_mut() {
                map.retain(|key, _| key != "kind" && key != "apiVersion");
            }
            status
        }
    };
    status.to_string().into_bytes()
}

/// Hands what the client says to the process, until the client has gone.
async fn listen(
    protocol: Protocol,
    mut source: futures_util::stream::SplitStream<Socket>,
    mut stdin: Option<Writer>,
    resize: Option<watch::Sender<(u16, u16)>>,
) {
    while let Some(Ok(message)) = source.next().await {
        match protocol.read(message) {
            Said::Data { stream: STDIN, bytes } => {
                if let Some(pipe) = &mut stdin
                    && (pipe.write_all(&bytes).await.is_err() || pipe.flush().await.is_err())
                {
                    // Nobody reads it any more; the rest is thrown away, as a shell's pipe would.
                    stdin = None;
                }
            }
            Said::Data { stream: RESIZE, bytes } => {
                if let (Some(resize), Some(size)) = (&resize, size(&bytes)) {
                    resize.send_replace(size);
                }
            }
            Said::Close { stream: STDIN } => stdin = None,
            Said::Data { .. } | Said::Close { .. } | Said::Nothing => {}
        }
    }
}

/// `{"Width":80,"Height":24}` (client-go/tools/remotecommand: TerminalSize).
fn size(bytes: &[u8]) -> Option<(u16, u16)> {
    let size: Json = serde_json::from_slice(bytes).ok()?;
    let part = |name: &str| size.get(name)?.as_u64()?.try_into().ok();
    Some((part("Width")?, part("Height")?))
}

/// Both outputs of a process, as they come.
struct Output([Source; 2]);

struct Source {
    stream: u8,
    pipe: Option<Reader>,
    buffer: BytesMut,
}

impl Output {
    fn new(stdout: Option<Reader>, stderr: Option<Reader>) -> Self {
        let source = |stream, pipe| Source { stream, pipe, buffer: BytesMut::new() };
        Output([source(STDOUT, stdout), source(STDERR, stderr)])
    }

    fn is_done(&self) -> bool {
        self.0.iter().all(|source| source.pipe.is_none())
    }

    /// The next piece; `None`: one of them has ended.
    async fn next(&mut self) -> Option<(u8, Bytes)> {
        let [stdout, stderr] = &mut self.0;
        let (first, second) = (stdout.pipe.is_some(), stderr.pipe.is_some());
        tokio::select! {
            piece = stdout.next(), if first => piece,
            piece = stderr.next(), if second => piece,
            else => None,
        }
    }
}

impl Source {
    async fn next(&mut self) -> Option<(u8, Bytes)> {
        self.buffer.reserve(BLOCK);
        match self.pipe.as_mut()?.read_buf(&mut self.buffer).await {
            Ok(1..) => Some((self.stream, self.buffer.split().freeze())),
            Ok(0) | Err(_) => {
                self.pipe = None;
                None
            }
        }
    }
}
