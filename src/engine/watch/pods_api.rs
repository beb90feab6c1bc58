//! The API as pods reach it: over TLS, through the gateway, and by a token alone. No pod is the owner of anything.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::apiserver::{self, Server};
use crate::network::gateway::{API_SOCKET, listen_in};

/// Serves it in the folder that is shared with the gateway, until it is dropped.
pub(super) struct PodsApi {
    server: Server,
    acceptor: TlsAcceptor,
    listening: Option<Listening>,
}

struct Listening {
    socket: PathBuf,
    inode: u64,
    task: JoinHandle<()>,
}

impl PodsApi {
    pub(super) fn new(server: Server, acceptor: TlsAcceptor) -> Self {
        PodsApi { server: server.for_strangers(), acceptor, listening: None }
    }

    /// Serves in this folder from now on, if it does not already.
    pub(super) fn serve_in(&mut self, folder: &Path) -> io::Result<()> {
        let socket = folder.join(API_SOCKET);
        let inode = |path: &Path| std::fs::metadata(path).map(|m| m.ino()).ok();
        let is_there = |l: &Listening| l.socket == socket && inode(&socket) == Some(l.inode) && !l.task.is_finished();
        if self.listening.as_ref().is_some_and(is_there) {
            return Ok(());
        }
        self.stop();
        let listener = listen_in(folder, API_SOCKET)?;
        let inode = std::fs::metadata(&socket)?.ino();
        let task = tokio::spawn(apiserver::listen_secured(self.server.clone(), listener, self.acceptor.clone()));
        self.listening = Some(Listening { socket, inode, task });
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.task.abort();
        }
    }
}

impl Drop for PodsApi {
    fn drop(&mut self) {
        self.stop();
    }
}
