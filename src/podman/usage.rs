//! What pods use of what is short: memory and processes by cgroups, or by processes where there are none; storage by Podman and by
//! their folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::Inner;
use super::http::encode;
use super::limits::{ROOT, folder_of, memory_used};
use super::machine::meminfo_bytes;
use crate::runtime::{ContainerState, ContainerUsage, DiskUse, PodParts, PodUsage, Shortage};

/// A container that runs.
struct Running {
    id: String,
    /// Empty: the infra container.
    name: String,
    pid: u32,
}

#[derive(Deserialize)]
struct Inspected {
    #[serde(rename = "SizeRw", default)]
    written: i64,
    #[serde(rename = "GraphDriver", default)]
    driver: Driver,
}

#[derive(Default, Deserialize)]
struct Driver {
    #[serde(rename = "Data", default)]
    data: Option<BTreeMap<String, String>>,
}

impl Inner {
    /// By pods' uids; those of which nothing runs are left out.
    pub async fn usage(self: &Arc<Self>, pods: &[PodParts], of: Shortage) -> BTreeMap<String, PodUsage> {
        // Where no cgroup tells, the processes do.
        let processes = LazyLock::new(Processes::observe);
        let mut all = BTreeMap::new();
        for pod in pods {
            let running = self.running(&pod.uid);
            if running.is_empty() {
                continue;
            }
            let usage = match of {
                Shortage::Memory | Shortage::Pids => of_cgroups(&running, &processes),
                Shortage::Disk => self.stored(pod, &running).await,
            };
            all.insert(pod.uid.clone(), usage);
        }
        all
    }

    fn running(&self, uid: &str) -> Vec<Running> {
        let index = self.index();
        let of_pod = index.records.values().filter(|record| record.pod_uid == uid);
        let running = of_pod.filter_map(|record| match record.state {
            ContainerState::Running { pid, .. } if pid > 0 => {
                Some(Running { id: record.id.clone(), name: record.name.clone(), pid })
            }
            _ => None,
        });
        running.collect()
    }

    async fn stored(self: &Arc<Self>, pod: &PodParts, running: &[Running]) -> PodUsage {
        let mut usage = PodUsage::default();
        // What cannot be measured counts nothing.
        let Ok(dir) = self.dirs.pod(&pod.uid) else { return usage };
        for container in running.iter().filter(|c| !c.name.is_empty()) {
            let logs = dir.log(&container.name, 0).ok().and_then(|path| path.parent().map(Path::to_owned));
            let (root, logs) = (self.written(&container.id).await, self.used(logs).await);
            usage.containers.insert(container.name.clone(), ContainerUsage { memory: 0, root, logs });
        }
        for name in &pod.volumes {
            usage.volumes.insert(name.clone(), self.used(dir.volume(name).ok()).await);
        }
        usage
    }

    async fn used(&self, folder: Option<PathBuf>) -> DiskUse {
        match folder {
            Some(folder) => self.disk_use(folder).await.unwrap_or_default(),
            None => DiskUse::default(),
        }
    }

    /// What a container has written over its image. Podman counts no inodes: its layer does.
    async fn written(&self, id: &str) -> DiskUse {
        let call = self.http.get(format!("/containers/{}/json", encode(id, false))).query("size", "true");
        let Ok(inspected) = call.read::<Inspected>().await else { return DiskUse::default() };
        let layer = inspected.driver.data.and_then(|data| data.get("UpperDir").map(PathBuf::from));
        let inodes = self.used(layer).await.inodes;
        DiskUse { bytes: u64::try_from(inspected.written).unwrap_or(0), inodes }
    }
}

/// Memory and processes of a pod.
fn of_cgroups(running: &[Running], processes: &Processes) -> PodUsage {
    let mut usage = PodUsage::default();
    for container in running {
        let cgroups = std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid)).unwrap_or_default();
        let folder = |controller| folder_of(Path::new(ROOT), &cgroups, controller, &container.id);
        let memory = folder("memory").and_then(|(folder, version)| memory_used(&folder, version));
        let memory = memory.unwrap_or_else(|| processes.memory_below(container.pid));
        let count = folder("pids").and_then(|(folder, _)| std::fs::read_to_string(folder.join("pids.current")).ok()?.trim().parse().ok());
        usage.memory = usage.memory.saturating_add(memory);
        usage.processes += count.unwrap_or_else(|| processes.below(container.pid).len() as u64);
        if !container.name.is_empty() {
            usage.containers.insert(container.name.clone(), ContainerUsage { memory, ..ContainerUsage::default() });
        }
    }
    usage
}

/// Who is whose child on this machine.
struct Processes {
    children: BTreeMap<u32, Vec<u32>>,
}

impl Processes {
    fn observe() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        Self::of(numbers.filter_map(|pid| Some((pid, parent(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))))
    }

    fn of(parents: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        parents.for_each(|(pid, parent)| children.entry(parent).or_default().push(pid));
        Processes { children }
    }

    /// A process and all below it.
    fn below(&self, pid: u32) -> BTreeSet<u32> {
        let (mut all, mut left) = (BTreeSet::new(), vec![pid]);
        while let Some(pid) = left.pop() {
            if all.insert(pid) {
                left.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        all
    }

    fn memory_below(&self, pid: u32) -> u64 {
        let status = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/status")).ok();
        self.below(pid).iter().filter_map(status).map(|status| resident(&status)).fold(0, u64::saturating_add)
    }
}

/// The parent, by `/proc/PID/stat`: `PID (NAME) STATE PARENT …`, and the name may have anything in it.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes of a process in memory that are no file's, by `/proc/PID/status`.
fn resident(status: &str) -> u64 {
    ["RssAnon", "RssShmem"].iter().filter_map(|name| meminfo_bytes(status, name)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_all_that_is_below_it() {
        let processes = Processes::of([(2, 1), (3, 2), (4, 2), (5, 3), (6, 1), (1, 0)].into_iter());
        assert_eq!(processes.below(2), [2, 3, 4, 5].into());
        assert_eq!(processes.below(7), [7].into());
        // A list that was read while pids were given away anew may go round.
        assert_eq!(Processes::of([(1, 2), (2, 1)].into_iter()).below(1), [1, 2].into());
    }

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(parent("42 (a) b) c) S 7 42 42"), Some(7));
        assert_eq!(parent("42"), None);
        assert_eq!(resident("VmRSS:\t 9 kB\nRssAnon:\t 3 kB\nRssFile:\t 4 kB\nRssShmem:\t 2 kB\n"), 5 << 10);
        let own = Processes::observe();
        assert!(own.memory_below(std::process::id()) > 0);
    }
}
