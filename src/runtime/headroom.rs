//! What a machine has left, and what pods have of it.

use std::collections::BTreeMap;

/// What a node may be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    Memory,
    Disk,
    Pids,
}

/// What the machine has left. What was not asked for, or cannot be known, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headroom {
    pub memory: Option<Room>,
    /// The file system of the node's own files: emptyDirs, logs, the store.
    pub node_disk: Option<DiskRoom>,
    /// The file system of images and of what containers write.
    pub image_disk: Option<DiskRoom>,
    /// Whether the images lie on a file system of their own.
    pub has_image_disk: bool,
    pub pids: Option<Room>,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub available: u64,
    pub capacity: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskRoom {
    pub bytes: Room,
    /// `None`: the file system makes them as they are needed.
    pub inodes: Option<Room>,
}

/// A pod of which something is measured, with its emptyDirs that lie on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodParts {
    pub uid: String,
    pub volumes: Vec<String>,
}

/// What a pod has; what was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodUsage {
    /// Bytes in memory that cannot simply be dropped, of the whole pod.
    pub memory: u64,
    pub processes: u64,
    /// By name.
    pub containers: BTreeMap<String, ContainerUsage>,
    /// By name.
    pub volumes: BTreeMap<String, DiskUse>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    pub memory: u64,
    /// What it has written over its image.
    pub root: DiskUse,
    pub logs: DiskUse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    pub bytes: u64,
    pub inodes: u64,
}

impl std::ops::AddAssign for DiskUse {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.inodes = self.inodes.saturating_add(other.inodes);
    }
}
