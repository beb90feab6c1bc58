//! grpc: the health protocol's Check. Source: kubernetes/pkg/probe/grpc/grpc.go.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::{Answer, Dial, KUBELET_VERSION, connect, join};

/// Between two tries to connect, as long as the probe's time lasts.
const RETRY: Duration = Duration::from_millis(200);

/// A Check answers with a few bytes; more is no answer of the protocol.
const MAX_ANSWER: usize = 64 * 1024;

/// Asks for the health of `service` (empty: of the server).
pub async fn grpc(dial: &dyn Dial, host: &str, port: u16, service: &str, timeout: Duration) -> Answer {
    let address = join(host, port);
    let end = Instant::now() + timeout;
    let shown = go_duration(timeout);
    let connecting = async {
        loop {
            if let Some(sender) = open(dial, host, port).await {
                return sender;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    let not_connected = || {
        Answer::Failure(format!(
            "timeout: failed to connect service \"{address}\" within {shown}: context deadline exceeded"
        ))
    };
    let Ok(sender) = tokio::time::timeout_at(end, connecting).await else { return not_connected() };
    match tokio::time::timeout_at(end, check(sender, &address, service, &shown)).await {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            // Whoever is there does not speak HTTP/2; gRPC's clients go on trying as long as they may.
            tokio::time::sleep_until(end).await;
            not_connected()
        }
        Err(_) => Answer::Failure(format!("timeout: health rpc did not complete within {shown}")),
    }
}

fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 { format!("{}m{}s", seconds / 60, seconds % 60) } else { format!("{seconds}s") }
}

/// A connection over which the server has spoken HTTP/2, or nothing.
async fn open(dial: &dyn Dial, host: &str, port: u16) -> Option<SendRequest<Full<Bytes>>> {
    let stream = connect(dial, host, port).await.ok()?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
    // Ends when the sender is dropped, with the probe.
    let driven = tokio::spawn(connection);
    // The preface was sent; only an answer to a ping of ours tells whether the other side speaks HTTP/2.
    match tokio::time::timeout(RETRY, sender.ready()).await {
        Ok(Ok(())) if !driven.is_finished() => Some(sender),
        _ => None,
    }
}

/// `None`: there was no answer in HTTP/2.
async fn check(mut sender: SendRequest<Full<Bytes>>, address: &str, service: &str, timeout: &str) -> Option<Answer> {
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", format!("kube-probe/{KUBELET_VERSION}"))
        .body(Full::new(message(service)));
    let Ok(request) = request else { return Some(Answer::Error(format!("invalid address {address:?}"))) };
    let response = sender.send_request(request).await.ok()?;
    let headers = response.headers().clone();
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let Ok(body) = body else { return Some(failed(13, "the answer broke off", timeout)) };
    let trailers = body.trailers().cloned().unwrap_or_default();
    let (code, description) = status(&trailers).or_else(|| status(&headers)).unwrap_or((2, String::new()));
    if code != 0 {
        return Some(failed(code, &description, timeout));
    }
    Some(match serving(&body.to_bytes()) {
        Some(1) => Answer::Success,
        Some(2) => unhealthy("NOT_SERVING"),
        Some(3) => unhealthy("SERVICE_UNKNOWN"),
        Some(0) | None => unhealthy("UNKNOWN"),
        Some(other) => unhealthy(&other.to_string()),
    })
}

fn unhealthy(status: &str) -> Answer {
    Answer::Failure(format!("service unhealthy (responded with \"{status}\")"))
}

fn failed(code: u32, description: &str, timeout: &str) -> Answer {
    let name = code_name(code);
    Answer::Failure(match name {
        "Unimplemented" => {
            format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {description}")
        }
        "DeadlineExceeded" => format!("timeout: health rpc did not complete within {timeout}"),
        _ => format!("error: health rpc probe failed: rpc error: code = {name} desc = {description}"),
    })
}

/// Names of gRPC's codes: google.golang.org/grpc/codes.
fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    usize::try_from(code).ok().and_then(|c| NAMES.get(c)).copied().unwrap_or("Unknown")
}

/// A HealthCheckRequest in gRPC's frame: field 1 is the service's name.
fn message(service: &str) -> Bytes {
    let name = service.as_bytes();
    let mut payload = Vec::new();
    if !name.is_empty() {
        payload.push(0x0a);
        let mut length = name.len();
        while length >= 0x80 {
            payload.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        payload.push(length as u8);
        payload.extend_from_slice(name);
    }
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&payload);
    frame.into()
}

/// Field 1 of a HealthCheckResponse; absent is 0.
fn serving(body: &[u8]) -> Option<u64> {
    let length = u32::from_be_bytes(body.get(1..5)?.try_into().ok()?);
    let payload = body.get(5..5 + usize::try_from(length).ok()?)?;
    match payload {
        [] => Some(0),
        [0x08, value, ..] if *value < 0x80 => Some(u64::from(*value)),
        _ => None,
    }
}

fn status(headers: &HeaderMap) -> Option<(u32, String)> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let message = headers.get("grpc-message").and_then(|m| m.to_str().ok()).unwrap_or("");
    Some((code, percent_decoded(message)))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[at], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::body::{Frame, Incoming};
    use tokio::net::TcpListener;

    use super::super::Direct;
    use super::*;

    /// A server that knows the services `up` and `down`.
    async fn server() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
                tokio::spawn(serve);
            }
        });
        port
    }

    async fn answer(
        request: Request<Incoming>,
    ) -> Result<http::Response<http_body_util::StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>>, Infallible>
    {
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let (status, code) = match &asked[5..] {
            b"\x0a\x02up" => (1, "0"),
            b"\x0a\x04down" => (2, "0"),
            b"\x0a\x03new" => (9, "0"),
            b"\x0a\x04none" => (0, "12"),
            b"\x0a\x04late" => (0, "4"),
            _ => (0, "5"),
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        trailers.insert("grpc-message", "unknown%20service".parse().unwrap());
        let frames = vec![
            Ok(Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]))),
            Ok(Frame::trailers(trailers)),
        ];
        Ok(http::Response::new(http_body_util::StreamBody::new(futures_util::stream::iter(frames))))
    }

    #[tokio::test]
    async fn health_is_told_in_the_kubelets_words() {
        let port = server().await;
        let ask = async |service: &str| grpc(&Direct, "127.0.0.1", port, service, Duration::from_secs(20)).await;
        assert_eq!(ask("up").await, Answer::Success);
        assert_eq!(ask("down").await, Answer::Failure("service unhealthy (responded with \"NOT_SERVING\")".into()));
        let late = "timeout: health rpc did not complete within 20s";
        let none = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service";
        let text = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service";
        for (service, told) in [("other", text), ("none", none), ("late", late), ("new", "service unhealthy (responded with \"9\")")] {
            assert_eq!(ask(service).await, Answer::Failure(told.into()));
        }
    }

    #[tokio::test]
    async fn a_refused_port_takes_the_whole_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        tokio::time::pause();
        let text = format!("timeout: failed to connect service \"127.0.0.1:{port}\" within 1s: context deadline exceeded");
        assert_eq!(grpc(&Direct, "127.0.0.1", port, "", Duration::from_secs(1)).await, Answer::Failure(text));
    }
}
