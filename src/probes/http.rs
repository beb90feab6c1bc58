//! httpGet: 200 to 399 is success; redirects on the same host are followed, certificates are not checked.
//! Source: kubernetes/pkg/probe/http/{http,request}.go.

mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use url::Url;

use super::{Answer, Dial, connect, dial_error, join};

/// So much of an answer is read and shown. Source: pkg/probe/http/http.go, `maxRespBodyLength`.
const MAX_BODY: usize = 10 * 1024;

/// After so many requests none follows. Source: pkg/probe/http/http.go: RedirectChecker.
const MAX_REDIRECTS: usize = 10;

/// What an httpGet asks for, with names of ports resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    pub https: bool,
    pub host: String,
    pub port: u16,
    /// Path and query as in the manifest.
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// `kube-probe/1.32`; hooks have their own.
    pub user_agent: String,
    /// A hook's: the connection may be kept, answers may be packed, redirects lead to other hosts too.
    pub hook: bool,
}

impl HttpTarget {
    fn url(&self) -> Result<Url, url::ParseError> {
        let scheme = if self.https { "https" } else { "http" };
        let base = Url::parse(&format!("{scheme}://{}", join(&self.host, self.port)))?;
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        base.join(&format!("{}{slash}{}", base.as_str().trim_end_matches('/'), self.path))
    }

    /// The URL as messages write it: with the port, whether or not it is the scheme's own.
    fn shown(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or(self.port);
        let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
        let fragment = url.fragment().map(|f| format!("#{f}")).unwrap_or_default();
        format!("{}://{}{}{query}{fragment}", url.scheme(), join(host, port), url.path())
    }
}

/// Asks once, redirects included, all within `timeout`.
pub async fn http(dial: &dyn Dial, target: &HttpTarget, timeout: Duration) -> Answer {
    let url = match target.url() {
        Ok(url) => url,
        Err(error) => return Answer::Error(format!("parse {:?}: {error}", target.path)),
    };
    let shown = target.shown(&url);
    let end = Instant::now() + timeout;
    let response = match tokio::time::timeout_at(end, follow(dial, target, url)).await {
        Ok(Ok(response)) => response,
        Ok(Err(why)) => return Answer::Failure(format!("Get \"{}\": {}", why.url.as_deref().unwrap_or(&shown), why.message)),
        Err(_) => {
            return Answer::Failure(format!(
                "Get \"{shown}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            ));
        }
    };
    let status = response.status();
    // An answer that does not come to its end is none: it counts neither way.
    match tokio::time::timeout_at(end, body(response)).await {
        Ok(Ok(body)) => judge(status, &body),
        Ok(Err(why)) => Answer::Error(why),
        Err(_) => Answer::Error("context deadline exceeded (Client.Timeout or context cancellation while reading body)".into()),
    }
}

/// An httpGet of a hook: any answer is success, redirects lead anywhere, and an HTTPS one that meets a plain server is
/// asked again over HTTP. `Err` tells what was in the way.
/// Source: pkg/kubelet/lifecycle/handlers.go: runHTTPHandler.
pub async fn hook(dial: &dyn Dial, target: &HttpTarget) -> Result<(), String> {
    let url = target.url().map_err(|error| format!("parse {:?}: {error}", target.path))?;
    let shown = target.shown(&url);
    match follow(dial, target, url).await {
        Ok(response) => {
            let _ = body(response).await;
            Ok(())
        }
        Err(why) if target.https && why.message == tls::NOT_TLS => {
            let plain = HttpTarget { https: false, ..target.clone() };
            Box::pin(hook(dial, &plain)).await
        }
        Err(why) => Err(format!("Get \"{}\": {}", why.url.as_deref().unwrap_or(&shown), why.message)),
    }
}

fn judge(status: StatusCode, body: &[u8]) -> Answer {
    if status.is_redirection() {
        let body = String::from_utf8_lossy(body);
        Answer::Warning(format!("Probe terminated redirects, Response body: {body}"))
    } else if (200..400).contains(&status.as_u16()) {
        Answer::Success
    } else {
        Answer::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
    }
}

struct Failed {
    message: String,
    /// Where it failed, if that is not where it began.
    url: Option<String>,
}

/// Source: Go's net/http: Client.do; pkg/probe/http/http.go: RedirectChecker.
async fn follow(dial: &dyn Dial, target: &HttpTarget, first: Url) -> Result<hyper::Response<Incoming>, Failed> {
    let mut way = Way { url: first.clone(), has_own_host: true, referer: None };
    for asked in 1.. {
        let at = |message: String| Failed { message, url: (asked > 1).then(|| target.shown(&way.url)) };
        let response = ask(dial, target, &way).await.map_err(at)?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        let location = location.filter(|l| is_followed(status) && !l.is_empty());
        let next = location.as_deref().and_then(|l| way.url.join(l).ok());
        match next {
            Some(next) if target.hook || next.host_str() == first.host_str() => {
                if asked >= MAX_REDIRECTS {
                    return Err(Failed { message: format!("stopped after {MAX_REDIRECTS} redirects"), url: location });
                }
                let leaves_tls = way.url.scheme() == "https" && next.scheme() == "http";
                let referer = (!leaves_tls).then(|| target.shown(&way.url));
                // A name of the manifest for the host holds where the way leads on relatively.
                let has_own_host = location.as_deref().is_some_and(|l| Url::parse(l) == Err(url::ParseError::RelativeUrlWithoutBase));
                way = Way { url: next, has_own_host, referer };
            }
            _ => return Ok(response),
        }
    }
    unreachable!("the loop ends by returning")
}

/// Where a request goes.
struct Way {
    url: Url,
    /// A `Host` of the manifest is told.
    has_own_host: bool,
    /// Where it was sent from.
    referer: Option<String>,
}

fn is_followed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The beginning of an answer's body. `Err`: it broke off, in Go's words.
async fn body(response: hyper::Response<Incoming>) -> Result<Vec<u8>, String> {
    let mut read = Vec::new();
    let ends = response.extensions().get::<Ends>().copied();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match (io_kind(&error), &ends) {
            (Some(io::ErrorKind::ConnectionReset), Some(ends)) => ends.reset(),
            _ => "unexpected EOF".into(),
        })?;
        let Some(data) = frame.data_ref() else { continue };
        read.extend_from_slice(&data[..data.len().min(MAX_BODY - read.len())]);
        if read.len() == MAX_BODY {
            break;
        }
    }
    Ok(read)
}

