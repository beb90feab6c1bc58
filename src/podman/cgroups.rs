//! Hybrid cgroups: v1 controllers beside a v2 hierarchy that still has some, which crun refuses.
//!
//! As root, Podman's service gets a mount namespace without the v2 mount. There is one per boot, for all state
//! directories: a service in a second one would not find the network namespaces of the first, and answer every list
//! with an error. It lives as long as a process does that runs in it, and is found by a mount of its own.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tokio::process::Command;

use super::namespaces::Namespaces;

/// Marks the namespace: it has a mount here, no other has.
const MARK: &str = "/run/wl/podman-namespace";
const LOCK: &str = "/run/wl/podman-namespace.lock";

/// A mount, of `/proc/PID/mountinfo`.
struct MountPoint {
    path: PathBuf,
    kind: String,
}

/// Whether crun would refuse this machine as this process sees it.
pub fn are_hybrid() -> bool {
    !v2_beside_v1(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), has_controllers).is_empty()
}

/// The v2 mounts that stand in the way.
fn v2_beside_v1(mountinfo: &str, has_controllers: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    // Only there do OCI runtimes look; a whole other machine may be mounted elsewhere.
    let mut mounts = parse(mountinfo);
    mounts.retain(|mount| mount.path.starts_with("/sys/fs/cgroup"));
    if !mounts.iter().any(|m| m.kind == "cgroup") {
        return Vec::new();
    }
    mounts.into_iter().filter(|m| m.kind == "cgroup2" && has_controllers(&m.path)).map(|m| m.path).collect()
}

fn has_controllers(path: &Path) -> bool {
    std::fs::read_to_string(path.join("cgroup.controllers")).is_ok_and(|text| !text.trim().is_empty())
}

fn parse(mountinfo: &str) -> Vec<MountPoint> {
    let line = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let path = PathBuf::from(before.split(' ').nth(4)?);
        Some(MountPoint { path, kind: after.split(' ').next()?.to_owned() })
    };
    mountinfo.lines().filter_map(line).collect()
}

/// Keeps two from making the namespace at the same time; released when dropped.
pub struct NamespaceLock(#[expect(dead_code, reason = "the lock is held for as long as the file is open")] File);

/// Waits for the others that look for the namespace.
pub async fn lock() -> std::io::Result<NamespaceLock> {
    let file = tokio::task::spawn_blocking(|| {
        let file = File::options().create(true).truncate(false).write(true).open(LOCK)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        std::io::Result::Ok(file)
    });
    Ok(NamespaceLock(file.await.map_err(std::io::Error::other)??))
}

/// Has `command` run in the namespace without cgroup v2: in that of this boot, or in a new one.
pub fn hide_v2(command: &mut Command) -> std::io::Result<()> {
    match find_namespace() {
        Some(namespace) => Namespaces::of_mount(namespace).enter_in(command),
        None => make_namespace(command),
    }
}

/// By a process that runs in it: a service or a container's conmon.
fn find_namespace() -> Option<File> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let process = entry.path();
        let name = std::fs::read_to_string(process.join("comm")).ok()?;
        if !matches!(name.trim(), "conmon" | "podman") {
            return None;
        }
        let mounts = parse(&std::fs::read_to_string(process.join("mountinfo")).ok()?);
        let is_marked = mounts.iter().any(|m| m.path == Path::new(MARK));
        if is_marked { File::open(process.join("ns/mnt")).ok() } else { None }
    })
}

#[expect(unsafe_code, reason = "what runs between fork and exec makes system calls only, and allocates nothing")]
fn make_namespace(command: &mut Command) -> std::io::Result<()> {
    std::fs::create_dir_all(MARK)?;
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")?;
    let paths = v2_beside_v1(&mountinfo, has_controllers).into_iter();
    let hidden: Vec<CString> = paths.map(|p| CString::new(p.as_os_str().as_bytes())).collect::<Result<_, _>>()?;
    let enter = move || {
        // SAFETY: a mount namespace of one's own takes no file or memory from anybody.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
        // What the machine mounts later is seen inside; what Podman mounts is not seen outside.
        mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        for path in &hidden {
            unmount(path, UnmountFlags::DETACH)?;
        }
        mount(c"wl", c"/run/wl/podman-namespace", c"tmpfs", MountFlags::RDONLY, c"size=4k,mode=0700")?;
        Ok(())
    };
    // SAFETY: all of these are plain system calls.
    unsafe { command.pre_exec(enter) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "30 25 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n";
    const V2: &str = "31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn only_both_side_by_side_are_hybrid() {
        let hidden = |text: &str, controllers: bool| v2_beside_v1(text, |_| controllers);
        assert_eq!(hidden(&format!("{V1}{V2}"), true), [PathBuf::from("/sys/fs/cgroup/unified")]);
        assert!(hidden(&format!("{V1}{V2}"), false).is_empty(), "a v2 without controllers is no trouble");
        assert!(hidden(V1, true).is_empty());
        assert!(hidden(V2, true).is_empty());
        assert!(hidden("nonsense", true).is_empty());
    }
}
