//! Looking: the full list at the start, at reconnects and now and then; else only what may have changed.
//!
//! Only `/containers/json` is ever listed: `/pods/json` blocks for as long as any pod is being stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustix::fs::{Mode, OFlags};
use tokio::time::Instant;

use super::container::Kept;
use super::dirs::write_file;
use super::fault::Fault;
use super::index::Record;
use super::inspect::{Inspected, Listed, listed_state};
use super::{Inner, http, logs, naming, watch};
use crate::runtime::{ContainerState, RuntimeError, Sandbox};

/// As many inspects as keep two cores busy.
const INSPECTS_IN_FLIGHT: usize = 8;
/// What is read of a termination message (kubelet's `MaxContainerTerminationMessageLength`).
pub const MESSAGE_BYTES: u64 = 4096;
/// What is read of the end of the log where there is no message (kubelet's `MaxContainerTerminationMessageLogLength`).
const FALLBACK_BYTES: usize = 2048;
const FALLBACK_LINES: usize = 80;
/// Lists may cost 0.3 % of the time.
const LIST_SHARE: u32 = 333;
/// So often a list that was cut short is asked for again.
const LISTS_CUT_SHORT: usize = 5;
const RELIST_BETWEEN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

impl Inner {
    /// Lists everything of this instance and brings the index in step.
    pub async fn observe(self: &Arc<Self>) -> Result<Vec<Sandbox>, RuntimeError> {
        let began = Instant::now();
        let since = self.index().generation;
        let filter = serde_json::json!({"label": [format!("{}={}", naming::INSTANCE, self.instance.as_str())]}).to_string();
        let call = || self.http.get("/containers/json").query("all", "true").query("filters", filter.clone());
        let mut listed = call().read::<Vec<Listed>>().await;
        for _ in 0..LISTS_CUT_SHORT {
            // 4.3 gives up where a container goes while it makes the list.
            if !listed.as_ref().is_err_and(Fault::is_not_found) {
                break;
            }
            listed = call().read().await;
        }
        let listed = listed?;
        self.set_relist_pause(began.elapsed());
        let doubtful = self.merge_list(listed, since);
        self.inspect_many(doubtful).await?;
        Ok(self.index().sandboxes())
    }

    /// The newest sandbox of one pod; asks Podman only for what may have changed.
    pub async fn observe_pod(self: &Arc<Self>, uid: &str) -> Result<Option<Sandbox>, RuntimeError> {
        let uncertain = self.index().uncertain;
        if uncertain {
            self.observe().await?;
        } else {
            let stale: Vec<String> = {
                let index = self.index();
                let ids = index.ids_of(uid).into_iter();
                ids.filter(|id| index.records.get(id).is_some_and(|r| r.stale)).collect()
            };
            self.inspect_many(stale).await?;
        }
        Ok(self.index().pod(uid))
    }

    /// Takes over what the list tells; gives the ids of which it does not tell enough. Records that were made while the
    /// list was under way are not in it, and stay.
    fn merge_list(self: &Arc<Self>, listed: Vec<Listed>, since: u64) -> Vec<String> {
        let mut index = self.index();
        let mut doubtful = Vec::new();
        let mut present = BTreeSet::new();
        for entry in listed {
            present.insert(entry.id.clone());
            match index.records.get_mut(&entry.id) {
                None => {
                    if let Some(record) = self.record_of(&entry) {
                        index.records.insert(entry.id.clone(), record);
                        doubtful.push(entry.id);
                    }
                }
                Some(record) => {
                    let same = listed_state(&entry).is_some_and(|state| same_state(&state, &record.state));
                    if !(same || ended(&entry.state) && matches!(record.state, ContainerState::Exited(_))) || record.stale {
                        doubtful.push(entry.id);
                    }
                }
            }
        }
        index.records.retain(|id, record| present.contains(id) || record.made_at > since);
        index.uncertain = false;
        doubtful
    }

    /// A record from a list's entry; its state is still to be inspected.
    fn record_of(&self, entry: &Listed) -> Option<Record> {
        let none = BTreeMap::new();
        let labels = entry.labels.as_ref().unwrap_or(&none);
        let mut record = Record::from_labels(&entry.id, labels, entry.is_infra, entry.created)?;
        record.sandbox_id.clone_from(&entry.pod);
        record.image.clone_from(&entry.image);
        record.image_id = entry.image_id.clone();
        record.stale = true;
        Some(record)
    }

    async fn inspect_many(self: &Arc<Self>, ids: Vec<String>) -> Result<(), RuntimeError> {
        let mut results = stream::iter(ids.into_iter().map(|id| async move { self.inspect(&id).await }))
            .buffer_unordered(INSPECTS_IN_FLIGHT);
        while let Some(result) = results.next().await {
            result?;
        }
        Ok(())
    }

