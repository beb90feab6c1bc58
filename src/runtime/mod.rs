//! The one door to what runs pods, in the words of CRI: sandboxes, containers, images.
//!
//! Two implementations: [`simulated`] (a strict pretend node, for `wl plan` and the tests) and
//! `podman` (the real one). An [`Action`] is one effect; an observation is what is, not what was wanted.

mod headroom;
pub mod simulated;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

pub use headroom::{ContainerUsage, DiskRoom, DiskUse, Headroom, PodParts, PodUsage, Room, Shortage};

/// What runs pods. Calls may run side by side; every one of them may fail and be tried again.
pub trait Runtime: Send + Sync + 'static {
    /// Everything that carries this instance's labels, but the gateway.
    fn observe(&self) -> impl Future<Output = Result<Vec<Sandbox>, RuntimeError>> + Send;
    /// The same, of one pod; `None` when nothing is there.
    fn observe_pod(&self, uid: &str) -> impl Future<Output = Result<Option<Sandbox>, RuntimeError>> + Send;
    /// Carries one action out. `Ok` means that the runtime confirmed it.
    fn execute(&self, action: &Action) -> impl Future<Output = Result<Outcome, RuntimeError>> + Send;
    /// Waits for the next hint that something may have changed. Hints may be lost or doubled.
    /// One caller at a time.
    fn next_hint(&self) -> impl Future<Output = Hint> + Send;
    /// What the machine is: asked at start, after a reconnect and now and then.
    fn machine(&self) -> impl Future<Output = Result<Machine, RuntimeError>> + Send;
    /// Removes a volume that was made for a claim, and what is in it. One that is not there is gone already.
    fn reclaim_volume(&self, name: &str) -> impl Future<Output = Result<(), RuntimeError>> + Send;
    /// What the machine has left of these. Asked every few seconds, so it costs next to nothing: the kernel is asked alone.
    fn headroom(&self, of: &BTreeSet<Shortage>) -> impl Future<Output = Headroom> + Send;
    /// What pods have of what is short; a pod of which nothing is known is left out.
    fn usage(&self, pods: &[PodParts], of: Shortage) -> impl Future<Output = BTreeMap<String, PodUsage>> + Send;
}

/// The machine that the pods run on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    pub hostname: String,
    /// Addresses that others reach the machine by, the best first.
    pub addresses: Vec<IpAddr>,
    pub cpus: u64,
    pub memory_bytes: u64,
    /// Room of the file system that containers write to.
    pub storage_bytes: u64,
    /// Size (`2Mi`) → bytes that are set apart.
    pub hugepages: BTreeMap<String, u64>,
    /// How many pods there is room for (Podman: by free locks).
    pub pods: u64,
    /// As Go names it: `amd64`, `arm64`.
    pub architecture: String,
    pub os_image: String,
    pub kernel_version: String,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    /// `podman`: container ids are shown as `podman://…`.
    pub runtime_name: String,
    pub runtime_version: String,
    pub rootless: bool,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// An ordinary user's containers without a say in cpu and memory: limits have no effect.
    pub lacks_controllers: bool,
    pub apparmor: bool,
    pub selinux: bool,
    /// Whether mounts can be made read-only with everything below them.
    pub recursive_read_only_mounts: bool,
    /// The machine's resolver.
    pub dns: DnsConfig,
    /// Content of the machine's `/etc/hosts`.
    pub hosts: String,
}

/// Annotation of sandboxes: the Pod object that they were made for, as JSON.
pub const POD_ANNOTATION: &str = "wl.pod";

/// An image with tools for debugging. A runtime that has it not makes it when it is asked for.
pub const TOOLBOX_IMAGE: &str = "localhost/wl-toolbox:1";

/// The uid of the pod that carries Services. It is no pod of the API: a list of all leaves it out.
pub const GATEWAY_UID: &str = "wl-gateway";

/// "Look at this pod", or at all of them (after a reconnect).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    Pod { uid: String },
    All,
}

/// A pod as the runtime has it: the infra container and what runs beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    /// uid of the API's Pod.
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// The runtime's id of the pod.
    pub id: String,
    pub state: SandboxState,
    /// How many sandboxes this pod had before.
    pub attempt: u32,
    pub created_at: Timestamp,
    pub ips: Vec<IpAddr>,
    /// Of the infra container, while it runs.
    pub pid: Option<u32>,
    pub containers: Vec<Container>,
    /// The annotations of the config it was made from. Among them the Pod object as it was then
    /// ([`POD_ANNOTATION`]), kept beside it so that a lost store can be mended.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxState {
    /// Made, never started (or rebooted away).
    Created,
    Ready,
    /// Its infra container has ended.
    NotReady,
}

/// One attempt of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub id: String,
    /// Name in the pod's spec.
    pub name: String,
    /// 0 for the first, counted on with every restart.
    pub attempt: u32,
    pub state: ContainerState,
    pub image: String,
    pub image_id: String,
    /// Hash of the container's API spec it was made from, never of the runtime's body.
    pub spec_hash: String,
    pub created_at: Timestamp,
    pub log_path: String,
    /// Values of the labels and annotations that `node` gave at creation.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ContainerState {
    Created,
    Running { started_at: Timestamp, pid: u32, paused: bool },
    Exited(Exit),
    /// The runtime lost it (after a reboot: neither code nor time can be believed).
    Unknown,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    pub code: i32,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub oom_killed: bool,
    /// What it left in its termination message file (its last 4096 bytes), or empty.
    pub message: String,
}

