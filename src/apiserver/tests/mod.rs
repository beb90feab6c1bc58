//! The server over a pipe, as a client sees it.

mod access;
mod custom;
mod dual_stack;
mod evictions;
mod hostile;
mod openapi;
mod pods;
mod services;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};

use super::Server;
use crate::registry::Settings;
use crate::store::Store;

/// A server with nothing but what every server has.
pub(super) struct Api {
    pub server: Server,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub code: u16,
    pub text: String,
    pub body: Json,
    pub warnings: Vec<String>,
}

impl Answer {
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or("")
    }
}

impl Api {
    pub async fn new() -> Self {
        Api::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let store = Store::in_memory(Settings { admission: vec!["NamespaceLifecycle".into()], ..settings });
        store.bootstrap().await.expect("the first objects are made");
        Api { server: Server::new(store) }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Json) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Json) -> Answer {
        self.send("PUT", path, &[], Some(body)).await
    }

    pub async fn merge(&self, path: &str, body: Json) -> Answer {
        self.send("PATCH", path, &[("content-type", "application/merge-patch+json")], Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Json>) -> Answer {
        let (near, far) = tokio::io::duplex(1 << 20);
        let serving = tokio::spawn(super::serve(self.server.clone(), far));
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("a connection");
        let connecting = tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(path);
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.body(Full::new(bytes)).expect("a request");
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        connecting.abort();
        serving.abort();
        let warnings = head.headers.get_all("warning").iter();
        Answer {
            code: head.status.as_u16(),
            body: serde_json::from_slice(&bytes).unwrap_or(Json::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            warnings: warnings.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect(),
        }
    }
}

/// A pod that is asked to be.
pub(super) fn pod(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "a"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "app:1"}]}})
}
