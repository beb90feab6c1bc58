//! Processes whose streams are connected: commands in a container, and a container's own process.
//!
//! A command runs by the OCI runtime where its processes are this machine's, else by Podman's API.

mod api;
mod by_runtime;
mod pty;

use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};

use super::exec::entrance;
use super::fault::refused;
use super::{Inner, Podman};
use crate::runtime::{ContainerState, RuntimeError, RuntimeErrorKind};

/// Which streams are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A process and its streams. A command is ended when this is dropped.
pub struct Process {
    pub stdin: Option<Writer>,
    pub stdout: Option<Reader>,
    pub stderr: Option<Reader>,
    /// Columns and rows; only with a terminal.
    pub resize: Option<watch::Sender<(u16, u16)>>,
    /// The exit code, or why there is none.
    pub ended: Pin<Box<dyn Future<Output = Result<i32, RuntimeError>> + Send>>,
}

impl Podman {
    /// Starts a command in a running container, confined as that is.
    pub async fn exec(&self, id: &str, command: &[String], streams: Streams) -> Result<Process, RuntimeError> {
        self.inner.start_command(id, command, streams).await
    }

    /// Connects to the streams of a running container's own process.
    pub async fn attach(&self, id: &str, streams: Streams) -> Result<Process, RuntimeError> {
        self.inner.attach(id, streams).await
    }
}

impl Inner {
    async fn start_command(self: &Arc<Self>, id: &str, command: &[String], streams: Streams) -> Result<Process, RuntimeError> {
        let conmon = self.conmon_of_running(id)?;
        let entrance = entrance(conmon, id).filter(|e| !streams.tty || e.takes_console_socket());
        match entrance {
            Some(entrance) => self.command_by_runtime(entrance, id, command, streams).await,
            None => self.command_by_api(id, command, streams).await,
        }
    }

    /// The pid of a running container's conmon.
    pub fn conmon_of_running(&self, id: &str) -> Result<u32, RuntimeError> {
        match self.index().records.get(id).map(|r| (r.state.clone(), r.conmon_pid)) {
            Some((ContainerState::Running { .. }, conmon)) => Ok(conmon),
            Some(_) => Err(refused("the container is not running")),
            None => Err(RuntimeError::new(RuntimeErrorKind::NotFound, format!("there is no container {id}"))),
        }
    }
}

/// What a task that minds a process tells of its end; a task that is gone tells of none.
fn ending(told: oneshot::Receiver<Result<i32, RuntimeError>>) -> Pin<Box<dyn Future<Output = Result<i32, RuntimeError>> + Send>> {
    Box::pin(async move { told.await.unwrap_or_else(|_| Err(refused("nobody waits for the process any more"))) })
}
