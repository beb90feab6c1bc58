//! Ingress over this machine's loopback.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::network::config::{Endpoint, EndpointState, IngressRule, PathKind, ServiceConfig, ServicePort, Slice, SlicePort};

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers every request with its name and what it was asked, or becomes an echo where it is asked to.
async fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                if head.contains("upgrade: websocket") {
                    stream.write_all(b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await?;
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await?;
                    return std::io::Result::Ok(());
                }
                let body = format!("{name}\n{head}");
                let length = body.len();
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes()).await
            });
        }
    });
    at
}

fn service(name: &str, targets: &[SocketAddr]) -> ServiceConfig {
    let slices = targets.iter().map(|target| Slice {
        ports: vec![SlicePort { name: String::new(), protocol: Protocol::Tcp, port: target.port() }],
        endpoints: vec![Endpoint { address: target.ip(), hostname: None, state: EndpointState::Ready }],
    });
    ServiceConfig {
        namespace: "default".into(),
        name: name.into(),
        ports: vec![ServicePort { name: String::new(), protocol: Protocol::Tcp, port: 80, http2: false, published: Vec::new() }],
        slices: slices.collect(),
        ..ServiceConfig::default()
    }
}

struct World {
    ingress: Ingress,
    http: SocketAddr,
    https: SocketAddr,
}

/// `shop.test` has `a` at `/` and, at `/b`, `b`; `/none` has a Service without endpoints.
async fn world() -> World {
    let rule = |path: &str, service: &str| IngressRule {
        host: "shop.test".into(),
        path: path.into(),
        kind: PathKind::Prefix,
        backend: Backend { namespace: "default".into(), service: service.into(), port: 80 },
    };
    let (a, b) = (backend("a").await, backend("b").await);
    let mut given = HashMap::new();
    let mut place = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        given.insert((Protocol::Tcp, at), OwnedFd::from(listener.into_std().expect("a listener")));
        at
    };
    let (http, https) = (place().await, place().await);
    let certificate = Certificate {
        hosts: vec!["shop.test".into()],
        chain: include_str!("../../../tests/data/tls/shop.crt").into(),
        key: include_str!("../../../tests/data/tls/shop.key").into(),
    };
    let config = GatewayConfig {
        services: vec![service("a", &[a]), service("b", &[b]), service("none", &[])],
        ingress: IngressConfig {
            http: Some(http),
            https: Some(https),
            rules: vec![rule("/", "a"), rule("/b", "b"), rule("/none", "none")],
            certificates: vec![certificate],
            default_backend: None,
        },
        ..GatewayConfig::default()
    };
    let mut ingress = Ingress::default();
    ingress.apply(&config, &given).await;
    World { ingress, http, https }
}

async fn said(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.expect("connected");
    stream.write_all(bytes).await.expect("written");
    let mut text = Vec::new();
    // A connection that is broken off has said what it had to say.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("in time");
    String::from_utf8_lossy(&text).into_owned()
}

async fn get(at: SocketAddr, host: &str, path: &str) -> String {
    said(at, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn requests_go_by_host_and_path_and_say_where_they_come_from() {
    let world = world().await;
    let a = get(world.http, "shop.test:8080", "/x?y=1").await;
    assert!(a.starts_with("HTTP/1.1 200") && a.contains("\na\nget /x?y=1 http/1.1"), "{a}");
    for header in ["host: shop.test:8080", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: shop.test"] {
        assert!(a.contains(header), "{header} in {a}");
    }
    assert!(get(world.http, "shop.test", "/b/c").await.contains("\nb\nget /b/c"));
    assert!(get(world.http, "other.test", "/").await.starts_with("HTTP/1.1 404"));
    assert!(get(world.http, "shop.test", "/none").await.starts_with("HTTP/1.1 503"));
    let forged = b"GET / HTTP/1.1\r\nhost: shop.test\r\nx-forwarded-for: 9.9.9.9\r\nkeep-alive: 1\r\nx-own: 2\r\n\
        connection: close, x-own\r\n\r\n";
    let forged = said(world.http, forged).await;
    assert!(!forged.contains("9.9.9.9") && !forged.contains("x-own") && !forged.contains("keep-alive"), "{forged}");
}

/// Answers as gRPC does: a body, and how it went in the trailers.
async fn remote_procedures() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let asked = format!("{:?} {} te={:?}", request.version(), request.uri(), request.headers().get("te"));
                let body = request.into_body().collect().await?.to_bytes();
                let trailers = hyper::HeaderMap::from_iter([(hyper::header::HeaderName::from_static("grpc-status"), "0".parse().expect("a value"))]);
                let said = Bytes::from(format!("{asked} {} bytes", body.len()));
                let body = http_body_util::Full::new(said).with_trailers(async move { Some(Ok(trailers)) });
                hyper::Result::Ok(hyper::Response::new(body))
            });
            tokio::spawn(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    at
}

