//! Names of the rest of the world: asked of all resolvers side by side, and the answers kept for a while.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use crate::network::porter;

/// How long a resolver may take. A client asks again after five seconds (resolv.conf(5)).
const ANSWERS: Duration = Duration::from_secs(2);
/// The porter may have to ask twice, by UDP and by TCP.
const PORTER: Duration = Duration::from_millis(4500);
/// Names that are kept at once.
const MAX_KEPT: usize = 4096;
/// No answer is kept longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(300);
/// A "no" is kept for so long at most.
const LONGEST_NO: Duration = Duration::from_secs(30);
/// After nobody has answered, all are told so at once for so long.
const FAILED: Duration = Duration::from_secs(2);
/// The largest answer by UDP that is asked for.
const UDP_SIZE: usize = 4096;

/// What is known of the rest of the world.
#[derive(Default)]
pub struct Upstream {
    kept: Mutex<HashMap<Question, Kept>>,
    /// Nobody has answered just now: until then, nobody is asked.
    silent_until: Mutex<Option<Instant>>,
    /// The folder of the porter's socket.
    porter: Option<PathBuf>,
}

type Question = (Name, RecordType, bool);

struct Kept {
    answer: Message,
    since: Instant,
    until: Instant,
}

impl Upstream {
    pub fn beside_porter(run: &Path) -> Self {
        Upstream { porter: Some(run.to_owned()), ..Upstream::default() }
    }

    /// The porter asks from the machine's own network, where resolvers on its loopback are found too; where there is no
    /// porter, they are asked from here.
    async fn fetch(&self, servers: &[SocketAddr], asked: &Message) -> Option<Message> {
        if let (Some(run), Ok(bytes)) = (&self.porter, asked.to_vec())
            && let Ok(Ok(answer)) = timeout(PORTER, porter::resolve(run, &bytes)).await
        {
            return fitting(&answer, asked);
        }
        fetch(servers, asked).await
    }

    /// The answer to a query, kept or fetched. Nobody answers: SERVFAIL.
    pub async fn ask(&self, servers: &[SocketAddr], query: &Query, request: &Message) -> Message {
        let dnssec = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let question: Question = (query.name().to_lowercase(), query.query_type(), dnssec);
        if let Some(answer) = self.kept(&question, Instant::now()) {
            return answer;
        }
        if self.silent_until().is_some_and(|until| until > Instant::now()) {
            return failure(&question_of(query, request, dnssec));
        }
        let asked = question_of(query, request, dnssec);
        let answer = match self.fetch(servers, &asked).await {
            Some(answer) => answer,
            None => {
                *self.silent_until() = Some(Instant::now() + FAILED);
                failure(&asked)
            }
        };
        self.keep(question, &answer, Instant::now());
        answer
    }

    fn silent_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.silent_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, question: &Question, now: Instant) -> Option<Message> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(question).filter(|kept| kept.until > now)?;
        let age = u32::try_from(now.saturating_duration_since(found.since).as_secs()).unwrap_or(u32::MAX);
        let mut answer = found.answer.clone();
        for record in answer.answers.iter_mut().chain(&mut answer.authorities).chain(&mut answer.additionals) {
            record.decrement_ttl(age);
        }
        Some(answer)
    }

    fn keep(&self, question: Question, answer: &Message, now: Instant) {
        let life = life(answer);
        if life.is_zero() || answer.metadata.truncation {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, kept| kept.until > now);
        }
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(question, Kept { answer: answer.clone(), since: now, until: now + life });
    }
}

/// What is asked of a resolver.
fn question_of(query: &Query, request: &Message, dnssec: bool) -> Message {
    let mut asked = Message::query();
    asked.metadata.recursion_desired = true;
    asked.metadata.checking_disabled = request.metadata.checking_disabled;
    asked.add_query(query.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(u16::try_from(UDP_SIZE).unwrap_or(u16::MAX)).set_version(0).set_dnssec_ok(dnssec);
    asked.set_edns(edns);
    asked
}

/// For how long an answer may be kept (RFC 2308 for a "no").
fn life(answer: &Message) -> Duration {
    use hickory_proto::rr::RData;
    let seconds = |ttl: u32| Duration::from_secs(ttl.into());
    match answer.metadata.response_code {
        ResponseCode::NoError if !answer.answers.is_empty() => {
            answer.answers.iter().map(|r| seconds(r.ttl)).min().unwrap_or_default().min(LONGEST)
        }
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let said = answer.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(seconds(record.ttl.min(soa.minimum))),
                _ => None,
            });
            said.unwrap_or_default().min(LONGEST_NO)
        }
        _ => FAILED,
    }
}

fn failure(asked: &Message) -> Message {
    let mut answer = Message::error_msg(asked.metadata.id, asked.metadata.op_code, ResponseCode::ServFail);
    answer.add_queries(asked.queries.iter().cloned());
    answer
}

/// The answer to the bytes of a question, from the machine's resolvers.
pub async fn fetch_bytes(servers: &[SocketAddr], question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    let answer = fetch(servers, &asked).await.unwrap_or_else(|| failure(&asked));
    answer.to_vec().ok()
}

/// The first good answer of any server; else the first at all.
async fn fetch(servers: &[SocketAddr], asked: &Message) -> Option<Message> {
    let bytes = asked.to_vec().ok()?;
    let mut running: FuturesUnordered<_> = servers.iter().map(|server| one(*server, &bytes, asked)).collect();
    let mut second = None;
    while let Some(answered) = running.next().await {
        match answered {
            Some(answer) if good(&answer) => return Some(answer),
            Some(answer) => {
                second.get_or_insert(answer);
            }
            None => {}
        }
    }
    second
}

fn good(answer: &Message) -> bool {
    matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

async fn one(server: SocketAddr, bytes: &[u8], asked: &Message) -> Option<Message> {
    let answer = timeout(ANSWERS, udp(server, bytes, asked)).await.ok()?.ok()?;
    if !answer.metadata.truncation {
        return Some(answer);
    }
    match timeout(ANSWERS, tcp(server, bytes, asked)).await {
        Ok(Ok(whole)) => Some(whole),
        // A part is better than nothing, and says that it is one.
        _ => Some(answer),
    }
}

/// A socket of its own for each question: its port is a secret besides the id.
async fn udp(server: SocketAddr, bytes: &[u8], asked: &Message) -> std::io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; UDP_SIZE];
    loop {
        let count = socket.recv(&mut buffer).await?;
        if let Some(answer) = fitting(&buffer[..count], asked) {
            return Ok(answer);
        }
    }
}

async fn tcp(server: SocketAddr, bytes: &[u8], asked: &Message) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    fitting(&buffer, asked).ok_or_else(|| std::io::Error::other("another answer than the one asked for"))
}

/// The message, if it answers what was asked.
fn fitting(bytes: &[u8], asked: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let same = answer.metadata.id == asked.metadata.id
        && answer.metadata.message_type == hickory_proto::op::MessageType::Response
        && answer.queries == asked.queries;
    same.then_some(answer)
}
