//! Running a command in a container: by the OCI runtime where its processes are this machine's (9 ms), else by the API
//! (70 ms, and two processes that stay behind for minutes).

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::Inner;
use super::dirs::write_file;
use super::fault::refused;
use super::http::encode;
use super::namespaces::Namespaces;
use crate::runtime::{Outcome, RuntimeError, RuntimeErrorKind};

/// What is kept of the output; the rest is read and thrown away.
const OUTPUT_BYTES: usize = 1 << 20;
/// A command that is killed must be gone by then.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What is needed to enter a container by its OCI runtime.
pub struct Entrance {
    pub runtime: PathBuf,
    /// Folder of the container's `config.json`.
    bundle: PathBuf,
    pub namespaces: Namespaces,
}

impl Inner {
    /// Runs a command and waits for it; killed after `timeout`. `NotFound`: the container does not run (any more).
    pub async fn exec_sync(self: &Arc<Self>, id: &str, command: &[String], timeout: Option<Duration>) -> Result<Outcome, RuntimeError> {
        if command.is_empty() {
            return Err(refused("there is no command to run"));
        }
        let gone = |error: RuntimeError| RuntimeError::new(RuntimeErrorKind::NotFound, error.message);
        let result = match entrance(self.conmon_of_running(id).map_err(gone)?, id) {
            Some(entrance) => self.exec_by_runtime(&entrance, id, command, timeout).await,
            None => self.exec_by_api(id, command, timeout).await,
        };
        // What failed because the container has ended meanwhile says nothing of the command.
        result.map_err(|error| if self.conmon_of_running(id).is_err() { gone(error) } else { error })
    }

    async fn exec_by_runtime(
        &self, entrance: &Entrance, id: &str, command: &[String], timeout: Option<Duration>,
    ) -> Result<Outcome, RuntimeError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let pid_file = self.scratch.join(format!("exec-{}-{number}.pid", std::process::id()));
        let (process_file, log_file) = (pid_file.with_extension("json"), pid_file.with_extension("log"));
        let process = entrance.process(command, false).and_then(|process| write_file(&process_file, &process, 0o600));
        process.map_err(|e| refused(format!("cannot tell how {id} runs its processes: {e}")))?;
        let mut run = Command::new(&entrance.runtime);
        run.arg("--log").arg(&log_file).arg("exec").arg("--pid-file").arg(&pid_file).arg("--process").arg(&process_file).arg(id);
        run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/").kill_on_drop(true);
        entrance.namespaces.enter_in(&mut run).map_err(|e| refused(format!("cannot enter the namespaces of {id}: {e}")))?;
        let mut child = run.spawn().map_err(|e| refused(format!("cannot run {}: {e}", entrance.runtime.display())))?;
        let mut said = Said::default();
        let finished = within(timeout, collect(&mut child, &mut said)).await;
        let (output, errors) = said.parts();
        // What the runtime itself has to say goes to its log: the command was never begun.
        let own_words = || {
            let text = std::fs::read_to_string(&log_file).unwrap_or_default();
            Some(text.trim().to_owned()).filter(|t| !t.is_empty() && !pid_file.exists())
        };
        let result = match finished {
            Some(Ok(exit_code)) if exit_code != 0 && let Some(why) = own_words() => Err(refused(why)),
            Some(Ok(exit_code)) => Ok(Outcome::Exec { exit_code, output, errors, timed_out: false }),
            Some(Err(e)) => Err(refused(format!("cannot wait for the command: {e}"))),
            None => {
                signal(entrance, &pid_file, "KILL").await;
                // Ended or not: it is dropped, and killed with that.
                let _ = tokio::time::timeout(KILL_PATIENCE, child.wait()).await;
                Ok(Outcome::Exec { exit_code: 137, output, errors, timed_out: true })
            }
        };
        for file in [&pid_file, &process_file, &log_file] {
            let _ = std::fs::remove_file(file);
        }
        result
    }

    async fn exec_by_api(&self, id: &str, command: &[String], timeout: Option<Duration>) -> Result<Outcome, RuntimeError> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(rename = "Id")]
            id: String,
        }
        #[derive(Deserialize)]
        struct Inspected {
            #[serde(rename = "ExitCode", default)]
            exit_code: i32,
            #[serde(rename = "Pid", default)]
            pid: i32,
        }
        let body = serde_json::json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true});
        let exec: Created = self.http.post(format!("/containers/{}/exec", encode(id, false))).json(&body).read().await?;
        // Attached always: 4.3 never tells the end of a detached one.
        let start = self.http.post(format!("/exec/{}/start", exec.id)).json(&serde_json::json!({"Detach": false, "Tty": false}));
        let finished = within(timeout, start.deadline(Duration::from_secs(24 * 3600)).ok()).await;
        let inspected: Inspected = self.http.get(format!("/exec/{}/json", exec.id)).read().await?;
        match finished {
            Some(answer) => {
                let (output, errors) = frames(&answer?.body).parts();
                Ok(Outcome::Exec { exit_code: inspected.exit_code, output, errors, timed_out: false })
            }
            None => {
                if let Some(pid) = rustix::process::Pid::from_raw(inspected.pid).filter(|_| self.pids_are_local()) {
                    // Where it is another user's, it lives on.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                Ok(Outcome::Exec { exit_code: 137, output: Vec::new(), errors: Vec::new(), timed_out: true })
            }
        }
    }
}

