//! A strict pretend node: it runs nothing, keeps time by a clock from outside, and refuses every action
//! that comes out of turn.
//!
//! What a container does is told by a [`Behaviour`] for its image; faults are injected by
//! [`Simulated::refuse_next`] and [`Simulated::set_available`]. Used by the tests of the engine and by
//! whoever wants to see what would happen.

#[cfg(any(test, feature = "internals"))]
mod script;
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;

use super::{
    Action, Headroom, Hint, Machine, Outcome, PodParts, PodUsage, Runtime, RuntimeError, RuntimeErrorKind, Sandbox, Shortage,
};
use world::World;

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a container does from its start on.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Ends by itself after this long; `None`: runs for ever.
    pub ends_after: Option<Duration>,
    pub exit_code: i32,
    pub out_of_memory: bool,
    /// How long it takes to end after a signal; `None`: it takes no notice of signals but SIGKILL.
    pub ends_on_signal_after: Option<Duration>,
    pub exit_code_on_signal: i32,
    /// The runtime cannot start it.
    pub start_error: Option<String>,
    /// What it leaves as its termination message.
    pub message: String,
}

impl Default for Behaviour {
    /// Runs for ever, ends at once with 0 when asked.
    fn default() -> Self {
        Behaviour {
            ends_after: None,
            exit_code: 0,
            out_of_memory: false,
            ends_on_signal_after: Some(Duration::ZERO),
            exit_code_on_signal: 0,
            start_error: None,
            message: String::new(),
        }
    }
}

/// The pretend node. Clones share it.
#[derive(Clone)]
pub struct Simulated {
    shared: Arc<Mutex<Shared>>,
    now: Now,
}

struct Shared {
    world: World,
    available: bool,
    refusals: Vec<(String, RuntimeError)>,
    hints: VecDeque<Hint>,
    waiting: Vec<Waker>,
    log: Vec<String>,
}

impl Simulated {
    pub fn new(now: Now) -> Self {
        let shared = Shared {
            world: World::default(),
            available: true,
            refusals: Vec::new(),
            hints: VecDeque::new(),
            waiting: Vec::new(),
            log: Vec::new(),
        };
        Simulated { shared: Arc::new(Mutex::new(shared)), now }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn act(&self, action: &Action) -> Result<Outcome, RuntimeError> {
        let now = (self.now)();
        let mut shared = self.shared();
        if !shared.available {
            return Err(unavailable());
        }
        shared.world.settle_pod(action.pod_uid(), now);
        let name = name(action);
        let line = world::line(&shared.world, action);
        shared.log.push(line);
        if let Some(index) = shared.refusals.iter().position(|(n, _)| n == name) {
            return Err(shared.refusals.remove(index).1);
        }
        let outcome = shared.world.act(action, now);
        let uid = action.pod_uid().to_owned();
        if outcome.is_ok() && !uid.is_empty() && matches!(action, Action::SignalContainer { .. }) {
            for uid in shared.world.settle(now) {
                shared.hint(Hint::Pod { uid });
            }
        }
        outcome
    }
}

impl Shared {
    fn hint(&mut self, hint: Hint) {
        self.hints.push_back(hint);
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

fn unavailable() -> RuntimeError {
    RuntimeError::new(RuntimeErrorKind::Unavailable, "nobody answers")
}

/// The name of an action in scripts and logs.
pub fn name(action: &Action) -> &'static str {
    match action {
        Action::PullImage { .. } => "pull",
        Action::InspectImage { .. } => "inspect-image",
        Action::RunSandbox(_) => "run-sandbox",
        Action::WriteVolume(_) => "write-volume",
        Action::CreateContainer(_) => "create",
        Action::StartContainer { .. } => "start",
        Action::SignalContainer { .. } => "signal",
        Action::RemoveContainer { .. } => "remove",
        Action::ResumeContainer { .. } => "resume",
        Action::UpdateContainer { .. } => "update",
        Action::UpdateSandbox { .. } => "update-sandbox",
        Action::MeasureStorage { .. } => "measure",
        Action::FreeStorage { .. } => "free-storage",
        Action::ExecSync { .. } => "exec",
        Action::StopSandbox { .. } => "stop-sandbox",
        Action::RemoveSandbox { .. } => "remove-sandbox",
    }
}

impl Runtime for Simulated {
    async fn observe(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        let mut shared = self.shared();
        if !shared.available {
            return Err(unavailable());
        }
        shared.world.settle((self.now)());
        Ok(shared.world.sandboxes())
    }

    async fn observe_pod(&self, uid: &str) -> Result<Option<Sandbox>, RuntimeError> {
        let mut shared = self.shared();
        if !shared.available {
            return Err(unavailable());
        }
        Ok(shared.world.settle_pod(uid, (self.now)()).cloned())
    }

    async fn execute(&self, action: &Action) -> Result<Outcome, RuntimeError> {
        self.act(action)
    }

    fn next_hint(&self) -> impl Future<Output = Hint> + Send {
        std::future::poll_fn(|context| {
            let mut shared = self.shared();
            match shared.hints.pop_front() {
                Some(hint) => Poll::Ready(hint),
                None => {
                    shared.waiting.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    async fn machine(&self) -> Result<Machine, RuntimeError> {
        if !self.shared().available {
            return Err(unavailable());
        }
        Ok(Machine {
            hostname: "n1".into(),
            addresses: vec![std::net::IpAddr::from([192, 0, 2, 1])],
            cpus: 2,
            memory_bytes: 8 << 30,
            storage_bytes: 100 << 30,
            pods: 110,
            architecture: "amd64".into(),
            os_image: "pretend".into(),
            kernel_version: "6.0".into(),
            machine_id: "0".into(),
            system_uuid: "0".into(),
            boot_id: "0".into(),
            runtime_name: "podman".into(),
            runtime_version: "5.0.0".into(),
            cgroup_version: 2,
            hosts: "127.0.0.1\tlocalhost\n".into(),
            ..Machine::default()
        })
    }

    async fn reclaim_volume(&self, _: &str) -> Result<(), RuntimeError> {
        if self.shared().available { Ok(()) } else { Err(unavailable()) }
    }

    async fn headroom(&self, _: &BTreeSet<Shortage>) -> Headroom {
        self.shared().world.headroom
    }

    async fn usage(&self, pods: &[PodParts], _: Shortage) -> BTreeMap<String, PodUsage> {
        let shared = self.shared();
        let known = pods.iter().filter_map(|pod| Some((pod.uid.clone(), shared.world.usage_of(&pod.uid)?)));
        known.collect()
    }
}
