//! Finding Podman and greeting it.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::dirs::Dirs;
use super::door::{self, Door};
use super::http::Http;
use super::locate::{self, Surroundings};
use super::service;
use super::{Inner, InstanceId, Podman, events};

/// The oldest Podman that is known to do what `wl` asks of it (Debian 12's).
const OLDEST: Version = Version { major: 4, minor: 3, patch: 0 };
const GREETING: Duration = Duration::from_secs(10);
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// What a connection needs to know.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub instance: InstanceId,
    /// Holds all files of pods.
    pub state_dir: PathBuf,
    pub surroundings: Surroundings,
    pub start_service: StartService,
}

/// When `podman system service` is started by `wl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartService {
    Never,
    #[default]
    WhereNobodyAnswers,
    /// Even beside a running one: several on one store get along.
    Always,
}

/// Podman's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// Why there is no Podman to work with, and what to do.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ConnectError {
    #[error("CONTAINER_HOST names another machine: {host}")]
    #[diagnostic(help("wl runs on Podman's machine: start `wl watch` there, and reach its API from here"))]
    Remote { host: String },
    #[error("CONTAINER_HOST is no address of a socket: {host:?}")]
    #[diagnostic(help("write it as unix:///run/podman/podman.sock, or unset it"))]
    BadHost { host: String },
    #[error("Podman is not installed")]
    #[diagnostic(help("install it by the system's packages (`apt-get install podman`, `dnf install podman`), version 4.3 or later"))]
    NotInstalled,
    #[error("Podman {version} is too old")]
    #[diagnostic(help("version {OLDEST} or later is needed"))]
    TooOld { version: Version },
    #[error("this user may not use {}", socket.display())]
    #[diagnostic(help("unset CONTAINER_HOST to use a Podman of your own, or run wl as the socket's owner"))]
    NoPermission { socket: PathBuf },
    #[error("nobody answers at {}: {why}", socket.display())]
    #[diagnostic(help("start the service (`systemctl start podman.socket`), or unset CONTAINER_HOST: wl then starts one itself"))]
    NoAnswer { socket: PathBuf, why: String },
    #[error("what answers at {} is not Podman", socket.display())]
    #[diagnostic(help("set CONTAINER_HOST to Podman's socket"))]
    NotPodman { socket: PathBuf },
    #[error("Podman's service does not run")]
    #[diagnostic(help("start it (`systemctl --user start podman.socket`), or let wl start one"))]
    NotRunning,
    #[error("Podman's service did not start: {why}")]
    #[diagnostic(help("what it said is in {}; `wl doctor` checks this machine", log.display()))]
    ServiceFailed { why: String, log: PathBuf },
    #[error("this machine has cgroups v1 and v2 side by side, which crun refuses")]
    #[diagnostic(help(
        "run wl as root (it then hides v2 from Podman), boot with `systemd.unified_cgroup_hierarchy=1`, \
         or have root start a session without it: unshare -m sh -c 'umount /sys/fs/cgroup/unified; exec su YOU'"
    ))]
    HybridCgroups,
    #[error("cannot make {}: {source}", path.display())]
    #[diagnostic(help("the folder must belong to the user who runs wl"))]
    Folder { path: PathBuf, source: std::io::Error },
}

impl Version {
    /// Parses `5.4.2` or `5.5.0-dev`.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.split(['-', '+']).next()?;
        let mut numbers = plain.split('.').map(|n| n.parse().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next().flatten().unwrap_or_default() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Podman {
    /// Finds a Podman that answers, or starts its service.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let folders = Folders::make(&options)?;
        let (door, version) = find(&options, &folders).await?;
        let socket = door.socket();
        let (rootless, local_pids) = peer(&socket).unwrap_or((options.surroundings.uid != 0, false));
        let inner = Arc::new(Inner {
            http: Http::new(door),
            instance: options.instance,
            version,
            rootless,
            local_pids,
            dirs: Dirs::new(&options.state_dir, folders.memory),
            scratch: folders.scratch,
            // Nothing is known before the first list.
            index: Mutex::new(super::Index { uncertain: true, ..super::Index::default() }),
            hints: super::hints::Hints::default(),
            images: super::images::Images::default(),
            has_pause_image: AtomicBool::new(false),
            writes_pod_limits: AtomicBool::new(false),
            pod_cgroups: tokio::sync::OnceCell::new(),
            first_pod: tokio::sync::Mutex::default(),
            graph_root: std::sync::OnceLock::new(),
            relist_pause: Mutex::new(Duration::from_secs(60)),
            events: Mutex::default(),
        });
        let task = tokio::spawn(events::run(Arc::downgrade(&inner)));
        *inner.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(task.abort_handle());
        Ok(Self { inner })
    }
}

struct Folders {
    /// For sockets and the like; short, as sockets' names must be.
    run: PathBuf,
    scratch: PathBuf,
    memory: Option<PathBuf>,
}

impl Folders {
    fn make(options: &ConnectOptions) -> Result<Self, ConnectError> {
        make_private(&options.state_dir)?;
        let in_state = options.state_dir.join("run");
        let run = options.surroundings.run_dir().map(|run| run.join(options.instance.as_str()));
        let run = run.filter(|run| make_private(run).is_ok()).unwrap_or(in_state);
        make_private(&run)?;
        let on_tmpfs = rustix::fs::statfs(&run).is_ok_and(|fs| fs.f_type == TMPFS_MAGIC);
        let memory = run.join("volumes");
        let memory = if on_tmpfs && make_private(&memory).is_ok() { Some(memory) } else { None };
        Ok(Self { scratch: run.clone(), run, memory })
    }
}

/// A folder that is this user's alone.
pub fn make_private(path: &Path) -> Result<(), ConnectError> {
    let make = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        match std::fs::metadata(path)?.uid() == rustix::process::geteuid().as_raw() {
            true => Ok(()),
            false => Err(std::io::Error::from(ErrorKind::PermissionDenied)),
        }
    };
    make().map_err(|source| ConnectError::Folder { path: path.to_owned(), source })
}

