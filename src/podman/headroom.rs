//! What this machine has left, by the kernel alone.
//!
//! "nodefs" is the file system of the state directory, where emptyDirs, logs and the store lie; "imagefs" that of Podman's graph
//! root, where images lie and what containers write.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Inner;
use super::machine::{meminfo_bytes, read};
use crate::runtime::{DiskRoom, Headroom, Room, Shortage};

impl Inner {
    pub fn headroom(&self, of: &BTreeSet<Shortage>) -> Headroom {
        let mut headroom = Headroom::default();
        // Where the service is elsewhere nothing is known of its machine.
        let asked = |what| of.contains(&what) && self.pids_are_local();
        if asked(Shortage::Memory) {
            headroom.memory = memory(&read("/proc/meminfo"));
        }
        if asked(Shortage::Pids) {
            let most = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"].map(read);
            headroom.pids = pids(&most, &read("/proc/loadavg"));
        }
        if of.contains(&Shortage::Disk) {
            let node = existing(self.dirs.pods());
            headroom.node_disk = disk(node);
            if let Some(images) = self.graph_root.get().filter(|_| self.pids_are_local()) {
                headroom.image_disk = disk(images);
                headroom.has_image_disk = device(images).is_some_and(|images| Some(images) != device(node));
            }
        }
        headroom
    }
}

/// What there is but for the working set: all that is in use, without files in memory that nobody has asked for lately.
/// Source: k8s.io/kubernetes/pkg/kubelet/stats (rootFsStats), google/cadvisor: the root cgroup by `/proc/meminfo`.
fn memory(meminfo: &str) -> Option<Room> {
    let of = |name| meminfo_bytes(meminfo, name);
    let capacity = of("MemTotal")?;
    let available = of("MemFree")?.saturating_add(of("Inactive(file)")?);
    Some(Room { available: available.min(capacity), capacity })
}

/// Source: pkg/kubelet/stats/pidlimit/pidlimit_linux.go.
fn pids(most: &[String], loadavg: &str) -> Option<Room> {
    let capacity = most.iter().filter_map(|text| text.trim().parse::<u64>().ok()).min()?;
    let running = loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse::<u64>().ok()?;
    Some(Room { available: capacity.saturating_sub(running), capacity })
}

fn disk(path: &Path) -> Option<DiskRoom> {
    let fs = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
    Some(DiskRoom {
        bytes: Room { available: bytes(fs.f_bavail), capacity: bytes(fs.f_blocks) },
        inodes: (fs.f_files > 0).then_some(Room { available: fs.f_ffree, capacity: fs.f_files }),
    })
}

fn device(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|m| m.dev())
}

/// The path, or the first folder above it that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|p| p.exists()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_is_free_and_files_that_nobody_asked_for_lately() {
        let text = "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable: 900 kB\nInactive:  500 kB\nInactive(anon): 250 kB\nInactive(file):  250 kB\n";
        assert_eq!(memory(text), Some(Room { available: 350 << 10, capacity: 1000 << 10 }));
        assert_eq!(memory("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn processes_have_the_lesser_of_two_bounds() {
        let most = ["4194304\n".to_owned(), "32000\n".to_owned()];
        assert_eq!(pids(&most, "0.1 0.2 0.3 2/431 9999\n"), Some(Room { available: 31_569, capacity: 32_000 }));
        assert_eq!(pids(&["1".to_owned()], "0.1 0.2 0.3 2/431 9999\n"), Some(Room { available: 0, capacity: 1 }));
        assert_eq!(pids(&[], ""), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_lies_where_the_one_above_it_does() {
        let here = std::env::temp_dir();
        assert_eq!(existing(&here.join("wl-none/at/all")), here);
        let room = disk(&here).expect("measured").bytes;
        assert!(room.capacity > 0 && room.available <= room.capacity);
    }
}
