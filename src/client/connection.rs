//! Opens connections: dial, speak HTTP/1.1, drive it in a task of its own until both ends are done.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::ClientError;

/// Connections kept for later requests; more than the parallel requests of any command are never idle.
pub(super) const MAX_IDLE: usize = 16;

/// Bytes in both directions.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection in the making.
pub type DialFuture = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + Send>>;

/// Opens a new connection to the server, each time it is called.
pub type Dial = Arc<dyn Fn() -> DialFuture + Send + Sync>;

pub(super) type Sender = http1::SendRequest<Full<Bytes>>;

pub(super) fn unix(path: PathBuf) -> Dial {
    Arc::new(move || {
        let path = path.clone();
        Box::pin(async move {
            let stream = tokio::net::UnixStream::connect(path).await?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    })
}

pub(super) async fn open(dial: &Dial) -> Result<Sender, ClientError> {
    let transport = dial().await.map_err(ClientError::Connect)?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(transport)).await.map_err(|e| ClientError::Broken(e.to_string()))?;
    // Ends by itself: when the server closes, or when the last `Sender` and body are dropped.
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}
