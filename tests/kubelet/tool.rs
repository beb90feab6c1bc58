//! `/t`, the program of the scenarios' images: this very test binary, called by that name inside a container.
//!
//! `serve http:PORT|httpq:PORT|https:PORT|tcp:PORT|grpc:PORT,NAME=STATUS…`, `signals`, `mem MIB`, `segv`, `get URL`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Does what the arguments say; the exit code.
pub fn main(arguments: &[String]) -> i32 {
    let rest: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => run(serve(rest)),
        Some("signals") => run(signals(rest)),
        Some("mem") => take_memory(rest.first().and_then(|n| n.parse().ok()).unwrap_or(1)),
        Some("segv") => segv(),
        Some("get") => get(rest.first().copied().unwrap_or_default()),
        _ => 0,
    }
}

fn run(work: impl Future<Output = i32>) -> i32 {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn say(line: &str) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn take_memory(mib: usize) -> i32 {
    let mut taken = Vec::new();
    for _ in 0..mib {
        taken.push(vec![1u8; 1 << 20]);
    }
    i32::from(taken.iter().map(Vec::len).sum::<usize>() == 0)
}

fn segv() -> i32 {
    #[expect(unsafe_code, reason = "a fault is what is asked for")]
    // SAFETY: there is nothing at the address; the kernel ends the process.
    unsafe {
        std::ptr::with_exposed_provenance_mut::<u8>(8).write_volatile(1);
    }
    1
}

/// Prints signals; ends with the code that an argument gives for one.
async fn signals(codes: Vec<&str>) -> i32 {
    let kinds = [
        ("TERM", SignalKind::terminate()),
        ("USR1", SignalKind::user_defined1()),
        ("INT", SignalKind::interrupt()),
        ("QUIT", SignalKind::quit()),
        ("HUP", SignalKind::hangup()),
    ];
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    for (name, kind) in kinds {
        let mut signals = signal(kind).expect("a signal");
        let sender = sender.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(name).is_ok() {} });
    }
    say("ready");
    while let Some(name) = seen.recv().await {
        say(&format!("signal {name}"));
        if let Some(code) = codes.iter().find_map(|c| c.strip_prefix(name)?.strip_prefix('=')) {
            let (code, delay) = code.split_once('@').unwrap_or((code, "0"));
            tokio::time::sleep(Duration::from_secs_f64(delay.parse().unwrap_or(0.0))).await;
            return code.parse().unwrap_or(0);
        }
    }
    0
}

fn get(url: &str) -> i32 {
    use std::io::Read;
    let rest = url.trim_start_matches("http://");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let ask = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(host)?;
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) => {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            say(&format!("{} {body}", head.split(' ').nth(1).unwrap_or_default()));
            0
        }
        Err(error) => {
            say(&format!("error {error}"));
            1
        }
    }
}

async fn serve(specs: Vec<&str>) -> i32 {
    let started = Instant::now();
    let mut term = signal(SignalKind::terminate()).expect("a signal");
    for spec in specs {
        let (kind, rest) = spec.split_once(':').unwrap_or((spec, ""));
        let (port, options) = rest.split_once(',').unwrap_or((rest, ""));
        let listener = TcpListener::bind(("0.0.0.0", port.parse().unwrap_or(0))).await.expect("the port is free");
        let server = Arc::new(Server { started, quiet: kind == "httpq", services: services(options) });
        tokio::spawn(accept(listener, kind.to_owned(), server));
    }
    say("up");
    term.recv().await;
    say(&format!("{:.1} signal terminated", started.elapsed().as_secs_f64()));
    0
}

fn services(options: &str) -> BTreeMap<String, i32> {
    let pairs = options.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, status)| (name.replace('-', ""), status.parse().unwrap_or(0))).collect()
}

struct Server {
    started: Instant,
    quiet: bool,
    services: BTreeMap<String, i32>,
}

async fn accept(listener: TcpListener, kind: String, server: Arc<Server>) {
    let tls = (kind == "https").then(|| tokio_rustls::TlsAcceptor::from(Arc::new(certificate())));
    while let Ok((stream, peer)) = listener.accept().await {
        let (server, tls, kind) = (server.clone(), tls.clone(), kind.clone());
        tokio::spawn(async move {
            match (kind.as_str(), tls) {
                (_, Some(tls)) => {
                    let mut first = [0u8; 1];
                    if stream.peek(&mut first).await.is_ok() && first[0].is_ascii_uppercase() {
                        eprintln!(
                            "http: TLS handshake error from {peer}: client sent an HTTP request to an HTTPS server"
                        );
                        let mut stream = stream;
                        // What is left unread would break the answer off.
                        let _ = stream.read(&mut [0u8; 4096]).await;
                        let refusal =
                            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
                        let _ = stream.write_all(refusal.as_bytes()).await;
                    } else if let Ok(stream) = tls.accept(stream).await {
                        server.http(stream).await;
                    }
                }
                ("grpc", None) => server.grpc(stream).await,
                ("tcp", None) => drop(stream),
                (_, None) => server.http(stream).await,
            }
        });
    }
}

