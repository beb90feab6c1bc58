//! How a command reaches a server: the running watch, a new one, or an engine inside the command.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Held, WatchError, WatchFlags, background, clock, socket};
use crate::apiserver;
use crate::client::{Client, Transport};
use crate::store::OpenError;

/// How long a command waits for another one that holds the state directory.
const PATIENCE: Duration = Duration::from_secs(30);
/// Room in the pipe between the client and the server of one process.
const PIPE: usize = 64 * 1024;

/// What a command needs a server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It only looks: whatever is there is enough, and nothing is left running.
    Look,
    /// It changes something: a watch is started in the background.
    Change,
    /// It changes something and runs the engine itself (`--no-watch`).
    ChangeInside,
}

/// A server that answers, and what has to be ended with it.
pub struct Connection {
    pub client: Client,
    inside: Option<Inside>,
}

struct Inside {
    stop: tokio::sync::watch::Sender<bool>,
    running: JoinHandle<Result<(), WatchError>>,
}

impl Connection {
    /// Whether the engine runs in this process and ends with it.
    pub fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Ends what runs in this process; pods go on running.
    pub async fn close(self) -> Result<(), WatchError> {
        let Some(inside) = self.inside else { return Ok(()) };
        let _ = inside.stop.send(true);
        inside.running.await.unwrap_or(Ok(()))
    }
}

/// Finds a server, or makes one.
pub async fn connect(state_dir: &Path, flags: &WatchFlags, purpose: Purpose) -> Result<Connection, WatchError> {
    let begun = tokio::time::Instant::now();
    loop {
        if tokio::net::UnixStream::connect(socket(state_dir)).await.is_ok() {
            return Ok(Connection { client: Client::unix(socket(state_dir)), inside: None });
        }
        if purpose == Purpose::Change {
            background::start(state_dir, flags).await?;
            continue;
        }
        match inside(state_dir, flags, purpose).await {
            Err(WatchError::Store(OpenError::Held { .. })) if begun.elapsed() < PATIENCE => {
                // Its holder is about to serve, or to end.
                clock::sleep(Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
}

/// Holds the state directory in this process. Who only looks gets the API server alone.
async fn inside(state_dir: &Path, flags: &WatchFlags, purpose: Purpose) -> Result<Connection, WatchError> {
    let mut flags = flags.clone();
    if purpose == Purpose::Look {
        flags.no_node = true;
        flags.no_controllers = true;
    }
    let held = Held::take(state_dir, &flags).await?;
    // The first request may come before the engine has begun.
    held.bootstrap().await?;
    let server = held.server();
    let (stop, told) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(held.run(told));
    let client = Client::new(Arc::new(move || {
        let server = server.clone();
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(PIPE);
            tokio::spawn(async move {
                // A connection that breaks is its client's affair.
                let _ = apiserver::serve(server, far).await;
            });
            Ok(Box::new(near) as Box<dyn Transport>)
        })
    }));
    Ok(Connection { client, inside: Some(Inside { stop, running }) })
}
