//! tcpSocket: success is a connection. Source: kubernetes/pkg/probe/tcp/tcp.go.

use std::time::Duration;

use super::{Answer, Dial, connect, dial_error, join};

/// Connects and closes.
pub async fn tcp(dial: &dyn Dial, host: &str, port: u16, timeout: Duration) -> Answer {
    match tokio::time::timeout(timeout, connect(dial, host, port)).await {
        Ok(Ok(_)) => Answer::Success,
        Ok(Err(error)) => Answer::Failure(dial_error(host, port, &error)),
        Err(_) => Answer::Failure(format!("dial tcp {}: i/o timeout", join(host, port))),
    }
}
