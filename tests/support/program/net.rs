//! What the tests' program does with the network.
//!
//! `serve:PORT` answers HTTP with the pod's name until SIGTERM, then finishes what it has begun; `/fail` makes its
//! `/healthz` fail from then on, `/slow` takes half a second. `udp:PORT` echoes. `lookup:NAME` shows addresses,
//! `fetch:HOST:PORT/PATH` a body, `ask:HOST:PORT=TEXT` a datagram's answer. `load:HOST:PORT=RATE,SECONDS,keep|new` counts.
//! `relay:PORT=HOST:PORT` carries connections there; `term:PID` has a load end. `mute:PORT` takes connections and says nothing.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static ENDING: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicBool = AtomicBool::new(false);
static OPEN: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn kill(pid: i32, number: i32) -> i32;
    fn getrlimit(resource: i32, limit: *mut [u64; 2]) -> i32;
    fn setrlimit(resource: i32, limit: *const [u64; 2]) -> i32;
}

extern "C" fn ending(_: i32) {
    ENDING.store(true, Ordering::SeqCst);
}

pub fn run(verb: &str, rest: &str) -> Option<Result<()>> {
    Some(match verb {
        "serve" => serve(rest),
        "udp" => udp(rest),
        "lookup" => lookup(rest),
        "fetch" => fetch(rest).map(|body| print!("{body}")),
        "ask" => ask(rest),
        "load" => load(rest),
        "relay" => relay(rest),
        "mute" => mute(rest),
        "term" => {
            unsafe { kill(rest.parse().unwrap_or(1), 15) };
            Ok(())
        }
        _ => return None,
    })
}

fn mute(port: &str) -> Result<()> {
    // As many files as this process may have (getrlimit(2): RLIMIT_NOFILE is 7 on all but a few machines).
    let mut limit = [0u64; 2];
    unsafe {
        getrlimit(7, &mut limit);
        setrlimit(7, &[limit[1], limit[1]]);
    }
    let mut kept = Vec::new();
    for stream in TcpListener::bind(format!("0.0.0.0:{port}"))?.incoming() {
        match stream {
            Ok(stream) => kept.push(stream),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Ok(())
}

fn name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Ends by itself after SIGTERM, when nothing is under way and nobody comes any more.
fn serve(port: &str) -> Result<()> {
    unsafe { signal(15, ending as *const () as usize) };
    // By both families, where there are two.
    let listener = TcpListener::bind(format!("[::]:{port}")).or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}")))?;
    listener.set_nonblocking(true)?;
    let mut quiet = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                quiet = Instant::now();
                OPEN.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = connection(stream);
                    OPEN.fetch_sub(1, Ordering::SeqCst);
                });
            }
            Err(_) if ENDING.load(Ordering::SeqCst) && OPEN.load(Ordering::SeqCst) == 0 && quiet.elapsed() > Duration::from_millis(200) => {
                std::process::exit(0)
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn connection(mut stream: TcpStream) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    loop {
        // Between two requests a connection may be ended: the client is told with the answer before.
        stream.set_read_timeout(Some(Duration::from_millis(if ENDING.load(Ordering::SeqCst) { 300 } else { 60_000 })))?;
        let Some(head) = head(&mut stream)? else { return Ok(()) };
        let path = head.split_whitespace().nth(1).unwrap_or("/").to_owned();
        if path == "/slow" {
            std::thread::sleep(Duration::from_millis(500));
        }
        if path == "/fail" {
            FAILED.store(true, Ordering::SeqCst);
        }
        let status = if path == "/healthz" && FAILED.load(Ordering::SeqCst) { "500 No" } else { "200 OK" };
        let body = format!("{} {path}\n", name());
        let ends = ENDING.load(Ordering::SeqCst) || head.to_lowercase().contains("connection: close");
        let connection = if ends { "close" } else { "keep-alive" };
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}")?;
        if ends {
            return Ok(());
        }
    }
}

/// Up to the empty line; `None`: the client has gone.
fn head(stream: &mut TcpStream) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte)? {
            0 => return Ok(None),
            _ => bytes.push(byte[0]),
        }
        if bytes.len() > 8192 {
            return Err(Error::other("too long"));
        }
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn udp(port: &str) -> Result<()> {
    let socket = UdpSocket::bind(format!("[::]:{port}")).or_else(|_| UdpSocket::bind(format!("0.0.0.0:{port}")))?;
    let mut buffer = [0; 4096];
    loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&[name().as_bytes(), b" ", &buffer[..count]].concat(), from)?;
    }
}

