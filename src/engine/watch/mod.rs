//! The watch as a process: who holds a state directory, serves its API and runs its engine.

mod background;
mod connection;
mod flags;
mod gateway;
mod install;
mod instance;
mod keeping;
mod pods_api;
mod publishing;
mod reset;
mod status;
mod streams;
mod upgrade;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use background::{start, stop};
pub use connection::{Connection, Purpose, connect};
pub use flags::{FlagError, WatchFlags, socket};
pub use install::{Unit, UnitOptions, unit};
pub use keeping::{backup, restore, unknown_pods};
pub use reset::{Made, ResetOptions, made, reset};
pub use status::{PodmanStatus, WatchStatus, status};

use super::clock;
use super::run::{Engine, EngineError, EngineOptions};
use crate::apiserver::{self, Authority, Server};
use crate::controllers;
use crate::network::{self, Cidr, CidrError, PodSubnet};
use crate::podman::{ConnectError, ConnectOptions, NewSubnet, Podman, StartService, Surroundings};
use crate::registry::allocation;
use crate::runtime::simulated::Simulated;
use crate::runtime::{RuntimeError, RuntimeErrorKind};
use crate::store::{BackupError, OpenError, Store};
use pods_api::PodsApi;
use streams::NodeStreams;

/// How long a watch waits for a command that holds the state directory.
const HANDOVER: Duration = Duration::from_secs(60);

/// Where the porter writes what it has to say.
const PORTER_LOG: &str = "porter.log";

/// So many ranges are tried for the pods' network: others may take the one that was free.
const NETWORK_TRIES: usize = 8;

/// Why there is no watch.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    Podman(#[from] ConnectError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("cannot use {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the API's certificate could not be made: {0}")]
    Certificate(std::io::Error),
    #[error("the pods' network could not be made: {0}")]
    Network(RuntimeError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("Podman did not do it: {0}")]
    Runtime(RuntimeError),
    #[error("no network for the pods: {0}")]
    Subnet(#[from] CidrError),
    #[error("a watch runs already: process {pid}")]
    Running { pid: u32 },
    #[error("no watch runs for {}", state_dir.display())]
    NotRunning { state_dir: PathBuf },
    #[error("the watch did not come up; the end of {} is:\n{tail}", log.display())]
    NotUp { log: PathBuf, tail: String },
    #[error("the watch is wl {theirs}, which is newer than this one ({own}): use that one to change something")]
    NewerWatch { theirs: String, own: String },
    #[error("process {pid} does not end")]
    DoesNotEnd { pid: u32 },
}

fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> WatchError {
    let path = path.to_owned();
    move |source| WatchError::Io { path, source }
}

/// A state directory that this process holds, ready to be served.
pub(crate) struct Held {
    state_dir: PathBuf,
    flags: WatchFlags,
    store: Store,
    podman: Option<Arc<Podman>>,
    options: EngineOptions,
}

impl Held {
    /// Takes the state directory and finds Podman. `Err(Store(Held))`: another process has it.
    pub(crate) async fn take(state_dir: &Path, flags: &WatchFlags) -> Result<Held, WatchError> {
        flags.sockets()?;
        let mut options = EngineOptions {
            controllers: !flags.no_controllers,
            node: !flags.no_node,
            config: flags.node_config()?,
            allocatable: flags.allocatable()?,
            manifests: flags.manifests.as_deref().map(Into::into),
            ..EngineOptions::default()
        };
        // Three times the cores is where Podman's calls are quickest (measured), within bounds.
        options.at_once = std::thread::available_parallelism().map_or(4, |n| (3 * n.get()).clamp(4, 8));
        let mut store = Store::open(state_dir, flags.settings())?;
        let podman = if flags.no_node { None } else { Some(podman(state_dir, flags, &mut options).await?) };
        if let Some(subnet) = options.pod_subnet {
            store = store.with_service_cidrs(services(flags, subnet)?.into_iter().map(|range| range.to_string()).collect());
            options.config.pod_cidrs = subnet.pod_cidrs().map(|range| range.to_string()).collect();
            store = store.with_api_address(subnet.name_server().into());
            if options.config.cluster_dns.is_empty() {
                options.config.cluster_dns = vec![subnet.name_server().to_string()];
            }
        }
        Ok(Held { state_dir: state_dir.to_owned(), flags: flags.clone(), store, podman, options })
    }

    /// Makes what every server holds from the start.
    pub(crate) async fn bootstrap(&self) -> Result<(), WatchError> {
        self.store.bootstrap().await.map_err(EngineError::Bootstrap)?;
        if self.options.pod_subnet.is_some() {
            // Before the first pod is made, which is to know it.
            Authority::of(&self.store).await.map_err(WatchError::Certificate)?;
        }
        Ok(())
    }

