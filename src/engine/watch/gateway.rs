//! Keeps the gateway: its pod runs, and it is told of every change of Services and endpoints.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::flags::parse_resolv_conf;
use super::pods_api::PodsApi;
use super::publishing::Publisher;
use crate::api::GroupResource;
use crate::engine::{EngineOptions, Rotation};
use crate::network::gateway::{COMMAND, CONFIG_FILE, Control, ControlError};
use crate::network::image::{GatewayImage, PROGRAM, REPOSITORY};
use crate::network::{self, Cidr, GatewayConfig, PodSubnet, Publish, inside};
use crate::podman::Podman;
use crate::registry::bootstrap;
use crate::runtime::{
    Action, Container, ContainerConfig, ContainerState, GATEWAY_UID, Mount, MountSource, Outcome, PodNetwork, Runtime,
    RuntimeError, RuntimeErrorKind, Sandbox, SandboxConfig, SandboxState, SecurityConfig, VolumeContent, VolumeKind,
};
use crate::store::Store;

const NAMESPACE: &str = "kube-system";
const CONTAINER: &str = "gateway";
const CONFIG: &str = "config";
/// Its volume for sockets.
pub(super) const RUN: &str = "run";
/// Who the gateway is in its container: nobody in particular.
const USER: &str = "1:1";
/// How long a new gateway may take until it listens.
const COMES_UP: Duration = Duration::from_secs(20);
/// Between two tries: the first comes at once, later ones wait longer.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A gateway that has lived so long did not fail at its start.
const LIVED: Duration = Duration::from_secs(10);
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of name servers.
const DNS: u16 = 53;
/// Between two looks whether the machine has other resolvers now.
const RESOLVERS: Duration = Duration::from_secs(30);
/// The same while ports of the machine are taken by others.
const LACKING: Duration = Duration::from_secs(3);
/// SIGKILL.
const KILL: i32 = 9;

/// What keeps the gateway of one instance.
pub(super) struct Keeper {
    podman: Arc<Podman>,
    store: Store,
    subnet: PodSubnet,
    /// The ranges of cluster IPs.
    services: Vec<Cidr>,
    /// The process that leads into the gateway's network, while there is one.
    pid: Option<u32>,
    domain: String,
    /// Name servers that were named; else the machine's.
    resolvers: Vec<String>,
    program: PathBuf,
    image: Option<Arc<GatewayImage>>,
    told: GatewayConfig,
    publish: Publish,
    publisher: Publisher,
    rotation: Rotation,
    api: Option<PodsApi>,
    /// The IPv6 addresses that the gateway's pod answers for, as far as that is known.
    held: Option<BTreeSet<Ipv6Addr>>,
}

/// Why there is no gateway for now.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Control(#[from] ControlError),
    #[error("it ended at once: {0}")]
    Ended(String),
    #[error("it does not listen")]
    Mute,
}

impl Keeper {
    /// `log` is the file for what the porter has to say.
    pub(super) fn new(
        podman: Arc<Podman>,
        store: Store,
        subnet: PodSubnet,
        services: Vec<Cidr>,
        publish: Publish,
        options: &EngineOptions,
        log: PathBuf,
    ) -> Self {
        let config = &options.config;
        // The file may be another one by now: this process's own is meant.
        let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        Keeper {
            podman,
            subnet,
            services,
            pid: None,
            domain: config.cluster_domain.clone(),
            resolvers: config.resolver.servers.clone(),
            publish,
            publisher: Publisher::new(store.clone(), program.clone(), log, &config.node_name),
            rotation: options.rotation.clone(),
            api: None,
            held: None,
            store,
            program,
            image: None,
            told: GatewayConfig::default(),
        }
    }

    /// With the API for pods, served beside the gateway.
    pub(super) fn with_api(mut self, api: PodsApi) -> Self {
        self.api = Some(api);
        self
    }

