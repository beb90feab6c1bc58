//! One client for the Kubernetes API, whatever carries the bytes: the socket of a running watch, or an
//! in-process server at the other end of a pipe.
//!
//! HTTP/1.1 with kept-alive connections. Answers other than 2xx come back as [`ClientError::Status`].

mod channels;
mod connection;
pub mod discovery;
mod error;
mod mapper;
mod stream;
pub mod url;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::OnceCell;

use crate::api::{Json, Status};

pub use channels::{Listener, Speaker};
pub use connection::{Dial, Transport};
pub use discovery::{Discovery, Found};
pub use error::ClientError;
pub use stream::{Lines, Watch, WatchEvent};

/// The largest answer read into memory at once.
const MAX_ANSWER: usize = 1 << 30;

/// A handle on one API server; clones share connections and the discovery cache.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Dial,
    idle: Mutex<VecDeque<connection::Sender>>,
    user_agent: String,
    timeout: Mutex<Option<Duration>>,
    /// Sent with every request.
    headers: Mutex<Vec<(HeaderName, String)>>,
    discovery: OnceCell<Arc<Discovery>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub body: Bytes,
    /// Texts of the `Warning` headers, in order.
    pub warnings: Vec<String>,
}

/// What a request asks. `query` is encoded by the client; `path` is sent as it is.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
}

impl Ask {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Ask { method, path: path.into(), query: Vec::new(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Ask::new(Method::GET, path)
    }

    pub fn query(mut self, key: &str, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    pub fn accept(self, media_types: &str) -> Self {
        self.header(header::ACCEPT, media_types)
    }

    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Json) -> Self {
        self.bytes("application/json", Bytes::from(body.to_string()))
    }

    /// A body of another media type (patches).
    pub fn bytes(mut self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(header::CONTENT_TYPE, media_type)
    }
}

impl Response {
    /// The body as a tree.
    pub fn json(&self) -> Result<Json, ClientError> {
        serde_json::from_slice(&self.body).map_err(|e| ClientError::Decode(e.to_string()))
    }
}

impl Client {
    /// A client that reaches its server by `dial`.
    pub fn new(dial: Dial) -> Self {
        Client {
            inner: Arc::new(Inner {
                dial,
                idle: Mutex::new(VecDeque::new()),
                user_agent: format!("wl/{} (linux)", env!("CARGO_PKG_VERSION")),
                timeout: Mutex::new(None),
                headers: Mutex::new(Vec::new()),
                discovery: OnceCell::new(),
            }),
        }
    }

    /// A client of the server that listens on a unix socket.
    pub fn unix(path: impl Into<std::path::PathBuf>) -> Self {
        Client::new(connection::unix(path.into()))
    }

    /// Gives up on answers (not on streams) that take longer; `None` waits for ever.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        *self.inner.timeout.lock().expect("no panic under the lock") = timeout;
    }

    /// Sends these headers with every request from now on: as whom one asks.
    pub fn set_headers(&self, headers: Vec<(HeaderName, String)>) {
        *self.inner.headers.lock().expect("no panic under the lock") = headers;
    }

    /// Asks, and reads the whole answer. Anything but 2xx is an `Err`.
    pub async fn send(&self, ask: Ask) -> Result<Response, ClientError> {
        let timeout = *self.inner.timeout.lock().expect("no panic under the lock");
        let whole = async {
            let (response, sender) = self.exchange(&ask).await?;
            let (parts, body) = response.into_parts();
            let limited = http_body_util::Limited::new(body, MAX_ANSWER);
            let body = limited.collect().await.map_err(|e| ClientError::Broken(e.to_string()))?.to_bytes();
            self.keep(sender);
            let warnings = warnings(&parts.headers);
            Ok(Response { status: parts.status, body, warnings })
        };
        let response = match timeout {
            Some(limit) => tokio::time::timeout(limit, whole).await.map_err(|_| ClientError::Timeout)??,
            None => whole.await?,
        };
        if response.status.is_success() {
            return Ok(response);
        }
        Err(refusal(&ask.method, response.status, &response.body, response.warnings))
    }

    /// Asks for a tree.
    pub async fn get(&self, path: &str) -> Result<Json, ClientError> {
        self.send(Ask::get(path)).await?.json()
    }

    /// Asks for a stream of lines (a watch, a followed log); the body is read as it comes.
    pub async fn lines(&self, ask: Ask) -> Result<Lines, ClientError> {
        let (response, _sender) = self.exchange(&ask).await?;
        let (parts, body) = response.into_parts();
        let warnings = warnings(&parts.headers);
        if !parts.status.is_success() {
            let body = body.collect().await.map_err(|e| ClientError::Broken(e.to_string()))?.to_bytes();
            return Err(refusal(&ask.method, parts.status, &body, warnings));
        }
        Ok(Lines::new(body, warnings))
    }

    /// Watches: like [`Client::lines`], each line an event.
    pub async fn watch(&self, ask: Ask) -> Result<Watch, ClientError> {
        Ok(Watch::new(self.lines(ask).await?))
    }

