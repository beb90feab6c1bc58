//! The gateway: this binary, run in a pod of its own, which answers for the addresses of all Services.
//!
//! It knows nothing but its configuration, a file that is swapped in whole. It goes on serving the last one while
//! nobody tells it of another, and reads it again when it is started anew.

mod api;
mod control;
mod front;
mod ports;
mod route;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::Mutex;

pub use api::API_SOCKET;
pub use control::{Control, ControlError, PORTS, connect_in, listen_in};
pub use route::{add_local_route, hold_addresses};

use super::config::GatewayConfig;
use super::dns::{self, NameServer};
use super::ingress::Ingress;
use super::proxy::{self, Place, Proxy};
use api::ApiFront;
use front::Front;

/// The hidden first argument by which this binary is the gateway.
pub const COMMAND: &str = "__gateway";
/// The file in its folder of configuration.
pub const CONFIG_FILE: &str = "gateway.json";
/// The socket in its folder of sockets.
pub const SOCKET: &str = "gateway.sock";
/// Files of this process beside those of connections.
const OWN_FILES: u64 = 256;
/// A connection takes two files; beyond this, memory would be the limit.
const MOST_CONNECTIONS: u64 = 16_384;

/// What a running gateway holds.
pub struct Gateway {
    proxy: Proxy,
    names: Arc<NameServer>,
    /// Where names are served.
    naming: Front,
    ingress: Ingress,
    /// Absent where there is no folder of sockets.
    api: Option<ApiFront>,
    /// Ports of the machine, from the porter.
    given: HashMap<Place, OwnedFd>,
    config: GatewayConfig,
}

impl Gateway {
    pub fn new() -> Self {
        Gateway {
            proxy: Proxy::new(room()),
            names: Arc::default(),
            naming: Front::default(),
            ingress: Ingress::default(),
            api: None,
            given: HashMap::new(),
            config: GatewayConfig::default(),
        }
    }

    /// One whose folder `run` has the porter's socket too.
    fn beside_porter(run: &Path) -> Self {
        let api = Some(ApiFront::new(run.to_owned()));
        Gateway { names: Arc::new(NameServer::beside_porter(run)), api, ..Gateway::new() }
    }

    /// Serves this configuration from now on, and nothing of the one before; open connections live on.
    pub async fn apply(&mut self, config: GatewayConfig) {
        self.names.set(&config);
        self.serve_names(config.name_server).await;
        if let Some(api) = &mut self.api {
            api.serve(config.api).await;
        }
        self.config = config;
        self.carry().await;
    }

    /// Brings the open ports in step with the configuration.
    async fn carry(&mut self) {
        for (place, error) in self.proxy.apply(&proxy::places(&self.config), &self.given).await {
            eprintln!("cannot listen on {}: {error}", place.1);
        }
        self.ingress.apply(&self.config, &self.given).await;
    }

    /// A port of the machine, from now on served by this process.
    async fn take_port(&mut self, place: Place, socket: OwnedFd) {
        self.drop_port(place).await;
        self.given.insert(place, socket);
        self.carry().await;
    }

    async fn drop_port(&mut self, place: Place) {
        if self.given.remove(&place).is_some() {
            self.proxy.close(place).await;
            self.ingress.close(place).await;
        }
    }

    async fn forget_ports(&mut self) {
        let all: Vec<Place> = self.given.keys().copied().collect();
        for place in all {
            self.drop_port(place).await;
        }
    }

    async fn serve_names(&mut self, at: Option<SocketAddr>) {
        let Some(at) = self.naming.leave_for(at).await else { return };
        let names = self.names.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = dns::serve(names, at).await {
                eprintln!("cannot answer for names at {at}: {error}");
            }
        });
        self.naming.serves(at, task);
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Gateway::new()
    }
}

/// How many connections the limit of open files allows; the limit is raised as far as this process may.
fn room() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let files = match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let connections = files.unwrap_or(u64::MAX).saturating_sub(OWN_FILES) / 2;
    usize::try_from(connections.clamp(64, MOST_CONNECTIONS)).unwrap_or(64)
}

/// When this process was started as the gateway (`wl __gateway CONFIG RUN`), serves until it is told to end.
pub fn serve_if_called() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != COMMAND {
        return None;
    }
    let (Some(config), Some(run)) = (args.next(), args.next()) else {
        eprintln!("{COMMAND} CONFIG-FOLDER RUN-FOLDER");
        return Some(ExitCode::FAILURE);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(Path::new(&config), Path::new(&run))));
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

pub(super) async fn serve(config: &Path, run: &Path) -> std::io::Result<()> {
    let gateway = Arc::new(Mutex::new(Gateway::beside_porter(run)));
    let config = config.join(CONFIG_FILE);
    match GatewayConfig::read(&config) {
        Ok(last) => gateway.lock().await.apply(last).await,
        // The first start comes before the first configuration.
        Err(error) => eprintln!("no configuration yet: {error}"),
    }
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = control::serve(run, &config, gateway) => served,
        _ = end.recv() => Ok(()),
    }
}
