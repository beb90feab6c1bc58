//! One pooled HTTP/1.1 client over Podman's unix socket: bounded bodies, a deadline on every call, streams.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::HeaderMap;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use super::door::Door;
use super::fault::{self, Fault};

/// The prefix of every path: read alike by 4.x and by 5.1 and later.
const PREFIX: &str = "/v4.0.0/libpod";
/// No answer that is read whole may be larger (a list of thousands of containers stays far below).
const LARGEST_ANSWER: usize = 64 << 20;
/// More idle connections than calls are ever in flight would be kept for nothing.
const IDLE_CONNECTIONS: usize = 16;
/// A call without a deadline of its own; the slowest (removing a pod) takes a few seconds on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client of one Podman. Clones share the connections.
#[derive(Clone)]
pub struct Http {
    inner: Arc<Inner>,
}

struct Inner {
    door: Door,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// One call, built up and then sent.
pub struct Call<'a> {
    http: &'a Http,
    method: Method,
    path: String,
    separator: char,
    body: Bytes,
    content_type: Option<&'static str>,
    headers: Vec<(&'static str, String)>,
    deadline: Duration,
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Lines of an answer that does not end by itself.
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    longest: usize,
}

impl Http {
    /// A client of who answers at `door`; connects with the first call.
    pub fn new(door: Door) -> Self {
        Self { inner: Arc::new(Inner { door, idle: Mutex::default() }) }
    }

    pub fn door(&self) -> &Door {
        &self.inner.door
    }

    /// A call of libpod's `path`, which is the caller's: parts from outside go through [`encode`] first.
    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call<'_> {
        let path = format!("{PREFIX}{}", path.as_ref());
        let separator = if path.contains('?') { '&' } else { '?' };
        Call {
            http: self,
            method,
            path,
            separator,
            body: Bytes::new(),
            content_type: None,
            headers: Vec::new(),
            deadline: PATIENCE,
        }
    }

    pub fn get(&self, path: impl AsRef<str>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: impl AsRef<str>) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub fn delete(&self, path: impl AsRef<str>) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    /// Ends the kept connections (the service has gone).
    pub fn forget_connections(&self) {
        self.inner.idle().clear();
    }

    /// What only asks is asked again where the service ended meanwhile.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), Fault> {
        let again = (request.method() == Method::GET).then(|| request.clone());
        match (self.send_once(request).await, again) {
            (Err(fault), Some(request)) if fault.uncertain => self.send_once(request).await,
            (done, _) => done,
        }
    }

    async fn send_once(&self, request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), Fault> {
        let mut request = request;
        while let Some(mut connection) = self.inner.take_idle() {
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut failed) => match failed.take_message() {
                    // The other side had closed it before anything was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(fault::unavailable(&self.door().socket(), &failed.into_error())),
                },
            }
        }
        let (socket, mut connection) = self.connect().await?;
        let response = connection.send_request(request).await.map_err(|e| fault::unavailable(&socket, &e))?;
        Ok((response, connection))
    }

    async fn connect(&self) -> Result<(PathBuf, SendRequest<Full<Bytes>>), Fault> {
        let unsent = |socket: &Path, e: &dyn Display| Fault { uncertain: false, ..fault::unavailable(socket, e) };
        let (socket, stream) = self.door().knock().await.map_err(|e| unsent(&self.door().socket(), &e))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| unsent(&socket, &e))?;
        // Ends by itself when the sender is dropped or the service goes.
        tokio::spawn(connection.with_upgrades());
        Ok((socket, sender))
    }
}

impl Inner {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle();
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn put_idle(&self, connection: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle();
        if idle.len() < IDLE_CONNECTIONS && !connection.is_closed() {
            idle.push(connection);
        }
    }
}

