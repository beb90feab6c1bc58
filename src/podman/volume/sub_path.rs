//! A path inside a volume, resolved without leaving it: a symlink that leads out is refused.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, chmodat, fstat, mkdirat, open, openat2};
use serde::{Deserialize, Serialize};

use super::volume_error;
use crate::runtime::{RuntimeError, RuntimeErrorKind};

/// A part of a volume that a container has: where, and which. Podman mounts it by its path, which who writes in the volume may lead
/// elsewhere until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    target: String,
    device: u64,
    inode: u64,
}

impl Part {
    /// Whether it is what a process has there.
    pub fn is_had_by(&self, pid: u32) -> bool {
        let looked = || {
            let root = open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            fstat(openat2(root, self.target.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)?)
        };
        looked().is_ok_and(|status| (status.st_dev, status.st_ino) == (self.device, self.inode))
    }
}

/// The real path of `sub_path` in `volume`, and what is there, for `target` in a container; missing folders of it are made, with the volume's
/// own mode. An error is one of making folders where there is nothing at the path, links followed wherever they lead.
/// Source: pkg/volume/util/subpath/subpath_linux.go: SafeMakeDir; pkg/kubelet/kubelet_pods.go: makeMounts.
pub fn resolve(volume: &Path, sub_path: &str, target: &str) -> Result<(PathBuf, Part), RuntimeError> {
    let is_missing = std::fs::metadata(volume.join(sub_path)).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    let wrong = |why: &str| {
        let message = format!("subPath {sub_path:?}: {why}");
        if is_missing { RuntimeError::new(RuntimeErrorKind::SubPath, message) } else { volume_error(message) }
    };
    let path = Path::new(sub_path);
    if path.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(wrong("it must stay inside the volume"));
    }
    let root = open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(|e| wrong(&format!("cannot open the volume: {e}")))?;
    let mode = fstat(&root).map_or(0o755, |status| status.st_mode & 0o777);
    let mut so_far = PathBuf::new();
    let mut found = None;
    for part in path.components().filter(|c| matches!(c, Component::Normal(_))) {
        so_far.push(part);
        found = Some(open_or_make(root.as_fd(), volume, &so_far, Mode::from_raw_mode(mode)).map_err(|e| wrong(&e.to_string()))?);
    }
    let found = found.unwrap_or(root);
    let status = fstat(&found).map_err(|e| wrong(&e.to_string()))?;
    let path = real_path(&found).map_err(|e| wrong(&e.to_string()))?;
    Ok((path, Part { target: target.to_owned(), device: status.st_dev, inode: status.st_ino }))
}

fn open_or_make(root: BorrowedFd<'_>, volume: &Path, so_far: &Path, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let open = |path: &Path| match open_beneath(root, path) {
        // A link with the whole path of something in the volume, as in a hostPath.
        Err(rustix::io::Errno::XDEV) => {
            let inside = inside(volume, path).ok_or(rustix::io::Errno::XDEV)?;
            open_beneath(root, &inside)
        }
        other => other,
    };
    match open(so_far) {
        Err(rustix::io::Errno::NOENT) => {
            let parent = match so_far.parent() {
                Some(parent) if parent != Path::new("") => open(parent)?,
                _ => open(Path::new("."))?,
            };
            let name = so_far.file_name().unwrap_or_default();
            match mkdirat(&parent, name, mode) {
                // What this process' umask has taken away.
                Ok(()) => {
                    chmodat(&parent, name, mode, AtFlags::empty())?;
                    open(so_far)
                }
                Err(rustix::io::Errno::EXIST) => open(so_far),
                Err(e) => Err(e),
            }
        }
        other => other,
    }
}

fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)
}

/// Where a path of the volume leads in it, links followed as the machine sees them; `None`: out of it. Its last part may be missing.
fn inside(volume: &Path, path: &Path) -> Option<PathBuf> {
    let whole = volume.join(path);
    let real = match whole.canonicalize() {
        Ok(real) => real,
        Err(_) => whole.parent()?.canonicalize().ok()?.join(whole.file_name()?),
    };
    let inside = real.strip_prefix(volume.canonicalize().ok()?).ok()?;
    Some(Path::new(".").join(inside))
}

fn real_path(file: &OwnedFd) -> std::io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_volume() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path");
        let volume = root.join("volume");
        std::fs::create_dir_all(volume.join("in/side")).expect("folders");
        std::fs::write(root.join("secret"), "x").expect("a file");
        std::os::unix::fs::symlink("/", volume.join("root")).expect("a link");
        std::os::unix::fs::symlink("../../..", volume.join("in/up")).expect("a link");
        std::os::unix::fs::symlink("in/side", volume.join("link")).expect("a link");
        let resolved = |volume: &Path, path: &str| resolve(volume, path, "/x").map(|(path, _)| path);
        assert_eq!(resolved(&volume, "in/side"), Ok(volume.join("in/side")));
        assert_eq!(resolved(&volume, "link"), Ok(volume.join("in/side")));
        assert_eq!(resolved(&volume, "link/new/er"), Ok(volume.join("in/side/new/er")));
        assert!(volume.join("in/side/new/er").is_dir());
        std::os::unix::fs::symlink("nowhere", volume.join("dangling")).expect("a link");
        std::fs::write(volume.join("file"), "x").expect("a file");
        let kind = |path: &str| resolved(&volume, path).expect_err("refused").kind;
        for bad in ["../secret", "in/../../secret", "root", "in/up", "root/etc", "file/below"] {
            assert_eq!(kind(bad), RuntimeErrorKind::Volume, "{bad}");
        }
        for bad in ["dangling", "dangling/new", "in/up/new", "root/no such folder"] {
            assert_eq!(kind(bad), RuntimeErrorKind::SubPath, "{bad}");
        }
        assert!(!root.join("new").exists());
        std::os::unix::fs::symlink(volume.join("in"), volume.join("whole")).expect("a link");
        assert_eq!(resolved(&volume, "whole/side"), Ok(volume.join("in/side")));
        assert_eq!(resolved(&volume, "whole/fresh"), Ok(volume.join("in/fresh")));
        std::os::unix::fs::symlink(&volume, volume.join("self")).expect("a link");
        assert_eq!(resolved(&volume, "self/self/in"), Ok(volume.join("in")));
    }
}