/// A certificate of another name that has expired.
fn certificate() -> rustls::ServerConfig {
    let certificate = include_bytes!("expired.crt.der").to_vec();
    let key = include_bytes!("expired.key.der").to_vec();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.into());
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .expect("a certificate")
}

impl Server {
    /// One request, read by hand so that its headers are seen as they came.
    async fn http(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let mut block = [0u8; 4096];
            match stream.read(&mut block).await {
                // A TLS record: no line of HTTP ever comes.
                Ok(1..) if head.is_empty() && block[0] == 0x16 => {
                    let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request.\n").await;
                    return;
                }
                Ok(read @ 1..) if head.len() < 1 << 16 => head.extend_from_slice(&block[..read]),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, path, version) =
            (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            headers.entry(canonical(name)).or_default().push(value.trim());
        }
        let host = headers.remove("Host").unwrap_or_default().join(",");
        if path.starts_with("/echo") {
            let mut shown: Vec<String> =
                headers.iter().map(|(name, values)| format!("{name}={}", values.join(","))).collect();
            shown.sort();
            say(format!("{version} {method} {path} host={host} {}", shown.join(" ")).trim_end());
        }
        let age = self.started.elapsed().as_secs_f64();
        let answer = Answer::of(path, &host, age);
        if let Some(delay) = answer.delay {
            tokio::time::sleep(delay).await;
        }
        if !self.quiet && !path.starts_with("/echo") {
            say(&format!("{age:.1} {method} {path} -> {}", answer.code));
        }
        let head = format!(
            "HTTP/1.1 {} X\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n",
            answer.code,
            answer.header,
            answer.body.len()
        );
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(answer.body.as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    async fn grpc(self: Arc<Self>, stream: tokio::net::TcpStream) {
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.check(request).await) }
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    /// grpc.health.v1.Health/Check, its two messages taken apart by hand: one string in, one number out.
    async fn check(
        &self,
        request: http::Request<Incoming>,
    ) -> http::Response<StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>>
    {
        let agent = request.headers().get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let name = body.get(7..).map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
        let status = self.services.get(&name).copied();
        let age = self.started.elapsed().as_secs_f64();
        say(&format!("{age:.1} grpc {path} service={name:?} known={} ua={agent}", status.is_some()));
        let mut trailers = http::HeaderMap::new();
        let mut frames = Vec::new();
        match status {
            Some(status) => {
                frames.push(Ok(Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status.clamp(0, 3) as u8]))));
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            }
            None => {
                trailers.insert("grpc-status", http::HeaderValue::from_static("5"));
                trailers.insert("grpc-message", http::HeaderValue::from_static("unknown service"));
            }
        }
        frames.push(Ok(Frame::trailers(trailers)));
        let mut response = http::Response::new(StreamBody::new(futures_util::stream::iter(frames)));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
        response
    }
}

/// `content-type` → `Content-Type`.
fn canonical(name: &str) -> String {
    let word = |w: &str| {
        let mut chars = w.chars();
        chars
            .next()
            .map(|c| c.to_ascii_uppercase().to_string() + &chars.as_str().to_ascii_lowercase())
            .unwrap_or_default()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

struct Answer {
    code: u16,
    header: String,
    body: String,
    delay: Option<Duration>,
}

impl Answer {
    fn of(path: &str, host: &str, age: f64) -> Self {
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = route.trim_start_matches('/').split('/').collect();
        let number = |at: usize| parts.get(at).and_then(|p| p.parse::<f64>().ok()).unwrap_or(0.0);
        let code = |at: usize| parts.get(at).and_then(|p| p.parse().ok()).unwrap_or(200);
        let mut answer = Answer { code: 200, header: String::new(), body: String::new(), delay: None };
        match parts[0] {
            "code" => answer.code = code(1),
            "after" => answer.code = if age < number(1) { code(2) } else { code(3) },
            "window" => answer.code = if (number(1)..number(2)).contains(&age) { code(4) } else { code(3) },
            "delay" => {
                answer.delay = Some(Duration::from_secs_f64(number(1)));
                answer.code = code(2);
            }
            "redirect" => {
                answer.code = code(1);
                answer.body = "moved\n".into();
                // Without a place to go to there is no Location: the record shows that the way ends there.
                if let Some(to) = query.strip_prefix("to=") {
                    answer.header = format!("Location: {to}\r\n");
                }
            }
            "redirectport" => {
                answer.code = 302;
                answer.body = "moved\n".into();
                let name = host.split(':').next().unwrap_or_default();
                answer.header =
                    format!("Location: http://{name}:{}/code/200\r\n", parts.get(1).copied().unwrap_or("80"));
            }
            "big" => {
                answer.code = code(2);
                answer.body = "x".repeat(number(1) as usize);
            }
            "header" => {
                let (name, value) = (parts.get(1).copied().unwrap_or("X"), parts.get(2).copied().unwrap_or_default());
                answer.header = format!("{name}: {value}\r\n");
            }
            _ => {}
        }
        if answer.body.is_empty() {
            answer.body = format!("code {}\n", answer.code);
        }
        answer
    }
}
