//! Why a request gave no answer to use.

use std::io;

use crate::api::Status;

/// Why a request gave no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No server could be reached.
    #[error("no API server answers: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or the answer was no HTTP.
    #[error("the connection to the API server broke: {0}")]
    Broken(String),
    /// The request cannot be sent as it is.
    #[error("{0}")]
    Request(String),
    /// No answer within the time allowed.
    #[error("the server did not answer in time")]
    Timeout,
    /// The answer is no JSON.
    #[error("the server's answer cannot be read: {0}")]
    Decode(String),
    /// The server refused.
    #[error("{status}")]
    Status { status: Box<Status>, warnings: Vec<String> },
}

impl ClientError {
    /// The server's refusal, if that is what it is.
    pub fn status(&self) -> Option<&Status> {
        match self {
            ClientError::Status { status, .. } => Some(status),
            ClientError::Connect(_)
            | ClientError::Broken(_)
            | ClientError::Request(_)
            | ClientError::Timeout
            | ClientError::Decode(_) => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|s| s.reason == "NotFound")
    }
}
