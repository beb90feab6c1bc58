//! Sessions with a process in a pod: its streams, its terminal, how it ended. Shared by exec, attach, run, debug and cp.

mod detach;
pub mod fresh;
pub mod pod;
pub mod raw;

use std::io::Read;

use bytes::Bytes;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::{CliError, CliResult, Context, Exit};
use crate::api::{Json, Object};
use crate::client::{Ask, Client, ClientError, Lines, Listener, Speaker, segment};
pub use detach::DetachKeys;
use raw::RawMode;

/// The protocol of the streams (k8s.io/apimachinery/pkg/util/remotecommand/constants.go).
const PROTOCOL: &str = "v5.channel.k8s.io";

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// Read from standard input at once.
const BLOCK: usize = 32 << 10;

/// Which streams a session has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    pub stdin: bool,
    /// The user's terminal in raw mode, and one for the process.
    pub tty: bool,
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    /// By the keys for that; the process goes on.
    Detached,
    /// This command was asked to end.
    Signal(i32),
    /// Nobody reads what is printed.
    BrokenPipe,
}

/// `/api/v1/namespaces/NS/pods/POD/exec` and the like.
pub fn subresource(pod: &Object, name: &str) -> Ask {
    Ask::get(format!("/api/v1/namespaces/{}/pods/{}/{name}", segment(pod.namespace()), segment(pod.name())))
}

/// The request for a command in a container.
pub fn exec(pod: &Object, container: &str, command: &[String], streams: Streams) -> Ask {
    let ask = command.iter().fold(subresource(pod, "exec"), |ask, word| ask.query("command", word.as_str()));
    with_streams(ask, container, streams)
}

/// The request for the streams of a container's own process.
pub fn attach(pod: &Object, container: &str, streams: Streams) -> Ask {
    with_streams(subresource(pod, "attach"), container, streams)
}

/// The request for the input of a container's own process, and nothing else.
pub fn feed(pod: &Object, container: &str) -> Ask {
    subresource(pod, "attach").query("container", container).query("stdin", "true")
}

fn with_streams(ask: Ask, container: &str, streams: Streams) -> Ask {
    let mut ask = ask.query("container", container);
    if streams.stdin {
        ask = ask.query("stdin", "true");
    }
    ask = ask.query("stdout", "true");
    // A terminal has one output only.
    ask.query(if streams.tty { "tty" } else { "stderr" }, "true")
}

