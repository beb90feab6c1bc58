//! What the pretend node holds, and what each action does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::{Behaviour, name};
use crate::runtime::{
    Action, Container, ContainerConfig, ContainerState, Exit, Headroom, ImageInfo, Outcome, PodUsage, RuntimeError,
    RuntimeErrorKind, Sandbox, SandboxConfig, SandboxState, StorageUse,
};

const KILL: i32 = 9;

#[derive(Default)]
pub(super) struct World {
    pub(super) pods: BTreeMap<String, Pod>,
    /// Volumes that were written, by pod and name.
    volumes: BTreeSet<(String, String)>,
    pub(super) images: BTreeSet<String>,
    pub(super) lost_images: BTreeSet<String>,
    pub(super) behaviours: BTreeMap<String, Vec<Behaviour>>,
    pub(super) breaches: Vec<String>,
    /// Bytes, by the name of a container or volume.
    pub(super) stored: BTreeMap<String, u64>,
    /// What the machine has left.
    pub(super) headroom: Headroom,
    /// What it has left once storage was given back.
    pub(super) headroom_when_freed: Option<Headroom>,
    /// By the name of a pod.
    pub(super) usages: BTreeMap<String, PodUsage>,
    counter: u32,
}

pub(super) struct Pod {
    pub(super) sandbox: Sandbox,
    host_ports: Vec<(String, u16, String)>,
    pub(super) plans: BTreeMap<String, Planned>,
}

impl Pod {
    /// Lets happen what is due; whether anything was.
    fn settle(&mut self, now: Timestamp) -> bool {
        let mut changed = false;
        for container in &mut self.sandbox.containers {
            let Some(planned) = self.plans.get(&container.id) else { continue };
            let running = matches!(container.state, ContainerState::Running { .. });
            if let Some((at, code)) = planned.ends_at.filter(|(at, _)| running && *at <= now) {
                end(container, code, at, planned.behaviour.out_of_memory, &planned.behaviour.message);
                changed = true;
            }
        }
        changed
    }
}

/// How a running container will end.
pub(super) struct Planned {
    behaviour: Behaviour,
    pub(super) ends_at: Option<(Timestamp, i32)>,
}

fn error(kind: RuntimeErrorKind, message: impl Into<String>) -> RuntimeError {
    RuntimeError::new(kind, message)
}

