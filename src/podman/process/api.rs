//! Streams by Podman's API: a container's own process, and commands where the OCI runtime cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{oneshot, watch};

use super::super::Inner;
use super::super::fault::{Fault, refused};
use super::super::http::encode;
use super::{Process, Streams, ending};
use crate::runtime::RuntimeError;

/// Room between Podman's stream and who reads it.
const PIPE: usize = 64 << 10;
/// The largest frame that Podman may send.
const LARGEST_FRAME: usize = 16 << 20;
/// Between the end of a command's stream and its exit code.
const CODE_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks for that code.
const CODE_PAUSE: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    running: bool,
    #[serde(default)]
    exit_code: i32,
    #[serde(default)]
    pid: i32,
}

/// What of Podman has a size that can be set.
enum Sized {
    Container(String),
    Exec(String),
}

impl Inner {
    pub(super) async fn command_by_api(
        self: &Arc<Self>, id: &str, command: &[String], streams: Streams,
    ) -> Result<Process, RuntimeError> {
        if command.is_empty() {
            return Err(refused("there is no command to run"));
        }
        let body = serde_json::json!({
            "Cmd": command, "AttachStdin": streams.stdin, "AttachStdout": streams.stdout, "AttachStderr": streams.stderr,
            "Tty": streams.tty,
        });
        let exec: Created = self.http.post(format!("/containers/{}/exec", encode(id, false))).json(&body).read().await?;
        let start = serde_json::json!({"Detach": false, "Tty": streams.tty});
        let connection = self.http.post(format!("/exec/{}/start", exec.id)).json(&start).hijack().await?;
        let (tell, told) = oneshot::channel();
        let (inner, session) = (self.clone(), exec.id.clone());
        let ended = async move { inner.exit_code_of(&session).await };
        let (inner, session) = (self.clone(), exec.id.clone());
        let gone = async move { inner.end_session(&session).await };
        let mut process = connect(connection, streams, tell, ended, gone);
        process.ended = ending(told);
        process.resize = streams.tty.then(|| self.sizes(Sized::Exec(exec.id)));
        Ok(process)
    }

    pub(super) async fn attach(self: &Arc<Self>, id: &str, streams: Streams) -> Result<Process, RuntimeError> {
        self.conmon_of_running(id)?;
        let flag = |is: bool| if is { "true" } else { "false" };
        let call = self.http.post(format!("/containers/{}/attach", encode(id, false)));
        let call = call.query("stream", "true").query("stdin", flag(streams.stdin)).query("stdout", flag(streams.stdout));
        // Detaching is the client's affair: no key ends the stream.
        let call = call.query("stderr", flag(streams.stderr)).query("logs", "false").query("detachKeys", "");
        let connection = call.hijack().await?;
        let (tell, told) = oneshot::channel();
        let mut process = connect(connection, streams, tell, async { Ok(0) }, async {});
        process.ended = ending(told);
        process.resize = streams.tty.then(|| self.sizes(Sized::Container(id.to_owned())));
        Ok(process)
    }

    async fn exit_code_of(&self, session: &str) -> Result<i32, RuntimeError> {
        let begun = tokio::time::Instant::now();
        loop {
            let seen: Inspected = self.http.get(format!("/exec/{session}/json")).read().await?;
            if !seen.running {
                return Ok(seen.exit_code);
            }
            if begun.elapsed() > CODE_PATIENCE {
                return Err(refused("Podman does not tell how the command ended"));
            }
            tokio::time::sleep(CODE_PAUSE).await;
        }
    }

    /// Closing the stream leaves a command running: it is ended, where its pid is this machine's.
    async fn end_session(&self, session: &str) {
        let seen: Result<Inspected, Fault> = self.http.get(format!("/exec/{session}/json")).read().await;
        let Ok(seen) = seen else { return };
        if let Some(pid) = rustix::process::Pid::from_raw(seen.pid).filter(|_| seen.running && self.pids_are_local()) {
            // Where it is another user's, it lives on.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
        }
    }

    /// Passes sizes on as they change.
    fn sizes(self: &Arc<Self>, of: Sized) -> watch::Sender<(u16, u16)> {
        let (resize, mut asked) = watch::channel((0, 0));
        let inner = self.clone();
        tokio::spawn(async move {
            let path = match of {
                Sized::Container(id) => format!("/containers/{}/resize", encode(&id, false)),
                Sized::Exec(id) => format!("/exec/{id}/resize"),
            };
            while asked.changed().await.is_ok() {
                let (columns, rows) = *asked.borrow_and_update();
                let call = inner.http.post(&path).query("w", columns.to_string()).query("h", rows.to_string());
                // A process that has ended needs no size.
                let _ = call.ok().await;
            }
        });
        resize
    }
}

/// The streams of a connection that Podman gave up. `ended` is asked for the exit code when it closes; `gone` is done when
/// nobody waits any more.
fn connect(
    connection: TokioIo<Upgraded>,
    streams: Streams,
    mut tell: oneshot::Sender<Result<i32, RuntimeError>>,
    ended: impl Future<Output = Result<i32, RuntimeError>> + Send + 'static,
    gone: impl Future<Output = ()> + Send + 'static,
) -> Process {
    let (reader, writer) = tokio::io::split(connection);
    let (stdout, mut out) = tokio::io::duplex(PIPE);
    let (stderr, mut err) = tokio::io::duplex(PIPE);
    let (stdin, input) = tokio::io::duplex(PIPE);
    if streams.stdin {
        tokio::spawn(feed(input, writer));
    }
    tokio::spawn(async move {
        let carried = async {
            match streams.tty {
                true => copy(reader, &mut out).await,
                false => demultiplex(reader, &mut out, &mut err).await,
            }
            drop((out, err));
            ended.await
        };
        tokio::select! {
            result = carried => drop(tell.send(result)),
            () = tell.closed() => gone.await,
        }
    });
    Process {
        stdin: streams.stdin.then(|| Box::new(stdin) as super::Writer),
        stdout: streams.stdout.then(|| Box::new(stdout) as super::Reader),
        stderr: (streams.stderr && !streams.tty).then(|| Box::new(stderr) as super::Reader),
        resize: None,
        ended: Box::pin(std::future::pending()),
    }
}

/// What is typed; its end closes that half of the connection.
async fn feed(mut input: tokio::io::DuplexStream, mut writer: WriteHalf<TokioIo<Upgraded>>) {
    // A process that reads no more needs no more.
    let _ = tokio::io::copy(&mut input, &mut writer).await;
    let _ = writer.shutdown().await;
}

async fn copy(mut reader: ReadHalf<TokioIo<Upgraded>>, out: &mut tokio::io::DuplexStream) {
    let mut block = vec![0; PIPE];
    while let Ok(read @ 1..) = reader.read(&mut block).await {
        // Who does not listen keeps nobody from ending.
        let _ = out.write_all(&block[..read]).await;
    }
}

/// Frames: one byte of stream, three of nothing, four of length.
async fn demultiplex(
    mut reader: ReadHalf<TokioIo<Upgraded>>, out: &mut tokio::io::DuplexStream, err: &mut tokio::io::DuplexStream,
) {
    let mut head = [0; 8];
    while reader.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if length > LARGEST_FRAME {
            return;
        }
        let mut text = vec![0; length];
        if reader.read_exact(&mut text).await.is_err() {
            return;
        }
        let _ = match head[0] {
            2 => err.write_all(&text).await,
            _ => out.write_all(&text).await,
        };
    }
}