/// One effect on the runtime.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    PullImage { image: String, auth: Vec<RegistryAuth>, pod_uid: String },
    /// Looks for an image without fetching it; answers with [`Outcome::Image`].
    InspectImage { image: String },
    /// Makes the pod and its infra container and starts that.
    RunSandbox(Box<SandboxConfig>),
    /// Writes the content of a volume (atomically where it was there before) and answers with its path.
    WriteVolume(Box<VolumeContent>),
    CreateContainer(Box<ContainerConfig>),
    StartContainer { id: String, pod_uid: String },
    SignalContainer { id: String, pod_uid: String, signal: i32 },
    RemoveContainer { id: String, pod_uid: String },
    /// Lets a container go on that somebody has paused.
    ResumeContainer { id: String, pod_uid: String },
    /// Live change of limits. Refused where less memory would be left than is in use.
    UpdateContainer { id: String, pod_uid: String, resources: LinuxResources },
    /// Live change of the limits of the pod's own cgroup; where a pod has none of its own, there is nothing to do.
    UpdateSandbox { id: String, pod_uid: String, resources: LinuxResources },
    /// Measures what containers (name and id) and emptyDirs of a pod store; answers with [`Outcome::Storage`].
    MeasureStorage { pod_uid: String, containers: Vec<(String, String)>, volumes: Vec<String> },
    /// Gives back what a pod that has ended for good has on the disk: its sandbox with all its containers (an empty `id`: there is
    /// none any more) and these of its emptyDirs. Its logs stay.
    FreeStorage { id: String, pod_uid: String, volumes: Vec<String> },
    /// Runs a command in a container and waits, bounded by `timeout`; answers with [`Outcome::Exec`].
    ExecSync { id: String, pod_uid: String, command: Vec<String>, timeout: Option<Duration> },
    /// Ends the infra container with SIGKILL; containers should have ended before.
    StopSandbox { id: String, pod_uid: String },
    /// Removes the sandbox with all its containers (running ones by SIGKILL); with `forget_pod` also
    /// the node's files of the pod (volumes, hosts, logs), volumes of the user excepted. An empty
    /// `id`: there is no sandbox (any more), only files. What is gone already is no error.
    RemoveSandbox { id: String, pod_uid: String, forget_pod: bool },
}

impl Action {
    /// The pod that the action is for; empty where it is for none in particular.
    pub fn pod_uid(&self) -> &str {
        match self {
            Action::PullImage { pod_uid, .. }
            | Action::StartContainer { pod_uid, .. }
            | Action::SignalContainer { pod_uid, .. }
            | Action::RemoveContainer { pod_uid, .. }
            | Action::ResumeContainer { pod_uid, .. }
            | Action::UpdateContainer { pod_uid, .. }
            | Action::UpdateSandbox { pod_uid, .. }
            | Action::MeasureStorage { pod_uid, .. }
            | Action::FreeStorage { pod_uid, .. }
            | Action::ExecSync { pod_uid, .. }
            | Action::StopSandbox { pod_uid, .. }
            | Action::RemoveSandbox { pod_uid, .. } => pod_uid,
            Action::RunSandbox(config) => &config.uid,
            Action::WriteVolume(content) => &content.pod_uid,
            Action::CreateContainer(config) => &config.pod_uid,
            Action::InspectImage { .. } => "",
        }
    }
}

/// What an action answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    Sandbox { id: String, ips: Vec<IpAddr> },
    Container { id: String },
    Image(Option<ImageInfo>),
    /// An image was pulled: how long it took, with and without waiting for others.
    Pulled { image_id: String, size_bytes: u64, took: Duration, took_with_wait: Duration },
    Volume { path: String },
    Storage(StorageUse),
    /// `output` has stdout and after it stderr, `errors` stderr alone.
    Exec { exit_code: i32, output: Vec<u8>, errors: Vec<u8>, timed_out: bool },
}

/// Bytes on the disk, by the names of containers (writable layer and logs) and of volumes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageUse {
    pub containers: BTreeMap<String, u64>,
    pub volumes: BTreeMap<String, u64>,
}

/// What of an image's configuration decides how its containers run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageInfo {
    pub id: String,
    /// `docker.io/library/nginx@sha256:…`, or the id where it has no digest.
    pub digest_reference: String,
    pub size_bytes: u64,
    pub user: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub stop_signal: String,
}

#[derive(Clone, PartialEq)]
pub struct RegistryAuth {
    pub registry: String,
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryAuth({}, {}, …)", self.registry, self.username)
    }
}

