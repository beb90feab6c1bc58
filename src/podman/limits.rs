//! Limits of living cgroups: what a container uses, and the pod's own cgroup, which Podman's API cannot change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Inner;
use super::dirs::file_error;
use super::fault::refused;
use super::http::encode;
use super::sandbox::InspectedPod;
use crate::runtime::{ContainerState, LinuxResources, Outcome, RuntimeError};

/// Where cgroups lie.
pub const ROOT: &str = "/sys/fs/cgroup";
/// Length of a CFS period in microseconds, where none is said.
const PERIOD: u64 = 100_000;

impl Inner {
    /// The cgroups of a running container's process, as the kernel tells them.
    fn cgroups_of(&self, is_it: impl Fn(&super::index::Record) -> bool) -> Option<String> {
        let pid = self.index().records.values().filter(|r| is_it(r)).find_map(|r| match r.state {
            ContainerState::Running { pid, .. } if pid > 0 => Some(pid),
            _ => None,
        })?;
        if self.pids_are_local() { std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok() } else { None }
    }

    /// Refuses a limit of memory below what a container uses, as its processes would be killed.
    /// Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go: validateMemoryResizeAction.
    pub fn check_memory(&self, id: &str, limits: &LinuxResources) -> Result<(), RuntimeError> {
        let Some(limit) = limits.memory_limit_bytes else { return Ok(()) };
        let name = self.index().records.get(id).map(|r| r.name.clone()).unwrap_or_default();
        let Some(cgroups) = self.cgroups_of(|r| r.id == id) else { return Ok(()) };
        let usage = folder_of(Path::new(ROOT), &cgroups, "memory", id).and_then(|(folder, version)| memory_used(&folder, version));
        match usage {
            Some(used) if i64::try_from(used).unwrap_or(i64::MAX) > limit => Err(refused(format!(
                "cannot decrease memory limits: attempting to set container \"{name}\" memory limit ({limit}) below current usage ({used})"
            ))),
            _ => Ok(()),
        }
    }

    /// Gives the cgroup of a pod that is made, but does not run yet, its limits, so that its start is held to them.
    pub async fn limit_new_pod(&self, id: &str, limits: &LinuxResources) -> Result<(), RuntimeError> {
        let asked = self.pod_cgroups.get_or_try_init(|| async {
            let pod: InspectedPod = self.http.get(format!("/pods/{}/json", encode(id, false))).read().await?;
            let folder = Path::new("/").join(pod.cgroup_path);
            Ok::<_, RuntimeError>(folder.parent().unwrap_or(&folder).to_owned())
        });
        let folder = asked.await?.join(id);
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let controllers = own.lines().filter_map(|line| line.split(':').nth(1));
        let cgroups: String = controllers.map(|c| format!("0:{c}:{}\n", folder.display())).collect();
        write_limits(Path::new(ROOT), &cgroups, id, limits)
    }

    /// Changes the limits of the cgroup that holds all of a pod's containers, if there is one.
    pub fn update_sandbox(self: &Arc<Self>, id: &str, limits: &LinuxResources) -> Result<Outcome, RuntimeError> {
        if let Some(cgroups) = self.cgroups_of(|r| r.sandbox_id == id) {
            write_limits(Path::new(ROOT), &cgroups, id, limits)?;
        }
        Ok(Outcome::Done)
    }
}

/// The cgroup of a controller, among those of a process, that is named after `id`; and its version.
pub fn folder_of(root: &Path, cgroups: &str, controller: &str, id: &str) -> Option<(PathBuf, u8)> {
    let mut unified = None;
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        // The container's own may lie deeper (`…/libpod-ID.scope/container`).
        let named = Path::new(path).ancestors().filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().contains(id)));
        let Some(named) = named.last() else { continue };
        let below = |folder: &str| root.join(folder).join(named.strip_prefix("/").unwrap_or(named));
        if controllers.split(',').any(|c| c == controller) {
            let folder = [controllers, controller].into_iter().map(below).find(|f| f.is_dir())?;
            return Some((folder, 1));
        }
        if controllers.is_empty() {
            unified = Some((below(""), 2));
        }
    }
    unified.filter(|(folder, _)| folder.is_dir())
}

/// Bytes that a cgroup has in memory and that cannot simply be dropped.
pub fn memory_used(folder: &Path, version: u8) -> Option<u64> {
    let name = if version == 2 { "memory.current" } else { "memory.usage_in_bytes" };
    let used: u64 = std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()?;
    // What is only cached goes first (k8s.io/kubernetes: the working set leaves inactive files out).
    let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = ["total_inactive_file ", "inactive_file "].iter().find_map(|name| {
        stat.lines().find_map(|line| line.strip_prefix(name)).and_then(|n| n.trim().parse::<u64>().ok())
    });
    Some(used.saturating_sub(cached.unwrap_or(0)))
}

