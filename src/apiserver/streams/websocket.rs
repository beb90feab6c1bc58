//! Taking a request over as a WebSocket (RFC 6455, 4.2).

use hyper::header::{CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::super::Call;
use super::super::answer::{Reply, full};
use crate::api::Status;

/// The largest message that is taken; clients send a few KiB at a time.
const MAX_MESSAGE: usize = 4 << 20;

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A request that becomes a socket once its answer has been sent.
pub(super) struct Accepted {
    pub reply: Reply,
    /// The protocol agreed upon, of those that are spoken here; empty where the client named none.
    pub protocol: String,
    upgrade: OnUpgrade,
}

/// A request that becomes a connection of SPDY's frames once its answer has been sent.
pub(super) struct AcceptedSpdy {
    reply: Reply,
    upgrade: OnUpgrade,
}

/// Agrees to SPDY, where that is what the client asks for.
pub(super) fn accept_spdy(call: &Call, spoken: &str) -> Result<Option<AcceptedSpdy>, Status> {
    const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
    let lists = |name: &HeaderName| lists(call, name);
    if !lists(&CONNECTION).iter().any(|v| v.eq_ignore_ascii_case("upgrade"))
        || !lists(&UPGRADE).iter().any(|v| v.eq_ignore_ascii_case("SPDY/3.1"))
    {
        return Ok(None);
    }
    let asked = lists(&VERSION);
    if !asked.is_empty() && !asked.iter().any(|protocol| protocol == spoken) {
        return Err(no_protocol(&asked, &[spoken]));
    }
    let headers = vec![
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("SPDY/3.1")),
        (VERSION, HeaderValue::from_str(spoken).map_err(Status::internal)?),
    ];
    let reply = Reply { code: 101, media: String::new(), headers, body: full("") };
    Ok(Some(AcceptedSpdy { reply, upgrade: connection(call)? }))
}

impl AcceptedSpdy {
    /// Has `work` done on the connection, beside the request; gives its answer.
    pub fn serve<W: Future<Output = ()> + Send + 'static>(
        self,
        work: impl FnOnce(TokioIo<Upgraded>) -> W + Send + 'static,
    ) -> Reply {
        let AcceptedSpdy { reply, upgrade } = self;
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                work(TokioIo::new(upgraded)).await;
            }
        });
        reply
    }
}

/// The values of a header that may be repeated.
fn lists(call: &Call, name: &HeaderName) -> Vec<String> {
    let values = call.headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(|v| v.trim().to_owned()).collect()
}

fn no_protocol(asked: &[String], spoken: &[&str]) -> Status {
    let (asked, spoken) = (asked.join(" "), spoken.join(" "));
    let why = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{asked}], server accepts [{spoken}]"
    );
    Status::new(403, "Forbidden", why)
}

/// The connection itself, which can be taken once.
fn connection(call: &Call) -> Result<OnUpgrade, Status> {
    let upgrade = call.upgrade.lock().ok().and_then(|mut upgrade| upgrade.take());
    upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))
}

/// Agrees with the client, or says why not. `spoken`: protocols of the path.
pub(super) fn accept(call: &Call, spoken: &[&str]) -> Result<Accepted, Status> {
    let lists = |name: HeaderName| lists(call, &name);
    let upgrades = lists(UPGRADE);
    if !lists(CONNECTION).iter().any(|v| v.eq_ignore_ascii_case("upgrade")) || upgrades.is_empty() {
        return Err(Status::bad_request("Upgrade request required"));
    }
    if !upgrades.iter().any(|v| v.eq_ignore_ascii_case("websocket")) {
        let why = format!("unable to upgrade: {} is not spoken here, WebSockets are", upgrades.join(", "));
        return Err(Status::bad_request(why));
    }
    let key = call.headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| Status::bad_request("Sec-WebSocket-Key is missing"))?;
    let asked = lists(SEC_WEBSOCKET_PROTOCOL);
    let protocol = asked.iter().find(|p| spoken.contains(&p.as_str())).cloned();
    let protocol = match protocol {
        Some(protocol) => protocol,
        None if asked.is_empty() && spoken.contains(&"") => String::new(),
        None => return Err(no_protocol(&asked, spoken)),
    };
    let upgrade = connection(call)?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(Status::internal)?;
    let mut headers = vec![
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    if !protocol.is_empty() {
        headers.push((SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(&protocol).map_err(Status::internal)?));
    }
    let reply = Reply { code: 101, media: String::new(), headers, body: full("") };
    Ok(Accepted { reply, protocol, upgrade })
}

/// The socket, once the client has read the answer; `None` where it has gone.
pub(super) async fn open(upgrade: OnUpgrade) -> Option<Socket> {
    let upgraded = TokioIo::new(upgrade.await.ok()?);
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    Some(WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await)
}

impl Accepted {
    /// Has `work` done on the socket, beside the request; gives its answer.
    pub fn serve<W: Future<Output = ()> + Send + 'static>(self, work: impl FnOnce(Socket, String) -> W + Send + 'static) -> Reply {
        let Accepted { reply, protocol, upgrade } = self;
        // Ends with the client's connection: hyper gives no hold on what a request has become.
        tokio::spawn(async move {
            if let Some(socket) = open(upgrade).await {
                work(socket, protocol).await;
            }
        });
        reply
    }
}
