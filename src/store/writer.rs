//! The one writer: runs requests on the state, has the journal keep what changed, then shows it.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::expiry::Expiry;
use super::failpoint::{self, Point};
use super::{Clock, Shared, memory};
use crate::api::{Random, Status};
use crate::registry::{self, Answer, Env, Request, Settings};
use crate::state::{Change, State};

/// How many queued jobs share one fsync at most.
const BATCH: usize = 1024;
/// After so long without a job the writer tidies up.
const PAUSE: Duration = Duration::from_secs(1);
/// And again after each such time: what was not read between two of them is kept as text.
const UNREAD: Duration = Duration::from_secs(30);

/// What keeps changes beyond this process.
pub(crate) trait Journal: Send {
    /// Keeps the changes, all or none; returns when they are safe.
    fn commit(&mut self, changes: &[Change], revision: u64) -> Result<(), Status>;
}

pub(crate) enum Job {
    Write { requests: Vec<Request>, answer: oneshot::Sender<Answers> },
    Expire { answer: oneshot::Sender<()> },
    Close { answer: oneshot::Sender<()> },
}

type Answers = Vec<Result<Answer, Status>>;

pub(crate) struct Writer {
    /// Ahead of what readers see while a batch is not yet on disk.
    state: State,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    clock: Clock,
    random: Box<dyn Random + Send>,
    journal: Option<Box<dyn Journal>>,
    expiry: Expiry,
}

impl Writer {
    pub(crate) fn new(
        state: State,
        shared: Arc<Shared>,
        settings: Arc<Settings>,
        clock: Clock,
        random: Box<dyn Random + Send>,
        journal: Option<Box<dyn Journal>>,
    ) -> Self {
        let expiry = Expiry::of(&state, clock());
        Writer { state, shared, settings, clock, random, journal, expiry }
    }

    /// Runs the requests as one batch.
    pub(crate) fn carry_out(&mut self, requests: &[Request]) -> Answers {
        let mut changes = self.expired();
        let answers = self.run(requests, &mut changes);
        match self.commit(changes) {
            Ok(()) => answers,
            Err(refused) => answers.into_iter().map(|_| Err(refused.clone())).collect(),
        }
    }

    pub(crate) fn expire(&mut self) {
        let changes = self.expired();
        // What cannot be dropped now is dropped at the next write.
        let _ = self.commit(changes);
    }

    fn run(&mut self, requests: &[Request], changes: &mut Vec<Change>) -> Answers {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let now = (self.clock)();
            let mut env = Env { now, random: &mut *self.random, settings: &self.settings };
            answers.push(registry::execute(&mut self.state, request, &mut env));
            changes.extend(self.state.take_changes());
        }
        answers
    }

    fn expired(&mut self) -> Vec<Change> {
        let due = self.expiry.due((self.clock)());
        for key in due {
            self.state.remove(&key);
        }
        self.state.take_changes()
    }

    /// Makes the changes last and shows them; if they cannot last, the state is as before.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Status> {
        if changes.is_empty() {
            return Ok(());
        }
        failpoint::reach(Point::StoreCommit);
        if let Some(journal) = &mut self.journal
            && let Err(refused) = journal.commit(&changes, self.state.revision()) {
                self.state = self.shared.snapshot();
                return Err(refused);
            }
        failpoint::reach(Point::StoreCommitted);
        self.expiry.note(&changes, (self.clock)());
        self.shared.publish(&self.state, changes);
        Ok(())
    }

    /// Serves jobs until every handle on the store is gone.
    pub(crate) fn serve(mut self, queue: &mpsc::Receiver<Job>) {
        while let Some(job) = self.next_job(queue) {
            let mut jobs = vec![job];
            jobs.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(BATCH - 1));
            if let Some(closed) = self.serve_batch(jobs) {
                drop(self);
                let _ = closed.send(());
                return;
            }
        }
    }

    /// The next job. While none comes, what was needed for the last ones is given back, what nobody reads becomes small, and
    /// Events that fall due are dropped.
    fn next_job(&mut self, queue: &mpsc::Receiver<Job>) -> Option<Job> {
        match queue.recv_timeout(PAUSE) {
            Ok(job) => return Some(job),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.shared.history.pack();
                self.pack_unread();
                memory::give_back();
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return None,
        }
        loop {
            let until = |at: Timestamp| Duration::try_from(at.duration_since((self.clock)())).unwrap_or_default();
            let due = self.expiry.next().map_or(UNREAD, |at| until(at) + Duration::from_secs(1));
            match queue.recv_timeout(due.min(UNREAD)) {
                Ok(job) => return Some(job),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.expire();
                    self.shared.history.rest();
                    if self.pack_unread() {
                        memory::give_back();
                    } else {
                        // What readers needed.
                        memory::give_back_heap();
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Keeps as text what nobody has read since the last call; whether there was any.
    pub(crate) fn pack_unread(&mut self) -> bool {
        let is_any = self.state.pack_unread();
        if is_any {
            self.shared.publish(&self.state, Vec::new());
        }
        is_any
    }

    /// Carries jobs out; the answer for who asked to end the store, if somebody did.
    fn serve_batch(&mut self, jobs: Vec<Job>) -> Option<oneshot::Sender<()>> {
        let mut closing = None;
        let mut changes = self.expired();
        let mut waiting = Vec::new();
        let mut after = Vec::new();
        for job in jobs {
            match job {
                Job::Write { requests, answer } => waiting.push((self.run(&requests, &mut changes), answer)),
                Job::Expire { answer } => after.push(answer),
                Job::Close { answer } => closing = Some(answer),
            }
        }
        let committed = self.commit(changes);
        for (answers, answer) in waiting {
            let answers = match &committed {
                Ok(()) => answers,
                Err(refused) => answers.into_iter().map(|_| Err(refused.clone())).collect(),
            };
            let _ = answer.send(answers);
        }
        for answer in after {
            // Who no longer waits does not need to know.
            let _ = answer.send(());
        }
        closing
    }
}
