//! The engine: every loop, one set of tasks, one end.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::clock::{self, Clock};
use super::controllers::{self, Inbox};
use super::events::Recorder;
use super::node::{Agent, News, Shared};
use super::scheduling::{self, Desk};
use super::pressure::{self, Watchman};
use super::{Rotation, node_object, reclaim, statics};
use crate::api::{GroupResource, Key, Status};
use crate::controllers::Controller;
use crate::network::PodSubnet;
use crate::node::NodeConfig;
use crate::node::pressure::Judge;
use crate::runtime::{Machine, Runtime};
use crate::store::Store;

/// Between two looks for Events that are over an hour old.
const EXPIRE: Duration = Duration::from_secs(300);
/// Between two looks at the machine (its addresses, its size).
const MACHINE: Duration = Duration::from_secs(300);
/// Between two looks whether somebody has deleted the Node: its pods would go 40 s later (`controllers::pod_gc`).
const REGISTERED: Duration = Duration::from_secs(20);

/// How the engine is to run.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Whether controllers and scheduler run.
    pub controllers: bool,
    /// Whether the node agent runs.
    pub node: bool,
    pub config: NodeConfig,
    /// Amounts that win over the machine's (`--node-allocatable`).
    pub allocatable: BTreeMap<String, String>,
    /// Where pods get their addresses from; `None`: the runtime chooses.
    pub pod_subnet: Option<PodSubnet>,
    /// Where static pods are read from.
    pub manifests: Option<statics::Source>,
    /// How many calls of the runtime may run side by side.
    pub at_once: usize,
    /// Where pods leave rotation before they are told to end.
    pub rotation: Rotation,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            controllers: true,
            node: true,
            config: NodeConfig {
                node_name: "wl".into(),
                cluster_domain: "cluster.local".into(),
                ..NodeConfig::default()
            },
            allocatable: BTreeMap::new(),
            pod_subnet: None,
            manifests: None,
            at_once: 8,
            rotation: Rotation::default(),
        }
    }
}

/// Why the engine ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the state could not be prepared: {0}")]
    Bootstrap(Status),
    #[error("a part of the engine failed: {0}")]
    Task(String),
}

/// Everything that runs beside the API server.
pub struct Engine<R: Runtime> {
    pub store: Store,
    pub runtime: Arc<R>,
    pub controllers: Vec<Box<dyn Controller>>,
    pub clock: Clock,
    pub options: EngineOptions,
}

impl<R: Runtime> Engine<R> {
    /// Runs until `stop` is done. Pods go on running; nothing is undone.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), EngineError> {
        self.store.bootstrap().await.map_err(EngineError::Bootstrap)?;
        let mut tasks: JoinSet<Result<(), String>> = JoinSet::new();
        self.spawn(&mut tasks);
        tokio::pin!(stop);
        let result = tokio::select! {
            () = &mut stop => Ok(()),
            ended = tasks.join_next() => Err(EngineError::Task(match ended {
                Some(Ok(Ok(()))) => "a loop has ended by itself".to_owned(),
                Some(Ok(Err(why))) => why,
                Some(Err(error)) => error.to_string(),
                None => "nothing was to be done".to_owned(),
            })),
        };
        tasks.shutdown().await;
        result
    }

    fn spawn(&mut self, tasks: &mut JoinSet<Result<(), String>>) {
        let node_name = self.options.config.node_name.clone();
        let node_name_of_files = node_name.clone();
        let recorder = Arc::new(Recorder::new(self.store.clone(), self.clock.clone(), &node_name));
        let inbox = Arc::new(Inbox::new());
        let desk = self.options.controllers.then(|| Arc::new(Desk::new(&node_name)));
        let (news, received) = mpsc::unbounded_channel();
        let mut all = std::mem::take(&mut self.controllers);
        all.push(crate::controllers::accounts());
        let all = Arc::new(if self.options.controllers { all } else { Vec::new() });
        tasks.spawn(dispatch(self.store.clone(), all.clone(), inbox.clone(), desk.clone(), news.clone()));
        if let Some(desk) = desk {
            let loops = controllers::run(inbox, all, self.store.clone(), recorder.clone(), self.clock.clone());
            tasks.spawn(endless(loops));
            let (store, clock) = (self.store.clone(), self.clock.clone());
            let scheduling = scheduling::run(store, recorder.clone(), clock, desk, self.options.node);
            tasks.spawn(endless(scheduling));
        }
        if self.options.node {
            if let Some(source) = &self.options.manifests {
                tasks.spawn(statics::run(source.clone(), node_name_of_files, self.clock.clone(), news.clone()));
            }
            tasks.spawn(hints(self.runtime.clone(), news));
            tasks.spawn(endless(reclaim::run(self.store.clone(), self.runtime.clone(), recorder.clone())));
            let node = node(
                self.store.clone(),
                self.runtime.clone(),
                recorder,
                self.clock.clone(),
                self.options.clone(),
                received,
            );
            tasks.spawn(node);
        }
        tasks.spawn(endless(expire(self.store.clone())));
    }
}