    /// Asks to change the protocol (WebSockets) and returns the answer's headers and the raw connection.
    pub async fn upgrade(&self, ask: Ask) -> Result<(HeaderMap, TokioIo<Upgraded>), ClientError> {
        let (mut response, _sender) = self.exchange(&ask).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| ClientError::Broken(e.to_string()))?.to_bytes();
            return Err(refusal(&ask.method, parts.status, &body, warnings(&parts.headers)));
        }
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(|e| ClientError::Broken(e.to_string()))?;
        Ok((response.headers().clone(), TokioIo::new(upgraded)))
    }

    /// What the server offers; asked for once.
    pub async fn discovery(&self) -> Result<Arc<Discovery>, ClientError> {
        self.inner.discovery.get_or_try_init(|| async { Ok(Arc::new(Discovery::fetch(self).await?)) }).await.cloned()
    }

    async fn exchange(
        &self,
        ask: &Ask,
    ) -> Result<(hyper::Response<hyper::body::Incoming>, connection::Sender), ClientError> {
        loop {
            let kept = self.inner.idle.lock().expect("no panic under the lock").pop_front();
            let (mut sender, is_kept) = match kept {
                Some(sender) if sender.is_closed() => continue,
                Some(sender) => (sender, true),
                None => (connection::open(&self.inner.dial).await?, false),
            };
            match sender.send_request(self.http_request(ask)?).await {
                Ok(response) => return Ok((response, sender)),
                // The server closed a kept connection before it read the request: ask again on a new one.
                Err(error) if is_kept && (error.is_canceled() || error.is_closed()) => {}
                Err(error) => return Err(ClientError::Broken(error.to_string())),
            }
        }
    }

    fn http_request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut target = ask.path.clone();
        for (i, (key, value)) in ask.query.iter().enumerate() {
            target.push(if i == 0 && !ask.path.contains('?') { '?' } else { '&' });
            encode(key, &mut target);
            target.push('=');
            encode(value, &mut target);
        }
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = target.parse().map_err(|_| ClientError::Request(format!("{target:?} is no path")))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("wl"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Ok(agent) = HeaderValue::from_str(&self.inner.user_agent) {
            headers.insert(header::USER_AGENT, agent);
        }
        let sendable = |name: &HeaderName, value: &str| {
            let value = HeaderValue::from_str(value);
            value.map_err(|_| ClientError::Request(format!("the header {name} cannot be sent")))
        };
        for (name, value) in self.inner.headers.lock().expect("no panic under the lock").iter() {
            headers.append(name.clone(), sendable(name, value)?);
        }
        for (name, value) in &ask.headers {
            headers.insert(name.clone(), sendable(name, value)?);
        }
        Ok(request)
    }

    fn keep(&self, sender: connection::Sender) {
        if !sender.is_closed() {
            let mut idle = self.inner.idle.lock().expect("no panic under the lock");
            if idle.len() < connection::MAX_IDLE {
                idle.push_back(sender);
            }
        }
    }
}

/// Percent-encodes what may not stand in a query.
pub fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// One segment of a path, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode(text, &mut out);
    out
}

/// The texts of `Warning: 299 - "text"` headers (RFC 7234, 5.5).
fn warnings(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::WARNING)
        .iter()
        .filter_map(|value| {
            let text = std::str::from_utf8(value.as_bytes()).ok()?;
            let quoted = text.strip_prefix("299 ")?.split_once(' ')?.1.trim();
            let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
            let mut out = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                out.push(if c == '\\' { chars.next()? } else { c });
            }
            Some(out)
        })
        .collect()
}

/// The error for an answer that is not 2xx: the server's `Status`, or client-go's words for its code
/// (k8s.io/apimachinery/pkg/api/errors/errors.go, `NewGenericServerResponse`).
fn refusal(method: &Method, code: StatusCode, body: &[u8], warnings: Vec<String>) -> ClientError {
    let status = serde_json::from_slice(body).ok().and_then(|json: Json| Status::from_json(&json));
    let status = status.unwrap_or_else(|| generic(method, code.as_u16(), &String::from_utf8_lossy(body)));
    ClientError::Status { status: Box::new(status), warnings }
}

fn generic(method: &Method, code: u16, body: &str) -> Status {
    let (reason, message): (&str, String) = match code {
        409 if method == Method::POST => ("AlreadyExists", "the server reported a conflict".into()),
        409 => ("Conflict", "the server reported a conflict".into()),
        404 => ("NotFound", "the server could not find the requested resource".into()),
        400 => ("BadRequest", "the server rejected our request for an unknown reason".into()),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials".into()),
        403 => ("Forbidden", body.trim().to_owned()),
        406 => ("NotAcceptable", body.trim().to_owned()),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource".into()),
        415 => ("UnsupportedMediaType", body.trim().to_owned()),
        422 => ("Invalid", "the server rejected our request due to an error in our request".into()),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later".into(),
        ),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request".into()),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .into(),
        ),
        500.. => (
            "InternalError",
            format!("an error on the server ({}) has prevented the request from succeeding", crate::api::status::quote(body.trim())),
        ),
        _ => ("Unknown", format!("the server responded with the status code {code} but did not return more information")),
    };
    Status::new(code, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_from_headers() {
        let mut headers = HeaderMap::new();
        headers.append(header::WARNING, HeaderValue::from_static(r#"299 - "v1 X is \"old\"""#));
        headers.append(header::WARNING, HeaderValue::from_static("nonsense"));
        assert_eq!(warnings(&headers), [r#"v1 X is "old""#]);
    }

    #[test]
    fn a_refusal_without_a_status_gets_words_for_its_code() {
        let ClientError::Status { status, .. } = refusal(&Method::GET, StatusCode::NOT_FOUND, b"404 page not found", vec![])
        else {
            panic!("a status")
        };
        assert_eq!((status.reason.as_str(), status.code), ("NotFound", 404));
        assert_eq!(status.message, "the server could not find the requested resource");
    }
}