/// What a sandbox is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SandboxConfig {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub attempt: u32,
    pub hostname: String,
    /// `None`: the host's network.
    pub network: Option<PodNetwork>,
    pub host_pid: bool,
    pub host_ipc: bool,
    pub share_process_namespace: bool,
    pub ports: Vec<PortMapping>,
    pub dns: DnsConfig,
    /// Content of `/etc/hosts` of the infra container, and of containers that bring none.
    pub hosts: String,
    pub sysctls: BTreeMap<String, String>,
    /// Limits of the pod's own cgroup.
    pub resources: LinuxResources,
    /// Short keys and hashes only: each of Podman's events repeats them.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PodNetwork {
    /// The address the pod keeps for its life; empty: the runtime chooses.
    pub ips: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PortMapping {
    pub host_ip: String,
    pub host_port: u16,
    pub container_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct DnsConfig {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

/// What a container is made from; everything is resolved (no references to other objects are left).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerConfig {
    pub pod_uid: String,
    pub pod_namespace: String,
    pub pod_name: String,
    pub sandbox_id: String,
    pub name: String,
    pub attempt: u32,
    pub image: String,
    /// Empty: the image's.
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub working_dir: String,
    /// In order; later ones win.
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    pub stop_signal: Option<String>,
    pub resources: LinuxResources,
    pub security: SecurityConfig,
    /// Container (by runtime id) whose PID namespace is joined.
    pub pid_of: Option<String>,
    /// File in the container that the termination message is read from; empty: none.
    pub termination_message_path: String,
    /// Where that file is empty and the container failed: the end of its log instead
    /// (80 lines, 2048 bytes at most).
    pub termination_message_from_log: bool,
    /// Content of the pod's `/etc/hosts`, written anew with each container; `None`: the container
    /// mounts something of its own there.
    pub hosts: Option<String>,
    pub spec_hash: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    pub target: String,
    pub source: MountSource,
    pub read_only: bool,
    pub recursive_read_only: bool,
    /// `private`, `rslave`, `rshared`.
    pub propagation: String,
    /// Path inside the source; resolved without leaving it, also through symlinks.
    pub sub_path: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MountSource {
    /// A volume of the pod that the runtime keeps, by the name in the pod's spec.
    PodVolume(String),
    Image(String),
}

/// What `WriteVolume` is to make.
#[derive(Clone, PartialEq)]
pub struct VolumeContent {
    pub pod_uid: String,
    /// Name in the pod's spec.
    pub name: String,
    pub kind: VolumeKind,
    pub fs_group: Option<i64>,
}

#[derive(Clone, PartialEq)]
pub enum VolumeKind {
    /// An empty folder, on disk or in memory, with an optional limit in bytes.
    Empty { memory: bool, size_limit: Option<u64> },
    /// Files by path below the mount (`..` never occurs), swapped in as one by a symlink.
    Files { files: BTreeMap<String, VolumeFile>, secret: bool },
    /// A path of the host, checked or made by hostPath's `type`.
    HostPath { path: String, kind: String },
    /// A named volume, made where missing.
    Named { name: String },
}

#[derive(Clone, PartialEq)]
pub struct VolumeFile {
    pub content: Vec<u8>,
    pub mode: u32,
    /// User id that owns it; `None`: root.
    pub owner: Option<i64>,
}

impl RuntimeError {
    pub fn new(kind: RuntimeErrorKind, message: impl Into<String>) -> Self {
        RuntimeError { kind, message: message.into() }
    }
}

impl std::fmt::Debug for VolumeContent {
    /// Without the content: it may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VolumeContent({}/{})", self.pod_uid, self.name)
    }
}

/// Limits as the OCI runtime takes them. `None`: not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinuxResources {
    pub cpu_shares: Option<u64>,
    /// Microseconds in each `cpu_period`.
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub memory_limit_bytes: Option<i64>,
    pub memory_swap_bytes: Option<i64>,
    pub pids_limit: Option<i64>,
    pub oom_score_adj: Option<i64>,
    pub hugepage_limits: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecurityConfig {
    /// `uid[:gid]` or a name; empty: the image's.
    pub user: String,
    /// Whether that is root.
    pub as_root: bool,
    pub supplemental_groups: Vec<i64>,
    pub privileged: bool,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub read_only_root_filesystem: bool,
    /// `unconfined`, a path, or empty: the runtime's default.
    pub seccomp_profile: String,
    pub apparmor_profile: String,
    pub selinux_options: BTreeMap<String, String>,
    pub unmasked_proc: bool,
    pub user_namespace: bool,
}

/// Why an action did not happen. Displays as the runtime's own words.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeError {
    pub kind: RuntimeErrorKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeErrorKind {
    /// Nobody answers (the service is down or restarting); try again soon.
    Unavailable,
    /// The thing acted on is not there (any more).
    NotFound,
    /// It is there already.
    Exists,
    /// No such image, here or at the registry.
    ImageMissing,
    /// The registry refused or could not be reached.
    ImagePull,
    /// The name of the image is no image name.
    ImageName,
    /// A host port or address is taken.
    AddressInUse,
    /// The command, folder or user the container asks for does not exist.
    Start,
    /// A hostPath or another source of a volume is not what it should be.
    Volume,
    /// There is nothing at a path inside a volume, and its folders cannot be made.
    SubPath,
    /// Anything else that the runtime refused.
    Refused,
}