fn write_limits(root: &Path, cgroups: &str, id: &str, limits: &LinuxResources) -> Result<(), RuntimeError> {
    for (controller, files) in [("memory", memory_files as fn(&LinuxResources, u8) -> Vec<File>), ("cpu", cpu_files)] {
        let Some((folder, version)) = folder_of(root, cgroups, controller, id) else { continue };
        for (name, value) in files(limits, version) {
            let path = folder.join(name);
            match std::fs::write(&path, &value) {
                Ok(()) => {}
                // A controller that is not given to this cgroup limits nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(file_error(&format!("cannot write {value:?} to"), &path, &error)),
            }
        }
    }
    Ok(())
}

type File = (&'static str, String);

fn memory_files(limits: &LinuxResources, version: u8) -> Vec<File> {
    let none = if version == 2 { "max" } else { "-1" };
    let limit = limits.memory_limit_bytes.map_or(none.to_owned(), |bytes| bytes.to_string());
    vec![(if version == 2 { "memory.max" } else { "memory.limit_in_bytes" }, limit)]
}

fn cpu_files(limits: &LinuxResources, version: u8) -> Vec<File> {
    let period = limits.cpu_period.unwrap_or(PERIOD);
    let shares = limits.cpu_shares.unwrap_or(2);
    if version == 2 {
        let quota = limits.cpu_quota.map_or("max".to_owned(), |quota| quota.to_string());
        return vec![("cpu.weight", weight(shares).to_string()), ("cpu.max", format!("{quota} {period}"))];
    }
    let quota = limits.cpu_quota.unwrap_or(-1);
    vec![
        ("cpu.shares", shares.to_string()),
        ("cpu.cfs_period_us", period.to_string()),
        ("cpu.cfs_quota_us", quota.to_string()),
    ]
}

/// `cpu.weight` of v2 for `cpu.shares` of v1.
/// Source: pkg/kubelet/cm/cgroup_manager_linux.go: cpuSharesToCPUWeight.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str, folders: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("wl-limits-{name}-{}", std::process::id()));
        folders.iter().for_each(|f| std::fs::create_dir_all(root.join(f)).expect("a folder"));
        root
    }

    #[test]
    fn the_pods_cgroup_is_found_and_written_in_both_versions() {
        let limits = LinuxResources {
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory_limit_bytes: Some(64),
            ..LinuxResources::default()
        };
        let read = |root: &Path, file: &str| std::fs::read_to_string(root.join(file)).expect(file);

        let root = tree("v1", &["memory/libpod_parent/pod1/libpod-c", "cpu,cpuacct/libpod_parent/pod1/libpod-c"]);
        let cgroups = "5:memory:/libpod_parent/pod1/libpod-c\n4:cpu,cpuacct:/libpod_parent/pod1/libpod-c\n0::/x\n";
        write_limits(&root, cgroups, "pod1", &limits).expect("written");
        assert_eq!(read(&root, "memory/libpod_parent/pod1/memory.limit_in_bytes"), "64");
        assert_eq!(read(&root, "cpu,cpuacct/libpod_parent/pod1/cpu.cfs_quota_us"), "50000");
        assert_eq!(read(&root, "cpu,cpuacct/libpod_parent/pod1/cpu.shares"), "1024");
        std::fs::remove_dir_all(&root).expect("removed");

        let root = tree("v2", &["machine.slice/libpod_pod_pod1.slice/libpod-c.scope/container"]);
        let cgroups = "0::/machine.slice/libpod_pod_pod1.slice/libpod-c.scope/container\n";
        write_limits(&root, cgroups, "pod1", &LinuxResources { cpu_quota: None, ..limits }).expect("written");
        assert_eq!(read(&root, "machine.slice/libpod_pod_pod1.slice/cpu.max"), "max 100000");
        assert_eq!(read(&root, "machine.slice/libpod_pod_pod1.slice/cpu.weight"), "39");
        assert_eq!(read(&root, "machine.slice/libpod_pod_pod1.slice/memory.max"), "64");
        assert_eq!(folder_of(&root, cgroups, "memory", "elsewhere"), None);
        std::fs::remove_dir_all(&root).expect("removed");
    }

    #[test]
    fn what_can_be_dropped_is_not_in_use() {
        let root = tree("used", &["c"]);
        let folder = root.join("c");
        std::fs::write(folder.join("memory.current"), "1000\n").expect("written");
        std::fs::write(folder.join("memory.stat"), "anon 5\ninactive_file 300\n").expect("written");
        assert_eq!(memory_used(&folder, 2), Some(700));
        assert_eq!(memory_used(&folder, 1), None);
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
