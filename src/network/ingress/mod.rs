//! Ingress: HTTP from outside, by host and path, to Services.

mod forward;
mod routing;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::config::{Backend, Certificate, GatewayConfig, IngressConfig, Protocol};
use super::proxy::{self, Place, Pool};
use forward::Client;

/// A client that does not say what it wants in this time is dropped.
const HEAD: Duration = Duration::from_secs(15);
/// The same for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The largest head of a request.
const LARGEST_HEAD: usize = 64 * 1024;
/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 128;
/// Connections at once.
const CONNECTIONS: usize = 8192;

/// Where requests go; swapped in whole.
#[derive(Default)]
pub struct Routes {
    config: IngressConfig,
    /// With whether they speak HTTP/2.
    pools: BTreeMap<Backend, (Arc<Pool>, bool)>,
}

impl Routes {
    fn behind(&self, host: &str, path: &str) -> Option<(Arc<Pool>, bool)> {
        self.pools.get(routing::find(&self.config, host, path)?).cloned()
    }
}

/// What is served over TLS, if anything can be.
type Acceptor = Arc<RwLock<Option<tokio_rustls::TlsAcceptor>>>;

/// The Ingress of a gateway.
pub struct Ingress {
    routes: Arc<RwLock<Arc<Routes>>>,
    acceptor: Acceptor,
    certificates: Vec<Certificate>,
    open: HashMap<Place, (bool, JoinHandle<()>)>,
    room: Arc<Semaphore>,
}

impl Default for Ingress {
    fn default() -> Self {
        Ingress {
            routes: Arc::default(),
            acceptor: Arc::default(),
            certificates: Vec::new(),
            open: HashMap::new(),
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }
}

impl Ingress {
    /// Serves this configuration from now on, at the places that the porter has given.
    pub async fn apply(&mut self, config: &GatewayConfig, given: &HashMap<Place, OwnedFd>) {
        self.set_routes(config);
        if self.certificates != config.ingress.certificates {
            self.certificates.clone_from(&config.ingress.certificates);
            let acceptor = tls::acceptor(&self.certificates);
            *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        }
        let place = |at: Option<SocketAddr>, secure: bool| at.map(|at| ((Protocol::Tcp, at), secure));
        let wanted: HashMap<Place, bool> =
            [place(config.ingress.http, false), place(config.ingress.https, true)].into_iter().flatten().collect();
        let gone: Vec<Place> = self.open.iter().filter(|(p, (s, _))| wanted.get(p) != Some(s)).map(|(p, _)| *p).collect();
        for place in gone {
            self.close(place).await;
        }
        for (place, secure) in wanted {
            if self.open.get(&place).is_some_and(|(_, task)| !task.is_finished()) {
                continue;
            }
            let Some(socket) = given.get(&place) else { continue };
            match socket.try_clone().and_then(|socket| TcpListener::from_std(socket.into())) {
                Ok(listener) => drop(self.open.insert(place, (secure, self.serve(listener, secure)))),
                Err(error) => eprintln!("cannot serve Ingress at {}: {error}", place.1),
            }
        }
    }

    /// Ends a place; what is under way goes on.
    pub async fn close(&mut self, place: Place) {
        if let Some((_, task)) = self.open.remove(&place) {
            task.abort();
            let _ = task.await;
        }
    }

    fn set_routes(&self, config: &GatewayConfig) {
        let old = self.routes.read().unwrap_or_else(PoisonError::into_inner).clone();
        let backends = config.ingress.rules.iter().map(|rule| &rule.backend).chain(&config.ingress.default_backend);
        let pools = backends.map(|backend| {
            let (targets, affinity, http2) = behind(config, backend);
            let pool = match old.pools.get(backend) {
                Some((pool, _)) => {
                    pool.set(&targets, affinity);
                    pool.clone()
                }
                None => Arc::new(Pool::new(&targets, affinity)),
            };
            (backend.clone(), (pool, http2))
        });
        let routes = Routes { pools: pools.collect(), config: config.ingress.clone() };
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }

    fn serve(&self, listener: TcpListener, secure: bool) -> JoinHandle<()> {
        let (routes, acceptor, room) = (self.routes.clone(), self.acceptor.clone(), self.room.clone());
        tokio::spawn(async move {
            loop {
                let Ok(permit) = room.clone().acquire_owned().await else { return };
                let Ok((stream, from)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let (routes, acceptor) = (routes.clone(), acceptor.clone());
                tokio::spawn(async move {
                    proxy::prepare(&stream);
                    let client = Client { address: from.ip(), secure };
                    if secure { secured(stream, routes, acceptor, client).await } else { http(stream, routes, client).await }
                    drop(permit);
                });
            }
        })
    }
}

/// Who stands behind a Service's port, for how long a client stays with one, and whether they speak HTTP/2.
fn behind(config: &GatewayConfig, backend: &Backend) -> (Vec<SocketAddr>, Option<Duration>, bool) {
    let service = config.services.iter().find(|s| s.namespace == backend.namespace && s.name == backend.service);
    let Some(service) = service else { return (Vec::new(), None, false) };
    let port = service.ports.iter().find(|p| p.port == backend.port && p.protocol == Protocol::Tcp);
    let targets = port.map(|port| service.targets(port)).unwrap_or_default();
    let affinity = service.affinity_seconds.map(|s| Duration::from_secs(s.into()));
    (targets, affinity, port.is_some_and(|port| port.http2))
}

async fn secured(stream: TcpStream, routes: Arc<RwLock<Arc<Routes>>>, acceptor: Acceptor, client: Client) {
    let acceptor = acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(acceptor) = acceptor else { return };
    if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
        http(stream, routes, client).await;
    }
}

async fn http<I>(stream: I, routes: Arc<RwLock<Arc<Routes>>>, client: Client)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let routes = routes.read().unwrap_or_else(PoisonError::into_inner).clone();
        async move { Ok::<_, std::convert::Infallible>(forward::answer(routes, client, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_header_list_size(LARGEST_HEAD as u32);
    // A connection that breaks is its client's affair.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}
