//! Taking away everything that a state directory made: pods, network, files, and volumes if that is wanted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::gateway;
use super::keeping::podman_of;
use super::{HANDOVER, PORTER_LOG, WatchError, background, clock, instance, io_error, status};
use crate::network::image::REPOSITORY;
use crate::network::porter;
use crate::podman::{InstanceId, Podman, Surroundings};
use crate::runtime::{Action, ContainerState, GATEWAY_UID, POD_ANNOTATION, Runtime, RuntimeError, RuntimeErrorKind, Sandbox};
use crate::store::{self, Lock};

/// Pods that are ended side by side.
const AT_ONCE: usize = 16;
/// Between two looks whether a pod's containers have ended.
const LOOK: Duration = Duration::from_millis(50);
/// A pod's time to end where it names none (Kubernetes' `DefaultTerminationGracePeriodSeconds`).
const GRACE: i64 = 30;
/// SIGTERM.
const TERM: i32 = 15;

/// What there is of a state directory on Podman.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// `namespace/name`.
    pub pods: Vec<String>,
    /// Volumes of claims, which hold users' data.
    pub volumes: Vec<String>,
}

/// What a reset takes beside pods, network and state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetOptions {
    /// The volumes of claims, with all that is in them.
    pub volumes: bool,
    /// Pods are killed; else each gets its own grace period.
    pub now: bool,
}

/// Looks what a reset would take away. Changes nothing.
pub async fn made(state_dir: &Path) -> Result<Made, WatchError> {
    let Some(podman) = podman_of(state_dir).await? else { return Ok(Made::default()) };
    let looked = look(&podman).await;
    podman.close().await;
    looked
}

/// Ends the watch and the pods, and removes all that the state directory made, itself included.
pub async fn reset(state_dir: &Path, options: ResetOptions) -> Result<Made, WatchError> {
    if !state_dir.is_dir() {
        return Ok(Made::default());
    }
    if status(state_dir).running {
        match background::stop(state_dir).await {
            Ok(_) | Err(WatchError::NotRunning { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let _lock = lock(state_dir).await?;
    let made = match podman_of(state_dir).await? {
        None => Made::default(),
        Some(podman) => {
            let podman = Arc::new(podman);
            let made = clear(&podman, options).await;
            podman.close().await;
            made?
        }
    };
    remove_state(state_dir)?;
    Ok(made)
}

/// Keeps others out for as long as it is held.
async fn lock(state_dir: &Path) -> Result<Lock, WatchError> {
    let begun = tokio::time::Instant::now();
    loop {
        match Lock::take(state_dir).map_err(io_error(state_dir))? {
            Ok(lock) => return Ok(lock),
            Err(holder) if begun.elapsed() > HANDOVER => {
                let path = state_dir.to_owned();
                return Err(store::OpenError::Held { path, holder }.into());
            }
            Err(_) => clock::sleep(LOOK).await,
        }
    }
}

async fn look(podman: &Podman) -> Result<Made, WatchError> {
    let sandboxes = podman.observe().await.map_err(WatchError::Runtime)?;
    let volumes = podman.volumes().await.map_err(WatchError::Runtime)?;
    Ok(Made { pods: sandboxes.iter().map(|s| format!("{}/{}", s.namespace, s.name)).collect(), volumes })
}

async fn clear(podman: &Arc<Podman>, options: ResetOptions) -> Result<Made, WatchError> {
    let mut made = look(podman).await?;
    let sandboxes = podman.observe().await.map_err(WatchError::Runtime)?;
    let mut ended = stream::iter(sandboxes)
        .map(|sandbox| end(podman.clone(), sandbox, options.now))
        .buffer_unordered(AT_ONCE);
    while let Some(result) = ended.next().await {
        result.map_err(WatchError::Runtime)?;
    }
    // Whatever its ports are, they are free when this has ended.
    porter::end(&podman.pod_volume(GATEWAY_UID, gateway::RUN).map_err(WatchError::Runtime)?).await;
    if let Some(gateway) = podman.observe_pod(GATEWAY_UID).await.map_err(WatchError::Runtime)? {
        end(podman.clone(), gateway, true).await.map_err(WatchError::Runtime)?;
    }
    podman.remove_files().await.map_err(WatchError::Runtime)?;
    podman.remove_images_of(REPOSITORY).await.map_err(WatchError::Runtime)?;
    podman.remove_network().await.map_err(WatchError::Runtime)?;
    if options.volumes {
        for volume in &made.volumes {
            podman.remove_volume(volume).await.map_err(WatchError::Runtime)?;
        }
    } else {
        made.volumes.clear();
    }
    Ok(made)
}

/// Ends one pod, in its own grace period.
async fn end(podman: Arc<Podman>, sandbox: Sandbox, now: bool) -> Result<(), RuntimeError> {
    let grace = if now { Duration::ZERO } else { grace_period(&sandbox) };
    if !grace.is_zero() {
        for container in sandbox.containers.iter().filter(|c| is_running(&c.state)) {
            let signal = Action::SignalContainer { id: container.id.clone(), pod_uid: sandbox.uid.clone(), signal: TERM };
            ignore_gone(podman.execute(&signal).await)?;
        }
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < grace {
            let left = podman.observe_pod(&sandbox.uid).await?;
            if !left.is_some_and(|s| s.containers.iter().any(|c| is_running(&c.state))) {
                break;
            }
            clock::sleep(LOOK).await;
        }
    }
    let remove = Action::RemoveSandbox { id: sandbox.id.clone(), pod_uid: sandbox.uid.clone(), forget_pod: true };
    ignore_gone(podman.execute(&remove).await)
}

fn ignore_gone<T>(result: Result<T, RuntimeError>) -> Result<(), RuntimeError> {
    match result {
        Err(error) if error.kind != RuntimeErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_running(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Running { .. })
}

fn grace_period(sandbox: &Sandbox) -> Duration {
    let pod = sandbox.annotations.get(POD_ANNOTATION).and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let seconds = pod.and_then(|pod| pod.pointer("/spec/terminationGracePeriodSeconds")?.as_i64()).unwrap_or(GRACE);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Removes what wl keeps in the directory, by name: a user may have put something beside it.
fn remove_state(state_dir: &Path) -> Result<(), WatchError> {
    if let Some(run) = run_dir(state_dir) {
        remove(&run)?;
    }
    // The id last but one: with it a reset that was cut short can be begun again. The lock goes last.
    let mut names: Vec<String> = ["api.sock", "watch.json", "watch.log", PORTER_LOG, "podman-service.log", "containers.conf", "pods", "run"].map(String::from).into();
    names.extend(store::files(state_dir));
    names.extend(["instance".to_owned(), "lock".to_owned()]);
    for name in names {
        remove(&state_dir.join(name))?;
    }
    // What is not wl's stays, and the directory with it.
    let _ = std::fs::remove_dir(state_dir);
    Ok(())
}

/// The folder for what lives until the next boot, of this instance.
fn run_dir(state_dir: &Path) -> Option<PathBuf> {
    let instance: InstanceId = instance::read(state_dir).ok().flatten()?;
    Some(Surroundings::of_this_process().run_dir()?.join(instance.as_str()))
}

fn remove(path: &Path) -> Result<(), WatchError> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(path)(error)),
        _ => Ok(()),
    }
}