/// What of `-i` and `-t` is possible here. Source: k8s.io/kubectl/pkg/cmd/exec/exec.go: SetupTTY.
pub fn possible(ctx: &mut Context, stdin: bool, tty: bool, quiet: bool) -> Streams {
    if stdin && tty && !ctx.stdin_is_terminal && !quiet {
        ctx.err.line("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    Streams { stdin, tty: stdin && tty && ctx.stdin_is_terminal }
}

/// Runs a session between this command's own streams and a process, to its end.
pub async fn run(
    ctx: &mut Context, client: &Client, ask: Ask, streams: Streams, keys: Option<DetachKeys>,
) -> Result<Ended, CliError> {
    let (speaker, mut listener) = client.channels(ask, PROTOCOL).await?;
    let mut signals = Signals::new().map_err(|e| CliError::message(format!("signals cannot be had: {e}")))?;
    let raw = if streams.tty { Some(RawMode::enter().map_err(|e| CliError::message(format!("the terminal: {e}")))?) } else { None };
    let typed = if streams.stdin { Some(typed(ctx)) } else { None };
    let speaking = speak(speaker, typed, streams.tty, keys);
    tokio::pin!(speaking);
    let (mut status, mut speaks) = (None, true);
    let ended = loop {
        tokio::select! {
            heard = listener.next() => match heard {
                Ok(Some((ERROR, bytes))) if !bytes.is_empty() => status = Some(bytes),
                Ok(Some((stream, bytes))) => {
                    let sink = if stream == STDERR { &mut ctx.err } else { &mut ctx.out };
                    if matches!(stream, STDOUT | STDERR) {
                        sink.raw(&bytes);
                        sink.flush();
                    }
                    if ctx.out.is_broken() {
                        break Ok(Ended::BrokenPipe);
                    }
                }
                Ok(None) => break code(status.as_ref()).map(Ended::Code),
                Err(_) if status.is_some() => break code(status.as_ref()).map(Ended::Code),
                Err(error) => break Err(error.into()),
            },
            detached = &mut speaking, if speaks => {
                // A server that takes no more may still have to tell how it ended.
                speaks = false;
                if detached {
                    break Ok(Ended::Detached);
                }
            }
            number = signals.next() => break Ok(Ended::Signal(number)),
        }
    };
    drop(raw);
    ended
}

/// Prints a log as it grows, to its end, and gives standard input to the process meanwhile.
pub async fn follow(ctx: &mut Context, client: &Client, mut lines: Lines, feed: Option<Ask>) -> Result<Ended, CliError> {
    let mut signals = Signals::new().map_err(|e| CliError::message(format!("signals cannot be had: {e}")))?;
    // Who has ended before it could be fed has said all that there is.
    let fed = match feed {
        Some(ask) => client.channels(ask, PROTOCOL).await.ok(),
        None => None,
    };
    let typed = fed.is_some().then(|| typed(ctx));
    let feeding = async move {
        let Some((speaker, mut listener)) = fed else { return };
        let hears = async { while let Ok(Some(_)) = listener.next().await {} };
        tokio::select! {
            _ = speak(speaker, typed, false, None) => {}
            () = hears => {}
        }
    };
    tokio::pin!(feeding);
    let mut feeds = true;
    loop {
        tokio::select! {
            piece = lines.chunk() => match piece? {
                None => return Ok(Ended::Code(0)),
                Some(piece) => {
                    ctx.out.raw(&piece);
                    ctx.out.flush();
                    if ctx.out.is_broken() {
                        return Ok(Ended::BrokenPipe);
                    }
                }
            },
            () = &mut feeding, if feeds => feeds = false,
            number = signals.next() => return Ok(Ended::Signal(number)),
        }
    }
}

/// The exit code for how a session ended, after what there is to say.
pub fn report(ctx: &mut Context, ended: &Ended) -> CliResult {
    Ok(match ended {
        Ended::Code(0) | Ended::Detached => Exit::Success,
        Ended::Code(code) => {
            ctx.err.line(&format!("command terminated with exit code {code}"));
            Exit::Of(u8::try_from(*code).unwrap_or(u8::MAX))
        }
        Ended::Signal(number) => Exit::Of(u8::try_from(128 + number).unwrap_or(u8::MAX)),
        Ended::BrokenPipe => Exit::BrokenPipe,
    })
}

/// Starts a command whose streams are this program's own affair.
pub async fn piped(client: &Client, ask: Ask) -> Result<(Speaker, Heard), ClientError> {
    let (speaker, listener) = client.channels(ask, PROTOCOL).await?;
    Ok((speaker, Heard { listener, status: None }))
}

/// What a command says, and then how it ended.
pub struct Heard {
    listener: Listener,
    status: Option<Bytes>,
}

impl Heard {
    /// The next piece of its output; `None`: it has ended.
    pub async fn next(&mut self) -> Result<Option<(u8, Bytes)>, CliError> {
        loop {
            match self.listener.next().await {
                Ok(Some((ERROR, bytes))) => self.status = Some(bytes).filter(|b| !b.is_empty()).or(self.status.take()),
                Ok(Some((_, bytes))) if bytes.is_empty() => {}
                Ok(Some(piece)) => return Ok(Some(piece)),
                Ok(None) => return Ok(None),
                Err(_) if self.status.is_some() => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Its exit code, once it has ended.
    pub fn code(&self) -> Result<i32, CliError> {
        code(self.status.as_ref())
    }
}

/// Reads the last message. Source: k8s.io/client-go/tools/remotecommand/v4.go: errorDecoderV4.
fn code(status: Option<&Bytes>) -> Result<i32, CliError> {
    let Some(bytes) = status else {
        return Err(CliError::message(
            "error stream closed before receiving a status message: command execution may have been interrupted",
        ));
    };
    let wrong = |why: &str| CliError::message(format!("error stream protocol error: {why}"));
    let status: Json = serde_json::from_slice(bytes).map_err(|_| wrong("the status is no JSON"))?;
    let text = |key: &str| status.get(key).and_then(Json::as_str).unwrap_or("");
    match text("status") {
        "Success" => Ok(0),
        "Failure" if text("reason") == "NonZeroExitCode" => {
            let causes = status.pointer("/details/causes").and_then(Json::as_array).ok_or_else(|| wrong("details must be set"))?;
            let cause = causes.iter().find(|c| c["reason"] == "ExitCode").ok_or_else(|| wrong("no ExitCode cause given"))?;
            let code = cause["message"].as_str().unwrap_or("");
            code.parse::<u8>().map(i32::from).map_err(|_| wrong(&format!("invalid exit code value {code:?}")))
        }
        "Failure" => Err(CliError::message(text("message"))),
        _ => Err(wrong("unknown error")),
    }
}

/// Standard input, as it comes; ends with it. Reading blocks, so that a thread of its own does it.
fn typed(ctx: &mut Context) -> mpsc::Receiver<Vec<u8>> {
    let mut stdin = std::mem::replace(&mut ctx.stdin, Box::new(std::io::empty()));
    let (send, typed) = mpsc::channel(4);
    // It may wait for a key for ever: it ends with the program.
    std::thread::spawn(move || {
        let mut block = vec![0; BLOCK];
        loop {
            match stdin.read(&mut block) {
                Ok(0) => return,
                Ok(read) if send.blocking_send(block[..read].to_vec()).is_err() => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    typed
}

/// Sends what is typed and the terminal's size, until the server takes no more. `true`: the user detached.
async fn speak(
    mut speaker: Speaker, mut typed: Option<mpsc::Receiver<Vec<u8>>>, tty: bool, mut keys: Option<DetachKeys>,
) -> bool {
    let mut resized = if tty { signal(SignalKind::window_change()).ok() } else { None };
    if tty && !say_size(&mut speaker).await {
        return false;
    }
    loop {
        tokio::select! {
            bytes = next(&mut typed) => {
                let said = match bytes {
                    None => {
                        typed = None;
                        speaker.close(STDIN).await
                    }
                    Some(bytes) => {
                        let (bytes, detached) = match &mut keys {
                            Some(keys) => keys.filter(bytes),
                            None => (bytes, false),
                        };
                        let said = speaker.say(STDIN, &bytes).await;
                        if detached {
                            return true;
                        }
                        said
                    }
                };
                if said.is_err() {
                    return false;
                }
            }
            () = changed(&mut resized) => {
                if !say_size(&mut speaker).await {
                    return false;
                }
            }
        }
    }
}

async fn next(typed: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}

async fn changed(resized: &mut Option<Signal>) {
    match resized {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn say_size(speaker: &mut Speaker) -> bool {
    let Some((width, height)) = raw::size() else { return true };
    speaker.say(RESIZE, json!({"Width": width, "Height": height}).to_string().as_bytes()).await.is_ok()
}

/// What asks this command to end: the terminal must be as it was before.
struct Signals(Vec<(i32, Signal)>);

impl Signals {
    fn new() -> std::io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        let all: std::io::Result<Vec<_>> = kinds.into_iter().map(|kind| Ok((kind.as_raw_value(), signal(kind)?))).collect();
        Ok(Signals(all?))
    }

    async fn next(&mut self) -> i32 {
        let waits = self.0.iter_mut().map(|(number, signal)| {
            Box::pin(async move {
                if signal.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
                *number
            })
        });
        futures_util::future::select_all(waits).await.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: &str) -> Result<i32, String> {
        code(Some(&Bytes::copy_from_slice(status.as_bytes()))).map_err(|e| e.text())
    }

    #[test]
    fn the_last_message_tells_the_exit_code() {
        assert_eq!(read(r#"{"status": "Success"}"#), Ok(0));
        assert_eq!(read(r#"{"status": "Failure", "message": "foobar"}"#), Err("foobar".into()));
        let exit = r#"{"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "42"}]}}"#;
        assert_eq!(read(exit), Ok(42));
        let none = r#"{"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "foo"}]}}"#;
        assert_eq!(read(none), Err("error stream protocol error: no ExitCode cause given".into()));
        assert_eq!(read("{}"), Err("error stream protocol error: unknown error".into()));
        assert!(code(None).is_err());
    }
}
