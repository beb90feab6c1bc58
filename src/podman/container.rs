//! Containers: made, started, signalled, changed, removed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dirs::{PodDir, SandboxFile, file_error, write_in_place};
use super::fault::{Fault, refused};
use super::http::encode;
use super::index::Record;
use super::inspect::Inspected;
use super::spec::{self, BindMount, ContainerSpec, Resolved};
use super::{Inner, naming, service, volume};
use crate::runtime::{ContainerConfig, ContainerState, LinuxResources, Outcome, RuntimeError, RuntimeErrorKind};

/// What is kept of a container beside its labels, in an annotation of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub message_from_log: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<volume::Part>,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

/// The kernel's least (proc(5): OOM_SCORE_ADJ_MIN).
const LEAST_OOM_SCORE: i64 = -1000;

impl Inner {
    /// The least `oom_score_adj` that containers may be given: without the capability, nobody may go below his own.
    /// Source: containerd, pkg/cri/server: restrictOOMScoreAdj.
    fn least_oom_score(&self) -> i64 {
        if !self.rootless && service::has_sys_resource() == Some(true) {
            return LEAST_OOM_SCORE;
        }
        let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        own.trim().parse().unwrap_or(0)
    }

    /// Makes a container in its sandbox. Made twice, it is the same container.
    pub async fn create_container(self: &Arc<Self>, config: &ContainerConfig) -> Result<Outcome, RuntimeError> {
        let (body, parts) = self.container_body(config).await?;
        let id = match self.http.post("/containers/create").json(&body).read::<Created>().await {
            Ok(created) => created.id,
            Err(fault) if fault.is_conflict() => self.adopt_container(&body, fault).await?,
            Err(fault) => {
                self.doubt(&fault);
                self.forget_image(&config.image);
                return Err(fault.into_error());
            }
        };
        self.add_container(&id, config, &body, parts);
        Ok(Outcome::Container { id })
    }

    async fn container_body(self: &Arc<Self>, config: &ContainerConfig) -> Result<(ContainerSpec, Vec<volume::Part>), RuntimeError> {
        let dir = self.dirs.pod(&config.pod_uid)?;
        let sandbox = dir.read_sandbox().unwrap_or_default();
        let mut resolved = Resolved {
            image: self.resolve_image(&config.image).await?,
            log_path: make_log(&dir, config)?,
            host_pid: sandbox.host_pid,
            host_ipc: sandbox.host_ipc,
            least_oom_score: self.least_oom_score(),
            ..Resolved::default()
        };
        for mount in &config.mounts {
            volume::resolve(self, &dir, mount, &mut resolved).await?;
        }
        add_own_files(&dir, config, &mut resolved)?;
        resolved.mounts.extend(self.ipc_mounts(config, sandbox.host_ipc).await?);
        resolved.annotations = annotations(config, &sandbox, &resolved.parts);
        let parts = resolved.parts.clone();
        Ok((spec::container(&self.instance, config, resolved).map_err(refused)?, parts))
    }

    fn add_container(&self, id: &str, config: &ContainerConfig, body: &ContainerSpec, parts: Vec<volume::Part>) {
        // The list tells it to the second; it only orders what is shown.
        let created_at = self.index().records.values().map(|r| r.created_at).max().unwrap_or_default();
        let Some(mut record) = Record::from_labels(id, &body.labels, false, created_at) else { return };
        record.sandbox_id.clone_from(&config.sandbox_id);
        record.annotations.extend(config.annotations.clone());
        record.message_from_log = config.termination_message_from_log;
        record.parts = parts;
        record.image.clone_from(&body.image);
        record.log_path.clone_from(&body.log_configuration.path);
        self.index().add(record);
    }

