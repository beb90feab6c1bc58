//! UDP: the datagrams of one client go to one target for as long as they follow each other.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::pool::Pool;

/// A client that is silent for so long is forgotten (nf_conntrack_udp_timeout_stream is 120 s, _udp_timeout 30 s).
const SILENT: Duration = Duration::from_secs(60);
/// The largest datagram that there is.
const LARGEST: usize = 65_535;
/// Clients at once; beyond it the longest silent one is forgotten.
const MAX_CLIENTS: usize = 4096;

/// One client and the socket that stands for it.
struct Client {
    socket: Arc<UdpSocket>,
    target: SocketAddr,
    used: Arc<AtomicU64>,
    answers: tokio::task::AbortHandle,
}

/// Carries datagrams until it is aborted; then all its clients are forgotten.
pub async fn serve(socket: UdpSocket, pool: Arc<Pool>) {
    let front = Arc::new(socket);
    let begun = Instant::now();
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut tasks: JoinSet<SocketAddr> = JoinSet::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        let received = tokio::select! {
            received = front.recv_from(&mut buffer) => received,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Ok(from) = ended
                    && clients.get(&from).is_some_and(|c| c.answers.is_finished())
                {
                    clients.remove(&from);
                }
                continue;
            }
        };
        // An answer to one client that could not be delivered says nothing about the others.
        let Ok((count, from)) = received else { continue };
        forward(&front, &pool, &mut clients, &mut tasks, from, &buffer[..count], begun).await;
    }
}

async fn forward(
    front: &Arc<UdpSocket>,
    pool: &Pool,
    clients: &mut HashMap<SocketAddr, Client>,
    tasks: &mut JoinSet<SocketAddr>,
    from: SocketAddr,
    datagram: &[u8],
    begun: Instant,
) {
    let mut tried: Vec<SocketAddr> = Vec::new();
    if let Some(client) = clients.get(&from) {
        if pool.targets().contains(&client.target) && client.socket.send(datagram).await.is_ok() {
            client.used.store(millis(begun), Ordering::Relaxed);
            return;
        }
        // The target has refused, or is none any more: the next one gets it.
        tried.push(client.target);
        client.answers.abort();
        clients.remove(&from);
    }
    if clients.len() >= MAX_CLIENTS {
        forget_oldest(clients);
    }
    while let Some(target) = pool.pick(from.ip(), &tried, Instant::now()).or_else(|| again(pool, &mut tried)) {
        tried.push(target);
        let Ok(socket) = open(target).await else { continue };
        if socket.send(datagram).await.is_err() {
            continue;
        }
        let socket = Arc::new(socket);
        let used = Arc::new(AtomicU64::new(millis(begun)));
        let answers = tasks.spawn(answers(front.clone(), socket.clone(), from, used.clone(), begun));
        clients.insert(from, Client { socket, target, used, answers });
        return;
    }
}

/// Where the only target was tried as a client's old one, it is tried once more by a new socket.
fn again(pool: &Pool, tried: &mut Vec<SocketAddr>) -> Option<SocketAddr> {
    let targets = pool.targets();
    match (&targets[..], &tried[..]) {
        ([only], [old]) if only == old => {
            // Not a third time.
            tried.push(*only);
            Some(*only)
        }
        _ => None,
    }
}

async fn open(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Brings a target's answers to its client, until neither says anything any more.
async fn answers(
    front: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    used: Arc<AtomicU64>,
    begun: Instant,
) -> SocketAddr {
    let mut buffer = vec![0; 2048];
    loop {
        match timeout(SILENT, socket.readable()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return to,
            Err(_) if millis(begun).saturating_sub(used.load(Ordering::Relaxed)) < SILENT.as_millis() as u64 => continue,
            Err(_) => return to,
        }
        // How large it is, is asked before: most are small, and each client has its buffer.
        if let Ok(size) = waiting(&socket)
            && size > buffer.len()
        {
            buffer.resize(size, 0);
        }
        match socket.try_recv(&mut buffer) {
            Ok(count) => {
                used.store(millis(begun), Ordering::Relaxed);
                // A client that is gone is forgotten when it is silent.
                let _ = front.send_to(&buffer[..count], to).await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Refused: the next datagram of the client finds another target.
            Err(_) => return to,
        }
    }
}

/// The size of the next datagram.
fn waiting(socket: &UdpSocket) -> io::Result<usize> {
    Ok(usize::try_from(rustix::io::ioctl_fionread(socket)?).unwrap_or(LARGEST))
}

fn forget_oldest(clients: &mut HashMap<SocketAddr, Client>) {
    let oldest = clients.iter().min_by_key(|(_, client)| client.used.load(Ordering::Relaxed)).map(|(from, _)| *from);
    if let Some(client) = oldest.and_then(|from| clients.remove(&from)) {
        client.answers.abort();
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
