//! Probe clients: they ask a container over the network once and judge the answer in the kubelet's words.
//!
//! How a connection is made is [`Dial`]'s: directly, or from inside the pod's network namespace. When to
//! ask and what the answers add up to is `node`'s.

mod grpc;
mod http;
mod tcp;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::net::TcpStream;

pub use grpc::grpc;
pub use http::{HttpTarget, hook, http};
pub use tcp::tcp;

/// The kubelet version whose behaviour the node follows; it stands in `User-Agent` headers.
pub const KUBELET_VERSION: &str = "1.32";

/// What one probe said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Success,
    /// Counts as success; the text becomes a `ProbeWarning` event.
    Warning(String),
    /// Counts; the text becomes an `Unhealthy` event.
    Failure(String),
    /// The probe itself could not be made; counts neither way.
    Error(String),
}

/// A connection in the making.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send + 'a>>;

/// Opens connections as seen from where the probe is made.
pub trait Dial: Send + Sync {
    fn connect(&self, address: SocketAddr) -> Connecting<'_>;
}

/// Dials from this process's own network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Dial for Direct {
    fn connect(&self, address: SocketAddr) -> Connecting<'_> {
        Box::pin(TcpStream::connect(address))
    }
}

/// `10.88.0.2:8080`, `[fd00::2]:8080`, `name:8080`, as Go's net.JoinHostPort.
fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The addresses of a host, which mostly is one already.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// Connects to the first address of a host that answers.
async fn connect(dial: &dyn Dial, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in resolve(host, port).await? {
        match dial.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A dial error as Go words it: `dial tcp 10.88.0.2:8081: connect: connection refused`.
fn dial_error(host: &str, port: u16, error: &io::Error) -> String {
    let address = join(host, port);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("dial tcp {address}: connect: connection refused"),
        io::ErrorKind::TimedOut => format!("dial tcp {address}: i/o timeout"),
        io::ErrorKind::HostUnreachable => format!("dial tcp {address}: connect: no route to host"),
        io::ErrorKind::NetworkUnreachable => format!("dial tcp {address}: connect: network is unreachable"),
        io::ErrorKind::NotFound => format!("dial tcp: lookup {host}: no such host"),
        _ => format!("dial tcp {address}: {error}"),
    }
}
