//! What is watched, what it is short of, and which condition that is.
//! Source: pkg/kubelet/eviction/api/types.go, pkg/kubelet/eviction/helpers.go (init, makeSignalObservations).

use std::collections::BTreeMap;

use crate::api::quantity::{Format, Quantity};
use crate::runtime::{DiskRoom, Headroom, Room, Shortage};

/// A signal of which a threshold can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    MemoryAvailable,
    NodeFsAvailable,
    NodeFsInodesFree,
    ImageFsAvailable,
    ImageFsInodesFree,
    PidAvailable,
}

/// What is to be reclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Memory,
    EphemeralStorage,
    Inodes,
    Pids,
}

/// Pressure that the node shows as a condition, in the order in which its status has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Memory,
    Disk,
    Pid,
}

impl Signal {
    pub const ALL: [Signal; 6] = [
        Signal::MemoryAvailable,
        Signal::NodeFsAvailable,
        Signal::NodeFsInodesFree,
        Signal::ImageFsAvailable,
        Signal::ImageFsInodesFree,
        Signal::PidAvailable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory.available",
            Signal::NodeFsAvailable => "nodefs.available",
            Signal::NodeFsInodesFree => "nodefs.inodesFree",
            Signal::ImageFsAvailable => "imagefs.available",
            Signal::ImageFsInodesFree => "imagefs.inodesFree",
            Signal::PidAvailable => "pid.available",
        }
    }

    pub fn resource(self) -> Resource {
        match self {
            Signal::MemoryAvailable => Resource::Memory,
            Signal::NodeFsAvailable | Signal::ImageFsAvailable => Resource::EphemeralStorage,
            Signal::NodeFsInodesFree | Signal::ImageFsInodesFree => Resource::Inodes,
            Signal::PidAvailable => Resource::Pids,
        }
    }

    /// So much of it, written as the kubelet writes it.
    pub fn amount(self, amount: i64) -> Quantity {
        let format = match self.resource() {
            Resource::Memory | Resource::EphemeralStorage => Format::BinarySi,
            Resource::Inodes | Resource::Pids => Format::DecimalSi,
        };
        Quantity::from_i64(amount, format)
    }

    pub fn condition(self) -> Condition {
        match self.shortage() {
            Shortage::Memory => Condition::Memory,
            Shortage::Disk => Condition::Disk,
            Shortage::Pids => Condition::Pid,
        }
    }

    /// What has to be measured for it.
    pub fn shortage(self) -> Shortage {
        match self.resource() {
            Resource::Memory => Shortage::Memory,
            Resource::EphemeralStorage | Resource::Inodes => Shortage::Disk,
            Resource::Pids => Shortage::Pids,
        }
    }
}

impl Resource {
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::EphemeralStorage => "ephemeral-storage",
            Resource::Inodes => "inodes",
            Resource::Pids => "pids",
        }
    }
}

impl Condition {
    pub const ALL: [Condition; 3] = [Condition::Memory, Condition::Disk, Condition::Pid];

    pub fn name(self) -> &'static str {
        match self {
            Condition::Memory => "MemoryPressure",
            Condition::Disk => "DiskPressure",
            Condition::Pid => "PIDPressure",
        }
    }

    /// Reason and message of the node's condition. Source: pkg/kubelet/nodestatus/setters.go.
    pub fn told(self, holds: bool) -> (&'static str, &'static str) {
        match (self, holds) {
            (Condition::Memory, true) => ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            (Condition::Memory, false) => ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            (Condition::Disk, true) => ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            (Condition::Disk, false) => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            (Condition::Pid, true) => ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            (Condition::Pid, false) => ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        }
    }

    /// The Event of the node when it changes: `NodeHasDiskPressure`.
    pub fn event(self, holds: bool) -> String {
        self.told(holds).0.replacen("Kubelet", "Node", 1)
    }
}

/// How much there is of what a signal watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    pub available: i64,
    pub capacity: i64,
}

/// What is known; a threshold of what is not cannot be met.
pub type Observations = BTreeMap<Signal, Observation>;

/// What the machine has left, by signal.
pub fn observe(headroom: &Headroom) -> Observations {
    let inodes = |disk: Option<DiskRoom>| disk.and_then(|d| d.inodes);
    let bytes = |disk: Option<DiskRoom>| disk.map(|d| d.bytes);
    let all = [
        (Signal::MemoryAvailable, headroom.memory),
        (Signal::NodeFsAvailable, bytes(headroom.node_disk)),
        (Signal::NodeFsInodesFree, inodes(headroom.node_disk)),
        (Signal::ImageFsAvailable, bytes(headroom.image_disk)),
        (Signal::ImageFsInodesFree, inodes(headroom.image_disk)),
        (Signal::PidAvailable, headroom.pids),
    ];
    let whole = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let seen = |room: Room| Observation { available: whole(room.available), capacity: whole(room.capacity) };
    all.into_iter().filter_map(|(signal, room)| Some((signal, seen(room?)))).collect()
}