async fn ask(dial: &dyn Dial, target: &HttpTarget, way: &Way) -> Result<hyper::Response<Incoming>, String> {
    let url = &way.url;
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = connect(dial, &host, port).await.map_err(|e| dial_error(&host, port, &e))?;
    let ends = stream.local_addr().and_then(|local| Ok(Ends { local, peer: stream.peer_addr()? })).ok();
    let request = request(target, way)?;
    let sent = if url.scheme() == "https" {
        send(tls::handshake(&host, stream).await?, request).await
    } else {
        send(stream, request).await
    };
    let sent = sent.map(|mut response| {
        if let Some(ends) = ends {
            response.extensions_mut().insert(ends);
        }
        response
    });
    sent.map_err(|error| match (io_kind(&error), ends) {
        (Some(io::ErrorKind::ConnectionReset), Some(ends)) => ends.reset(),
        _ if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => "EOF".into(),
        _ => format!("net/http: HTTP/1.x transport connection broken: {error}"),
    })
}

/// The two ends of a connection.
#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Ends {
    /// Go's words for the other side's breaking off.
    fn reset(self) -> String {
        format!("read tcp {}->{}: read: connection reset by peer", self.local, self.peer)
    }
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = inner.source();
    }
    None
}

async fn send<S>(stream: S, request: Request<Empty<&'static [u8]>>) -> Result<hyper::Response<Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake::<_, Empty<&'static [u8]>>(TokioIo::new(stream))
        .await?;
    // Ends with the response's body, or when the probe's time is over and both are dropped.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.send_request(request).await
}

/// Headers of the manifest. As Go's transport has it, those about the body are not the manifest's to set, and the agent and what is
/// accepted are not told where they are set to nothing.
/// Source: pkg/probe/http/request.go: newProbeRequest; Go's net/http: reqWriteExcludeHeader.
fn request(target: &HttpTarget, way: &Way) -> Result<Request<Empty<&'static [u8]>>, String> {
    let url = &way.url;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path.parse().map_err(|_| format!("invalid path {path:?}"))?;
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    let authority = match url.port() {
        Some(port) => join(host, port),
        None => join(host, url.port_or_known_default().unwrap_or(80)),
    };
    let headers = request.headers_mut();
    for (name, default) in
        [(header::HOST, authority.as_str()), (header::USER_AGENT, &target.user_agent), (header::ACCEPT, "*/*")]
    {
        if let Ok(value) = HeaderValue::from_str(default) {
            headers.insert(name, value);
        }
    }
    if target.hook {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    } else {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(referer) = way.referer.as_deref().and_then(|r| HeaderValue::from_str(r).ok()) {
        headers.insert(header::REFERER, referer);
    }
    let mut seen = Vec::new();
    for (name, value) in &target.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("invalid header field name {name:?}"))?;
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER].contains(&name) {
            continue;
        }
        if value.is_empty() && [header::USER_AGENT, header::ACCEPT].contains(&name) {
            headers.remove(&name);
            continue;
        }
        if name == header::HOST && (!way.has_own_host || value.is_empty()) {
            continue;
        }
        let value = HeaderValue::from_str(value).map_err(|_| format!("invalid header field value for {name:?}"))?;
        if seen.contains(&name) {
            headers.append(name, value);
        } else {
            headers.insert(name.clone(), value);
            seen.push(name);
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
