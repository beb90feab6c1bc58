//! Volumes of pods: made below the pod's folder, found again by the mounts that name them.

mod files;
mod host_path;
mod ownership;
mod sub_path;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use ownership::disk_use;
pub use sub_path::Part;

use super::dirs::{PodDir, file_error, write_file};
use super::fault::refused;
use super::spec::{BindMount, ImageVolume, NamedVolume, Resolved};
use super::{Inner, naming};
use crate::runtime::{Mount, MountSource, Outcome, RuntimeError, RuntimeErrorKind, VolumeContent, VolumeKind};

/// Marks, in a pod's folder of volumes, one that Podman keeps: the file holds its name.
const PODMAN_VOLUME: &str = "podman-volume:";
/// A page of a tmpfs whose size is given in blocks.
const BLOCK: u64 = 4096;

/// Where a pod's volume is.
#[derive(Debug, PartialEq)]
enum Place {
    Path(PathBuf),
    Podman(String),
}

/// Makes a volume, or its content anew, and answers with its path (or its name in Podman).
pub async fn write(inner: &Arc<Inner>, content: &VolumeContent) -> Result<Outcome, RuntimeError> {
    let dir = inner.dirs.pod(&content.pod_uid)?;
    let slot = dir.volume(&content.name)?;
    let path = match &content.kind {
        VolumeKind::Empty { memory: true, size_limit } => {
            let name = naming::memory_volume(&inner.instance, &content.pod_uid, &content.name);
            make_memory_volume(inner, &name, *size_limit).await?;
            mark(&slot, &format!("{PODMAN_VOLUME}{name}"))?;
            name
        }
        VolumeKind::Empty { memory: false, .. } => {
            let made = !slot.exists();
            make_folder(&slot, 0o777)?;
            if made {
                ownership::apply(inner, &slot, content.fs_group, true).await?;
            }
            show(&slot)
        }
        VolumeKind::Files { files, secret } => {
            let memory = if *secret { dir.memory_volume(&content.name)? } else { None };
            let folder = memory.as_ref().unwrap_or(&slot);
            // As the kubelet has them: an emptyDir, in memory for what is secret.
            make_folder(folder, if *secret { 0o1777 } else { 0o777 })?;
            if let Some(new) = files::prepare(folder, files)? {
                ownership::apply_files(inner, &new.path, files, content.fs_group).await?;
                files::swap(folder, new, files)?;
                ownership::apply_root(inner, folder, content.fs_group).await?;
            }
            if memory.is_some() {
                link(&slot, folder)?;
            }
            show(folder)
        }
        VolumeKind::HostPath { path, kind } => {
            host_path::check(Path::new(path), kind)?;
            link(&slot, Path::new(path))?;
            path.clone()
        }
        VolumeKind::Named { name } => {
            if naming::segment(name).is_none() {
                return Err(volume_error(format!("{name:?} cannot be the name of a volume")));
            }
            let name = naming::claimed_volume(&inner.instance, name);
            make_named_volume(inner, &name).await?;
            mark(&slot, &format!("{PODMAN_VOLUME}{name}"))?;
            name
        }
    };
    Ok(Outcome::Volume { path })
}

/// The names of a pod's volumes in memory that Podman keeps for it.
pub fn memory_volumes(dir: &PodDir) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir.volumes()) else { return Vec::new() };
    let uid = dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| match place(&entry.path()) {
            // Others are the user's.
            Some(Place::Podman(name)) if name.starts_with("wl-") && name.contains(&format!("_{uid}_")) => Some(name),
            _ => None,
        })
        .collect();
    names.sort();
    names
}

/// Removes a folder with everything in it, also what belongs to users of the container.
pub async fn remove_tree(inner: &Arc<Inner>, folder: &Path) -> Result<(), RuntimeError> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied && inner.rootless => {
            let removed = ownership::in_user_namespace(&["rm", "-rf", "--", &show(folder)]).await;
            removed.map_err(|why| refused(format!("cannot remove {}: {why}", folder.display())))
        }
        Err(e) => Err(file_error("cannot remove", folder, &e)),
    }
}

/// Adds one mount of a container to what Podman is told.
pub async fn resolve(inner: &Arc<Inner>, dir: &PodDir, mount: &Mount, resolved: &mut Resolved) -> Result<(), RuntimeError> {
    let place = match &mount.source {
        MountSource::PodVolume(name) => {
            let slot = dir.volume(name)?;
            place(&slot).ok_or_else(|| volume_error(format!("volume {name:?} of the pod is not there yet")))?
        }
        MountSource::Image(image) => {
            let source = inner.resolve_image(image).await?;
            let volume = ImageVolume { source, destination: mount.target.clone(), read_write: false };
            resolved.image_volumes.push(volume);
            return Ok(());
        }
    };
    match place {
        Place::Path(path) => {
            let ours = matches!(mount.source, MountSource::PodVolume(_)) && path.starts_with(dir.path())
                || dir.memory().is_some_and(|memory| path.starts_with(memory));
            add_bind(&path, mount, ours, resolved)?;
        }
        Place::Podman(name) => add_named(inner, name, mount, resolved).await?,
    }
    Ok(())
}

