//! Commands by the OCI runtime (crun): no conmon, no session that stays behind.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

use super::super::Inner;
use super::super::dirs::write_file;
use super::super::exec::{Entrance, signal};
use super::super::fault::refused;
use super::{Process, Reader, Streams, Writer, ending, pty};
use crate::runtime::RuntimeError;

/// A command whose client has gone gets SIGHUP, as in a closed terminal, and this long to end by itself.
const HANG_UP: Duration = Duration::from_secs(2);
/// The runtime must have sent the terminal by then.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(30);

/// Of what the runtime says of a command that cannot begin.
const LONGEST_COMPLAINT: u64 = 4096;

/// Files of one command; gone with it.
struct Files {
    pid: PathBuf,
    process: PathBuf,
    log: PathBuf,
    console: PathBuf,
}

impl Files {
    fn new(inner: &Inner) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let named = |kind: &str| inner.scratch.join(format!("run-{}-{number}.{kind}", std::process::id()));
        Files { pid: named("pid"), process: named("json"), log: named("log"), console: named("tty") }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for file in [&self.pid, &self.process, &self.log, &self.console] {
            let _ = std::fs::remove_file(file);
        }
    }
}

impl Inner {
    pub(super) async fn command_by_runtime(
        self: &Arc<Self>, entrance: Entrance, id: &str, command: &[String], streams: Streams,
    ) -> Result<Process, RuntimeError> {
        let files = Files::new(self);
        let process = entrance.process(command, streams.tty).and_then(|process| write_file(&files.process, &process, 0o600));
        process.map_err(|e| refused(format!("cannot tell how {id} runs its processes: {e}")))?;
        let mut run = Command::new(&entrance.runtime);
        // Its own complaints go to a file: the streams are the command's alone.
        run.arg("--log").arg(&files.log).arg("exec").arg("--pid-file").arg(&files.pid).arg("--process").arg(&files.process);
        let wanted = |is: bool| if is && !streams.tty { Stdio::piped() } else { Stdio::null() };
        run.stdin(wanted(streams.stdin)).stdout(wanted(streams.stdout)).stderr(wanted(streams.stderr));
        run.current_dir("/").kill_on_drop(true);
        let console = match streams.tty {
            true => {
                run.arg("--console-socket").arg(&files.console);
                Some(pty::listen(&files.console).map_err(|e| refused(format!("cannot make a socket for a terminal: {e}")))?)
            }
            false => None,
        };
        run.arg(id);
        entrance.namespaces.enter_in(&mut run).map_err(|e| refused(format!("cannot enter the namespaces of {id}: {e}")))?;
        let mut child = run.spawn().map_err(|e| refused(format!("cannot run {}: {e}", entrance.runtime.display())))?;
        let mut process = Process {
            stdin: child.stdin.take().map(|pipe| Box::new(pipe) as Writer),
            stdout: child.stdout.take().map(|pipe| Box::new(pipe) as Reader),
            stderr: child.stderr.take().map(|pipe| Box::new(pipe) as Reader),
            resize: None,
            ended: Box::pin(std::future::pending()),
        };
        if let Some(console) = console {
            let received = tokio::select! {
                received = tokio::time::timeout(CONSOLE_PATIENCE, pty::receive(&console)) => received,
                status = child.wait() => {
                    // It ended before there was a terminal: all that there is to say stands in its log.
                    let status = status.map_err(|e| refused(format!("cannot wait for the command: {e}")))?;
                    return refusal(&files, status).map(|(code, text)| spoken(code, text));
                }
            };
            let received = received.map_err(|_| refused("the runtime gave no terminal")).map(|r| r.and_then(pty::split));
            let (reader, writer, sizes) = received?.map_err(|e| refused(format!("cannot take the terminal over: {e}")))?;
            process.stdout = streams.stdout.then_some(reader);
            process.stdin = streams.stdin.then_some(writer);
            let (resize, mut asked) = watch::channel((0, 0));
            process.resize = Some(resize);
            tokio::spawn(async move {
                while asked.changed().await.is_ok() {
                    pty::resize(&sizes, *asked.borrow_and_update());
                }
            });
        }
        let (tell, told) = oneshot::channel();
        tokio::spawn(mind(child, files, entrance, tell));
        process.ended = ending(told);
        Ok(process)
    }
}

/// Waits for the end of a command, and ends it where nobody listens any more.
async fn mind(mut child: Child, files: Files, entrance: Entrance, mut tell: oneshot::Sender<Result<i32, RuntimeError>>) {
    let ended = tokio::select! {
        ended = child.wait() => ended,
        () = tell.closed() => {
            signal(&entrance, &files.pid, "HUP").await;
            if tokio::time::timeout(HANG_UP, child.wait()).await.is_err() {
                signal(&entrance, &files.pid, "KILL").await;
                let _ = tokio::time::timeout(HANG_UP, child.wait()).await;
            }
            return;
        }
    };
    let result = match ended {
        Ok(status) if files.pid.exists() => Ok(exit_code(status)),
        // What it says was written to the command's own standard error too.
        Ok(status) => refusal(&files, status).map(|(code, _)| code),
        Err(e) => Err(refused(format!("cannot wait for the command: {e}"))),
    };
    let _ = tell.send(result);
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// A command that could not begin: the exit code that a shell has for that, and the runtime's words. Where the command is
/// not to blame, an error.
fn refusal(files: &Files, status: ExitStatus) -> Result<(i32, String), RuntimeError> {
    let mut text = Vec::new();
    let log = std::fs::File::open(&files.log).and_then(|log| log.take(LONGEST_COMPLAINT).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match log {
        Ok(_) if says(&["executable file", "no such file or directory"]) && !says(&["permission denied"]) => Ok((127, text)),
        Ok(_) if says(&["open executable", "not a regular file", "exec format error", "permission denied"]) => Ok((126, text)),
        Ok(_) if !text.is_empty() => Err(refused(text)),
        _ => Err(refused(format!("the OCI runtime ended with {status}"))),
    }
}

/// A process that has ended before it began, with what there is to say of it, as on a terminal.
fn spoken(code: i32, text: String) -> Process {
    Process {
        stdin: None,
        stdout: Some(Box::new(std::io::Cursor::new(format!("{text}\r\n").into_bytes()))),
        stderr: None,
        resize: None,
        ended: Box::pin(std::future::ready(Ok(code))),
    }
}
