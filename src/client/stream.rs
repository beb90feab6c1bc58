//! Answers that are read while they come: lines, and watch events.

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::ClientError;
use crate::api::{Json, Object, Status};

/// The longest line taken: an object is at most some MiB.
const MAX_LINE: usize = 64 << 20;

/// A body, line by line.
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
    searched: usize,
    /// Texts of the `Warning` headers.
    pub warnings: Vec<String>,
}

impl Lines {
    pub(super) fn new(body: Incoming, warnings: Vec<String>) -> Self {
        Lines { body, buffer: BytesMut::new(), searched: 0, warnings }
    }

    /// The next line with its end; the last one may have none. `None`: the body ended.
    pub async fn next(&mut self) -> Result<Option<BytesMut>, ClientError> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE {
                return Err(ClientError::Decode("a line is too long".into()));
            }
            if !self.fill().await? {
                let rest = self.buffer.split();
                self.searched = 0;
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// What has come, in pieces as they come. `None`: the body ended.
    pub async fn chunk(&mut self) -> Result<Option<BytesMut>, ClientError> {
        while self.buffer.is_empty() {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        self.searched = 0;
        Ok(Some(self.buffer.split()))
    }

    async fn fill(&mut self) -> Result<bool, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|e| ClientError::Broken(e.to_string()))?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(data.chunk());
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a watch tells.
#[derive(Debug)]
pub enum WatchEvent {
    Added(Object),
    Modified(Object),
    Deleted(Object),
    Bookmark(Object),
    /// The watch is over, with the server's reason (`410 Gone` asks for a new list).
    Error(Status),
}

/// A watch, event by event.
pub struct Watch {
    lines: Lines,
}

impl Watch {
    pub(super) fn new(lines: Lines) -> Self {
        Watch { lines }
    }

    pub fn warnings(&self) -> &[String] {
        &self.lines.warnings
    }

    /// The next event; `None`: the server ended the watch.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, ClientError> {
        let line = loop {
            match self.lines.next().await? {
                None => return Ok(None),
                Some(line) if line.trim_ascii().is_empty() => {}
                Some(line) => break line,
            }
        };
        let mut event: Json = serde_json::from_slice(&line).map_err(|e| ClientError::Decode(e.to_string()))?;
        let object = event["object"].take();
        match event["type"].as_str() {
            Some("ADDED") => Ok(Some(WatchEvent::Added(object.into()))),
            Some("MODIFIED") => Ok(Some(WatchEvent::Modified(object.into()))),
            Some("DELETED") => Ok(Some(WatchEvent::Deleted(object.into()))),
            Some("BOOKMARK") => Ok(Some(WatchEvent::Bookmark(object.into()))),
            Some("ERROR") => {
                let status = Status::from_json(&object)
                    .unwrap_or_else(|| Status::internal("the watch ended with an error that cannot be read"));
                Ok(Some(WatchEvent::Error(status)))
            }
            _ => Err(ClientError::Decode("a watch event has no known type".into())),
        }
    }
}