/// conmon's arguments tell which runtime the container is run by, its namespaces where that keeps its state.
pub fn entrance(conmon_pid: u32, id: &str) -> Option<Entrance> {
    let arguments = std::fs::read(format!("/proc/{conmon_pid}/cmdline")).ok()?;
    let arguments: Vec<&[u8]> = arguments.split(|b| *b == 0).collect();
    let value = |name: &[u8]| arguments.iter().position(|a| *a == name).and_then(|at| arguments.get(at + 1)).copied();
    // The pid may have been given to another process since.
    if value(b"-c") != Some(id.as_bytes()) {
        return None;
    }
    let runtime = PathBuf::from(std::ffi::OsStr::from_bytes(value(b"-r")?));
    let bundle = PathBuf::from(std::ffi::OsStr::from_bytes(value(b"-b")?));
    Some(Entrance { runtime, bundle, namespaces: Namespaces::of(conmon_pid).ok()? })
}

impl Entrance {
    /// A process like the container's own (user, groups, capabilities, environment, folder) with another command, as the
    /// OCI runtime specification has it. Left to itself, crun would run it as root.
    pub fn process(&self, command: &[String], terminal: bool) -> std::io::Result<Vec<u8>> {
        // The rest of it, a list of system calls above all, is not kept.
        #[derive(Deserialize)]
        struct Config {
            process: serde_json::Map<String, serde_json::Value>,
        }
        let config = std::fs::read(self.bundle.join("config.json"))?;
        let Config { mut process } = serde_json::from_slice(&config)?;
        process.insert("args".to_owned(), command.into());
        process.insert("terminal".to_owned(), terminal.into());
        process.remove("consoleSize");
        let env = process.entry("env").or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let Some(env) = env.as_array_mut().filter(|_| terminal)
            && !env.iter().any(|e| e.as_str().is_some_and(|e| e.starts_with("TERM=")))
        {
            // As containerd does: an editor needs to know something.
            env.push("TERM=xterm".into());
        }
        Ok(serde_json::to_vec(&process)?)
    }

    /// Whether the runtime hands a terminal over and waits for the command's end; runc does one or the other.
    pub fn takes_console_socket(&self) -> bool {
        self.runtime.file_name().is_some_and(|name| name.as_bytes().starts_with(b"crun"))
    }
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

/// What a command wrote, within bounds.
#[derive(Debug, Default, PartialEq)]
struct Said {
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Said {
    fn add(&mut self, text: &[u8], is_error: bool) {
        let kept = if is_error { &mut self.errors } else { &mut self.output };
        kept.extend_from_slice(&text[..text.len().min(OUTPUT_BYTES.saturating_sub(kept.len()))]);
    }

    /// Both together, stdout first, and stderr alone.
    /// Source: pkg/kubelet/kuberuntime/kuberuntime_container.go: RunInContainer.
    fn parts(mut self) -> (Vec<u8>, Vec<u8>) {
        self.output.extend_from_slice(&self.errors);
        (self.output, self.errors)
    }
}

/// Both outputs as they come, and the exit code.
async fn collect(child: &mut Child, said: &mut Said) -> std::io::Result<i32> {
    use std::os::unix::process::ExitStatusExt;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out_block, mut err_block) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    while stdout.is_some() || stderr.is_some() {
        tokio::select! {
            read = read_some(&mut stdout, &mut out_block) => said.add(&out_block[..read?], false),
            read = read_some(&mut stderr, &mut err_block) => said.add(&err_block[..read?], true),
        }
    }
    let status = child.wait().await?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

async fn read_some<R: AsyncRead + Unpin>(from: &mut Option<R>, block: &mut [u8]) -> std::io::Result<usize> {
    let Some(reader) = from else { return std::future::pending().await };
    let read = reader.read(block).await?;
    if read == 0 {
        *from = None;
    }
    Ok(read)
}

/// Signals the command itself: ending the runtime's process would leave it running.
pub async fn signal(entrance: &Entrance, pid_file: &std::path::Path, signal: &str) {
    let Ok(text) = std::fs::read_to_string(pid_file) else { return };
    let Ok(pid) = text.trim().parse::<i32>() else { return };
    let mut kill = Command::new("kill");
    kill.args(["-s", signal, &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if entrance.namespaces.enter_in(&mut kill).is_ok() {
        // That it has ended already is no matter.
        let _ = kill.status().await;
    }
}

/// The text of a stream of frames: one byte of stream, three of nothing, four of length.
fn frames(mut bytes: &[u8]) -> Said {
    let mut said = Said::default();
    while let Some((head, rest)) = bytes.split_at_checked(8) {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let text = &rest[..length.min(rest.len())];
        said.add(text, head[0] == 2);
        bytes = &rest[text.len()..];
    }
    said
}

#[cfg(test)]
mod tests {
    use super::{Said, frames};

    #[test]
    fn frames_are_put_together() {
        let said = |output: &[u8], errors: &[u8]| Said { output: output.to_vec(), errors: errors.to_vec() };
        assert_eq!(frames(b"\x02\0\0\0\0\0\0\x01c\x01\0\0\0\0\0\0\x02ab"), said(b"ab", b"c"));
        assert_eq!(said(b"ab", b"c").parts(), (b"abc".to_vec(), b"c".to_vec()), "stdout comes first");
        assert_eq!(frames(b"\x01\0\0\0\xff\xff\xff\xffab"), said(b"ab", b""));
        assert_eq!(frames(b"\x01\0\0"), said(b"", b""));
    }
}
