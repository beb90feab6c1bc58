//! How a command reaches a server: the running watch, a new one, or an engine inside the command.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::keeping::podman_of;
use super::streams::NodeStreams;
use super::upgrade::{self, Standing};
use super::{Held, WatchError, WatchFlags, background, clock, socket};
use crate::api::{GroupResource, Json, Key};
use crate::apiserver::{self, Server};
use crate::client::{Ask, Client, Transport};
use crate::engine::EngineError;
use crate::engine::look;
use crate::network::{self, Cidr};
use crate::podman::Podman;
use crate::state::State;
use crate::store::{OpenError, Store, SystemRandom};

/// A range of IPv6 cluster IPs for what is only tried.
const SOME_V6: &str = "fd77::8000/113";
/// How long a command waits for another one that holds the state directory.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether it has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
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
    /// Podman, where this process only looks.
    looked_with: Option<Arc<Podman>>,
    note: Option<String>,
    node_to_come: Option<Json>,
}

struct Inside {
    stop: tokio::sync::watch::Sender<bool>,
    running: JoinHandle<Result<(), WatchError>>,
}

impl Connection {
    /// What a user should know of what is shown.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The Node that the first watch will register, where there has been none.
    pub fn node_to_come(&self) -> Option<&Json> {
        self.node_to_come.as_ref()
    }

    /// Ends what runs in this process; pods go on running.
    pub async fn close(self) -> Result<(), WatchError> {
        if let Some(podman) = self.looked_with {
            podman.close().await;
        }
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
            let note = match purpose {
                Purpose::Look => None,
                Purpose::Change | Purpose::ChangeInside => match upgrade::settle(state_dir).await? {
                    Standing::Fine => None,
                    Standing::Replaced => continue,
                    Standing::Older(note) => Some(note),
                },
            };
            let client = Client::unix(socket(state_dir));
            // A process that is about to end may still take connections, and never answer.
            if client.send(Ask::get("/livez")).await.is_err() && begun.elapsed() < PATIENCE {
                clock::sleep(LOOK_AGAIN).await;
                continue;
            }
            return Ok(Connection { client, inside: None, looked_with: None, note, node_to_come: None });
        }
        if purpose == Purpose::Change {
            background::start(state_dir, flags).await?;
            continue;
        }
        if purpose == Purpose::Look {
            return looking(state_dir, flags).await;
        }
        match inside(state_dir, flags).await {
            Err(WatchError::Store(OpenError::Held { .. })) if begun.elapsed() < PATIENCE => {
                // Its holder is about to serve, or to end.
                clock::sleep(LOOK_AGAIN).await;
            }
            other => return other,
        }
    }
}

/// Serves what was last kept, with the states of pods that Podman shows now. Nothing is written, and nothing goes on.
async fn looking(state_dir: &Path, flags: &WatchFlags) -> Result<Connection, WatchError> {
    let mut state = Store::look(state_dir)?.state;
    let mut note = "No watch is running: nothing probes or restarts meanwhile.".to_owned();
    let mut podman = None;
    if look::has_pods(&state) {
        match seen(state_dir, &state, flags).await {
            Ok((seen, found)) => (state, podman) = (seen, Some(found)),
            Err(error) => {
                note = format!("No watch is running, and Podman cannot be looked at ({error}): this is what was last known.");
            }
        }
    }
    let node_to_come = flags.node_to_come(&state);
    let mut settings = flags.settings();
    let kept = crate::registry::allocation::kept_cidrs(&state);
    if !kept.is_empty() {
        settings.service_cidrs = kept.into_iter().map(str::to_owned).collect();
    } else if settings.service_cidrs.len() == 1 && flags.both_families().unwrap_or_else(|| network::has_ipv6(&[Cidr::OWN_V6])) {
        // The network that is made will have a range for it.
        settings.service_cidrs.push(SOME_V6.to_owned());
    }
    let store = Store::in_memory_with(settings, state, clock::system(), Box::new(SystemRandom::new()));
    store.bootstrap().await.map_err(EngineError::Bootstrap)?;
    let mut server = Server::new(store).with_controllers(false);
    if let Some(podman) = &podman {
        server = server.with_streams(Arc::new(NodeStreams::new(podman.clone())));
    }
    Ok(Connection { client: client_of(server), inside: None, looked_with: podman, note: Some(note), node_to_come })
}

/// The state as it is, by Podman.
async fn seen(state_dir: &Path, state: &State, flags: &WatchFlags) -> Result<(State, Arc<Podman>), String> {
    let mut config = flags.node_config().map_err(|e| e.to_string())?;
    let node = Key::new(GroupResource::new("", "nodes"), "", &config.node_name);
    let ranges = state.get(&node).and_then(|node| node.at("/spec/podCIDRs")?.as_array()).into_iter().flatten();
    config.pod_cidrs = ranges.filter_map(|range| range.as_str().map(str::to_owned)).collect();
    let podman = podman_of(state_dir).await.map_err(|e| e.to_string())?.ok_or("it never had pods of this directory")?;
    match look::look(state.clone(), &podman, &clock::system(), &config).await {
        Ok(seen) => Ok((seen, Arc::new(podman))),
        Err(error) => {
            podman.close().await;
            Err(error.to_string())
        }
    }
}

/// A client of a server in this process.
fn client_of(server: Server) -> Client {
    Client::new(Arc::new(move || {
        let server = server.clone();
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(PIPE);
            tokio::spawn(async move {
                // A connection that breaks is its client's affair.
                let _ = apiserver::serve(server, far).await;
            });
            Ok(Box::new(near) as Box<dyn Transport>)
        })
    }))
}

/// Holds the state directory in this process, and runs the engine.
async fn inside(state_dir: &Path, flags: &WatchFlags) -> Result<Connection, WatchError> {
    let held = Held::take(state_dir, flags).await?;
    // The first request may come before the engine has begun.
    held.bootstrap().await?;
    let client = client_of(held.server());
    let (stop, told) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(held.run(told));
    Ok(Connection { client, inside: Some(Inside { stop, running }), looked_with: None, note: None, node_to_come: None })
}
