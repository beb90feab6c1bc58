//! The one store: objects in memory, a journal on disk, one writer, and the history that watches follow.
//!
//! Writes run one after the other; many share one fsync and each is answered after it. Readers take a
//! snapshot and never wait. The revision history is bounded: who asks for more than it holds is told
//! so ([`Gone`]) and lists anew.

mod backup;
mod expiry;
pub mod failpoint;
mod history;
mod journal;
mod lock;
pub mod memory;
mod migrate;
mod packed;
mod random;
#[cfg(test)]
mod tests;
mod writer;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, RwLock, mpsc};

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::api::{Random, Status};
use crate::registry::{Answer, Request, Settings};
use crate::state::State;

pub use backup::{BackupError, Restored, backup, restore};
pub use history::{Changes, Gone};
pub use journal::{Loaded, OpenError, files};
pub use lock::{Lock, holder};
pub use random::SystemRandom;

use history::History;
use journal::Lost;
use writer::{Job, Writer};

/// Tells the time; the engine gives its own, so that tests can run in virtual time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of this machine.
pub fn system_clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the store's own clock, for who gives none")]
    let now = Timestamp::now;
    Arc::new(now)
}

/// A handle on the store; clones share it. The store ends when the last handle is dropped.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    writes: Writes,
    settings: Arc<Settings>,
    clock: Clock,
    lost: Arc<Lost>,
}

/// What readers see: the newest committed state, and how it came about.
pub(crate) struct Shared {
    state: RwLock<State>,
    history: History,
}

/// How a write reaches the writer: in place where nothing has to be waited for, else by its thread.
#[derive(Clone)]
enum Writes {
    Inline(Arc<Mutex<Writer>>),
    Thread(mpsc::Sender<Job>),
}

impl Store {
    /// A store that forgets everything when it is dropped, with the machine's clock and random numbers.
    #[cfg(feature = "internals")]
    pub fn in_memory(settings: Settings) -> Store {
        Store::in_memory_with(settings, State::new(), system_clock(), Box::new(SystemRandom::new()))
    }

    /// A store that forgets everything when it is dropped. Its writes run inside [`Store::write`], so
    /// that paused time stays paused.
    pub fn in_memory_with(settings: Settings, state: State, clock: Clock, random: Box<dyn Random + Send>) -> Store {
        let settings = Arc::new(settings);
        let shared = Arc::new(Shared::new(state.clone()));
        let writer = Writer::new(state, shared.clone(), settings.clone(), clock.clone(), random, None);
        Store { shared, writes: Writes::Inline(Arc::new(Mutex::new(writer))), settings, clock, lost: Arc::default() }
    }

    /// Opens the store in a directory, made if it is missing, and becomes its one writer.
    pub fn open(dir: &std::path::Path, settings: Settings) -> Result<Store, OpenError> {
        Store::open_with(dir, settings, system_clock(), Box::new(SystemRandom::new()))
    }

    /// The same with a clock and random numbers from outside.
    pub fn open_with(
        dir: &std::path::Path,
        settings: Settings,
        clock: Clock,
        random: Box<dyn Random + Send>,
    ) -> Result<Store, OpenError> {
        let (journal, loaded) = journal::Sqlite::open(dir)?;
        Store::of_journal(dir, settings, clock, random, journal, loaded)
    }