fn after(at: Timestamp, delay: Duration) -> Timestamp {
    let delay = jiff::SignedDuration::try_from(delay).unwrap_or(jiff::SignedDuration::MAX);
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// One line of the log: the action, and names instead of ids.
pub(super) fn line(world: &World, action: &Action) -> String {
    let own = world.pods.get(action.pod_uid()).map(|p| &p.sandbox);
    let pod = own.map(|sandbox| sandbox.name.clone()).unwrap_or_default();
    let container = |id: &str| {
        let found = own.into_iter().flat_map(|sandbox| &sandbox.containers).find(|c| c.id == id);
        found.map_or_else(|| format!("{pod}/?"), |c| format!("{pod}/{}#{}", c.name, c.attempt))
    };
    let about = match action {
        Action::PullImage { image, .. } | Action::InspectImage { image } => image.clone(),
        Action::RunSandbox(config) => config.name.clone(),
        Action::WriteVolume(content) => content.name.clone(),
        Action::CreateContainer(config) => format!("{}/{}#{}", config.pod_name, config.name, config.attempt),
        Action::SignalContainer { id, signal, .. } => format!("{} {signal}", container(id)),
        Action::StartContainer { id, .. }
        | Action::RemoveContainer { id, .. }
        | Action::ResumeContainer { id, .. }
        | Action::UpdateContainer { id, .. }
        | Action::ExecSync { id, .. } => container(id),
        Action::UpdateSandbox { .. }
        | Action::MeasureStorage { .. }
        | Action::FreeStorage { .. }
        | Action::StopSandbox { .. }
        | Action::RemoveSandbox { .. } => pod,
    };
    format!("{} {about}", name(action))
}

impl World {
    pub(super) fn sandboxes(&self) -> Vec<Sandbox> {
        self.pods.values().map(|p| p.sandbox.clone()).collect()
    }

    /// What there is of one pod, after what is due of it has happened.
    pub(super) fn settle_pod(&mut self, uid: &str, now: Timestamp) -> Option<&Sandbox> {
        let pod = self.pods.get_mut(uid)?;
        pod.settle(now);
        Some(&pod.sandbox)
    }

    /// Lets happen what is due; gives the uids of the pods where something did.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<String> {
        let changed = self.pods.iter_mut().filter_map(|(uid, pod)| pod.settle(now).then(|| uid.clone()));
        changed.collect()
    }

    fn breach(&mut self, message: String) -> RuntimeError {
        self.breaches.push(message.clone());
        error(RuntimeErrorKind::Refused, message)
    }

    fn id(&mut self, kind: &str) -> String {
        self.counter += 1;
        format!("{kind}{:04}", self.counter)
    }

    pub(super) fn act(&mut self, action: &Action, now: Timestamp) -> Result<Outcome, RuntimeError> {
        match action {
            Action::InspectImage { image } => Ok(Outcome::Image(self.images.contains(image).then(|| info(image)))),
            Action::PullImage { image, .. } => self.pull(image),
            Action::RunSandbox(config) => self.run_sandbox(config, now),
            Action::WriteVolume(content) => {
                self.volumes.insert((content.pod_uid.clone(), content.name.clone()));
                Ok(Outcome::Volume { path: format!("/pretend/{}/{}", content.pod_uid, content.name) })
            }
            Action::CreateContainer(config) => self.create(config, now),
            Action::StartContainer { id, pod_uid } => self.start(id, pod_uid, now),
            Action::SignalContainer { id, pod_uid, signal } => self.signal(id, pod_uid, *signal, now),
            Action::RemoveContainer { id, pod_uid } => self.remove(id, pod_uid),
            Action::ResumeContainer { id, pod_uid } => {
                if let ContainerState::Running { paused, .. } = &mut self.container(id, pod_uid)?.state {
                    *paused = false;
                }
                Ok(Outcome::Done)
            }
            Action::UpdateContainer { id, pod_uid, .. } => {
                if !matches!(self.container(id, pod_uid)?.state, ContainerState::Running { .. }) {
                    return Err(self.breach(format!("other limits for {id}, which does not run")));
                }
                Ok(Outcome::Done)
            }
            Action::MeasureStorage { containers, volumes, .. } => {
                let stores = |name: &String| (name.clone(), self.stored.get(name).copied().unwrap_or(0));
                let containers = containers.iter().map(|(name, _)| stores(name)).collect();
                Ok(Outcome::Storage(StorageUse { containers, volumes: volumes.iter().map(stores).collect() }))
            }
            Action::FreeStorage { id, pod_uid, volumes } => self.free(id, pod_uid, volumes),
            Action::UpdateSandbox { pod_uid, .. } => self.pod(pod_uid).map(|_| Outcome::Done),
            Action::ExecSync { id, pod_uid, .. } => {
                let running = matches!(self.container(id, pod_uid)?.state, ContainerState::Running { .. });
                if !running {
                    return Err(error(RuntimeErrorKind::NotFound, "container is not running"));
                }
                Ok(Outcome::Exec { exit_code: 0, output: Vec::new(), errors: Vec::new(), timed_out: false })
            }
            Action::StopSandbox { pod_uid, .. } => {
                let pod = self.pod(pod_uid)?;
                pod.sandbox.state = SandboxState::NotReady;
                Ok(Outcome::Done)
            }
            Action::RemoveSandbox { id, pod_uid, forget_pod } => {
                if self.pods.get(pod_uid).is_some_and(|p| &p.sandbox.id == id) {
                    self.pods.remove(pod_uid);
                }
                if *forget_pod {
                    self.volumes.retain(|(uid, _)| uid != pod_uid);
                }
                Ok(Outcome::Done)
            }
        }
    }

    fn free(&mut self, id: &str, uid: &str, volumes: &[String]) -> Result<Outcome, RuntimeError> {
        let own = self.pods.get(uid).filter(|p| p.sandbox.id == id);
        let runs = own.is_some_and(|p| p.sandbox.containers.iter().any(|c| matches!(c.state, ContainerState::Running { .. })));
        if runs {
            return Err(self.breach(format!("the storage of {id}, in which something runs")));
        }
        if own.is_some() {
            self.pods.remove(uid);
        }
        self.volumes.retain(|(pod, name)| pod != uid || !volumes.contains(name));
        if let Some(headroom) = self.headroom_when_freed.take() {
            self.headroom = headroom;
        }
        Ok(Outcome::Done)
    }

    /// What a pod uses, as it was told, while something of it runs.
    pub(super) fn usage_of(&self, uid: &str) -> Option<PodUsage> {
        let sandbox = &self.pods.get(uid)?.sandbox;
        let runs = sandbox.containers.iter().any(|c| matches!(c.state, ContainerState::Running { .. }));
        self.usages.get(&sandbox.name).filter(|_| runs).cloned()
    }

    fn pod(&mut self, uid: &str) -> Result<&mut Pod, RuntimeError> {
        self.pods.get_mut(uid).ok_or_else(|| error(RuntimeErrorKind::NotFound, "no such pod"))
    }

    fn container(&mut self, id: &str, uid: &str) -> Result<&mut Container, RuntimeError> {
        let found = self.pod(uid)?.sandbox.containers.iter_mut().find(|c| c.id == id);
        found.ok_or_else(|| error(RuntimeErrorKind::NotFound, "no such container"))
    }

    fn pull(&mut self, image: &str) -> Result<Outcome, RuntimeError> {
        if self.lost_images.contains(image) {
            return Err(error(RuntimeErrorKind::ImageMissing, format!("{image}: manifest unknown")));
        }
        self.images.insert(image.to_owned());
        let took = Duration::from_millis(10);
        Ok(Outcome::Pulled { image_id: info(image).id, size_bytes: 1000, took, took_with_wait: took })
    }

    fn run_sandbox(&mut self, config: &SandboxConfig, now: Timestamp) -> Result<Outcome, RuntimeError> {
        if self.pods.contains_key(&config.uid) {
            self.breach(format!("a second sandbox for pod {}", config.name));
            return Err(error(RuntimeErrorKind::Exists, "the pod exists"));
        }
        let wanted: Vec<_> = config.ports.iter().map(|p| (p.host_ip.clone(), p.host_port, p.protocol.clone())).collect();
        let taken = self.pods.values().flat_map(|p| &p.host_ports).any(|p| wanted.contains(p));
        if taken {
            return Err(error(RuntimeErrorKind::AddressInUse, "address already in use"));
        }
        let id = self.id("s");
        let mut ips: Vec<IpAddr> = config.network.as_ref().map(|n| n.ips.clone()).unwrap_or_default();
        if config.network.is_some() && ips.is_empty() {
            let n = u8::try_from(self.counter % 250).unwrap_or(0) + 2;
            ips.push(IpAddr::from([10, 88, 0, n]));
        }
        let in_use = |ip: &IpAddr| self.pods.values().any(|p| p.sandbox.ips.contains(ip));
        if ips.iter().any(in_use) {
            return Err(error(RuntimeErrorKind::AddressInUse, "requested ip address is already allocated"));
        }
        let sandbox = Sandbox {
            uid: config.uid.clone(),
            namespace: config.namespace.clone(),
            name: config.name.clone(),
            id: id.clone(),
            state: SandboxState::Ready,
            attempt: config.attempt,
            created_at: now,
            ips: ips.clone(),
            pid: Some(1),
            containers: Vec::new(),
            annotations: config.annotations.clone(),
        };
        self.pods.insert(config.uid.clone(), Pod { sandbox, host_ports: wanted, plans: BTreeMap::new() });
        Ok(Outcome::Sandbox { id, ips })
    }

    fn create(&mut self, config: &ContainerConfig, now: Timestamp) -> Result<Outcome, RuntimeError> {
        if !self.images.contains(&config.image) {
            return Err(error(RuntimeErrorKind::ImageMissing, format!("{}: image not known", config.image)));
        }
        for mount in &config.mounts {
            if let crate::runtime::MountSource::PodVolume(name) = &mount.source
                && !self.volumes.contains(&(config.pod_uid.clone(), name.clone()))
            {
                return Err(self.breach(format!("volume {name} of {} was never written", config.pod_name)));
            }
        }
        let pod = self.pod(&config.pod_uid)?;
        if pod.sandbox.id != config.sandbox_id || pod.sandbox.state != SandboxState::Ready {
            return Err(error(RuntimeErrorKind::NotFound, "no such sandbox"));
        }
        let same: Vec<_> = pod.sandbox.containers.iter().filter(|c| c.name == config.name).cloned().collect();
        let what = format!("{}/{}#{}", config.pod_name, config.name, config.attempt);
        if same.iter().any(|c| c.attempt >= config.attempt) {
            return Err(self.breach(format!("attempt of {what} is not new")));
        }
        if same.iter().any(|c| matches!(c.state, ContainerState::Running { .. })) {
            return Err(self.breach(format!("{what} while another attempt runs")));
        }
        let id = self.id("c");
        let container = Container {
            id: id.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            image: config.image.clone(),
            image_id: info(&config.image).id,
            spec_hash: config.spec_hash.clone(),
            created_at: now,
            log_path: String::new(),
            annotations: config.annotations.clone(),
        };
        self.pod(&config.pod_uid)?.sandbox.containers.push(container);
        Ok(Outcome::Container { id })
    }

    fn start(&mut self, id: &str, uid: &str, now: Timestamp) -> Result<Outcome, RuntimeError> {
        let container = self.container(id, uid)?.clone();
        if container.state != ContainerState::Created {
            return Err(self.breach(format!("start of {}#{} that is not new", container.name, container.attempt)));
        }
        let list = self.behaviours.get(&container.image);
        let attempt = usize::try_from(container.attempt).unwrap_or(0);
        let behaviour = list.and_then(|l| l.get(attempt).or(l.last())).cloned().unwrap_or_default();
        if let Some(message) = &behaviour.start_error {
            return Err(error(RuntimeErrorKind::Start, message.clone()));
        }
        let ends_at = behaviour.ends_after.map(|d| (after(now, d), behaviour.exit_code));
        self.container(id, uid)?.state = ContainerState::Running { started_at: now, pid: 2, paused: false };
        self.pod(uid)?.plans.insert(id.to_owned(), Planned { behaviour, ends_at });
        Ok(Outcome::Done)
    }

    fn signal(&mut self, id: &str, uid: &str, signal: i32, now: Timestamp) -> Result<Outcome, RuntimeError> {
        if !matches!(self.container(id, uid)?.state, ContainerState::Running { .. }) {
            return Err(error(RuntimeErrorKind::Refused, "container state improper"));
        }
        let Some(planned) = self.pod(uid)?.plans.get_mut(id) else { return Ok(Outcome::Done) };
        let behaviour = &planned.behaviour;
        let end = if signal == KILL {
            Some((now, 128 + KILL))
        } else {
            behaviour.ends_on_signal_after.map(|delay| (after(now, delay), behaviour.exit_code_on_signal))
        };
        if let Some(end) = end.filter(|(at, _)| planned.ends_at.is_none_or(|(old, _)| *at < old)) {
            planned.ends_at = Some(end);
        }
        Ok(Outcome::Done)
    }

    fn remove(&mut self, id: &str, uid: &str) -> Result<Outcome, RuntimeError> {
        let container = self.container(id, uid)?.clone();
        if matches!(container.state, ContainerState::Running { .. }) {
            return Err(self.breach(format!("removal of {}#{} that runs", container.name, container.attempt)));
        }
        self.pod(uid)?.sandbox.containers.retain(|c| c.id != id);
        Ok(Outcome::Done)
    }
}

pub(super) fn end(container: &mut Container, code: i32, at: Timestamp, oom_killed: bool, message: &str) {
    let started_at = match container.state {
        ContainerState::Running { started_at, .. } => Some(started_at),
        ContainerState::Created | ContainerState::Exited(_) | ContainerState::Unknown => None,
    };
    container.state =
        ContainerState::Exited(Exit { code, started_at, finished_at: at, oom_killed, message: message.to_owned() });
}

fn info(image: &str) -> ImageInfo {
    let command = vec!["/program".to_owned()];
    ImageInfo { id: format!("sha256:{image}"), digest_reference: format!("{image}@sha256:0"), command, ..ImageInfo::default() }
}