#[tokio::test]
async fn endpoints_that_speak_http2_are_asked_so_and_their_trailers_come_back() {
    let mut world = world().await;
    let mut calls = service("calls", &[remote_procedures().await]);
    calls.ports[0].http2 = true;
    let backend = Backend { namespace: "default".into(), service: "calls".into(), port: 80 };
    let ingress = IngressConfig { http: Some(world.http), default_backend: Some(backend), ..IngressConfig::default() };
    let config = GatewayConfig { services: vec![calls], ingress, ..GatewayConfig::default() };
    world.ingress.apply(&config, &HashMap::new()).await;
    let stream = TcpStream::connect(world.http).await.expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::post("http://calls.test/echo.Echo/Say").header("te", "trailers");
    let request = request.body(http_body_util::Full::new(Bytes::from("12345"))).expect("a request");
    let response = timeout(PATIENCE, sender.send_request(request)).await.expect("in time").expect("an answer");
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.trailers().and_then(|t| t.get("grpc-status")).map(|v| v.as_bytes()), Some(&b"0"[..]));
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    assert_eq!(body, "HTTP/2.0 http://calls.test/echo.Echo/Say te=Some(\"trailers\") 5 bytes");
    // Who speaks HTTP/1.1 is served too.
    let old = get(world.http, "calls.test", "/x").await;
    assert!(old.starts_with("HTTP/1.1 200") && old.contains("HTTP/2.0 http://calls.test/x"), "{old}");
}

#[tokio::test]
async fn a_connection_becomes_a_websocket() {
    let world = world().await;
    let mut stream = TcpStream::connect(world.http).await.expect("connected");
    let ask = b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(ask).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("a byte"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"ping").await.expect("written");
    let mut echo = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut echo)).await.expect("in time").expect("an echo");
    assert_eq!(&echo, b"ping");
}

#[tokio::test]
async fn http2_over_tls_has_the_certificate_of_the_name() {
    let world = world().await;
    let mut roots = rustls::RootCertStore::empty();
    let chain = include_bytes!("../../../tests/data/tls/shop.crt");
    roots.add(CertificateDer::from_pem_slice(chain).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut client = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(world.https).await.expect("connected");
    let name = ServerName::try_from("shop.test").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.expect("trusted");
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    for path in ["/", "/b"] {
        let request = Request::get(format!("https://shop.test{path}")).body(Empty::<Bytes>::new()).expect("a request");
        let response = timeout(PATIENCE, sender.send_request(request)).await.expect("in time").expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(body.contains("host: shop.test") && body.contains("x-forwarded-proto: https"), "{body}");
        assert_eq!(body.starts_with('b'), path == "/b", "{body}");
    }
}

#[tokio::test]
async fn a_place_is_closed_with_the_last_ingress() {
    let mut world = world().await;
    world.ingress.apply(&GatewayConfig::default(), &HashMap::new()).await;
    // The test's own socket is closed with its map: nobody listens any more.
    let refused = TcpStream::connect(world.http).await.map(drop).map_err(|e| e.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..400), like_http: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = world().await;
            let mut stream = TcpStream::connect(world.http).await.expect("connected");
            if like_http {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n").await.expect("written");
            }
            // It may have been broken off already.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let mut rest = Vec::new();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("an end");
            let good = get(world.http, "shop.test", "/").await;
            assert!(good.starts_with("HTTP/1.1 200"), "{good}");
        });
    }
}