    fn of_journal(
        dir: &std::path::Path,
        settings: Settings,
        clock: Clock,
        random: Box<dyn Random + Send>,
        journal: journal::Sqlite,
        loaded: Loaded,
    ) -> Result<Store, OpenError> {
        let Loaded { state, lost } = loaded;
        let settings = Arc::new(settings);
        let shared = Arc::new(Shared::new(state.clone()));
        let writer = Writer::new(state, shared.clone(), settings.clone(), clock.clone(), random, Some(Box::new(journal)));
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.serve(&queue))
            .map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        Ok(Store { shared, writes: Writes::Thread(jobs), settings, clock, lost: Arc::new(lost) })
    }

    /// With other ranges of cluster IPs; `bootstrap` makes them the state's.
    pub fn with_service_cidrs(mut self, service_cidrs: Vec<String>) -> Store {
        self.settings = Arc::new(Settings { service_cidrs, ..Settings::clone(&self.settings) });
        self
    }

    /// With a place where pods reach the API; `bootstrap` makes it known to them.
    pub fn with_api_address(mut self, address: IpAddr) -> Store {
        self.settings = Arc::new(Settings { api_address: Some(address), ..Settings::clone(&self.settings) });
        self
    }

    /// Carries one write out and answers once it is safe on disk.
    pub async fn write(&self, request: Request) -> Result<Answer, Status> {
        let mut answers = self.write_all(vec![request]).await;
        answers.pop().unwrap_or_else(|| Err(stopped()))
    }

    /// What was last kept in a directory, for who only looks: nothing is made, changed or locked.
    pub fn look(dir: &std::path::Path) -> Result<Loaded, OpenError> {
        Ok(journal::Sqlite::look(dir)?.unwrap_or_default())
    }

    /// Whether this store has been at a revision, so that it knows what became of an object that it no longer has. What
    /// was made after a backup that was restored, it does not know.
    pub fn has_been_at(&self, revision: u64) -> bool {
        revision <= self.shared.snapshot().revision() && !self.lost.contains(revision)
    }

    /// Ends the store: writes are refused from now on, and the directory is free when this returns.
    pub async fn close(&self) {
        if let Writes::Thread(queue) = &self.writes {
            let (answer, answered) = oneshot::channel();
            if queue.send(Job::Close { answer }).is_ok() {
                let _ = answered.await;
            }
        }
    }

    /// Makes what every server holds from the start and this one does not yet.
    pub async fn bootstrap(&self) -> Result<(), Status> {
        // What is made first may want more.
        for _ in 0..2 {
            let requests = crate::registry::bootstrap::requests(&self.snapshot(), &self.settings);
            if requests.is_empty() {
                break;
            }
            self.write_all(requests).await.into_iter().try_for_each(|answer| answer.map(drop))?;
        }
        Ok(())
    }

    /// Carries writes out in order, each on its own (one that is refused does not stop the next), and
    /// answers once all are safe on disk.
    pub async fn write_all(&self, requests: Vec<Request>) -> Vec<Result<Answer, Status>> {
        self.begin_all(requests).await
    }

    /// The same for who does not wait: when this returns, the writes have their place before all later ones.
    pub fn begin_all(&self, requests: Vec<Request>) -> impl Future<Output = Vec<Result<Answer, Status>>> + Send + use<> {
        let count = requests.len();
        let (answer, answered) = oneshot::channel();
        match &self.writes {
            Writes::Inline(writer) => {
                let mut writer = writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                // Who asks holds the other end.
                let _ = answer.send(writer.carry_out(&requests));
            }
            // Where the writer has ended, so has the answer's other end.
            Writes::Thread(queue) => drop(queue.send(Job::Write { requests, answer })),
        }
        async move { answered.await.unwrap_or_else(|_| (0..count).map(|_| Err(stopped())).collect()) }
    }

    /// What this store's clock says.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The state as it was at a revision that the history still holds.
    pub fn at(&self, revision: u64) -> Result<State, Gone> {
        let (mut state, _) = self.snapshot_and_changes();
        for change in self.shared.history.since(revision)?.iter().rev() {
            if change.revision <= state.revision() {
                state.undo(change);
            }
        }
        state.set_revision(revision.min(state.revision()));
        Ok(state)
    }

    /// The newest committed state.
    pub fn snapshot(&self) -> State {
        self.shared.snapshot()
    }

    /// Every change after `since`, from now on without end.
    pub fn watch(&self, since: u64) -> Result<Changes, Gone> {
        Changes::start(self.shared.clone(), since)
    }

    /// A snapshot and every change after it.
    pub fn snapshot_and_changes(&self) -> (State, Changes) {
        loop {
            let state = self.snapshot();
            if let Ok(changes) = self.watch(state.revision()) {
                return (state, changes);
            }
        }
    }

    /// As in a pause of the writes: all but the newest changes are packed.
    #[cfg(test)]
    pub fn pack(&self) {
        self.shared.history.pack();
    }

    /// As after a long pause of the writes: what nobody reads is text.
    #[cfg(test)]
    pub fn rest(&self) {
        self.shared.history.rest();
        if let Writes::Inline(writer) = &self.writes {
            // The first call forgets that all was just read.
            let mut writer = writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            writer.pack_unread();
            writer.pack_unread();
        }
    }

    /// Forgets the history up to now: older resource versions are gone.
    #[cfg(test)]
    pub fn compact(&self) {
        self.shared.history.compact();
    }

    /// Drops the Events that are older than an hour.
    pub async fn expire(&self) {
        match &self.writes {
            Writes::Inline(writer) => {
                writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).expire();
            }
            Writes::Thread(queue) => {
                let (answer, answered) = oneshot::channel();
                if queue.send(Job::Expire { answer }).is_ok() {
                    let _ = answered.await;
                }
            }
        }
    }
}

impl Shared {
    fn new(state: State) -> Self {
        let history = History::new(state.revision());
        Shared { state: RwLock::new(state), history }
    }

    fn snapshot(&self) -> State {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Shows a committed state to readers and its changes to watches.
    fn publish(&self, state: &State, changes: Vec<crate::state::Change>) {
        *self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner) = state.clone();
        self.history.append(changes);
    }
}

fn stopped() -> Status {
    Status::new(503, "ServiceUnavailable", "the store has stopped")
}