    /// What secures the API for pods, by the names and addresses that they know it by.
    async fn acceptor(&self, subnet: PodSubnet, ranges: &[Cidr]) -> std::io::Result<TlsAcceptor> {
        let own = "kubernetes.default.svc";
        let mut names: Vec<String> = own.match_indices('.').map(|(at, _)| own[..at].to_owned()).collect();
        names.extend([own.to_owned(), format!("{own}.{}", self.options.config.cluster_domain), "localhost".into()]);
        let service = ranges.first().and_then(|range| allocation::Range::parse(&range.to_string())).map(allocation::Range::first);
        let addresses = [Some(subnet.name_server().into()), Some(Ipv4Addr::LOCALHOST.into()), service];
        let addresses: Vec<IpAddr> = addresses.into_iter().flatten().collect();
        Authority::of(&self.store).await?.acceptor(&names, &addresses)
    }

    pub(crate) fn server(&self) -> Server {
        let server = Server::new(self.store.clone()).with_controllers(!self.flags.no_controllers);
        match &self.podman {
            Some(podman) => server.with_streams(Arc::new(NodeStreams::new(podman.clone()))),
            None => server,
        }
    }

    /// The flags that it was made with, as text.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.flags.arguments().into_iter().map(|flag| flag.to_string_lossy().into_owned()).collect()
    }

    pub(crate) fn podman_status(&self) -> Option<PodmanStatus> {
        let podman = self.podman.as_ref()?;
        let address = format!("unix://{}", podman.socket().display());
        Some(PodmanStatus { address, version: podman.version().to_string(), rootless: podman.is_rootless() })
    }

    /// Serves and runs until told to stop. The pods go on running.
    pub(crate) async fn run(self, stop: tokio::sync::watch::Receiver<bool>) -> Result<(), WatchError> {
        let mut sockets = vec![socket(&self.state_dir)];
        sockets.extend(self.flags.sockets()?);
        self.bootstrap().await?;
        let mut tasks: JoinSet<Result<(), WatchError>> = JoinSet::new();
        for path in sockets {
            let (server, stop) = (self.server(), stop.clone());
            tasks.spawn(async move { apiserver::listen(server, &path, stopped(stop)).await.map_err(io_error(&path)) });
        }
        let (podman, store, state_dir) = (self.podman.clone(), self.store.clone(), self.state_dir.clone());
        if let (Some(podman), Some(subnet)) = (&self.podman, self.options.pod_subnet) {
            let ranges = services(&self.flags, subnet)?;
            let (options, publish) = (&self.options, self.flags.publish());
            let log = self.state_dir.join(PORTER_LOG);
            let api = PodsApi::new(self.server(), self.acceptor(subnet, &ranges).await.map_err(WatchError::Certificate)?);
            let keeper = gateway::Keeper::new(podman.clone(), self.store.clone(), subnet, ranges, publish, options, log);
            let keeper = keeper.with_api(api);
            let stop = stop.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = keeper.run() => {}
                    () = stopped(stop) => {}
                }
                Ok(())
            });
        }
        tasks.spawn(self.engine(stop));
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|e| Err(EngineError::Task(e.to_string()).into()));
            if result.is_ok() && ended.is_err() {
                // One part has failed: the others may not go on alone.
                tasks.abort_all();
                result = ended;
            }
        }
        // Before another one can hold the directory, and write its own.
        status::remove(&state_dir);
        store.close().await;
        if let Some(podman) = podman {
            podman.close().await;
        }
        result
    }

    async fn engine(self, stop: tokio::sync::watch::Receiver<bool>) -> Result<(), WatchError> {
        let (store, options, clock) = (self.store, self.options, clock::system());
        let controllers = controllers::all();
        match self.podman {
            Some(runtime) => Engine { store, runtime, controllers, clock, options }.run(stopped(stop)).await?,
            None => {
                // Without a node nobody asks the runtime for anything.
                let runtime = Arc::new(Simulated::new(clock.clone()));
                Engine { store, runtime, controllers, clock, options }.run(stopped(stop)).await?;
            }
        }
        Ok(())
    }
}

