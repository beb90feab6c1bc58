//! The frames of SPDY/3.1 that kubectl sends and understands. Flow control is not part of it: kubectl's library has none.
//! Source: <https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1> (2.6).

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::headers::{Deflate, Inflate};

/// Frames of no use here may be passed over, but not without end.
const LONGEST: usize = 1 << 20;
const FIN: u8 = 1;
const CONTROL: u16 = 0x8003;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// What the other side says.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Open { stream: u32, headers: Vec<(String, String)>, is_last: bool },
    Data { stream: u32, bytes: Bytes, is_last: bool },
    Reset { stream: u32 },
    Ping(u32),
    GoAway,
}

/// Reads frames.
pub struct Frames<R> {
    from: R,
    inflate: Inflate,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub fn new(from: R) -> Self {
        Frames { from, inflate: Inflate::new() }
    }

    /// The next thing said; `None`: there is nothing more.
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            let mut head = [0; 8];
            match self.from.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
            if length > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a SPDY frame is too long"));
            }
            let mut body = vec![0; length];
            self.from.read_exact(&mut body).await?;
            let is_last = head[4] & FIN != 0;
            if first & 0x8000_0000 == 0 {
                return Ok(Some(Event::Data { stream: first, bytes: body.into(), is_last }));
            }
            if let Some(event) = self.control([head[2], head[3]], &body, is_last)? {
                return Ok(Some(event));
            }
        }
    }

    fn control(&mut self, kind: [u8; 2], body: &[u8], is_last: bool) -> io::Result<Option<Event>> {
        let stream = || {
            let bytes = body.first_chunk::<4>().ok_or(io::ErrorKind::InvalidData)?;
            io::Result::Ok(u32::from_be_bytes(*bytes) & 0x7fff_ffff)
        };
        let mut block = |at: usize| self.inflate.headers(body.get(at..).ok_or(io::ErrorKind::InvalidData)?);
        Ok(match u16::from_be_bytes(kind) {
            SYN_STREAM => Some(Event::Open { stream: stream()?, headers: block(10)?, is_last }),
            // What has been compressed must be read, or the rest cannot be.
            SYN_REPLY | HEADERS => block(4).map(|_| None)?,
            RST_STREAM => Some(Event::Reset { stream: stream()? }),
            PING => Some(Event::Ping(u32::from_be_bytes(*body.first_chunk().ok_or(io::ErrorKind::InvalidData)?))),
            GOAWAY => Some(Event::GoAway),
            _ => None,
        })
    }
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
    let mut frame = Vec::with_capacity(8 + body.len());
    frame.extend(CONTROL.to_be_bytes());
    frame.extend(kind.to_be_bytes());
    frame.extend([0, length[1], length[2], length[3]]);
    frame.extend_from_slice(body);
    frame
}

/// Takes a stream that the other side has opened.
pub fn reply(stream: u32, deflate: &mut Deflate) -> Vec<u8> {
    control(SYN_REPLY, &[&stream.to_be_bytes()[..], &deflate.no_headers()].concat())
}

/// Refuses one (status 3: REFUSED_STREAM).
pub fn refuse(stream: u32) -> Vec<u8> {
    control(RST_STREAM, &[stream.to_be_bytes(), 3u32.to_be_bytes()].concat())
}

pub fn ping(id: u32) -> Vec<u8> {
    control(PING, &id.to_be_bytes())
}

/// Bytes of a stream; `is_last`: this side says nothing more in it.
pub fn data(stream: u32, bytes: &[u8], is_last: bool) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    let mut frame = Vec::with_capacity(8 + bytes.len());
    frame.extend(stream.to_be_bytes());
    frame.extend([u8::from(is_last), length[1], length[2], length[3]]);
    frame.extend_from_slice(bytes);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_told_apart() {
        let mut bytes = data(5, b"ab", true);
        bytes.extend(ping(9));
        bytes.extend(control(4, &[0; 4]));
        bytes.extend(refuse(7));
        let mut frames = Frames::new(bytes.as_slice());
        let first = Event::Data { stream: 5, bytes: Bytes::from_static(b"ab"), is_last: true };
        for expected in [Some(first), Some(Event::Ping(9)), Some(Event::Reset { stream: 7 }), None] {
            assert_eq!(frames.next().await.expect("a frame"), expected);
        }
        assert!(Frames::new([0, 0, 0, 1, 0, 0xff, 0xff, 0xff].as_slice()).next().await.is_err(), "too long");
    }
}