async fn add_named(inner: &Arc<Inner>, name: String, mount: &Mount, resolved: &mut Resolved) -> Result<(), RuntimeError> {
    if mount.sub_path.is_empty() {
        let options = if mount.read_only { vec!["ro".to_owned()] } else { vec![] };
        let volume = NamedVolume { name, destination: mount.target.clone(), options, sub_path: String::new() };
        resolved.volumes.push(volume);
        return Ok(());
    }
    // 4.3 would ignore the path and mount the whole volume: a folder of it is bound instead.
    let inspected = tokio::time::timeout(super::API_DEADLINE, inner.api().await.volumes().get(&name).inspect()).await;
    let mountpoint = match inspected {
        Ok(Ok(volume)) => volume.mountpoint,
        Ok(Err(error)) => return Err(volume_error(format!("volume {name:?}: {error}"))),
        Err(_) => return Err(volume_error(format!("Podman does not tell where volume {name:?} is"))),
    };
    let in_memory = name.starts_with("wl-") && name.contains('_');
    if mountpoint.is_empty() || in_memory {
        return Err(volume_error(format!("subPath {:?}: Podman mounts no part of a volume in memory", mount.sub_path)));
    }
    add_bind(Path::new(&mountpoint), mount, false, resolved)
}

fn add_bind(volume: &Path, mount: &Mount, ours: bool, resolved: &mut Resolved) -> Result<(), RuntimeError> {
    let mut source = volume.to_owned();
    if !mount.sub_path.is_empty() {
        let (path, part) = sub_path::resolve(volume, &mount.sub_path, &mount.target)?;
        source = path;
        resolved.parts.push(part);
    }
    let access = match (mount.read_only, mount.recursive_read_only) {
        (true, true) => "rro",
        (true, false) => "ro",
        (false, _) => "rw",
    };
    let propagation = match mount.propagation.as_str() {
        known @ ("rslave" | "rshared") => known,
        _ => "rprivate",
    };
    let mut options = vec!["rbind".to_owned(), access.to_owned(), propagation.to_owned()];
    if ours {
        options.push("z".to_owned());
    }
    resolved.mounts.push(BindMount { destination: mount.target.clone(), kind: "bind", source: show(&source), options });
    Ok(())
}

/// A tmpfs that the containers of a pod share. (`size=` needs project quotas on 4.3; blocks do not.)
async fn make_memory_volume(inner: &Arc<Inner>, name: &str, size_limit: Option<u64>) -> Result<(), RuntimeError> {
    let mut options = "mode=1777".to_owned();
    if let Some(bytes) = size_limit {
        options = format!("nr_blocks={},{options}", bytes.div_ceil(BLOCK).max(1));
    }
    let body = serde_json::json!({
        "Name": name,
        "Driver": "local",
        "Labels": {naming::INSTANCE: inner.instance.as_str()},
        "Options": {"type": "tmpfs", "device": "tmpfs", "o": options},
    });
    create_volume(inner, &body).await
}

/// A volume of the user's: made where missing, never removed by `wl`'s node.
async fn make_named_volume(inner: &Arc<Inner>, name: &str) -> Result<(), RuntimeError> {
    let exists = tokio::time::timeout(super::API_DEADLINE, inner.api().await.volumes().get(name).exists()).await;
    if matches!(exists, Ok(Ok(true))) {
        return Ok(());
    }
    let body = serde_json::json!({"Name": name, "Driver": "local", "Labels": {naming::INSTANCE: inner.instance.as_str()}});
    create_volume(inner, &body).await
}

async fn create_volume(inner: &Arc<Inner>, body: &serde_json::Value) -> Result<(), RuntimeError> {
    match inner.http.post("/volumes/create").json(body).ok().await {
        Ok(_) => Ok(()),
        Err(fault) if fault.is_conflict() => Ok(()),
        Err(fault) => Err(fault.into_kind(RuntimeErrorKind::Volume)),
    }
}

fn place(slot: &Path) -> Option<Place> {
    let metadata = std::fs::symlink_metadata(slot).ok()?;
    if metadata.is_dir() {
        return Some(Place::Path(slot.to_owned()));
    }
    if metadata.is_symlink() {
        let target = std::fs::read_link(slot).ok()?;
        return target.exists().then_some(Place::Path(target));
    }
    let text = std::fs::read_to_string(slot).ok()?;
    text.strip_prefix(PODMAN_VOLUME).map(|name| Place::Podman(name.to_owned()))
}

fn mark(slot: &Path, text: &str) -> Result<(), RuntimeError> {
    write_file(slot, text.as_bytes(), 0o600).map_err(|e| file_error("cannot write", slot, &e))
}

fn link(slot: &Path, target: &Path) -> Result<(), RuntimeError> {
    let make = || {
        if std::fs::read_link(slot).is_ok_and(|old| old == target) {
            return Ok(());
        }
        if let Some(folder) = slot.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if slot.is_symlink() {
            std::fs::remove_file(slot)?;
        }
        std::os::unix::fs::symlink(target, slot)
    };
    make().map_err(|e| file_error("cannot link", slot, &e))
}

fn make_folder(path: &Path, mode: u32) -> Result<(), RuntimeError> {
    if path.is_dir() {
        return Ok(());
    }
    let make = || {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    make().map_err(|e| file_error("cannot make", path, &e))
}

fn volume_error(message: String) -> RuntimeError {
    RuntimeError::new(RuntimeErrorKind::Volume, message)
}

fn show(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
