//! What others can learn about a running watch.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Held, WatchError, background, io_error, socket, upgrade};
use crate::store;

const FILE: &str = "watch.json";

/// Whether a watch runs, and how to reach it; `wl watch status -o json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchStatus {
    pub running: bool,
    pub pid: Option<u32>,
    pub version: Option<String>,
    pub socket: PathBuf,
    pub state_directory: PathBuf,
    pub log: PathBuf,
    pub podman: Option<PodmanStatus>,
    /// Whether it goes on by itself, or belongs to whoever started it.
    #[serde(default)]
    pub background: bool,
    /// What it was started with.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// The Podman behind a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodmanStatus {
    pub address: String,
    pub version: String,
    pub rootless: bool,
}

/// Where a watch in the background writes what it has to say.
pub fn log(state_dir: &Path) -> PathBuf {
    state_dir.join("watch.log")
}

/// Looks who holds the state directory. A file that a dead watch left says nothing.
pub fn status(state_dir: &Path) -> WatchStatus {
    let nobody = WatchStatus {
        socket: socket(state_dir),
        state_directory: state_dir.to_owned(),
        log: log(state_dir),
        ..WatchStatus::default()
    };
    let Some(holder) = store::holder(state_dir) else { return nobody };
    let text = std::fs::read(state_dir.join(FILE)).unwrap_or_default();
    match serde_json::from_slice::<WatchStatus>(&text) {
        Ok(told) if told.pid == Some(holder.pid) => told,
        _ => nobody,
    }
}

pub(super) fn write(state_dir: &Path, held: &Held) -> Result<(), WatchError> {
    let status = WatchStatus {
        running: true,
        pid: Some(std::process::id()),
        version: Some(upgrade::own()),
        socket: socket(state_dir),
        state_directory: state_dir.to_owned(),
        log: log(state_dir),
        podman: held.podman_status(),
        background: background::is_detached(),
        arguments: held.arguments(),
    };
    let path = state_dir.join(FILE);
    let made = path.with_extension("new");
    let text = serde_json::to_vec_pretty(&status).unwrap_or_default();
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made);
    file.and_then(|mut file| file.write_all(&text)).map_err(io_error(&made))?;
    std::fs::rename(&made, &path).map_err(io_error(&path))
}

pub(super) fn remove(state_dir: &Path) {
    // If it stays, its pid no longer holds the lock, and nobody believes it.
    let _ = std::fs::remove_file(state_dir.join(FILE));
}
