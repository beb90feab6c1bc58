//! Backups of a state directory's store, and what Podman has that the store does not know.

use std::path::Path;

use super::{WatchError, clock, instance, io_error, status};
use crate::engine::look;
use crate::podman::{ConnectOptions, Podman, StartService, Surroundings};
use crate::runtime::{Runtime, Sandbox};
use crate::store::{self, BackupError, Restored, Store};

/// Writes a consistent copy of the store, whether a watch runs or not.
pub fn backup(state_dir: &Path, to: &Path, overwrite: bool) -> Result<(), WatchError> {
    Ok(store::backup(state_dir, to, overwrite)?)
}

/// Puts a backup in the store's place; refused while a watch runs.
pub fn restore(state_dir: &Path, from: &Path) -> Result<Restored, WatchError> {
    let status = status(state_dir);
    if status.running {
        let holder = store::holder(state_dir);
        return Err(BackupError::InUse { dir: state_dir.to_owned(), holder }.into());
    }
    Ok(store::restore(state_dir, from, clock::system()())?)
}

/// What users are told of each pod in Podman that this state directory's store does not know.
pub async fn unknown_pods(state_dir: &Path) -> Result<Vec<String>, WatchError> {
    let Some(podman) = podman_of(state_dir).await? else { return Ok(Vec::new()) };
    // Podman first: what comes meanwhile is then in the store.
    let sandboxes = podman.observe().await.map_err(WatchError::Runtime);
    podman.close().await;
    let looked = Store::look(state_dir)?;
    let unknown = |s: &&Sandbox| look::is_unknown(s, &looked.state, |revision| looked.has_been_at(revision));
    Ok(sandboxes?.iter().filter(unknown).map(look::unknown_text).collect())
}

/// Podman as this state directory's instance; `None` where it never had one.
pub(super) async fn podman_of(state_dir: &Path) -> Result<Option<Podman>, WatchError> {
    let Some(instance) = instance::read(state_dir).map_err(io_error(state_dir))? else { return Ok(None) };
    let options = ConnectOptions {
        instance,
        state_dir: state_dir.to_owned(),
        surroundings: Surroundings::of_this_process(),
        start_service: StartService::default(),
    };
    Ok(Some(Podman::connect(options).await?))
}
