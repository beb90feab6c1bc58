//! One request on its way to a Service, and the answer back.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper::http::uri::{Authority, Scheme};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Routes;
use crate::network::proxy;

pub type Body = BoxBody<Bytes, hyper::Error>;

/// Headers of one connection only (RFC 9110, 7.6.1).
const OF_THE_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub address: IpAddr,
    pub secure: bool,
}

/// Answers one request; never fails, it says so in the answer.
pub async fn answer(routes: Arc<Routes>, client: Client, mut request: Request<Incoming>) -> Response<Body> {
    let host = host_of(&request);
    let Some((pool, http2)) = routes.behind(&host, request.uri().path()) else {
        return say(StatusCode::NOT_FOUND, "no Ingress has a rule for this host and path");
    };
    if pool.targets().is_empty() {
        return say(StatusCode::SERVICE_UNAVAILABLE, "no endpoint of the Service is ready");
    }
    let Some(stream) = proxy::connect(client.address, &pool).await else {
        return say(StatusCode::BAD_GATEWAY, "no endpoint of the Service takes connections");
    };
    proxy::prepare(&stream);
    let upgrade = upgrade_of(&request).filter(|_| !http2);
    let from_client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let Some(request) = outgoing(request, client, &host, upgrade.as_ref()) else {
        return say(StatusCode::BAD_REQUEST, "the request cannot be passed on");
    };
    let answer = if http2 { over_http2(stream, request).await } else { over_http1(stream, request).await };
    let mut response = match answer {
        Ok(Some(response)) => response,
        Ok(None) => return say(StatusCode::BAD_GATEWAY, "the endpoint does not speak HTTP"),
        Err(_) => return say(StatusCode::BAD_GATEWAY, "the endpoint broke off without an answer"),
    };
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(from_client)) = (response.status(), from_client) {
        let from_target = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(client), Ok(target)) = tokio::join!(from_client, from_target) {
                // Either side may end it at any time.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(target)).await;
            }
        });
    } else {
        remove_own(response.headers_mut());
    }
    // The client's version is its own connection's affair.
    *response.version_mut() = Version::default();
    response.map(|body| body.boxed())
}

/// The endpoint's answer; `None`: it does not speak HTTP.
async fn over_http1(stream: TcpStream, request: Request<Incoming>) -> hyper::Result<Option<Response<Incoming>>> {
    let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = made else { return Ok(None) };
    // Ends with the answer, or lives on as what it was upgraded to.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map(Some)
}

/// The same where the Service's port says that its endpoints speak HTTP/2 (gRPC among others), unsecured.
async fn over_http2(stream: TcpStream, mut request: Request<Incoming>) -> hyper::Result<Option<Response<Incoming>>> {
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = made else { return Ok(None) };
    tokio::spawn(connection);
    // Whom it is for stands in the address itself (RFC 9113, 8.3.1).
    let host = request.headers_mut().remove(HOST);
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = host.and_then(|host| host.to_str().ok()?.parse().ok()).or(Some(Authority::from_static("localhost")));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    sender.send_request(request).await.map(Some)
}

/// The host that a client named, without a port.
fn host_of(request: &Request<Incoming>) -> String {
    let named = request.uri().authority().map(|a| a.as_str());
    let named = named.or_else(|| request.headers().get(HOST)?.to_str().ok()).unwrap_or_default();
    match named.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host.to_owned(),
        _ => named.to_owned(),
    }
}

/// What a client wants its connection to become (`websocket`).
fn upgrade_of(request: &Request<Incoming>) -> Option<HeaderValue> {
    let asks = request.headers().get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let asks = asks.flat_map(|v| v.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    let may = asks && request.version() == Version::HTTP_11;
    request.headers().get(UPGRADE).filter(|_| may).cloned()
}

fn outgoing(
    request: Request<Incoming>,
    client: Client,
    host: &str,
    upgrade: Option<&HeaderValue>,
) -> Option<Request<Incoming>> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
    let named = head.uri.authority().map(|a| a.as_str().to_owned());
    head.uri = path.parse::<Uri>().ok()?;
    head.version = Version::HTTP_11;
    let trailers = head.headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    remove_own(&mut head.headers);
    if let Some(named) = named {
        head.headers.insert(HOST, HeaderValue::from_str(&named).ok()?);
    }
    if let Some(upgrade) = upgrade {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, upgrade.clone());
    } else if trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let set = |headers: &mut HeaderMap, name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    // What a client says about itself is not believed.
    let address = client.address.to_string();
    set(&mut head.headers, "x-forwarded-for", &address);
    set(&mut head.headers, "x-real-ip", &address);
    set(&mut head.headers, "x-forwarded-host", host);
    set(&mut head.headers, "x-forwarded-proto", if client.secure { "https" } else { "http" });
    Some(Request::from_parts(head, body))
}

/// Takes away what was meant for one connection.
fn remove_own(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|word| word.trim().parse().ok())
        .collect();
    let fixed = OF_THE_CONNECTION.iter().map(|name| HeaderName::from_static(name));
    for name in named.into_iter().chain(fixed).chain([UPGRADE]) {
        headers.remove(name);
    }
}

fn say(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
