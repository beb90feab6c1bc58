//! Starting a watch in the background, and ending it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::status::log;
use super::{WatchError, WatchFlags, WatchStatus, clock, io_error, socket, status};
use crate::store;

/// Tells a new watch that it was started in the background.
const DETACHED: &str = "WL_WATCH_DETACHED";
/// How long a new watch may take until it answers (it may have to start Podman's service).
const COMES_UP: Duration = Duration::from_secs(60);
/// How long a watch may take to end.
const ENDS: Duration = Duration::from_secs(30);
/// The log is begun anew when it has grown beyond this.
const MAX_LOG: u64 = 10 * 1024 * 1024;

/// Starts a watch in the background and waits until its API answers. One that runs already is enough.
pub async fn start(state_dir: &Path, flags: &WatchFlags) -> Result<WatchStatus, WatchError> {
    if answers(state_dir).await && status(state_dir).running {
        return Ok(status(state_dir));
    }
    launch(state_dir, flags.arguments()).await
}

/// Starts a watch with these arguments and waits until its API answers.
pub(super) async fn launch(state_dir: &Path, flags: Vec<OsString>) -> Result<WatchStatus, WatchError> {
    std::fs::create_dir_all(state_dir).map_err(io_error(state_dir))?;
    let path = log(state_dir);
    let grown = path.metadata().is_ok_and(|m| m.len() > MAX_LOG);
    let file = OpenOptions::new().create(true).append(!grown).write(true).truncate(grown).mode(0o600).open(&path);
    let file = file.map_err(io_error(&path))?;
    let program = std::env::current_exe().map_err(io_error(Path::new("/proc/self/exe")))?;
    let mut arguments: Vec<OsString> = vec!["watch".into()];
    arguments.extend(flags);
    let second = file.try_clone().map_err(io_error(&path))?;
    let child = Command::new(&program)
        .args(arguments)
        .env("WL_STATE_DIR", state_dir)
        .env(DETACHED, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(second)
        .stderr(file)
        .spawn();
    let mut child = child.map_err(io_error(&program))?;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < COMES_UP {
        if status(state_dir).running && answers(state_dir).await {
            return Ok(status(state_dir));
        }
        // Where another command's watch was quicker, that one is waited for.
        if child.try_wait().ok().flatten().is_some() && !status(state_dir).running {
            break;
        }
        clock::sleep(Duration::from_millis(20)).await;
    }
    Err(WatchError::NotUp { log: path.clone(), tail: tail(&path) })
}

async fn answers(state_dir: &Path) -> bool {
    tokio::net::UnixStream::connect(socket(state_dir)).await.is_ok()
}

fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    let lines: Vec<String> =
        text.lines().rev().take(10).map(|l| l.chars().filter(|c| !c.is_control()).collect()).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Ends the watch of a state directory and waits until it has ended. Its pods go on running.
pub async fn stop(state_dir: &Path) -> Result<u32, WatchError> {
    let not_running = || WatchError::NotRunning { state_dir: state_dir.to_owned() };
    let pid = status(state_dir).pid.ok_or_else(not_running)?;
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or_else(not_running)?;
    rustix::process::kill_process(raw, rustix::process::Signal::TERM).map_err(|e| io_error(state_dir)(e.into()))?;
    let begun = tokio::time::Instant::now();
    while store::holder(state_dir).is_some_and(|h| h.pid == pid) {
        if begun.elapsed() > ENDS {
            return Err(WatchError::DoesNotEnd { pid });
        }
        clock::sleep(Duration::from_millis(20)).await;
    }
    Ok(pid)
}

/// Whether this process was started to go on in the background.
pub(super) fn is_detached() -> bool {
    std::env::var_os(DETACHED).is_some()
}

/// A watch that was started in the background gets a session of its own: no terminal ends it.
pub(super) fn leave_terminal() {
    if is_detached() {
        // It fails only where the process leads a session already.
        let _ = rustix::process::setsid();
    }
}
