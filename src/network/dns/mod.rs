//! The pods' name server: the cluster's names from the gateway's configuration, all others from the machine's resolvers.

mod answer;
mod upstream;
mod zone;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use zone::Zone;

use answer::Verdict;
pub use upstream::fetch_bytes;

use upstream::Upstream;

use super::GatewayConfig;

/// Questions that are worked on at once; more wait in the socket's queue.
const AT_ONCE: usize = 512;
/// Connections at once.
const CONNECTIONS: usize = 256;
/// A connection on which nothing is asked ends (RFC 7766: "of the order of a few seconds").
const IDLE: Duration = Duration::from_secs(10);
/// The largest question by UDP.
const LARGEST: usize = 4096;

/// What is served now.
#[derive(Default)]
pub struct NameServer {
    served: RwLock<Arc<Served>>,
    upstream: Upstream,
    turn: AtomicUsize,
}

#[derive(Default)]
struct Served {
    zone: Zone,
    upstreams: Vec<SocketAddr>,
}

impl NameServer {
    /// One that reaches the machine's resolvers through the porter, whose socket is in the folder `run`.
    pub fn beside_porter(run: &Path) -> Self {
        NameServer { upstream: Upstream::beside_porter(run), ..NameServer::default() }
    }

    /// Answers by this configuration from now on.
    pub fn set(&self, config: &GatewayConfig) {
        let served = Served { zone: Zone::of(config), upstreams: config.upstreams.clone() };
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(served);
    }

    /// The answer to the bytes of a question; `None`: it gets none.
    pub async fn answer(&self, bytes: &[u8], udp: bool) -> Option<Vec<u8>> {
        let Ok(request) = Message::from_vec(bytes) else { return malformed(bytes) };
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner).clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let reply = match answer::answer(&served.zone, &request, turn) {
            Verdict::Ignore => return None,
            Verdict::Answer(reply) => reply,
            Verdict::Forward => {
                let query = request.queries.first()?.clone();
                self.foreign(&served, &query, &request, answer::reply_to(&request)).await
            }
            Verdict::Follow(reply, query) => self.foreign(&served, &query, &request, reply).await,
        };
        answer::encode(reply, &request, udp)
    }

    /// Adds to a reply what others answer.
    async fn foreign(&self, served: &Served, query: &Query, request: &Message, mut reply: Message) -> Message {
        let answer = self.upstream.ask(&served.upstreams, query, request).await;
        reply.metadata.authoritative = false;
        reply.metadata.response_code = answer.metadata.response_code;
        reply.metadata.truncation = answer.metadata.truncation;
        reply.add_answers(answer.answers);
        reply.insert_authorities(answer.authorities);
        reply.insert_additionals(answer.additionals);
        reply
    }
}

/// What cannot be read is answered so where at least its id can be; an answer to an answer could go on for ever.
fn malformed(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = bytes.get(..12)?;
    if header[2] & 0x80 != 0 {
        return None;
    }
    let id = u16::from_be_bytes([header[0], header[1]]);
    Message::error_msg(id, hickory_proto::op::OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

/// Answers at an address until it is dropped.
pub async fn serve(server: Arc<NameServer>, at: SocketAddr) -> io::Result<()> {
    let (socket, listener) = (Arc::new(UdpSocket::bind(at).await?), TcpListener::bind(at).await?);
    tokio::try_join!(by_udp(server.clone(), socket), by_tcp(server, listener))?;
    Ok(())
}

async fn by_udp(server: Arc<NameServer>, socket: Arc<UdpSocket>) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut buffer = vec![0; LARGEST];
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
        // An answer that could not be delivered is reported here, and is no reason to end.
        let Ok((count, from)) = socket.recv_from(&mut buffer).await else { continue };
        let (server, socket, bytes) = (server.clone(), socket.clone(), buffer[..count].to_vec());
        tokio::spawn(async move {
            if let Some(reply) = server.answer(&bytes, true).await {
                let _ = socket.send_to(&reply, from).await;
            }
            drop(permit);
        });
    }
}

async fn by_tcp(server: Arc<NameServer>, listener: TcpListener) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let server = server.clone();
        tokio::spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = connection(&server, stream).await;
            drop(permit);
        });
    }
}

async fn connection(server: &NameServer, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let question = timeout(IDLE, async {
            let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut bytes).await?;
            io::Result::Ok(bytes)
        });
        let bytes = question.await??;
        let Some(reply) = server.answer(&bytes, false).await else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let whole = [&length.to_be_bytes(), &reply[..]].concat();
        timeout(IDLE, stream.write_all(&whole)).await??;
    }
}

#[cfg(test)]
mod tests;