fn relay(rest: &str) -> Result<()> {
    let (port, to) = rest.split_once('=').ok_or(ErrorKind::InvalidInput)?;
    for near in TcpListener::bind(format!("0.0.0.0:{port}"))?.incoming() {
        let (near, to) = (near?, to.to_owned());
        std::thread::spawn(move || {
            let far = TcpStream::connect(&to)?;
            let pairs = [(near.try_clone()?, far.try_clone()?), (far, near)];
            for (mut from, mut into) in pairs {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut into);
                    let _ = into.shutdown(std::net::Shutdown::Write);
                });
            }
            Result::Ok(())
        });
    }
    Ok(())
}

fn lookup(name: &str) -> Result<()> {
    let mut all: Vec<String> = (name, 0).to_socket_addrs()?.map(|a| a.ip().to_string()).collect();
    all.sort();
    all.dedup();
    println!("{name}: {}", all.join(" "));
    Ok(())
}

fn ask(rest: &str) -> Result<()> {
    let (to, text) = rest.split_once('=').unwrap_or((rest, "?"));
    let to = to.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let socket = UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(to)?;
    let mut buffer = [0; 4096];
    for _ in 0..5 {
        socket.send(text.as_bytes())?;
        if let Ok(count) = socket.recv(&mut buffer) {
            println!("{}", String::from_utf8_lossy(&buffer[..count]));
            return Ok(());
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn fetch(rest: &str) -> Result<String> {
    let (to, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = connect(to)?;
    request(&mut stream, to, &format!("/{path}"), false)
}

fn connect(to: &str) -> Result<TcpStream> {
    let at = to.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(&at, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn request(stream: &mut TcpStream, to: &str, path: &str, keep: bool) -> Result<String> {
    let connection = if keep { "keep-alive" } else { "close" };
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: {connection}\r\n\r\n").as_bytes())?;
    let head = head(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(Error::other(head.lines().next().unwrap_or_default().to_owned()));
    }
    // Names of headers have no case (RFC 9110, 5.1).
    let head = head.to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = vec![0; length.ok_or(ErrorKind::InvalidData)?];
    stream.read_exact(&mut body)?;
    if head.contains("connection: close") && keep {
        // A connection that the server ends is no lost request: the next one takes a new one.
        return Err(ErrorKind::ConnectionAborted.into());
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// So many requests a second for so long, or until SIGTERM; shows how many came back, how fast, and what went wrong when.
fn load(rest: &str) -> Result<()> {
    let (to, how) = rest.split_once('=').ok_or(ErrorKind::InvalidInput)?;
    let parts: Vec<&str> = how.split(',').collect();
    let [rate, seconds, kind] = parts[..] else { return Err(ErrorKind::InvalidInput.into()) };
    let (rate, seconds): (u32, u64) = (rate.parse().unwrap_or(1), seconds.parse().unwrap_or(1));
    unsafe { signal(15, ending as *const () as usize) };
    let keep = kind == "keep";
    let (times, lost) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::<String>::new())));
    let begun = Instant::now();
    let workers: Vec<_> = (0..8u32)
        .map(|worker| {
            let (to, times, lost) = (to.to_owned(), times.clone(), lost.clone());
            std::thread::spawn(move || {
                let step = Duration::from_secs(8) / rate;
                let mut at = begun + Duration::from_secs(1) * worker / rate;
                let mut kept: Option<TcpStream> = None;
                while begun.elapsed() < Duration::from_secs(seconds) && !ENDING.load(Ordering::SeqCst) {
                    std::thread::sleep(at.saturating_duration_since(Instant::now()));
                    at += step;
                    let (from, asked) = (Instant::now(), SystemTime::now());
                    match one(&to, keep, &mut kept) {
                        Ok(()) => times.lock().unwrap().push(from.elapsed()),
                        Err(error) => {
                            kept = None;
                            let asked = asked.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                            lost.lock().unwrap().push(format!("lost {asked} after {:?}: {error}", from.elapsed()));
                        }
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        let _ = worker.join();
    }
    let (mut times, lost) = (times.lock().unwrap(), lost.lock().unwrap());
    times.sort();
    let share = |percent: usize| times.get(times.len() * percent / 100).or(times.last()).copied().unwrap_or_default();
    let (good, bad) = (times.len(), lost.len());
    println!("load {to} {kind}: {good} good, {bad} lost, p50 {:?}, p99 {:?}, most {:?}", share(50), share(99), share(100));
    lost.iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn one(to: &str, keep: bool, kept: &mut Option<TcpStream>) -> Result<()> {
    let used = kept.is_some();
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => connect(to)?,
    };
    match request(&mut stream, to, "/", keep) {
        Ok(_) => {
            *kept = keep.then_some(stream);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::ConnectionAborted => Ok(()),
        // The server may end an idle connection at any time: clients try again (RFC 9112, 9.3.1).
        Err(_) if used => {
            let mut stream = connect(to)?;
            request(&mut stream, to, "/", keep).map(drop).or_else(|e| {
                if e.kind() == ErrorKind::ConnectionAborted { Ok(()) } else { Err(e) }
            })
        }
        Err(error) => Err(error),
    }
}
