//! The end of a container's process, seen by its pidfd (0.8 ms; Podman's own event takes 80 to 110).

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Inner;
use super::index::{Record, Watch};
use super::readable::readable;
use crate::runtime::{ContainerState, Exit};

const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// conmon has written the exit code 2 to 14 ms after the death.
const EXIT_FILE_LOOKS: u32 = 40;
const EXIT_FILE_PAUSE: Duration = Duration::from_millis(1);
/// Podman's own clean-up takes 80 ms; under load ten times that.
const PATIENCE: u32 = 500;

/// Starts to wait for the end of `pid`; `None` where it cannot be seen from here (then events and lists must do).
pub fn start(inner: &Arc<Inner>, record: &mut Record, pid: u32) -> Option<Watch> {
    let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
    match pidfd_open(process, PidfdFlags::NONBLOCK) {
        Ok(pidfd) => {
            let oom = OomCounter::of(pid);
            let task = tokio::spawn(wait(Arc::downgrade(inner), record.id.clone(), record.pod_uid.clone(), pidfd, oom));
            Some(Watch::new(task.abort_handle()))
        }
        Err(rustix::io::Errno::SRCH) if inner.pids_are_local() => {
            // It ended before it could be watched.
            let task = tokio::spawn(settle(Arc::downgrade(inner), record.id.clone(), record.pod_uid.clone(), false));
            Some(Watch::new(task.abort_handle()))
        }
        Err(_) => None,
    }
}

async fn wait(inner: Weak<Inner>, id: String, uid: String, pidfd: OwnedFd, oom: Option<OomCounter>) {
    let Ok(pidfd) = readable(pidfd) else { return };
    if pidfd.readable().await.is_err() {
        return;
    }
    // Its cgroup is there until Podman cleans up.
    let killed_for_memory = oom.is_some_and(|counter| counter.count() > 0);
    settle(inner, id, uid, killed_for_memory).await;
}

