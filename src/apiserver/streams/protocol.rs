//! Several streams in one WebSocket: each message begins with the number of its stream.
//! Source: k8s.io/apimachinery/pkg/util/remotecommand/constants.go, k8s.io/streaming/pkg/httpstream/wsstream/conn.go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

/// How messages are written, by the name of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    /// Text: the number as a digit, the rest in base64.
    text: bool,
    /// From this version on, ends are told by a Status and not by a text.
    version: u8,
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Data { stream: u8, bytes: Bytes },
    /// It will say nothing more in this stream (v5).
    Close { stream: u8 },
    /// Nothing that matters here (pings).
    Nothing,
}

/// The stream whose messages close others.
const CLOSE: u8 = 255;

impl Protocol {
    pub fn of(name: &str) -> Self {
        let version = name.strip_prefix('v').and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(1);
        Protocol { text: name.contains("base64"), version }
    }

    /// Whether the end of a command is told by a Status object.
    pub fn tells_status(self) -> bool {
        self.version >= 4
    }

    pub fn message(self, stream: u8, bytes: &[u8]) -> Message {
        if self.text {
            return Message::text(format!("{stream}{}", STANDARD.encode(bytes)));
        }
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(stream);
        message.extend_from_slice(bytes);
        Message::binary(message)
    }

    pub fn read(self, message: Message) -> Said {
        let data = match message {
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) if bytes.is_empty() => return Said::Nothing,
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return Said::Nothing,
        };
        let Some(first) = data.first().copied() else { return Said::Nothing };
        let rest = data.slice(1..);
        if self.text {
            let bytes = STANDARD.decode(&rest).unwrap_or_default();
            return Said::Data { stream: first.wrapping_sub(b'0'), bytes: bytes.into() };
        }
        match (first, rest.first()) {
            (CLOSE, Some(stream)) if self.version >= 5 => Said::Close { stream: *stream },
            _ => Said::Data { stream: first, bytes: rest },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_in_every_protocol() {
        let v5 = Protocol::of("v5.channel.k8s.io");
        assert_eq!(v5.message(1, b"ab"), Message::binary(vec![1, b'a', b'b']));
        assert_eq!(v5.read(Message::binary(vec![0, b'x'])), Said::Data { stream: 0, bytes: Bytes::from_static(b"x") });
        assert_eq!(v5.read(Message::binary(vec![255, 0])), Said::Close { stream: 0 });
        assert_eq!(v5.read(Message::binary(vec![])), Said::Nothing);
        let v4 = Protocol::of("v4.channel.k8s.io");
        assert!(v4.tells_status() && !Protocol::of("").tells_status());
        assert!(matches!(v4.read(Message::binary(vec![255, 0])), Said::Data { stream: 255, .. }), "v4 knows no close");
        let text = Protocol::of("base64.channel.k8s.io");
        assert_eq!(text.message(2, b"ab"), Message::text("2YWI="));
        assert_eq!(text.read(Message::text("0YWI=")), Said::Data { stream: 0, bytes: Bytes::from_static(b"ab") });
    }
}
