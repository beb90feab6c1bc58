//! Several streams over one WebSocket: how a process in a pod, and a pod's ports, are reached.
//! Source: k8s.io/client-go/tools/remotecommand/websocket.go.

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Ask, Client, ClientError};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Closing a stream is a message of this one (v5).
const CLOSE: u8 = 255;

/// The client's side of the streams.
pub struct Speaker(SplitSink<Socket, Message>);

/// The server's side.
pub struct Listener(SplitStream<Socket>);

impl Client {
    /// Opens the streams of `ask`'s path in one of the protocols `v4.channel.k8s.io`, `v5.channel.k8s.io`.
    pub async fn channels(&self, ask: Ask, protocol: &str) -> Result<(Speaker, Listener), ClientError> {
        let key = generate_key();
        let ask = ask
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let (headers, connection) = self.upgrade(ask).await?;
        let said = |name| headers.get(name).and_then(|v| v.to_str().ok());
        if said(header::SEC_WEBSOCKET_ACCEPT) != Some(&derive_accept_key(key.as_bytes())) {
            return Err(ClientError::Broken("the answer to the WebSocket handshake is wrong".into()));
        }
        if said(header::SEC_WEBSOCKET_PROTOCOL) != Some(protocol) {
            return Err(ClientError::Broken(format!("the server does not speak {protocol}")));
        }
        let socket = WebSocketStream::from_raw_socket(connection, Role::Client, None).await;
        let (sink, source) = socket.split();
        Ok((Speaker(sink), Listener(source)))
    }
}

impl Speaker {
    /// Sends bytes in a stream.
    pub async fn say(&mut self, stream: u8, bytes: &[u8]) -> Result<(), ClientError> {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(stream);
        message.extend_from_slice(bytes);
        self.0.send(Message::binary(message)).await.map_err(|e| ClientError::Broken(e.to_string()))
    }

    /// Says that nothing more comes in a stream (v5).
    pub async fn close(&mut self, stream: u8) -> Result<(), ClientError> {
        self.say(CLOSE, &[stream]).await
    }
}

impl Listener {
    /// The next bytes, and their stream; `None`: the server has closed all.
    pub async fn next(&mut self) -> Result<Option<(u8, Bytes)>, ClientError> {
        while let Some(message) = self.0.next().await {
            match message.map_err(|e| ClientError::Broken(e.to_string()))? {
                Message::Binary(bytes) if !bytes.is_empty() => return Ok(Some((bytes[0], bytes.slice(1..)))),
                Message::Close(_) => return Ok(None),
                Message::Binary(_) | Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(None)
    }
}
