//! What is known of this instance's containers, so that looking at a pod asks Podman only for what may have changed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use tokio::task::AbortHandle;

use super::naming;
use super::volume::Part;
use crate::runtime::{Container, ContainerState, Sandbox, SandboxState};

/// All records, by the runtime's id.
#[derive(Default)]
pub struct Index {
    pub records: BTreeMap<String, Record>,
    /// A call was sent whose answer is not known: only a list tells what there is.
    pub uncertain: bool,
    /// Counts what actions made.
    pub generation: u64,
}

/// One container, infra containers included.
pub struct Record {
    pub id: String,
    pub is_infra: bool,
    pub pod_uid: String,
    pub namespace: String,
    pub pod_name: String,
    pub sandbox_id: String,
    /// Name in the pod's spec; empty for infra.
    pub name: String,
    /// Of the sandbox for infra, else of the container.
    pub attempt: u32,
    pub image: String,
    pub image_id: String,
    pub spec_hash: String,
    pub created_at: Timestamp,
    pub log_path: String,
    pub annotations: BTreeMap<String, String>,
    pub ips: Vec<IpAddr>,
    /// Whether the end of the log stands for a missing termination message.
    pub message_from_log: bool,
    /// What it has of volumes in part.
    pub parts: Vec<Part>,
    /// The index' generation when an action made it; 0 for what a list told of.
    pub made_at: u64,
    /// A start is under way: what Podman tells of it meanwhile is no news.
    pub starting: bool,
    /// A signal was sent to it.
    pub told_to_end: bool,
    /// It is being removed: its end is no news.
    pub leaving: bool,
    pub state: ContainerState,
    /// Something may have changed: inspect before telling.
    pub stale: bool,
    /// The kernel killed something in it for memory.
    pub oom_killed: bool,
    /// Its process is known to be gone, whatever Podman says.
    pub process_gone: bool,
    pub watch: Option<Watch>,
    /// conmon's, while it runs.
    pub conmon_pid: u32,
}

/// The task that waits for the end of a process; it ends with the record.
pub struct Watch(Option<AbortHandle>);

impl Watch {
    pub fn new(task: AbortHandle) -> Self {
        Self(Some(task))
    }

    /// Lets the task end by itself.
    pub fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl Index {
    /// The sandboxes, by pod and attempt.
    pub fn sandboxes(&self) -> Vec<Sandbox> {
        let mut sandboxes: Vec<Sandbox> = self.records.values().filter(|r| r.is_infra).map(|r| self.sandbox(r)).collect();
        sandboxes.sort_by(|a, b| (&a.namespace, &a.name, &a.uid, a.attempt).cmp(&(&b.namespace, &b.name, &b.uid, b.attempt)));
        sandboxes
    }

    /// The newest sandbox of a pod.
    pub fn pod(&self, uid: &str) -> Option<Sandbox> {
        let of_pod = self.records.values().filter(|r| r.is_infra && r.pod_uid == uid);
        of_pod.max_by_key(|r| r.attempt).map(|r| self.sandbox(r))
    }

    /// Adds what an action made.
    pub fn add(&mut self, mut record: Record) {
        self.generation += 1;
        record.made_at = self.generation;
        self.records.insert(record.id.clone(), record);
    }

    /// Ids of a pod's containers, infra included.
    pub fn ids_of(&self, uid: &str) -> Vec<String> {
        self.records.values().filter(|r| r.pod_uid == uid).map(|r| r.id.clone()).collect()
    }

    fn sandbox(&self, infra: &Record) -> Sandbox {
        let of_sandbox = self.records.values().filter(|r| !r.is_infra && r.sandbox_id == infra.sandbox_id);
        let mut containers: Vec<Container> = of_sandbox.map(Record::container).collect();
        containers.sort_by(|a, b| (&a.name, a.attempt, &a.id).cmp(&(&b.name, b.attempt, &b.id)));
        let (state, pid) = match &infra.state {
            ContainerState::Running { pid, .. } => (SandboxState::Ready, Some(*pid)),
            // Rebooted away.
            ContainerState::Created | ContainerState::Unknown => (SandboxState::Created, None),
            ContainerState::Exited(_) => (SandboxState::NotReady, None),
        };
        Sandbox {
            uid: infra.pod_uid.clone(),
            namespace: infra.namespace.clone(),
            name: infra.pod_name.clone(),
            id: infra.sandbox_id.clone(),
            state,
            attempt: infra.attempt,
            created_at: infra.created_at,
            ips: infra.ips.clone(),
            pid,
            containers,
            annotations: infra.annotations.clone(),
        }
    }
}

impl Record {
    /// A record from labels; `None` where they are not ours, or not whole.
    pub fn from_labels(id: &str, labels: &BTreeMap<String, String>, is_infra: bool, created_at: Timestamp) -> Option<Self> {
        let label = |key: &str| labels.get(key).cloned();
        Some(Self {
            id: id.to_owned(),
            is_infra,
            pod_uid: label(naming::POD_UID)?,
            namespace: label(naming::POD_NAMESPACE)?,
            pod_name: label(naming::POD_NAME)?,
            sandbox_id: String::new(),
            name: if is_infra { String::new() } else { label(naming::CONTAINER)? },
            attempt: label(naming::ATTEMPT)?.parse().ok()?,
            image: String::new(),
            image_id: String::new(),
            spec_hash: label(naming::SPEC_HASH).unwrap_or_default(),
            created_at,
            log_path: String::new(),
            annotations: naming::foreign(labels),
            ips: label(naming::POD_IPS).map(|ips| ips.split(',').filter_map(|ip| ip.parse().ok()).collect()).unwrap_or_default(),
            message_from_log: false,
            parts: Vec::new(),
            made_at: 0,
            starting: false,
            told_to_end: false,
            leaving: false,
            state: ContainerState::Created,
            stale: false,
            oom_killed: false,
            process_gone: false,
            watch: None,
            conmon_pid: 0,
        })
    }

    fn container(&self) -> Container {
        let mut state = match &self.state {
            ContainerState::Running { .. } if self.process_gone => ContainerState::Unknown,
            state => state.clone(),
        };
        if let ContainerState::Exited(exit) = &mut state {
            exit.oom_killed |= self.oom_killed;
        }
        Container {
            id: self.id.clone(),
            name: self.name.clone(),
            attempt: self.attempt,
            state,
            image: self.image.clone(),
            image_id: self.image_id.clone(),
            spec_hash: self.spec_hash.clone(),
            created_at: self.created_at,
            log_path: self.log_path.clone(),
            annotations: self.annotations.clone(),
        }
    }
}