async fn find(options: &ConnectOptions, folders: &Folders) -> Result<(Door, Version), ConnectError> {
    if let Some(host) = &options.surroundings.container_host {
        let socket = locate::socket_of(host)?;
        let version = greet(&socket).await?;
        return Ok((Door::fixed(&socket), version));
    }
    let settings = options.surroundings.find_podman().map(|program| service::Settings {
        program,
        path: locate::search_path(options.surroundings.path.as_deref().unwrap_or_default()),
        uid: options.surroundings.uid,
        run_dir: folders.run.clone(),
        state_dir: options.state_dir.clone(),
    });
    let starts = options.start_service != StartService::Never;
    let mut refusal = None;
    if options.start_service != StartService::Always {
        if let Some(settings) = &settings
            && let Some((socket, version)) = door::another(settings, None).await?
        {
            return Ok((Door::beside(socket, starts.then(|| settings.clone())), version));
        }
        for socket in locate::usual_sockets(&options.surroundings).into_iter().filter(|s| s.exists()) {
            match greet(&socket).await {
                Ok(version) => return Ok((Door::fixed(&socket), version)),
                Err(ConnectError::TooOld { version }) => return Err(ConnectError::TooOld { version }),
                Err(other) => refusal = Some(other),
            }
        }
    }
    if !starts {
        return Err(refusal.unwrap_or(ConnectError::NotRunning));
    }
    let door = Door::new(settings.ok_or(ConnectError::NotInstalled)?).await?;
    let version = greet(&door.socket()).await?;
    Ok((door, version))
}

/// Asks who answers at `socket`.
pub async fn greet(socket: &Path) -> Result<Version, ConnectError> {
    if let Err(e) = tokio::net::UnixStream::connect(socket).await {
        let socket = socket.to_owned();
        return Err(match e.kind() {
            ErrorKind::PermissionDenied => ConnectError::NoPermission { socket },
            _ => ConnectError::NoAnswer { socket, why: e.to_string() },
        });
    }
    let answer = Http::new(Door::fixed(socket)).get("/_ping").deadline(GREETING).answer().await;
    let answer = answer.map_err(|fault| ConnectError::NoAnswer { socket: socket.to_owned(), why: fault.message })?;
    // `/version` takes a third of a second on 4.3.
    let version = answer.headers.get("libpod-api-version").and_then(|v| Version::parse(v.to_str().ok()?));
    match version {
        None => Err(ConnectError::NotPodman { socket: socket.to_owned() }),
        Some(version) if version < OLDEST => Err(ConnectError::TooOld { version }),
        Some(version) => Ok(version),
    }
}

/// Whether the service is an ordinary user's, and whether its pids are this machine's.
fn peer(socket: &Path) -> Option<(bool, bool)> {
    let stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    let pid = peer.pid.as_raw_nonzero();
    let theirs = std::fs::read_link(format!("/proc/{pid}/ns/pid"));
    let local = match (theirs, std::fs::read_link("/proc/self/ns/pid")) {
        (Ok(theirs), Ok(own)) => theirs == own,
        // Another user's process: that it is there at all says enough.
        (Err(e), _) => e.kind() == ErrorKind::PermissionDenied,
        _ => false,
    };
    Some((!peer.uid.is_root(), local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        let version = |text| Version::parse(text).expect("a version");
        assert!(version("4.3.1") >= OLDEST && version("10.0.0-dev") > version("5.4.2") && version("4.2.9") < OLDEST);
        assert_eq!(version("5.4").to_string(), "5.4.0");
        for bad in ["", "x", "5", "5.x"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
