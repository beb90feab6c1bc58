//! The porter's side: its ports, and who asks it for what.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use super::handing::hand_over;
use super::{END, LOAD, RESOLVE, Refused, Report, SOCKET, holder, version};
use crate::network::config::{GatewayConfig, Protocol};
use crate::network::dns;
use crate::network::gateway::{CONFIG_FILE, PORTS, SOCKET as GATEWAY, connect_in, listen_in};
use crate::network::proxy::{self, Place};

/// No command is longer.
const LONGEST: u64 = 64;
/// Whoever has connected says at once what is wanted.
const IMPATIENT: Duration = Duration::from_secs(5);
/// Between two looks whether the folder is still there, and whether ports have become free.
const LOOK: Duration = Duration::from_secs(2);
/// Before the gateway is looked for again.
const AGAIN: Duration = Duration::from_millis(50);
/// Connections that wait until they are taken.
const BACKLOG: i32 = 1024;

#[derive(Default)]
struct Ports {
    config: GatewayConfig,
    /// With a number of its own: a port that was closed and opened anew is another one.
    open: BTreeMap<Place, (u64, OwnedFd)>,
    count: u64,
    refused: Vec<Refused>,
}

impl Ports {
    /// Opens and closes until exactly what is wanted is open, as far as it can be had.
    fn apply(&mut self) {
        let wanted = proxy::published(&self.config);
        self.open.retain(|place, _| wanted.contains(place));
        self.refused.clear();
        for place in wanted {
            if self.open.contains_key(&place) {
                continue;
            }
            match open(place) {
                Ok(fd) => {
                    self.count += 1;
                    self.open.insert(place, (self.count, fd));
                }
                Err(error) => {
                    let (protocol, at) = place;
                    let holder = if error.kind() == io::ErrorKind::AddrInUse { holder(protocol, at) } else { None };
                    self.refused.push(Refused { protocol, at, why: why(&error, at), holder });
                }
            }
        }
    }
}

fn why(error: &io::Error, at: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process has it".into(),
        io::ErrorKind::PermissionDenied => format!(
            "this user may not open ports below 1024 (`sysctl net.ipv4.ip_unprivileged_port_start={}` lets everybody)",
            at.port()
        ),
        _ => error.to_string(),
    }
}

/// Why a port cannot be opened on the machine's loopback now, where Services are published; by either protocol.
pub fn taken(port: u16) -> Option<String> {
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    [Protocol::Tcp, Protocol::Udp].into_iter().find_map(|protocol| {
        let error = open((protocol, at)).err()?;
        let holder = if error.kind() == io::ErrorKind::AddrInUse { holder(protocol, at) } else { None };
        Some(holder.map_or_else(|| why(&error, at), |holder| format!("{holder} has it")))
    })
}

/// A socket that listens on the machine.
fn open((protocol, at): Place) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if protocol == Protocol::Tcp {
        // Connections that are being closed do not keep the port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &at)?;
    if protocol == Protocol::Tcp {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

struct Porter {
    config: PathBuf,
    run: PathBuf,
    ports: Mutex<Ports>,
    changed: Notify,
    end: Notify,
}

/// Serves until it is told to end, or its folder has gone.
pub(super) async fn serve(config: &Path, run: &Path) -> io::Result<()> {
    if connect_in(run, SOCKET).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "a porter runs already"));
    }
    let path = run.join(SOCKET);
    let listener = listen_in(run, SOCKET)?;
    let inode = std::fs::metadata(&path)?.ino();
    let porter = Arc::new(Porter {
        config: config.join(CONFIG_FILE),
        run: run.to_owned(),
        ports: Mutex::default(),
        changed: Notify::new(),
        end: Notify::new(),
    });
    porter.load().await;
    tokio::select! {
        () = porter.clone().hand_over() => {}
        () = porter.look_after(&path, inode) => {}
        () = porter.end.notified() => {}
        result = porter.clone().accept(listener) => result?,
    }
    Ok(())
}

impl Porter {
    /// Reads the configuration again; an unreadable one changes nothing.
    async fn load(&self) {
        let mut ports = self.ports.lock().await;
        match GatewayConfig::read(&self.config) {
            Ok(config) => ports.config = config,
            Err(error) => eprintln!("the configuration cannot be read: {error}"),
        }
        ports.apply();
        self.changed.notify_one();
    }

    /// Tries refused ports again. Returns when the folder is another's or nobody's.
    async fn look_after(&self, path: &Path, inode: u64) {
        loop {
            tokio::time::sleep(LOOK).await;
            if std::fs::metadata(path).map_or(0, |m| m.ino()) != inode {
                return;
            }
            let mut ports = self.ports.lock().await;
            if !ports.refused.is_empty() {
                ports.apply();
                self.changed.notify_one();
            }
        }
    }

    /// Keeps the gateway in possession of all ports, whichever gateway it is.
    async fn hand_over(self: Arc<Self>) {
        loop {
            if let Ok(stream) = connect_in(&self.run, GATEWAY).await {
                // Ends with the gateway.
                let _ = self.keep_in_step(stream).await;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn keep_in_step(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.write_all(format!("{PORTS}\n").as_bytes()).await?;
        stream.read_u8().await?;
        let mut given = BTreeMap::new();
        loop {
            {
                let ports = self.ports.lock().await;
                hand_over(&mut stream, &mut given, &ports.open).await?;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                gone = stream.readable() => {
                    gone?;
                    match stream.try_read(&mut [0; 16]) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // It says nothing unasked: this is its end.
                        Ok(_) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: UnixListener) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let porter = self.clone();
            tokio::spawn(async move {
                // Whoever asked has gone: it asks again.
                let _ = porter.answer(stream).await;
            });
        }
    }

    async fn answer(&self, stream: UnixStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        timeout(IMPATIENT, (&mut stream).take(LONGEST).read_line(&mut line)).await??;
        match line.trim_end() {
            LOAD => {
                self.load().await;
                let refused = self.ports.lock().await.refused.clone();
                let report = serde_json::to_string(&Report { version: version(), refused })?;
                stream.write_all(format!("{report}\n").as_bytes()).await
            }
            RESOLVE => {
                let question = timeout(IMPATIENT, async {
                    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
                    stream.read_exact(&mut bytes).await?;
                    io::Result::Ok(bytes)
                });
                let question = question.await??;
                let upstreams = self.ports.lock().await.config.upstreams.clone();
                let Some(answer) = dns::fetch_bytes(&upstreams, &question).await else { return Ok(()) };
                let length = u16::try_from(answer.len()).map_err(io::Error::other)?.to_be_bytes();
                stream.write_all(&[&length, &answer[..]].concat()).await
            }
            END => {
                // Closed first: whoever waits for the end may open them at once.
                self.ports.lock().await.open.clear();
                self.end.notify_one();
                std::future::pending().await
            }
            _ => Ok(()),
        }
    }
}
