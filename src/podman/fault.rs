//! What Podman says when it refuses, and which kind of refusal that is.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;

use crate::runtime::{RuntimeError, RuntimeErrorKind};

/// An answer that is no success, or none at all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// HTTP status; `None` where nothing was answered.
    pub status: Option<u16>,
    /// Podman's own words.
    pub message: String,
    /// Nobody answered: the service is down or restarting.
    pub unavailable: bool,
    /// The call was sent and may have taken effect all the same.
    pub uncertain: bool,
}

/// The three bodies that Podman's errors have.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    message: String,
    #[serde(default)]
    cause: String,
    #[serde(default, rename = "Errs")]
    errors: Option<Vec<String>>,
}

impl Fault {
    /// Something that went wrong on this side, after the call was sent.
    pub fn local(message: String) -> Self {
        Self { status: None, message, unavailable: false, uncertain: true }
    }

    /// Reads an error answer. What is kept is bounded.
    pub fn of(status: u16, body: &[u8]) -> Self {
        let body = &body[..body.len().min(64 << 10)];
        let message = match serde_json::from_slice::<Body>(body) {
            Ok(Body { errors: Some(errors), .. }) if !errors.is_empty() => errors.join("; "),
            Ok(read) if !read.message.is_empty() => read.message,
            Ok(read) if !read.cause.is_empty() => read.cause,
            _ if body.is_empty() => format!("Podman answered {status}"),
            _ => String::from_utf8_lossy(body).trim().to_owned(),
        };
        Self { status: Some(status), message, unavailable: false, uncertain: false }
    }

    /// What is asked for is not there: 404, or 500 where it went while the call was under way.
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404) || self.says(&["no such container", "no such pod"])
    }

    /// A name that is taken: 409, or 500 with these words (4.3).
    pub fn is_conflict(&self) -> bool {
        self.says(&["is already in use", "already exists", "is in use: pod already exists", "already in use by"])
            && !self.says(&["address already in use"])
    }

    /// The container is not in a state for that: 409, or 500 on 4.3.
    pub fn is_improper_state(&self) -> bool {
        self.says(&["container state improper", "can only kill running containers", "is not running"])
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|w| self.message.contains(w))
    }

    /// As the runtime's error, of the kind that its words tell.
    pub fn into_error(self) -> RuntimeError {
        RuntimeError { kind: self.kind(), message: self.told() }
    }

    /// What is told of it: where the words mislead, with what they mean.
    fn told(self) -> String {
        if self.says(&["create keyring"]) {
            return format!("{} (the user has as many keyrings as the kernel allows: `wl doctor` tells the way out)", self.message);
        }
        self.message
    }

    /// As the runtime's error of `kind`, unless nobody answered.
    pub fn into_kind(self, kind: RuntimeErrorKind) -> RuntimeError {
        let kind = match self.kind() {
            known @ (RuntimeErrorKind::Unavailable | RuntimeErrorKind::ImageMissing | RuntimeErrorKind::AddressInUse) => known,
            _ => kind,
        };
        RuntimeError { kind, message: self.told() }
    }

    fn kind(&self) -> RuntimeErrorKind {
        if self.unavailable {
            return RuntimeErrorKind::Unavailable;
        }
        if self.says(&["image not known"]) {
            return RuntimeErrorKind::ImageMissing;
        }
        if self.says(&["address already in use", "requested ip address", "rootlessport listen", "cannot expose privileged port"]) {
            return RuntimeErrorKind::AddressInUse;
        }
        match self.status {
            _ if self.is_not_found() => RuntimeErrorKind::NotFound,
            _ if self.is_conflict() => RuntimeErrorKind::Exists,
            _ => RuntimeErrorKind::Refused,
        }
    }
}

impl From<Fault> for RuntimeError {
    fn from(fault: Fault) -> Self {
        fault.into_error()
    }
}

/// Nobody answers at `socket`.
pub fn unavailable(socket: &Path, why: &(impl Display + ?Sized)) -> Fault {
    let message = format!("Podman's service does not answer at {}: {why}", socket.display());
    Fault { status: None, message, unavailable: true, uncertain: true }
}

/// The answer did not come in time.
pub fn too_slow(method: &Method, path: &str, after: Duration) -> Fault {
    let path = path.split('?').next().unwrap_or_default();
    let message = format!("Podman's service did not answer {method} {path} within {} s", after.as_secs());
    Fault { status: None, message, unavailable: true, uncertain: true }
}

/// A refusal of our own.
pub fn refused(message: impl Into<String>) -> RuntimeError {
    RuntimeError { kind: RuntimeErrorKind::Refused, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> (RuntimeErrorKind, String) {
        let error = Fault::of(status, body.as_bytes()).into_error();
        (error.kind, error.message)
    }

    #[test]
    fn refusals_have_the_kind_that_their_words_tell() {
        use RuntimeErrorKind::*;
        assert_eq!(kind(500, r#"{"cause":"image not known","message":"x: image not known","response":500}"#).0, ImageMissing);
        let went = r#"{"message":"container ab does not exist in database: no such container","response":500}"#;
        assert_eq!(kind(500, went).0, NotFound);
        assert_eq!(kind(404, r#"{"cause":"no such container","message":"no container","response":404}"#).0, NotFound);
        let busy = r#"{"Errs":["starting container abc: cannot listen on the TCP port: listen tcp4 :80: bind: address already in use"],"Id":"x"}"#;
        assert_eq!(kind(409, busy).0, AddressInUse);
        let ip = r#"{"Errs":["IPAM error: requested ip address 10.1.2.3 is already allocated to container ID x"]}"#;
        assert_eq!(kind(409, ip).0, AddressInUse);
        let taken = r#"{"cause":"that name is already in use","message":"the container name \"a\" is already in use by x","response":500}"#;
        assert_eq!(kind(500, taken).0, Exists);
        assert_eq!(kind(500, ""), (Refused, "Podman answered 500".to_owned()));
        assert!(kind(500, "crun: create keyring `aeed`: Disk quota exceeded: OCI runtime error").1.contains("wl doctor"));
        assert_eq!(kind(500, "not json"), (Refused, "not json".to_owned()));
    }
}
