//! Which pod goes first.
//! Source: pkg/kubelet/eviction/helpers.go (rankMemoryPressure, rankPIDPressure, rankDiskPressureFunc, buildSignalToRankFunc).

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;

use super::{Resource, Signal};
use crate::api::requests;
use crate::runtime::{DiskUse, PodUsage};

/// A pod that may go: not a critical one, and none that is on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub uid: &'a str,
    pub pod: &'a Pod,
    /// `None`: nothing of it is known.
    pub usage: Option<&'a PodUsage>,
}

/// The pod that goes for a signal, by its place. Whatever order they come in, it is the same one.
pub fn first(candidates: &[Candidate<'_>], signal: Signal, has_image_disk: bool) -> Option<usize> {
    let parts = Parts::of(signal, has_image_disk);
    let key = |at: &usize| {
        let one = &candidates[*at];
        (order(one, signal.resource(), parts), &one.pod.metadata.namespace, &one.pod.metadata.name, one.uid)
    };
    (0..candidates.len()).min_by_key(key)
}

/// What counts, the smallest first: whether it is known what the pod has, whether it has no more than it asks for, its
/// priority, and how much more it has.
type Order = (bool, bool, i32, bool, Reverse<i64>);

fn order(one: &Candidate<'_>, resource: Resource, parts: Parts) -> Order {
    let spec = one.pod.spec.as_ref();
    let priority = spec.and_then(|s| s.priority).unwrap_or(0);
    let asked = |name: &str| spec.and_then(|s| requests::pod_requests(s).get(name).copied()).unwrap_or(0);
    let whole = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let Some(usage) = one.usage else {
        // What processes there are counts behind the priority alone.
        return (resource == Resource::Pids, false, priority, false, Reverse(0));
    };
    // Of inodes nobody can ask for any; what is taken from them all the same is what the pod asks for in bytes.
    let (used, limit, less) = match resource {
        Resource::Pids => return (true, false, priority, true, Reverse(whole(usage.processes))),
        Resource::Memory => (whole(usage.memory), asked("memory"), asked("memory")),
        Resource::EphemeralStorage => {
            let asked = asked("ephemeral-storage");
            (whole(parts.used(usage).bytes), asked, asked)
        }
        Resource::Inodes => (whole(parts.used(usage).inodes), 0, asked("ephemeral-storage")),
    };
    (true, used <= limit, priority, true, Reverse(used.saturating_sub(less)))
}

/// What of a pod lies on the file system of a signal.
#[derive(Clone, Copy)]
struct Parts {
    root: bool,
    local: bool,
}

impl Parts {
    fn of(signal: Signal, has_image_disk: bool) -> Self {
        let of_images = match signal {
            Signal::ImageFsAvailable | Signal::ImageFsInodesFree => true,
            Signal::NodeFsAvailable | Signal::NodeFsInodesFree | Signal::MemoryAvailable | Signal::PidAvailable => false,
        };
        Parts { root: of_images || !has_image_disk, local: !of_images || !has_image_disk }
    }

    fn used(self, usage: &PodUsage) -> DiskUse {
        let mut sum = DiskUse::default();
        for container in usage.containers.values() {
            if self.root {
                sum += container.root;
            }
            if self.local {
                sum += container.logs;
            }
        }
        if self.local {
            usage.volumes.values().for_each(|volume| sum += *volume);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::runtime::ContainerUsage;

    fn pod(name: &str, priority: i32, asks: i64) -> Pod {
        let requests = json!({"memory": asks.to_string(), "ephemeral-storage": asks.to_string()});
        let spec = json!({"priority": priority, "containers": [{"name": "c", "resources": {"requests": requests}}]});
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns"}, "spec": spec})).unwrap()
    }

    fn memory(memory: u64) -> PodUsage {
        PodUsage { memory, ..PodUsage::default() }
    }

    fn disk(root: u64, logs: u64, volume: u64) -> PodUsage {
        let of = |n| DiskUse { bytes: n, inodes: n };
        PodUsage {
            containers: [("c".to_owned(), ContainerUsage { root: of(root), logs: of(logs), ..ContainerUsage::default() })].into(),
            volumes: [("v".to_owned(), of(volume))].into(),
            ..PodUsage::default()
        }
    }

    /// Names in the order in which they go.
    fn all(pods: &[(Pod, Option<PodUsage>)], signal: Signal, has_image_disk: bool) -> Vec<String> {
        let mut left: Vec<Candidate<'_>> =
            pods.iter().map(|(pod, usage)| Candidate { uid: pod.metadata.name.as_deref().unwrap(), pod, usage: usage.as_ref() }).collect();
        let mut gone = Vec::new();
        while let Some(at) = first(&left, signal, has_image_disk) {
            gone.push(left.remove(at).uid.to_owned());
        }
        gone
    }

    #[test]
    fn who_has_more_than_it_asked_for_goes_first_then_the_least_important_then_the_largest() {
        let pods = [
            (pod("modest", 0, 100), Some(memory(100))),
            (pod("over-important", 10, 100), Some(memory(1000))),
            (pod("over-a-little", 0, 100), Some(memory(150))),
            (pod("over-much", 0, 0), Some(memory(120))),
            (pod("modest-lower", -5, 100), Some(memory(1))),
            (pod("unknown", 100, 0), None),
        ];
        let expected = ["unknown", "over-much", "over-a-little", "over-important", "modest-lower", "modest"];
        assert_eq!(all(&pods, Signal::MemoryAvailable, false), expected);
    }

    #[test]
    fn processes_count_behind_the_priority() {
        let with = |processes| Some(PodUsage { processes, ..PodUsage::default() });
        let pods = [
            (pod("few", 0, 0), with(2)),
            (pod("many", 0, 0), with(9)),
            (pod("important", 1, 0), with(99)),
            (pod("unknown", 0, 0), None),
        ];
        assert_eq!(all(&pods, Signal::PidAvailable, false), ["unknown", "many", "few", "important"]);
    }

    #[test]
    fn of_a_disk_counts_what_lies_on_it() {
        let pods = [(pod("root", 0, 0), Some(disk(9, 1, 1))), (pod("local", 0, 0), Some(disk(1, 4, 5))), (pod("asked", 0, 20), Some(disk(5, 5, 5)))];
        let order = |signal, has_image_disk| all(&pods, signal, has_image_disk).concat();
        assert_eq!(order(Signal::ImageFsAvailable, true), "rootlocalasked");
        assert_eq!(order(Signal::NodeFsAvailable, true), "localrootasked");
        assert_eq!(order(Signal::NodeFsAvailable, false), "rootlocalasked");
        assert_eq!(order(Signal::ImageFsAvailable, false), "rootlocalasked");
        assert_eq!(order(Signal::NodeFsInodesFree, false), "rootlocalasked", "inodes: by what is left of what was asked for in bytes");
    }

    proptest! {
        /// The list's order says nothing, and nobody goes before one that is worse in all that counts.
        #[test]
        fn the_order_of_the_list_is_ignored(pods in proptest::collection::vec((0..3_i32, 0..4_i64, 0..4_u64), 1..8), shift in 0..8_usize) {
            let mut list: Vec<(Pod, Option<PodUsage>)> = pods.iter().enumerate()
                .map(|(at, (priority, asks, used))| (pod(&format!("p{at}"), *priority, *asks), Some(memory(*used)))).collect();
            let before = all(&list, Signal::MemoryAvailable, false);
            let shift = shift % list.len();
            list.rotate_left(shift);
            prop_assert_eq!(&all(&list, Signal::MemoryAvailable, false), &before);
            let of = |name: &String| pods[name[1..].parse::<usize>().unwrap()];
            for pair in before.windows(2) {
                let ((first_priority, first_asks, first_used), (next_priority, next_asks, next_used)) = (of(&pair[0]), of(&pair[1]));
                let over = |asks: i64, used: u64| i64::try_from(used).unwrap() - asks;
                let (first, next) = (over(first_asks, first_used), over(next_asks, next_used));
                prop_assert!(first > 0 || next <= 0);
                if (first > 0) == (next > 0) {
                    prop_assert!(first_priority < next_priority || (first_priority == next_priority && first >= next));
                }
            }
        }
    }
}
