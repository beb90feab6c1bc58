//! The peer: libpod's calls with nothing around them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use wl::network::{Cidr, has_ipv6};

/// Podman's service, called as directly as can be.
pub struct Bare {
    socket: PathBuf,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// The network of the bare pods: made as `wl` makes its own.
pub const NETWORK: &str = "wl-bench";

impl Bare {
    pub fn new(socket: &Path) -> Self {
        Bare { socket: socket.to_owned(), idle: Mutex::default() }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// One call; its answer as JSON. Panics where Podman refuses it.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        self.try_call(method, path, body).await.unwrap_or_else(|why| panic!("{why}"))
    }

    async fn try_call(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let shown = format!("{method} {path}");
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(format!("/v4.0.0/libpod{path}"));
        let request = request.header("host", "d").header("content-type", "application/json").body(Full::new(body));
        let (answer, connection) = self.send(request.expect("a request")).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap_or_else(|e| panic!("{shown}: {e}")).to_bytes();
        self.idle.lock().await.push(connection);
        if !status.is_success() && status.as_u16() != 304 {
            return Err(format!("{shown}: {status} {}", String::from_utf8_lossy(&body)));
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> (Response<Incoming>, SendRequest<Full<Bytes>>) {
        loop {
            let kept = self.idle.lock().await.pop();
            let is_kept = kept.is_some();
            let mut connection = match kept {
                Some(kept) => kept,
                None => self.connect().await,
            };
            match connection.try_send_request(request).await {
                Ok(answer) => return (answer, connection),
                // The service had closed it before anything was sent.
                Err(mut failed) => match failed.take_message().filter(|_| is_kept) {
                    Some(unsent) => request = unsent,
                    None => panic!("Podman's service: {}", failed.into_error()),
                },
            }
        }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = UnixStream::connect(&self.socket).await.expect("Podman's service answers");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        tokio::spawn(connection);
        sender
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, body).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, Value::Null).await
    }

    /// Makes the network where it is not there yet.
    pub async fn make_network(&self) {
        let there = self.get("/networks/json").await;
        if !there.as_array().into_iter().flatten().any(|n| n["name"] == NETWORK) {
            let dual = has_ipv6(&[Cidr::OWN_V6]);
            let network = json!({"name": NETWORK, "driver": "bridge", "dns_enabled": false, "ipv6_enabled": dual});
            self.post("/networks/create", network).await;
        }
    }

    pub async fn remove_network(&self) {
        self.call(Method::DELETE, &format!("/networks/{NETWORK}"), Value::Null).await;
    }

    /// Create pod, create container, start: of all these, so many at a time.
    pub async fn up(&self, names: &[String], image: &str, in_flight: usize) {
        let one = |name: &String| {
            let name = name.clone();
            async move {
                let networks = json!({NETWORK: {}});
                let pod = json!({"name": name, "netns": {"nsmode": "bridge"}, "Networks": networks});
                self.post("/pods/create", pod).await;
                self.create_container(&name, &format!("{name}-app"), image).await;
                self.post(&format!("/pods/{name}/start"), Value::Null).await;
            }
        };
        stream::iter(names).map(one).buffer_unordered(in_flight).collect::<Vec<()>>().await;
    }

    pub async fn create_container(&self, pod: &str, name: &str, image: &str) {
        let container =
            json!({"name": name, "image": image, "pod": pod, "command": ["/program", "on-term:0", "forever"]});
        self.post("/containers/create", container).await;
    }

    /// TERM and forced DELETE, so many at a time.
    pub async fn down(&self, names: &[String], in_flight: usize) {
        let one = |name: &String| {
            let name = name.clone();
            async move {
                self.post(&format!("/containers/{name}-app/kill?signal=TERM"), Value::Null).await;
                self.remove_pod(&name).await;
            }
        };
        stream::iter(names).map(one).buffer_unordered(in_flight).collect::<Vec<()>>().await;
    }

    /// Forced DELETE; once more where Podman stumbles over a container that is just ending.
    pub async fn remove_pod(&self, name: &str) {
        let path = format!("/pods/{name}?force=true&timeout=0");
        let mut answer = self.try_call(Method::DELETE, &path, Value::Null).await;
        for _ in 0..20 {
            if answer.is_ok() {
                return;
            }
            answer = self.try_call(Method::DELETE, &path, Value::Null).await;
        }
        panic!("{answer:?}");
    }
}