impl Call<'_> {
    pub fn query(mut self, key: &str, value: impl AsRef<str>) -> Self {
        self.path.push(self.separator);
        self.path.push_str(key);
        self.path.push('=');
        self.path.push_str(&encode(value.as_ref(), false));
        self.separator = '&';
        self
    }

    /// A JSON body. (Podman silently reads nothing from a body of another type.)
    pub fn json(mut self, value: &impl serde::Serialize) -> Self {
        self.body = serde_json::to_vec(value).unwrap_or_default().into();
        self.content_type = Some("application/json");
        self
    }

    pub fn bytes(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.body = body;
        self.content_type = Some(content_type);
        self
    }

    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn request(&mut self) -> Result<Request<Full<Bytes>>, Fault> {
        let mut builder = Request::builder().method(self.method.clone()).uri(&self.path).header("host", "d");
        if let Some(content_type) = self.content_type {
            builder = builder.header("content-type", content_type);
        }
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        builder.body(Full::new(std::mem::take(&mut self.body))).map_err(|e| Fault::local(e.to_string()))
    }

    /// Sends it and reads the whole answer, whatever its status.
    pub async fn answer(mut self) -> Result<Answer, Fault> {
        let request = self.request()?;
        let work = async {
            let (response, connection) = self.http.send(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER)
                .collect()
                .await
                .map_err(|e| Fault::local(format!("Podman's answer broke off: {e}")))?
                .to_bytes();
            self.http.inner.put_idle(connection);
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        match tokio::time::timeout(self.deadline, work).await {
            Ok(done) => done,
            Err(_) => Err(fault::too_slow(&self.method, &self.path, self.deadline)),
        }
    }

    /// Sends it; anything but a success (or "nothing to do", 304) is the fault that the answer tells of.
    pub async fn ok(self) -> Result<Answer, Fault> {
        let answer = self.answer().await?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        Err(Fault::of(answer.status.as_u16(), &answer.body))
    }

    /// Sends it and reads the answer as JSON.
    pub async fn read<T: DeserializeOwned>(self) -> Result<T, Fault> {
        let answer = self.ok().await?;
        serde_json::from_slice(&answer.body).map_err(|e| Fault::local(format!("Podman's answer is not understood: {e}")))
    }

    /// Sends it and takes the connection over: bytes in both directions, without any form.
    pub async fn hijack(mut self) -> Result<TokioIo<Upgraded>, Fault> {
        self.headers.extend([("connection", "Upgrade".to_owned()), ("upgrade", "tcp".to_owned())]);
        let request = self.request()?;
        let sent = tokio::time::timeout(self.deadline, self.http.send(request)).await;
        let (mut response, _connection) = sent.map_err(|_| fault::too_slow(&self.method, &self.path, self.deadline))??;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(&mut response).await;
            return upgraded.map(TokioIo::new).map_err(|e| Fault::local(format!("Podman's stream broke off: {e}")));
        }
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        Err(Fault::of(status, &body.map(|b| b.to_bytes()).unwrap_or_default()))
    }

    /// Sends it and gives the lines as they come; the deadline is for the head of the answer.
    pub async fn lines(mut self, longest: usize) -> Result<Lines, Fault> {
        let request = self.request()?;
        let sent = tokio::time::timeout(self.deadline, self.http.send(request)).await;
        // A stream has its connection to itself; it closes with the stream.
        let (response, _connection) = sent.map_err(|_| fault::too_slow(&self.method, &self.path, self.deadline))??;
        if response.status().is_success() {
            return Ok(Lines { body: response.into_body(), buffer: Vec::new(), longest });
        }
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        Err(Fault::of(status, &body.map(|b| b.to_bytes()).unwrap_or_default()))
    }
}

impl Lines {
    /// The next line without its end; `None` when the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            if self.buffer.len() > self.longest {
                return Err(Fault::local("a line of Podman's stream is too long".to_owned()));
            }
            match self.body.frame().await {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.buffer))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(broken)) => return Err(Fault::local(format!("Podman's stream broke off: {broken}"))),
            }
        }
    }
}

/// Percent-encodes what is not plain; `keep_path` leaves what an image's name may have in a path.
pub fn encode(text: &str, keep_path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_path && b"/:@".contains(&byte));
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn what_is_not_plain_is_encoded() {
        assert_eq!(encode("a/b:c@d e?&#%\u{e9}", true), "a/b:c@d%20e%3F%26%23%25%C3%A9");
        assert_eq!(encode("{\"a\":[1]}", false), "%7B%22a%22%3A%5B1%5D%7D");
    }
}