async fn endless(future: impl Future<Output = ()>) -> Result<(), String> {
    future.await;
    Ok(())
}

/// Brings each change of the store to whom it may concern.
async fn dispatch(
    store: Store,
    controllers: Arc<Vec<Box<dyn Controller>>>,
    inbox: Arc<Inbox>,
    desk: Option<Arc<Desk>>,
    news: mpsc::UnboundedSender<News>,
) -> Result<(), String> {
    loop {
        let (state, mut changes) = store.snapshot_and_changes();
        inbox.everything(&controllers, &state);
        if let Some(desk) = &desk {
            desk.everything(&state);
        }
        // What is kept of it would stay in memory, however old it becomes.
        drop(state);
        // Without an agent nobody listens, which is as it should be.
        let _ = news.send(News::Everything);
        while let Ok(list) = changes.next().await {
            let state = store.snapshot();
            for change in list {
                inbox.changed(&controllers, &state, &change);
                if let Some(desk) = &desk {
                    desk.changed(&change);
                }
                let _ = news.send(News::Changed(change));
            }
        }
    }
}

async fn hints<R: Runtime>(runtime: Arc<R>, news: mpsc::UnboundedSender<News>) -> Result<(), String> {
    loop {
        let hint = runtime.next_hint().await;
        if news.send(News::Hint(hint)).is_err() {
            return Err("the node agent does not listen".into());
        }
    }
}

/// The node agent, once the runtime has said what the machine is.
async fn node<R: Runtime>(
    store: Store,
    runtime: Arc<R>,
    recorder: Arc<Recorder>,
    clock: Clock,
    options: EngineOptions,
    received: mpsc::UnboundedReceiver<News>,
) -> Result<(), String> {
    let machine = machine(&*runtime).await;
    let mut config = options.config;
    let allocatable = node_object::allocatable(&machine, &options.allocatable, &mut config);
    if config.resolver == crate::runtime::DnsConfig::default() {
        config.resolver = machine.dns.clone();
    }
    let mut judge = Judge::new(config.pressure.clone());
    let pressures = pressure::at_first(&*runtime, &mut judge, &clock).await;
    while let Err(why) = node_object::publish(&store, &clock, &machine, &config, &allocatable, &pressures).await {
        if why.code != 409 && why.code < 500 {
            return Err(format!("the node cannot be registered: {why}"));
        }
        clock::sleep(Duration::from_secs(1)).await;
    }
    let shared = Arc::new(Shared::new(
        store.clone(),
        runtime.clone(),
        recorder,
        clock.clone(),
        options.at_once,
        options.pod_subnet,
        options.rotation,
        machine,
        config.clone(),
        pressures,
    ));
    let refresh = async {
        loop {
            until_missed(&store, &config.node_name).await;
            if let Ok(machine) = runtime.machine().await {
                // What cannot be written now is tried again with the next look.
                let pressures = shared.pressures();
                let _ = node_object::publish(&store, &clock, &machine, &config, &allocatable, &pressures).await;
            }
        }
    };
    tokio::select! {
        ended = Agent::new(shared.clone()).run(received) => ended,
        () = refresh => Ok(()),
        () = Watchman::new(shared.clone(), judge).run() => Ok(()),
    }
}

/// Until the machine is to be looked at again: after a while, or as its Node is gone.
async fn until_missed(store: &Store, node: &str) {
    let key = Key::new(GroupResource::new("", "nodes"), "", node);
    for _ in 0..MACHINE.as_secs() / REGISTERED.as_secs() {
        clock::sleep(REGISTERED).await;
        if store.snapshot().get(&key).is_none() {
            return;
        }
    }
}

/// Asks until it is answered.
async fn machine<R: Runtime>(runtime: &R) -> Machine {
    loop {
        match runtime.machine().await {
            Ok(machine) => return machine,
            Err(_) => clock::sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn expire(store: Store) {
    loop {
        clock::sleep(EXPIRE).await;
        store.expire().await;
    }
}
