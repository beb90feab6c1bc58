//! A proxy in this process: from an address and port of a Service to one of those who stand behind it.

mod pool;
mod relay;
mod tcp;
mod udp;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use pool::Pool;
pub use relay::{prepare, reset};
pub use tcp::connect;

use super::config::{GatewayConfig, Protocol};

/// Where a Service is reached.
pub type Place = (Protocol, SocketAddr);

/// Who is reached there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    pub targets: Vec<SocketAddr>,
    pub affinity: Option<Duration>,
    /// The place is one of the machine's: only the porter can open it.
    pub given: bool,
}

/// The open ports.
pub struct Proxy {
    open: HashMap<Place, Front>,
    /// Connections that this process has room for.
    room: Arc<Semaphore>,
}

struct Front {
    pool: Arc<Pool>,
    task: JoinHandle<()>,
}

/// The places on the machine itself.
pub fn published(config: &GatewayConfig) -> BTreeSet<Place> {
    let ports = config.services.iter().flat_map(|service| &service.ports);
    let ports = ports.flat_map(|port| port.published.iter().map(|at| (port.protocol, *at)));
    let ingress = [config.ingress.http, config.ingress.https].into_iter().flatten();
    ports.chain(ingress.map(|at| (Protocol::Tcp, at))).collect()
}

/// Every place that the configuration has somebody behind. Where nobody is, nobody listens: a client is refused at once.
/// (A port of the machine stays open, for the porter opened it; its clients are refused when they have connected.)
pub fn places(config: &GatewayConfig) -> BTreeMap<Place, Behind> {
    let mut found = BTreeMap::new();
    for service in &config.services {
        for port in &service.ports {
            let affinity = service.affinity_seconds.map(|s| Duration::from_secs(s.into()));
            let behind = |targets: Vec<SocketAddr>, given: bool| Behind { targets, affinity, given };
            // Who comes by an address of one family goes on by the same.
            for address in &service.addresses {
                let targets = service.targets_of(port, address.is_ipv6());
                if !targets.is_empty() {
                    found.insert((port.protocol, SocketAddr::new(*address, port.port)), behind(targets, false));
                }
            }
            found.extend(port.published.iter().map(|at| ((port.protocol, *at), behind(service.targets(port), true))));
        }
    }
    found
}

impl Proxy {
    /// With room for so many connections at once.
    pub fn new(room: usize) -> Self {
        Proxy { open: HashMap::new(), room: Arc::new(Semaphore::new(room)) }
    }

    /// Opens, changes and closes until exactly `wanted` is served; open connections live on. `given` are sockets that
    /// the porter has opened. What could not be opened is given back with the reason.
    pub async fn apply(
        &mut self,
        wanted: &BTreeMap<Place, Behind>,
        given: &HashMap<Place, OwnedFd>,
    ) -> Vec<(Place, std::io::Error)> {
        let gone: Vec<Place> = self.open.keys().filter(|place| !wanted.contains_key(place)).copied().collect();
        for place in gone {
            self.close(place).await;
        }
        let mut failed = Vec::new();
        for (place, behind) in wanted {
            match self.open.get(place) {
                Some(front) if !front.task.is_finished() => front.pool.set(&behind.targets, behind.affinity),
                // The porter has it still to open.
                _ if behind.given && !given.contains_key(place) => {}
                _ => {
                    if let Err(error) = self.open_one(*place, behind, given.get(place)).await {
                        failed.push((*place, error));
                    }
                }
            }
        }
        failed
    }

    async fn open_one(&mut self, place: Place, behind: &Behind, given: Option<&OwnedFd>) -> std::io::Result<()> {
        let pool = Arc::new(Pool::new(&behind.targets, behind.affinity));
        let given = given.filter(|_| behind.given).map(OwnedFd::try_clone).transpose()?;
        let task = match place.0 {
            Protocol::Tcp => {
                let listener = match given {
                    Some(socket) => TcpListener::from_std(socket.into())?,
                    None => TcpListener::bind(place.1).await?,
                };
                tokio::spawn(tcp::serve(listener, pool.clone(), self.room.clone()))
            }
            Protocol::Udp => {
                let socket = match given {
                    Some(socket) => UdpSocket::from_std(socket.into())?,
                    None => UdpSocket::bind(place.1).await?,
                };
                tokio::spawn(udp::serve(socket, pool.clone()))
            }
        };
        self.open.insert(place, Front { pool, task });
        Ok(())
    }

    /// Closes a place; open connections live on.
    pub async fn close(&mut self, place: Place) {
        if let Some(front) = self.open.remove(&place) {
            front.task.abort();
            // Its socket is closed when it has ended, and not before.
            let _ = front.task.await;
        }
    }
}

#[cfg(test)]
mod tests;
