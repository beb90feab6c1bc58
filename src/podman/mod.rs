//! The real runtime: Podman 4.3 and later, through the libpod API on a unix socket.
//!
//! [`Podman::connect`] finds Podman or starts its service; [`Podman`] is a [`Runtime`]. Nothing outside sees what libpod
//! sends or takes, nor the crate `podman-api`, which makes some of the calls.

mod connect;
mod container;
mod cgroups;
mod dirs;
pub mod doctor;
mod door;
mod events;
mod exec;
mod fault;
mod headroom;
mod hints;
mod http;
mod image_name;
mod images;
mod index;
mod inspect;
mod ipc;
mod limits;
mod locate;
pub mod logs;
mod machine;
mod namespaces;
mod naming;
mod network;
mod observe;
mod process;
mod readable;
mod reset;
mod sandbox;
mod service;
mod spec;
pub mod tar;
mod storage;
mod toolbox;
mod usage;
mod volume;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub use connect::{ConnectError, ConnectOptions, StartService, Version};
pub use image_name::ImageName;
pub use locate::Surroundings;
pub use naming::InstanceId;
pub use network::NewSubnet;
pub use process::{Process, Streams};

use crate::runtime::{
    Action, GATEWAY_UID, Headroom, Hint, Machine, Outcome, PodParts, PodUsage, Runtime, RuntimeError, Sandbox, Shortage,
};
use fault::Fault;
use index::Index;

/// `podman-api` has no deadlines of its own.
const API_DEADLINE: Duration = Duration::from_secs(30);

/// A connected Podman. Clones are the same one.
#[derive(Clone)]
pub struct Podman {
    inner: Arc<Inner>,
}

/// What all parts share.
struct Inner {
    http: http::Http,
    instance: InstanceId,
    version: Version,
    rootless: bool,
    /// Whether pids that Podman tells are this machine's.
    local_pids: bool,
    dirs: dirs::Dirs,
    /// A folder for files that live as long as a call.
    scratch: PathBuf,
    index: Mutex<Index>,
    hints: hints::Hints,
    images: images::Images,
    has_pause_image: AtomicBool,
    /// Podman 5 with cgroupfs gives a pod's cgroup the limits that it was made with again whenever a container of it starts, so a
    /// resize would not last: there it is told of none, and they are written here.
    writes_pod_limits: AtomicBool,
    /// The cgroup that has those of pods in it, as Podman tells it of the first.
    pod_cgroups: tokio::sync::OnceCell<PathBuf>,
    first_pod: tokio::sync::Mutex<()>,
    /// Where Podman keeps images and what containers write, once it has told.
    graph_root: std::sync::OnceLock<PathBuf>,
    relist_pause: Mutex<Duration>,
    events: Mutex<Option<tokio::task::AbortHandle>>,
}

impl Podman {
    pub fn version(&self) -> Version {
        self.inner.version
    }

    /// Whether it runs as an ordinary user.
    pub fn is_rootless(&self) -> bool {
        self.inner.rootless
    }

    /// The socket that is spoken to.
    pub fn socket(&self) -> PathBuf {
        self.inner.http.door().socket()
    }

    /// Whether this process started the service (and ends it).
    #[cfg(any(test, feature = "internals"))]
    pub async fn owns_service(&self) -> bool {
        self.inner.http.door().is_own().await
    }

    /// Makes an image of a root file system, a tar archive; `changes` as in a Containerfile (`CMD …`).
    pub async fn import_image(&self, reference: &str, tar: Bytes, changes: &[&str]) -> Result<(), RuntimeError> {
        self.inner.import_image(reference, tar, changes).await
    }

    /// Where a pod's volume on disk is, whether it is there or not.
    pub fn pod_volume(&self, uid: &str, name: &str) -> Result<PathBuf, RuntimeError> {
        self.inner.dirs.pod(uid)?.volume(name)
    }

    /// The logs of a pod's container that are still there, the newest first.
    pub fn kept_logs(&self, uid: &str, container: &str) -> Vec<PathBuf> {
        self.inner.dirs.pod(uid).and_then(|dir| dir.kept_logs(container)).unwrap_or_default()
    }

