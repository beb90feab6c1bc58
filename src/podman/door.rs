//! Which socket answers for Podman now, and how to find another when nobody does.
//!
//! Each service that `wl` starts has a socket of its own, `service-*.sock` in the instance's folder: processes of one
//! instance find each other's services there, and start one where there is none. Who found another's service goes on when that
//! ends, with the next one or with its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;

use super::connect::{ConnectError, Version, greet};
use super::service::{self, Service};

/// A socket on which nobody listens is left alone for so long: its service may be about to.
const STALE: Duration = Duration::from_secs(60);

/// The way to Podman.
pub struct Door {
    socket: Mutex<PathBuf>,
    /// The service, if it is ours.
    service: tokio::sync::Mutex<Option<Service>>,
    /// How to start one; `None` where the service is not `wl`'s.
    settings: Option<service::Settings>,
    /// Nobody goes through any more.
    closed: AtomicBool,
}

impl Door {
    /// To a service that others look after.
    pub fn fixed(socket: &Path) -> Self {
        Self::beside(socket.to_owned(), None)
    }

    /// To a service of this instance that answers at `socket`; `settings` start another when it has ended.
    pub fn beside(socket: PathBuf, settings: Option<service::Settings>) -> Self {
        Self {
            socket: Mutex::new(socket),
            service: tokio::sync::Mutex::default(),
            settings,
            closed: AtomicBool::new(false),
        }
    }

    /// To a new service.
    pub async fn new(settings: service::Settings) -> Result<Self, ConnectError> {
        let service = Service::start(settings.clone()).await?;
        let mut door = Self::beside(service.socket().to_owned(), Some(settings));
        *door.service.get_mut() = Some(service);
        Ok(door)
    }

    /// Where to knock.
    pub fn socket(&self) -> PathBuf {
        self.place().clone()
    }

    fn place(&self) -> MutexGuard<'_, PathBuf> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process started the service (and ends it).
    #[cfg(any(test, feature = "internals"))]
    pub async fn is_own(&self) -> bool {
        self.service.lock().await.is_some()
    }

    /// A connection to who answers, after finding or starting another where nobody does.
    pub async fn knock(&self) -> io::Result<(PathBuf, UnixStream)> {
        let socket = self.socket();
        let silent = match UnixStream::connect(&socket).await {
            Ok(stream) => return Ok((socket, stream)),
            Err(silent) => silent,
        };
        // Boxed: finding another way begins with a call.
        let other = Box::pin(self.after(&socket)).await.ok_or(silent)?;
        let stream = UnixStream::connect(&other).await?;
        Ok((other, stream))
    }

    /// Where to go on after nobody answered at `silent`; `None` where there is only waiting.
    async fn after(&self, silent: &Path) -> Option<PathBuf> {
        let settings = self.settings.as_ref()?;
        let mut service = self.service.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        // Another call may have found a way meanwhile.
        let now = self.socket();
        if now != silent || greet(&now).await.is_ok() {
            return Some(now);
        }
        let found = match service.as_mut() {
            Some(service) => service.again().await.ok().map(|()| service.socket().to_owned()),
            None => match another(settings, Some(silent)).await.ok()? {
                Some((socket, _)) => Some(socket),
                None => {
                    let new = Service::start(settings.clone()).await.ok()?;
                    Some(service.insert(new).socket().to_owned())
                }
            },
        }?;
        self.place().clone_from(&found);
        Some(found)
    }

    /// Ends the service, if it is ours. No other is looked for from now on.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let service = self.service.lock().await.take();
        if let Some(service) = service {
            service.end().await;
        }
    }
}

/// A service of this instance that answers, other than at `silent`.
pub async fn another(settings: &service::Settings, silent: Option<&Path>) -> Result<Option<(PathBuf, Version)>, ConnectError> {
    for socket in settings.sockets() {
        if silent == Some(&socket) {
            continue;
        }
        match greet(&socket).await {
            Ok(version) => return Ok(Some((socket, version))),
            Err(ConnectError::TooOld { version }) => return Err(ConnectError::TooOld { version }),
            Err(_) => {
                let age = std::fs::metadata(&socket).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
                if age.is_some_and(|age| age > STALE) {
                    // Left by a service that was killed.
                    let _ = std::fs::remove_file(&socket);
                }
            }
        }
    }
    Ok(None)
}