    /// Until it is dropped. The gateway goes on without it.
    pub(super) async fn run(mut self) {
        self.until_needed().await;
        let mut pause = PAUSES.0;
        let mut said = String::new();
        loop {
            let begun = tokio::time::Instant::now();
            let ended = match self.bring_up().await {
                Ok(control) => self.serve(control).await,
                Err(fault) => Err(fault),
            };
            self.rotation.stop();
            if begun.elapsed() > LIVED {
                pause = PAUSES.0;
                said.clear();
            }
            if let Err(fault) = ended {
                let text = fault.to_string();
                if text != said {
                    eprintln!("the gateway of Services does not run: {text}");
                    said = text;
                }
                clock::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    /// Without pods there is nobody who could ask it.
    async fn until_needed(&self) {
        let pods = GroupResource::new("", "pods");
        loop {
            let (state, mut changes) = self.store.snapshot_and_changes();
            if state.count(&pods) > 0 {
                return;
            }
            while let Ok(list) = changes.next().await {
                if list.iter().any(|change| change.key.resource == pods) {
                    return;
                }
            }
        }
    }

    /// Makes whatever is missing, and gives the connection to the gateway that runs.
    async fn bring_up(&mut self) -> Result<Control, Fault> {
        let image = self.image().await?;
        let (config, run) = (self.folder(CONFIG).await?, self.folder(RUN).await?);
        self.write(&config)?;
        if let Some(api) = &mut self.api {
            api.serve_in(&run)?;
        }
        let (sandbox, pid) = self.sandbox().await?;
        for range in self.services.iter().filter(|range| !range.is_ipv6()) {
            inside::answer_for(pid, *range, self.program.clone()).await?;
        }
        self.pid = Some(pid);
        self.held = None;
        self.hold_v6().await?;
        let id = self.container(&sandbox, &image).await?;
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < COMES_UP {
            if let Ok(control) = Control::connect(&run).await {
                return Ok(control);
            }
            if let Some(ended) = self.ended(&id).await? {
                return Err(Fault::Ended(ended));
            }
            clock::sleep(Duration::from_millis(10)).await;
        }
        Err(Fault::Mute)
    }

    /// Has the gateway's pod answer for the IPv6 addresses that Services have now, where these are others than before.
    async fn hold_v6(&mut self) -> Result<(), Fault> {
        let (Some(range), Some(pid)) = (self.range_v6(), self.pid) else { return Ok(()) };
        let own = self.addresses().into_iter().find_map(|a| if let IpAddr::V6(own) = a { Some(own) } else { None });
        let wanted = self.told.addresses_v6();
        if let Some(own) = own.filter(|_| self.held.as_ref() != Some(&wanted)) {
            inside::hold(pid, own, range, &wanted, self.program.clone()).await?;
            self.held = Some(wanted);
        }
        Ok(())
    }

    fn range_v6(&self) -> Option<Cidr> {
        self.services.iter().copied().find(Cidr::is_ipv6)
    }

    /// The addresses of the gateway's own pod.
    fn addresses(&self) -> Vec<IpAddr> {
        self.subnet.all_of(self.subnet.name_server())
    }

    async fn image(&mut self) -> Result<Arc<GatewayImage>, Fault> {
        if let Some(image) = &self.image {
            return Ok(image.clone());
        }
        let program = self.program.clone();
        let made = tokio::task::spawn_blocking(move || GatewayImage::of(&program)).await.map_err(std::io::Error::other)??;
        Ok(self.image.insert(Arc::new(made)).clone())
    }

    /// A folder of the pod, by the name of its volume.
    async fn folder(&self, name: &str) -> Result<PathBuf, Fault> {
        let kind = VolumeKind::Empty { memory: false, size_limit: None };
        let content = VolumeContent { pod_uid: GATEWAY_UID.into(), name: name.into(), kind, fs_group: None };
        match self.podman.execute(&Action::WriteVolume(Box::new(content))).await? {
            Outcome::Volume { path } => Ok(path.into()),
            _ => Err(strange()),
        }
    }

    /// The sandbox with the process that leads into its network.
    async fn sandbox(&self) -> Result<(Sandbox, u32), Fault> {
        let mut attempt = 0;
        if let Some(there) = self.podman.observe_pod(GATEWAY_UID).await? {
            let has_all = self.addresses().iter().all(|address| there.ips.contains(address));
            if let (SandboxState::Ready, Some(pid), true) = (there.state, there.pid, has_all) {
                return Ok((there, pid));
            }
            attempt = there.attempt + 1;
            let remove =
                Action::RemoveSandbox { id: there.id.clone(), pod_uid: GATEWAY_UID.into(), forget_pod: false };
            self.podman.execute(&remove).await?;
        }
        let config = SandboxConfig {
            uid: GATEWAY_UID.into(),
            namespace: NAMESPACE.into(),
            name: GATEWAY_UID.into(),
            attempt,
            hostname: GATEWAY_UID.into(),
            network: Some(PodNetwork { ips: self.addresses() }),
            // Low ports without a privilege.
            sysctls: [("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned())].into(),
            ..SandboxConfig::default()
        };
        self.podman.execute(&Action::RunSandbox(Box::new(config))).await?;
        let made = self.podman.observe_pod(GATEWAY_UID).await?.ok_or_else(strange)?;
        let pid = made.pid.ok_or_else(strange)?;
        Ok((made, pid))
    }

    /// The running container of this image: the one that is there, or a new one in the place of all others.
    async fn container(&self, sandbox: &Sandbox, image: &Arc<GatewayImage>) -> Result<String, Fault> {
        let fits = |c: &&Container| {
            c.spec_hash == image.reference && matches!(c.state, ContainerState::Running { paused: false, .. })
        };
        if let Some(there) = sandbox.containers.iter().find(fits) {
            return Ok(there.id.clone());
        }
        let attempt = sandbox.containers.iter().map(|c| c.attempt + 1).max().unwrap_or(0);
        let config = self.container_config(sandbox, image, attempt);
        let id = match self.create(&config).await {
            Err(error) if matches!(error.kind, RuntimeErrorKind::ImageMissing | RuntimeErrorKind::NotFound) => {
                self.import(image).await?;
                self.create(&config).await?
            }
            other => other?,
        };
        let pod_uid = || GATEWAY_UID.to_owned();
        for old in &sandbox.containers {
            if matches!(old.state, ContainerState::Running { .. }) {
                let kill = Action::SignalContainer { id: old.id.clone(), pod_uid: pod_uid(), signal: KILL };
                self.podman.execute(&kill).await?;
            }
        }
        self.podman.execute(&Action::StartContainer { id: id.clone(), pod_uid: pod_uid() }).await?;
        for old in &sandbox.containers {
            self.podman.execute(&Action::RemoveContainer { id: old.id.clone(), pod_uid: pod_uid() }).await?;
        }
        if sandbox.containers.iter().any(|old| old.spec_hash != image.reference) {
            // Those of older versions are nobody's any more.
            self.podman.remove_images_of(REPOSITORY).await?;
        }
        Ok(id)
    }

    async fn create(&self, config: &ContainerConfig) -> Result<String, RuntimeError> {
        match self.podman.execute(&Action::CreateContainer(Box::new(config.clone()))).await? {
            Outcome::Container { id } => Ok(id),
            _ => Err(RuntimeError::new(RuntimeErrorKind::Refused, "no container was made")),
        }
    }

    async fn import(&self, image: &Arc<GatewayImage>) -> Result<(), Fault> {
        let tar = image.clone();
        let tar = tokio::task::spawn_blocking(move || tar.tar()).await.map_err(std::io::Error::other)??;
        Ok(self.podman.import_image(&image.reference, tar.into(), &[]).await?)
    }

    fn container_config(&self, sandbox: &Sandbox, image: &GatewayImage, attempt: u32) -> ContainerConfig {
        let mount = |name: &str, read_only: bool| Mount {
            target: format!("/{name}"),
            source: MountSource::PodVolume(name.to_owned()),
            read_only,
            recursive_read_only: false,
            propagation: "private".into(),
            sub_path: String::new(),
        };
        ContainerConfig {
            pod_uid: GATEWAY_UID.into(),
            pod_namespace: NAMESPACE.into(),
            pod_name: GATEWAY_UID.into(),
            sandbox_id: sandbox.id.clone(),
            name: CONTAINER.into(),
            attempt,
            image: image.reference.clone(),
            command: vec![PROGRAM.into(), COMMAND.into(), format!("/{CONFIG}"), format!("/{RUN}")],
            working_dir: "/".into(),
            mounts: vec![mount(CONFIG, true), mount(RUN, false)],
            security: SecurityConfig {
                user: USER.into(),
                drop_capabilities: vec!["ALL".into()],
                no_new_privileges: true,
                read_only_root_filesystem: true,
                ..SecurityConfig::default()
            },
            spec_hash: image.reference.clone(),
            ..ContainerConfig::default()
        }
    }

    /// The end of its log, where the container has ended.
    async fn ended(&self, id: &str) -> Result<Option<String>, Fault> {
        let sandbox = self.podman.observe_pod(GATEWAY_UID).await?;
        let container = sandbox.into_iter().flat_map(|s| s.containers).find(|c| c.id == id);
        Ok(match container {
            Some(Container { state: ContainerState::Running { .. } | ContainerState::Created, .. }) => None,
            Some(container) => {
                let log = std::fs::read_to_string(&container.log_path).unwrap_or_default();
                Some(log.lines().last().unwrap_or("it said nothing").to_owned())
            }
            None => Some("it was removed".into()),
        })
    }

    /// Tells it of every change, until it has gone.
    async fn serve(&mut self, mut control: Control) -> Result<(), Fault> {
        let (folder, run) = (self.folder(CONFIG).await?, self.folder(RUN).await?);
        loop {
            let (_, mut changes) = self.store.snapshot_and_changes();
            // It may have begun before the file was written.
            control.load().await?;
            let mut first = true;
            loop {
                let began = tokio::time::Instant::now();
                if !bootstrap::api_is_reached(&self.store.snapshot()) {
                    // What was deleted by hand comes back; the next look tries again where it cannot yet.
                    let _ = self.store.bootstrap().await;
                }
                let (_, version) = self.rotation.leaving();
                let changed = self.write(&folder)?;
                if changed {
                    // Nobody can listen at an address before it is there.
                    self.hold_v6().await?;
                    control.load().await?;
                }
                self.rotation.serves(version, self.told.in_rotation());
                if changed || first || self.publisher.is_lacking() {
                    self.publisher.publish(&self.told, &folder, &run).await;
                }
                first = false;
                if changed {
                    // Half the time at most is spent on this: meanwhile changes gather.
                    clock::sleep(began.elapsed()).await;
                }
                let next = async {
                    loop {
                        match changes.next().await {
                            Ok(list) if list.iter().any(|c| network::concerns(&c.key.resource)) => return true,
                            Ok(_) => {}
                            Err(_) => return false,
                        }
                    }
                };
                tokio::select! {
                    known = next => if !known { break },
                    () = control.ended() => return Ok(()),
                    () = self.rotation.changed() => {}
                    () = clock::sleep(if self.publisher.is_lacking() { LACKING } else { RESOLVERS }) => {}
                }
            }
        }
    }

    fn upstreams(&self) -> Vec<SocketAddr> {
        let machine = || parse_resolv_conf(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default()).servers;
        let named = if self.resolvers.is_empty() { machine() } else { self.resolvers.clone() };
        named.iter().filter_map(|text| Some(SocketAddr::new(text.parse().ok()?, DNS))).collect()
    }

    /// Writes the configuration where it is another than the last.
    fn write(&mut self, folder: &Path) -> Result<bool, Fault> {
        let mut config = network::compile(&self.store.snapshot(), &self.domain, &self.publish, &self.rotation.leaving().0);
        config = config.within(self.range_v6());
        config.name_server = Some(SocketAddr::new(self.subnet.name_server().into(), DNS));
        config.api = self.api.is_some().then(|| SocketAddr::new(self.subnet.name_server().into(), bootstrap::API_PORT));
        config.upstreams = self.upstreams();
        config.generation = self.told.generation;
        let path = folder.join(CONFIG_FILE);
        if config == self.told && path.exists() {
            return Ok(false);
        }
        config.generation += 1;
        config.write(&path)?;
        self.told = config;
        Ok(true)
    }
}

fn strange() -> Fault {
    RuntimeError::new(RuntimeErrorKind::Refused, "the runtime did not answer what was asked").into()
}
