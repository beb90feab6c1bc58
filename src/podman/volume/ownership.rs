//! Who owns the files of a volume. Source of the rules: pkg/volume/volume_linux.go (fsGroup).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use super::super::Inner;
use super::super::dirs::file_error;
use super::{show, volume_error};
use crate::runtime::{DiskUse, RuntimeError, VolumeFile};

/// What the group gets: of writable volumes, of read-only ones, and of folders in addition.
const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const FOLDER: u32 = 0o2110;

/// Gives `path` with everything in it to the group.
pub async fn apply(inner: &Arc<Inner>, path: &Path, fs_group: Option<i64>, writable: bool) -> Result<(), RuntimeError> {
    let Some(group) = fs_group else { return Ok(()) };
    let mut all = Vec::new();
    walk(path, &mut all).map_err(|e| file_error("cannot read", path, &e))?;
    let changes = all.iter().map(|p| Change { path: p.clone(), owner: None, group: Some(group) }).collect();
    own(inner, changes).await?;
    for path in &all {
        let metadata = fs::metadata(path).map_err(|e| file_error("cannot read", path, &e))?;
        let more = if writable { READ_WRITE } else { READ_ONLY } | if metadata.is_dir() { FOLDER } else { 0 };
        set_mode(inner, path, metadata.permissions().mode() | more).await?;
    }
    Ok(())
}

/// The folder that holds the versions itself, and the links in it.
pub async fn apply_root(inner: &Arc<Inner>, folder: &Path, fs_group: Option<i64>) -> Result<(), RuntimeError> {
    let Some(group) = fs_group else { return Ok(()) };
    let entries = fs::read_dir(folder).map_err(|e| file_error("cannot read", folder, &e))?;
    let links = entries.flatten().map(|e| e.path()).filter(|p| p.is_symlink());
    let all = std::iter::once(folder.to_owned()).chain(links);
    own(inner, all.map(|path| Change { path, owner: None, group: Some(group) }).collect()).await?;
    let metadata = fs::metadata(folder).map_err(|e| file_error("cannot read", folder, &e))?;
    set_mode(inner, folder, metadata.permissions().mode() | READ_ONLY | FOLDER).await
}

/// A version of a volume's files: the group's, and single files another user's.
pub async fn apply_files(
    inner: &Arc<Inner>, version: &Path, files: &BTreeMap<String, VolumeFile>, fs_group: Option<i64>,
) -> Result<(), RuntimeError> {
    apply(inner, version, fs_group, false).await?;
    let owned = files.iter().filter_map(|(path, file)| Some((path, file.owner?)));
    let changes = owned.map(|(path, owner)| Change { path: version.join(path), owner: Some(owner), group: None }).collect();
    own(inner, changes).await
}

struct Change {
    path: PathBuf,
    owner: Option<i64>,
    group: Option<i64>,
}

async fn own(inner: &Arc<Inner>, changes: Vec<Change>) -> Result<(), RuntimeError> {
    if inner.rootless {
        return own_rootless(changes).await;
    }
    for change in &changes {
        let id = |id: Option<i64>| id.map(u32::try_from).transpose().map_err(|_| volume_error("an id is out of range".to_owned()));
        let (owner, group) = (id(change.owner)?, id(change.group)?);
        std::os::unix::fs::lchown(&change.path, owner, group).map_err(|e| file_error("cannot give away", &change.path, &e))?;
    }
    Ok(())
}

/// An ordinary user's containers have ids of their own: only inside their user namespace can files be given to them.
async fn own_rootless(changes: Vec<Change>) -> Result<(), RuntimeError> {
    let mut by_owner: BTreeMap<(Option<i64>, Option<i64>), Vec<String>> = BTreeMap::new();
    for change in changes.iter().filter(|c| (c.owner, c.group) != (Some(0), None)) {
        by_owner.entry((change.owner, change.group)).or_default().push(show(&change.path));
    }
    for ((owner, group), paths) in by_owner {
        let text = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
        let who = match group {
            Some(_) => format!("{}:{}", text(owner), text(group)),
            None => text(owner),
        };
        let mut command = vec!["chown", "-h", &who, "--"];
        command.extend(paths.iter().map(String::as_str));
        in_user_namespace(&command).await.map_err(|why| volume_error(format!("cannot give files to {who}: {why}")))?;
    }
    Ok(())
}

async fn set_mode(inner: &Arc<Inner>, path: &Path, mode: u32) -> Result<(), RuntimeError> {
    let mode = mode & 0o7777;
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let is_now = fs::metadata(path).map(|m| m.permissions().mode() & 0o7777).unwrap_or_default();
    match set {
        // Without being in the group, an ordinary user's setgid bit is dropped in silence.
        Ok(()) if is_now == mode => Ok(()),
        Err(e) if !inner.rootless => Err(file_error("cannot change", path, &e)),
        _ => {
            let changed = in_user_namespace(&["chmod", &format!("{mode:o}"), "--", &show(path)]).await;
            changed.map_err(|why| volume_error(format!("cannot change {}: {why}", path.display())))
        }
    }
}

/// What a tree takes on the disk, seen as an ordinary user's containers see it.
pub async fn disk_use(folder: &Path) -> Result<DiskUse, String> {
    let (bytes, inodes) = (sum(folder, "-B1").await?, sum(folder, "--inodes").await?);
    Ok(DiskUse { bytes, inodes })
}

async fn sum(folder: &Path, unit: &str) -> Result<u64, String> {
    let output = unshared(&["du", "-s", unit, "--", &show(folder)]).await?;
    // It tells the sum also where something went meanwhile, which it takes for a failure.
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().next().and_then(|n| n.parse().ok()).ok_or_else(|| complaint(&output))
}

/// Runs a command where the ids of an ordinary user's containers are its own.
pub async fn in_user_namespace(command: &[&str]) -> Result<(), String> {
    let output = unshared(command).await?;
    if output.status.success() { Ok(()) } else { Err(complaint(&output)) }
}

async fn unshared(command: &[&str]) -> Result<Output, String> {
    let output = tokio::process::Command::new("podman").arg("unshare").args(command).stdin(Stdio::null()).output();
    output.await.map_err(|e| format!("podman unshare: {e}"))
}

/// The beginning of what a command said against it.
fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().chars().take(500).collect()
}

/// The path and all below it; links are not followed, and not listed.
fn walk(path: &Path, all: &mut Vec<PathBuf>) -> std::io::Result<()> {
    all.push(path.to_owned());
    if !path.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() {
            walk(&entry.path(), all)?;
        }
    }
    Ok(())
}