async fn stopped(mut stop: tokio::sync::watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn podman(state_dir: &Path, flags: &WatchFlags, options: &mut EngineOptions) -> Result<Arc<Podman>, WatchError> {
    let instance = instance::of(state_dir).map_err(io_error(state_dir))?;
    let connect = ConnectOptions {
        instance,
        state_dir: state_dir.to_owned(),
        surroundings: Surroundings::of_this_process(),
        start_service: StartService::default(),
    };
    let seed = u32::from_str_radix(connect.instance.as_str(), 16).unwrap_or_default();
    let podman = Podman::connect(connect).await?;
    options.pod_subnet = Some(network(&podman, flags, seed).await?);
    Ok(Arc::new(podman))
}

/// The ranges of cluster IPs: the upper halves of the pods' network, or parts of them. The gateway answers for no others.
fn services(flags: &WatchFlags, subnet: PodSubnet) -> Result<Vec<Cidr>, WatchError> {
    let Some(text) = &flags.service_cidr else { return Ok(std::iter::once(subnet.services()).chain(subnet.services_v6()).collect()) };
    let (v4, v6) = network::parse_pair(text)?;
    let within = |wanted: Cidr, half: Cidr| if half.holds(&wanted) { Ok(wanted) } else { Err(CidrError::Outside { wanted, half }) };
    let mut ranges = vec![within(v4, subnet.services())?];
    if let Some(wanted) = v6 {
        ranges.push(within(wanted, subnet.services_v6().ok_or(CidrError::NoSecond)?)?);
    }
    Ok(ranges)
}

/// What a pods' network is to be, where it is made.
struct Wish {
    v4: Option<Cidr>,
    v6: Option<Cidr>,
    /// Whether it has IPv6; `None`: where the machine has.
    dual: Option<bool>,
    seed: u32,
}

impl Wish {
    fn of(flags: &WatchFlags, seed: u32) -> Result<Wish, WatchError> {
        let dual = flags.both_families();
        let Some(text) = &flags.pod_cidr else { return Ok(Wish { v4: None, v6: None, dual, seed }) };
        let (v4, v6) = network::parse_pair(text)?;
        if v6.is_some() && dual == Some(false) {
            return Err(FlagError::Families(text.clone()).into());
        }
        Ok(Wish { v4: Some(v4), v6, dual, seed })
    }
}

/// The pods' network: the one that is there, or a new one beside all others.
async fn network(podman: &Podman, flags: &WatchFlags, seed: u32) -> Result<PodSubnet, WatchError> {
    let own = podman.own_network().await.map_err(WatchError::Network)?;
    let there: Vec<Cidr> = own.iter().flat_map(|n| &n.subnets).filter_map(|s| s.parse().ok()).collect();
    if let Some(v4) = there.iter().find(|range| !range.is_ipv6()) {
        let subnet = PodSubnet::new(*v4)?;
        return Ok(match there.iter().find(|range| range.is_ipv6()) {
            Some(v6) => subnet.with_v6(*v6)?,
            None => subnet,
        });
    }
    let wish = Wish::of(flags, seed)?;
    let mut tries = 1;
    loop {
        match make_network(podman, &wish).await {
            // Another one that begins just now was quicker: there are more ranges.
            Err(WatchError::Network(error)) if wish.v4.is_none() && tries < NETWORK_TRIES => {
                tries += 1;
                if error.kind == RuntimeErrorKind::Unavailable {
                    return Err(WatchError::Network(error));
                }
            }
            other => return other,
        }
    }
}

/// Makes the pods' network, in the ranges that are wanted or in free ones.
async fn make_network(podman: &Podman, wish: &Wish) -> Result<PodSubnet, WatchError> {
    let networks = podman.networks().await.map_err(WatchError::Network)?;
    let podmans: Vec<Cidr> = networks.iter().flat_map(|n| &n.subnets).filter_map(|s| s.parse().ok()).collect();
    let taken = [network::routes(), podmans.clone()].concat();
    let mut subnet = network::choose(wish.v4, &taken)?;
    if wish.dual.unwrap_or_else(|| network::has_ipv6(&podmans)) {
        subnet = network::choose_v6(subnet, wish.v6, wish.seed, &taken)?;
    }
    // wl names each pod's addresses; Podman needs one of each family that it may give by itself.
    let (gateways, spares) = (subnet.all_of(subnet.gateway()), subnet.all_of(subnet.spare()));
    let ranges = subnet.cidrs().zip(gateways.into_iter().zip(spares));
    let ranges: Vec<NewSubnet> = ranges
        .map(|(range, (gateway, spare))| NewSubnet { range: range.to_string(), gateway, first: spare, last: spare })
        .collect();
    podman.make_network(&ranges).await.map_err(WatchError::Network)?;
    Ok(subnet)
}

/// Runs the watch in this process until `stop` is done.
pub async fn run(state_dir: &Path, flags: &WatchFlags, stop: impl Future<Output = ()>) -> Result<(), WatchError> {
    background::leave_terminal();
    tokio::pin!(stop);
    let begun = tokio::time::Instant::now();
    let held = loop {
        match Held::take(state_dir, flags).await {
            Err(WatchError::Store(OpenError::Held { holder, .. })) => {
                if let Some(pid) = status(state_dir).pid.filter(|_| begun.elapsed() > Duration::from_secs(1)) {
                    return Err(WatchError::Running { pid });
                }
                if begun.elapsed() > HANDOVER {
                    return Err(WatchError::Running { pid: holder.map_or(0, |h| h.pid) });
                }
                // A command holds it for as long as it runs.
                tokio::select! {
                    () = &mut stop => return Ok(()),
                    () = clock::sleep(Duration::from_millis(100)) => {}
                }
            }
            other => break other?,
        }
    };
    status::write(state_dir, &held)?;
    let (tell, told) = tokio::sync::watch::channel(false);
    let running = held.run(told);
    tokio::pin!(running);
    tokio::select! {
        result = &mut running => result,
        () = &mut stop => {
            let _ = tell.send(true);
            running.await
        }
    }
}

/// Waits until this process is asked to end (SIGTERM, SIGINT, SIGHUP).
pub async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let next = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = next(SignalKind::terminate()) => {}
        () = next(SignalKind::interrupt()) => {}
        () = next(SignalKind::hangup()) => {}
    }
}