    /// Removes the images of a repository that no container uses.
    pub async fn remove_images_of(&self, repository: &str) -> Result<(), RuntimeError> {
        self.inner.remove_images_of(repository).await
    }

    /// Ends the service, if it is ours; containers live on.
    pub async fn close(&self) {
        self.inner.http.door().close().await;
    }
}

impl Runtime for Podman {
    async fn observe(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        let mut all = self.inner.observe().await?;
        all.retain(|sandbox| sandbox.uid != GATEWAY_UID);
        Ok(all)
    }

    async fn observe_pod(&self, uid: &str) -> Result<Option<Sandbox>, RuntimeError> {
        self.inner.observe_pod(uid).await
    }

    async fn execute(&self, action: &Action) -> Result<Outcome, RuntimeError> {
        let inner = &self.inner;
        match action {
            Action::PullImage { image, auth, pod_uid: _ } => inner.pull_image(image, auth).await,
            Action::InspectImage { image } => Ok(Outcome::Image(inner.inspect_image(image).await?)),
            Action::RunSandbox(config) => inner.run_sandbox(config).await,
            Action::WriteVolume(content) => volume::write(inner, content).await,
            Action::CreateContainer(config) => inner.create_container(config).await,
            Action::StartContainer { id, pod_uid: _ } => inner.start_container(id).await,
            Action::SignalContainer { id, pod_uid: _, signal } => inner.signal(id, *signal).await,
            Action::RemoveContainer { id, pod_uid: _ } => inner.remove_container(id).await,
            Action::ResumeContainer { id, pod_uid: _ } => inner.resume_container(id).await,
            Action::UpdateContainer { id, pod_uid: _, resources } => inner.update_container(id, resources).await,
            Action::UpdateSandbox { id, pod_uid: _, resources } => inner.update_sandbox(id, resources),
            Action::MeasureStorage { pod_uid, containers, volumes } => inner.measure_storage(pod_uid, containers, volumes).await,
            Action::FreeStorage { id, pod_uid, volumes } => inner.free_storage(id, pod_uid, volumes).await,
            Action::ExecSync { id, pod_uid: _, command, timeout } => inner.exec_sync(id, command, *timeout).await,
            Action::StopSandbox { id, pod_uid: _ } => inner.stop_sandbox(id).await,
            Action::RemoveSandbox { id, pod_uid, forget_pod } => inner.remove_sandbox(id, pod_uid, *forget_pod).await,
        }
    }

    async fn next_hint(&self) -> Hint {
        self.inner.hints.next().await
    }

    async fn machine(&self) -> Result<Machine, RuntimeError> {
        self.inner.machine().await
    }

    async fn reclaim_volume(&self, name: &str) -> Result<(), RuntimeError> {
        match naming::segment(name) {
            Some(_) => self.remove_volume(&naming::claimed_volume(&self.inner.instance, name)).await,
            // Nothing has such a name.
            None => Ok(()),
        }
    }

    async fn headroom(&self, of: &BTreeSet<Shortage>) -> Headroom {
        self.inner.headroom(of)
    }

    async fn usage(&self, pods: &[PodParts], of: Shortage) -> BTreeMap<String, PodUsage> {
        self.inner.usage(pods, of).await
    }
}

impl Inner {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn relist_pause(&self) -> MutexGuard<'_, Duration> {
        self.relist_pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pids_are_local(&self) -> bool {
        self.local_pids
    }

    /// After a call whose effect is not known, only a list tells what there is.
    fn doubt(&self, fault: &Fault) {
        if fault.uncertain {
            self.index().uncertain = true;
        }
    }

    /// After a time without the service, anything may have changed.
    fn distrust_everything(&self) {
        self.index().uncertain = true;
        self.hints.all();
    }

    /// The calls that `podman-api` makes.
    async fn api(&self) -> podman_api::Podman {
        let socket = match self.http.door().knock().await {
            Ok((socket, _)) => socket,
            // The call says so.
            Err(_) => self.http.door().socket(),
        };
        podman_api::Podman::unix(socket)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let events = self.events.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(events) = events {
            events.abort();
        }
    }
}