/// Looks until Podman knows of the end, then says so.
async fn settle(inner: Weak<Inner>, id: String, uid: String, killed_for_memory: bool) {
    let record = |inner: Arc<Inner>| inner.index().records.get(&id).map(|record| (record.conmon_pid, image_of(record)));
    let Some((conmon, image)) = inner.upgrade().and_then(record) else { return };
    let (written, ()) = tokio::join!(wait_for_exit_file(conmon, &id), look_at_image(&inner, &image));
    if let (Some(written), Some(inner)) = (written, inner.upgrade()) {
        inner.let_go(&id);
        inner.take_exit(&id, written, killed_for_memory);
        inner.hints.pod(&uid);
        return;
    }
    for _ in 0..PATIENCE {
        let Some(inner) = inner.upgrade() else { return };
        if let Some(record) = inner.index().records.get_mut(&id) {
            record.oom_killed |= killed_for_memory;
        }
        match inner.still_running(&id).await {
            Ok(true) => {}
            Ok(false) => {
                inner.hints.pod(&uid);
                return;
            }
            Err(()) => break,
        }
        drop(inner);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let Some(inner) = inner.upgrade() else { return };
    if let Some(record) = inner.index().records.get_mut(&id) {
        record.process_gone = true;
        record.stale = true;
    }
    inner.hints.pod(&uid);
}

/// Empty where no next attempt is to be expected.
fn image_of(record: &Record) -> String {
    if record.is_infra || record.told_to_end { String::new() } else { record.image.clone() }
}

/// The next attempt will ask for the image: meanwhile that is answered already.
async fn look_at_image(inner: &Weak<Inner>, image: &str) {
    if let Some(inner) = inner.upgrade().filter(|_| !image.is_empty()) {
        // Whatever the answer is: it is a hint for later.
        let _ = inner.look_at_image(image).await;
    }
}

/// What conmon has written down of an end: the exit code, and when that was.
struct Written {
    code: i32,
    at: Timestamp,
}

/// Waits until conmon has written down how the container ended. Podman tells the same, but only when its own clean-up, which holds the
/// container meanwhile, is over. `None` where it cannot be read: then Podman is asked.
async fn wait_for_exit_file(conmon: u32, id: &str) -> Option<Written> {
    let folder = exit_folder(conmon)?;
    // As conmon sees it: Podman may have a root of its own.
    let path = PathBuf::from(format!("/proc/{conmon}/root{folder}/{id}"));
    for _ in 0..EXIT_FILE_LOOKS {
        match path.symlink_metadata() {
            Ok(metadata) => return written(&path, &metadata),
            // conmon has ended, or may not be looked at.
            Err(_) if !PathBuf::from(format!("/proc/{conmon}/root/")).exists() => return None,
            Err(_) => tokio::time::sleep(EXIT_FILE_PAUSE).await,
        }
    }
    None
}

/// The file holds the code alone, and its ctime is the time of the end (libpod: container_internal.go, handleExitFile).
fn written(path: &Path, metadata: &std::fs::Metadata) -> Option<Written> {
    let code = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let nanoseconds = i32::try_from(metadata.ctime_nsec()).ok()?;
    Some(Written { code, at: Timestamp::new(metadata.ctime(), nanoseconds).ok()? })
}

/// Where a conmon was told to write exit codes; `None` where it does not run any more.
fn exit_folder(conmon: u32) -> Option<String> {
    let arguments = std::fs::read(format!("/proc/{conmon}/cmdline")).ok()?;
    let mut arguments = arguments.split(|byte| *byte == 0);
    arguments.find(|argument| *argument == b"--exit-dir")?;
    String::from_utf8(arguments.next()?.to_owned()).ok()
}

impl Inner {
    /// Whether Podman still calls it running; takes the news over if not. `Err` when nobody answers.
    async fn still_running(self: &Arc<Self>, id: &str) -> Result<bool, ()> {
        let path = format!("/containers/{id}/json");
        match self.http.get(path).read::<super::inspect::Inspected>().await {
            Ok(inspected) if matches!(inspected.state.status.as_str(), "running" | "stopping" | "paused") => Ok(true),
            Ok(inspected) => {
                self.let_go(id);
                self.take_over(&inspected);
                Ok(false)
            }
            Err(fault) if fault.is_not_found() => {
                self.let_go(id);
                self.index().records.remove(id);
                Ok(false)
            }
            Err(_) => Err(()),
        }
    }

    /// Writes an end into the index of which Podman need not be asked.
    fn take_exit(&self, id: &str, written: Written, oom_killed: bool) {
        let mut index = self.index();
        let Some(record) = index.records.get_mut(id) else { return };
        let ContainerState::Running { started_at, .. } = record.state else { return };
        let message = if record.is_infra { String::new() } else { self.termination_message(record, written.code) };
        let (code, finished_at) = (written.code, written.at);
        record.state = ContainerState::Exited(Exit { code, started_at: Some(started_at), finished_at, oom_killed, message });
        record.oom_killed |= oom_killed;
        record.stale = false;
    }

    /// The watching task itself asks: it must not be ended before it has told.
    fn let_go(&self, id: &str) {
        let watch = self.index().records.get_mut(id).and_then(|record| record.watch.take());
        if let Some(watch) = watch {
            watch.let_go();
        }
    }
}

/// Where the kernel counts what it killed for memory in a cgroup.
struct OomCounter(PathBuf);

impl OomCounter {
    /// Of the cgroup of a living process: `memory.oom_control` in v1, `memory.events` in v2.
    fn of(pid: u32) -> Option<Self> {
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = counter_path(&cgroups)?;
        path.exists().then_some(Self(path))
    }

    fn count(&self) -> u64 {
        std::fs::read_to_string(&self.0).map(|text| oom_kills(&text)).unwrap_or_default()
    }
}

fn counter_path(cgroups: &str) -> Option<PathBuf> {
    let mut unified = None;
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if controllers.split(',').any(|c| c == "memory") {
            return Some(PathBuf::from(format!("/sys/fs/cgroup/memory{path}/memory.oom_control")));
        }
        if controllers.is_empty() {
            unified = Some(PathBuf::from(format!("/sys/fs/cgroup{path}/memory.events")));
        }
    }
    unified
}

fn oom_kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_in_both_versions_of_cgroups() {
        let v1 = "12:pids:/p\n4:memory:/libpod_parent/x\n0::/ignored\n";
        assert_eq!(counter_path(v1), Some(PathBuf::from("/sys/fs/cgroup/memory/libpod_parent/x/memory.oom_control")));
        assert_eq!(counter_path("0::/a/b\n"), Some(PathBuf::from("/sys/fs/cgroup/a/b/memory.events")));
        assert_eq!(counter_path("nonsense"), None);
        assert_eq!(oom_kills("low 0\noom 1\noom_kill 3\noom_group_kill 0\n"), 3);
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
    }
}