    /// The container may be there from a try whose answer was lost.
    async fn adopt_container(&self, body: &ContainerSpec, conflict: Fault) -> Result<String, RuntimeError> {
        let found = self.http.get(format!("/containers/{}/json", encode(&body.name, false))).read::<Inspected>().await;
        let ours = |inspected: &Inspected| {
            let labels = inspected.config.labels.clone().unwrap_or_default();
            body.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        match found {
            Ok(inspected) if ours(&inspected) && inspected.container_state() == ContainerState::Created => Ok(inspected.id),
            _ => Err(conflict.into_error()),
        }
    }

    /// Starts it, and sees what runs.
    pub async fn start_container(self: &Arc<Self>, id: &str) -> Result<Outcome, RuntimeError> {
        self.set_starting(id, true);
        if let Err(error) = self.check_parts(id).await {
            self.set_starting(id, false);
            return Err(error);
        }
        let started = self.http.post(format!("/containers/{}/start", encode(id, false))).ok().await;
        if let Err(fault) = started {
            self.set_starting(id, false);
            self.doubt(&fault);
            return Err(fault.into_kind(RuntimeErrorKind::Start));
        }
        if let Some(record) = self.index().records.get_mut(id) {
            record.process_gone = false;
            record.oom_killed = false;
            record.watch = None;
            record.stale = true;
        }
        let seen = self.inspect(id).await;
        self.set_starting(id, false);
        seen?;
        Ok(Outcome::Done)
    }

    /// Makes a container that has parts of volumes up to its first instruction, and sees that they are those that were looked at;
    /// else it is removed, and may be made anew.
    async fn check_parts(self: &Arc<Self>, id: &str) -> Result<(), RuntimeError> {
        let parts = self.index().records.get(id).map(|record| record.parts.clone()).unwrap_or_default();
        if parts.is_empty() || !self.pids_are_local() {
            return Ok(());
        }
        match self.http.post(format!("/containers/{}/init", encode(id, false))).ok().await {
            Ok(_) => {}
            // By a try whose answer was lost.
            Err(fault) if fault.is_improper_state() => {}
            Err(fault) => {
                self.doubt(&fault);
                return Err(fault.into_kind(RuntimeErrorKind::Start));
            }
        }
        let made: Inspected = self.http.get(format!("/containers/{}/json", encode(id, false))).read().await?;
        if parts.iter().all(|part| part.is_had_by(made.state.pid)) {
            return Ok(());
        }
        self.remove_container(id).await?;
        let message = "what a subPath names was exchanged while the container was made".to_owned();
        Err(RuntimeError::new(RuntimeErrorKind::NotFound, message))
    }

    fn set_starting(&self, id: &str, starting: bool) {
        if let Some(record) = self.index().records.get_mut(id) {
            record.starting = starting;
        }
    }

    /// Sends a signal; one that has ended already needs none.
    pub async fn signal(self: &Arc<Self>, id: &str, signal: i32) -> Result<Outcome, RuntimeError> {
        if let Some(record) = self.index().records.get_mut(id) {
            record.told_to_end = true;
        }
        let call = self.http.post(format!("/containers/{}/kill", encode(id, false))).query("signal", signal.to_string());
        match call.ok().await {
            Ok(_) => Ok(Outcome::Done),
            Err(fault) if fault.is_improper_state() => {
                self.mark_stale(id);
                Ok(Outcome::Done)
            }
            Err(fault) => {
                self.doubt(&fault);
                Err(fault.into_error())
            }
        }
    }

    /// Lets it go on after a pause.
    pub async fn resume_container(self: &Arc<Self>, id: &str) -> Result<Outcome, RuntimeError> {
        let resumed = self.http.post(format!("/containers/{}/unpause", encode(id, false))).ok().await;
        self.mark_stale(id);
        match resumed {
            Err(fault) if !fault.says_not_paused() => Err(fault.into_error()),
            _ => Ok(Outcome::Done),
        }
    }

    /// Removes it, running or not, with its anonymous volumes and its log.
    pub async fn remove_container(self: &Arc<Self>, id: &str) -> Result<Outcome, RuntimeError> {
        let call = self.http.delete(format!("/containers/{}", encode(id, false)));
        // The libpod endpoint calls them `v`, some versions `volumes`; what it does not know it ignores.
        let call = call.query("force", "true").query("timeout", "0").query("v", "true").query("volumes", "true");
        match call.ok().await {
            Ok(_) => {}
            Err(fault) if fault.is_not_found() => {}
            Err(fault) => {
                self.doubt(&fault);
                return Err(fault.into_error());
            }
        }
        let record = self.index().records.remove(id);
        if let Some(record) = record.filter(|r| !r.is_infra) {
            let dir = self.dirs.pod(&record.pod_uid)?;
            for path in [dir.log(&record.name, record.attempt)?, dir.termination(&record.name, record.attempt)?] {
                // Already gone is as good.
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(Outcome::Done)
    }

    /// Changes limits of a living container. (4.3 forgets them at its next start: whoever asks looks at when it was started.)
    pub async fn update_container(&self, id: &str, limits: &LinuxResources) -> Result<Outcome, RuntimeError> {
        self.check_memory(id, limits)?;
        let Some(body) = spec::resources(limits) else { return Ok(Outcome::Done) };
        self.http.post(format!("/containers/{}/update", encode(id, false))).json(&body).ok().await?;
        Ok(Outcome::Done)
    }

    pub fn mark_stale(&self, id: &str) {
        if let Some(record) = self.index().records.get_mut(id) {
            record.stale = true;
        }
    }
}

impl Fault {
    fn says_not_paused(&self) -> bool {
        self.is_improper_state() || self.message.contains("is not paused")
    }
}

fn annotations(config: &ContainerConfig, sandbox: &SandboxFile, parts: &[volume::Part]) -> BTreeMap<String, String> {
    let kept = Kept {
        annotations: config.annotations.clone(),
        message_from_log: config.termination_message_from_log,
        parts: parts.to_vec(),
    };
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    [
        (naming::KEPT.to_owned(), json(serde_json::to_string(&kept))),
        (naming::SANDBOX_KEPT.to_owned(), json(serde_json::to_string(sandbox))),
    ]
    .into()
}

fn make_log(dir: &PodDir, config: &ContainerConfig) -> Result<String, RuntimeError> {
    let path = dir.log(&config.name, config.attempt)?;
    let folder = path.parent().unwrap_or(dir.path());
    std::fs::create_dir_all(folder).map_err(|e| file_error("cannot make", folder, &e))?;
    Ok(path.to_string_lossy().into_owned())
}

/// `/etc/hosts`, `/etc/resolv.conf` and the file for the termination message, unless the container has its own there.
fn add_own_files(dir: &PodDir, config: &ContainerConfig, resolved: &mut Resolved) -> Result<(), RuntimeError> {
    let mut files = Vec::new();
    if let Some(hosts) = &config.hosts {
        let path = dir.hosts();
        write_in_place(&path, hosts.as_bytes(), 0o644).map_err(|e| file_error("cannot write", &path, &e))?;
        files.push(("/etc/hosts", path));
    }
    files.push(("/etc/resolv.conf", dir.resolv_conf()));
    let message_path = config.termination_message_path.as_str();
    if !message_path.is_empty() {
        let path = dir.termination(&config.name, config.attempt)?;
        make_message_file(&path)?;
        files.push((message_path, path));
    }
    for (target, source) in files {
        let taken = config.mounts.iter().any(|m| m.target.trim_end_matches('/') == target);
        if !taken && source.exists() {
            resolved.mounts.push(own_file(target, &source));
        }
    }
    Ok(())
}

/// Any user of the container may write it (kubelet makes it 0666 as well).
fn make_message_file(path: &std::path::Path) -> Result<(), RuntimeError> {
    let make = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, b"")?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
    };
    make().map_err(|e| file_error("cannot make", path, &e))
}

/// `z`: on SELinux, files that `wl` makes are labelled for all containers.
fn own_file(target: &str, source: &std::path::Path) -> BindMount {
    BindMount {
        destination: target.to_owned(),
        kind: "bind",
        source: source.to_string_lossy().into_owned(),
        options: vec!["rbind".into(), "rw".into(), "rprivate".into(), "z".into()],
    }
}