    /// Asks for one container's state and writes it into the index; gone is gone.
    pub async fn inspect(self: &Arc<Self>, id: &str) -> Result<Option<Inspected>, RuntimeError> {
        let read = self.http.get(format!("/containers/{}/json", http::encode(id, false))).read::<Inspected>().await;
        let inspected = match read {
            Ok(inspected) => inspected,
            Err(fault) if fault.is_not_found() => {
                self.index().records.remove(id);
                return Ok(None);
            }
            Err(fault) => return Err(fault.into()),
        };
        self.learn_image(&inspected).await;
        self.take_over(&inspected);
        Ok(Some(inspected))
    }

    /// Writes what an inspect tells into the index, and waits for the end of what runs.
    pub fn take_over(self: &Arc<Self>, inspected: &Inspected) {
        let mut state = inspected.container_state();
        let mut index = self.index();
        let Some(record) = index.records.get_mut(&inspected.id) else { return };
        if let ContainerState::Exited(exit) = &mut state {
            exit.message = self.termination_message(record, exit.code);
        }
        if record.is_infra {
            self.take_over_infra(record, inspected);
        } else {
            self.take_over_container(record, inspected);
        }
        record.state = state;
        record.conmon_pid = inspected.state.conmon_pid;
        record.stale = false;
        let ContainerState::Running { pid, .. } = record.state else {
            record.watch = None;
            return;
        };
        if record.watch.is_none() && !record.process_gone && !record.leaving {
            record.watch = watch::start(self, record, pid);
        }
    }

    fn take_over_infra(&self, record: &mut Record, inspected: &Inspected) {
        let ips = inspected.ips();
        if !ips.is_empty() {
            record.ips = ips;
        }
        if let Some(kept) = self.dirs.pod(&record.pod_uid).ok().and_then(|dir| dir.read_sandbox()) {
            record.annotations.extend(kept.annotations);
        }
    }

    fn take_over_container(&self, record: &mut Record, inspected: &Inspected) {
        record.image.clone_from(&inspected.image_name);
        record.image_id = self.images.digest_reference(&inspected.image);
        if let Some(log) = self.dirs.pod(&record.pod_uid).ok().and_then(|dir| dir.log(&record.name, record.attempt).ok()) {
            record.log_path = log.to_string_lossy().into_owned();
        }
        let annotation = |key: &str| inspected.config.annotations.as_ref().and_then(|all| all.get(key));
        if let Some(kept) = annotation(naming::KEPT).and_then(|json| serde_json::from_str::<Kept>(json).ok()) {
            record.message_from_log = kept.message_from_log;
            record.parts = kept.parts;
            record.annotations.extend(kept.annotations);
        }
        if let Some(kept) = annotation(naming::SANDBOX_KEPT) {
            self.mend_sandbox_file(record, kept);
        }
    }

    /// What is kept of the sandbox lies in a file and in each container: where the file is lost, it is written again.
    fn mend_sandbox_file(&self, record: &Record, kept: &str) {
        let Ok(dir) = self.dirs.pod(&record.pod_uid) else { return };
        if dir.read_sandbox().is_none() {
            // Where this fails, the next look tries again.
            let _ = write_file(&dir.sandbox_file(), kept.as_bytes(), 0o600);
        }
    }

    /// What a container that has ended leaves: its message, or the end of its log.
    pub fn termination_message(&self, record: &Record, code: i32) -> String {
        let Ok(dir) = self.dirs.pod(&record.pod_uid) else { return String::new() };
        let Ok(path) = dir.termination(&record.name, record.attempt) else { return String::new() };
        let message = read_end(&path, MESSAGE_BYTES);
        if !message.is_empty() || !record.message_from_log || code == 0 {
            return message;
        }
        let Ok(log) = dir.log(&record.name, record.attempt) else { return message };
        logs::last_lines(&log, FALLBACK_LINES, FALLBACK_BYTES)
    }

    fn set_relist_pause(&self, took: Duration) {
        *self.relist_pause() = (took * LIST_SHARE).clamp(RELIST_BETWEEN.0, RELIST_BETWEEN.1);
    }
}

/// Reads the last bytes of a regular file: a container may have put anything else there.
fn read_end(path: &Path, most: u64) -> String {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return String::new() };
    let mut file = std::fs::File::from(file);
    let Ok(metadata) = file.metadata() else { return String::new() };
    if !metadata.is_file() || file.seek(SeekFrom::Start(metadata.len().saturating_sub(most))).is_err() {
        return String::new();
    }
    let mut bytes = Vec::new();
    match file.take(most).read_to_end(&mut bytes) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn ended(status: &str) -> bool {
    matches!(status, "exited" | "stopped")
}

/// The list has whole seconds only.
fn same_state(listed: &ContainerState, known: &ContainerState) -> bool {
    match (listed, known) {
        (ContainerState::Created, ContainerState::Created) => true,
        (ContainerState::Running { pid: a, paused: p, .. }, ContainerState::Running { pid: b, paused: q, .. }) => (a, p) == (b, q),
        _ => false,
    }
}
