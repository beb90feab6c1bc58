//! One connection: from the local socket to the pod's port and back.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::super::resources::Info;
use super::super::session::{self, pod::Target};
use super::forwards;
use crate::api::Object;
use crate::cli::CliError;
use crate::client::{Client, Listener, Speaker};
use crate::engine::clock;

/// The streams of a port (k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go).
const PROTOCOL: &str = "v4.channel.k8s.io";
const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Read from a socket at once.
const BLOCK: usize = 32 << 10;
/// Each stream begins with the port's number.
const NUMBER: usize = 2;
/// Between two looks whether the pod is there again.
const LOOK: Duration = Duration::from_millis(200);

/// What a connection has to tell the user.
pub enum Note {
    Handling(u16),
    Trouble(String),
}

/// The way to the pod of the day.
pub struct Road {
    client: Client,
    target: Target,
    /// The pod that the last connection went to.
    pod: Mutex<String>,
    patience: Duration,
    info: Info,
    asked: Vec<String>,
}

impl Road {
    pub fn new(client: Client, target: Target, pod: String, patience: Duration, info: Info, asked: Vec<String>) -> Self {
        Road { client, target, pod: Mutex::new(pod), patience, info, asked }
    }

    /// A pod that runs: the last one while it does, else the one that takes its place.
    async fn pod(&self) -> Result<Object, CliError> {
        let begun = tokio::time::Instant::now();
        loop {
            let last = self.pod.lock().map(|name| name.clone()).unwrap_or_default();
            let path = format!("{}/{}", self.pods(), crate::client::segment(&last));
            let found = match self.client.get(&path).await.map(Object::new) {
                Ok(pod) if is_running(&pod) => return Ok(pod),
                _ => self.target.pod(self.patience).await,
            };
            match found {
                Ok(pod) if is_running(&pod) => {
                    if let Ok(mut name) = self.pod.lock() {
                        pod.name().clone_into(&mut name);
                    }
                    return Ok(pod);
                }
                Err(error) if begun.elapsed() >= self.patience => return Err(error),
                Ok(pod) if begun.elapsed() >= self.patience => {
                    let phase = pod.str_at("/status/phase").unwrap_or("").to_owned();
                    return Err(CliError::message(format!("pod is not running. Current status={phase}")));
                }
                _ => clock::sleep(LOOK).await,
            }
        }
    }

    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", crate::client::segment(&self.info.namespace))
    }

    /// The streams of the `at`-th port that was asked for, and that port.
    async fn open(&self, at: usize) -> Result<(Speaker, Listener, u16), CliError> {
        let pod = self.pod().await?;
        // Names may stand for another number in another pod.
        let remote = forwards(&self.info, &pod, &self.asked)?[at].remote;
        let ask = session::subresource(&pod, "portforward").query("ports", remote.to_string());
        let (speaker, listener) = self.client.channels(ask, PROTOCOL).await?;
        Ok((speaker, listener, remote))
    }
}

fn is_running(pod: &Object) -> bool {
    pod.str_at("/status/phase") == Some("Running") && !pod.is_deleting()
}

/// Takes connections and carries each of them in a task of its own.
pub async fn accept(listener: TcpListener, at: usize, road: std::sync::Arc<Road>, told: UnboundedSender<Note>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of descriptors: some may be free soon.
                    clock::sleep(LOOK).await;
                    continue;
                };
                let (road, told) = (road.clone(), told.clone());
                let local = listener.local_addr().map_or(0, |address| address.port());
                tasks.spawn(async move {
                    // Who prints is gone only when all is.
                    let _ = told.send(Note::Handling(local));
                    if let Err((why, remote)) = carry(stream, at, &road).await {
                        let _ = told.send(Note::Trouble(format!("an error occurred forwarding {local} -> {remote}: {why}")));
                    }
                });
            }
        }
    }
}

/// Bytes in both directions until both ends are done; an error with the port that it is about.
async fn carry(stream: TcpStream, at: usize, road: &Road) -> Result<(), (String, u16)> {
    let (mut speaker, mut listener, remote) = road.open(at).await.map_err(|e| (e.text(), 0))?;
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        let mut block = vec![0; BLOCK];
        loop {
            match reader.read(&mut block).await {
                Ok(read @ 1..) => {
                    if speaker.say(DATA, &block[..read]).await.is_err() {
                        return;
                    }
                }
                Ok(0) | Err(_) => {
                    // An empty message: this side is done, the other one may have more to say.
                    let _ = speaker.say(DATA, &[]).await;
                    return;
                }
            }
        }
    };
    let receiving = async {
        let (mut data_begun, mut error_begun) = (false, false);
        let mut trouble = String::new();
        while let Ok(Some((stream, bytes))) = listener.next().await {
            match stream {
                DATA if !data_begun && bytes.len() == NUMBER => data_begun = true,
                ERROR if !error_begun && bytes.len() == NUMBER => error_begun = true,
                DATA if writer.write_all(&bytes).await.is_err() => return String::new(),
                ERROR => trouble.push_str(&String::from_utf8_lossy(&bytes)),
                _ => {}
            }
        }
        let _ = writer.shutdown().await;
        trouble
    };
    tokio::pin!(sending, receiving);
    let trouble = tokio::select! {
        trouble = &mut receiving => trouble,
        () = &mut sending => receiving.await,
    };
    if trouble.is_empty() { Ok(()) } else { Err((trouble, remote)) }
}
