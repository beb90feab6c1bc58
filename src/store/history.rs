//! The newest changes, for watches: bounded, so that a slow or absent reader costs nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::Shared;
use crate::state::Change;

/// How many changes a watch may lag behind.
pub const HISTORY: usize = 10_000;

/// The changes asked for are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Gone {
    pub asked: u64,
    /// The oldest revision that a watch may start from.
    pub oldest: u64,
}

pub(crate) struct History {
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
}

struct Kept {
    /// Changes with the revisions `after + 1 ..`, without a gap.
    after: u64,
    changes: VecDeque<Arc<Change>>,
}

impl History {
    pub(crate) fn new(revision: u64) -> Self {
        let kept = Mutex::new(Kept { after: revision, changes: VecDeque::new() });
        History { kept, newest: watch::Sender::new(revision) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn append(&self, changes: Vec<Change>) {
        let Some(last) = changes.last().map(|c| c.revision) else { return };
        let mut kept = self.kept();
        kept.changes.extend(changes.into_iter().map(Arc::new));
        while kept.changes.len() > HISTORY {
            kept.drop_oldest();
        }
        drop(kept);
        self.newest.send_replace(last);
    }

    #[cfg(test)]
    pub(crate) fn compact(&self) {
        let mut kept = self.kept();
        while !kept.changes.is_empty() {
            kept.drop_oldest();
        }
    }

    pub(crate) fn since(&self, revision: u64) -> Result<Vec<Arc<Change>>, Gone> {
        self.kept().since(revision)
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.kept().after
    }
}

impl Kept {
    fn drop_oldest(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.after = change.revision;
        }
    }

    fn since(&self, revision: u64) -> Result<Vec<Arc<Change>>, Gone> {
        if revision < self.after {
            return Err(Gone { asked: revision, oldest: self.after });
        }
        let from = self.changes.partition_point(|c| c.revision <= revision);
        Ok(self.changes.range(from..).cloned().collect())
    }
}

/// The changes after a revision, in order and without a gap.
pub struct Changes {
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
    seen: u64,
}

impl Changes {
    pub(crate) fn start(shared: Arc<Shared>, since: u64) -> Result<Self, Gone> {
        let newest = shared.history.newest.subscribe();
        let oldest = shared.history.oldest();
        if since < oldest {
            return Err(Gone { asked: since, oldest });
        }
        Ok(Changes { shared, newest, seen: since })
    }

    /// Waits for changes and gives all that there are, or says that this reader has lagged too far.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>, Gone> {
        loop {
            self.newest.mark_unchanged();
            let changes = self.take()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            if self.newest.changed().await.is_err() {
                // `shared` holds the sender, so this cannot be; waiting for ever is what it means.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The changes that are there, without waiting.
    pub fn take(&mut self) -> Result<Vec<Arc<Change>>, Gone> {
        let changes = self.shared.history.kept().since(self.seen)?;
        if let Some(last) = changes.last() {
            self.seen = last.revision;
        }
        Ok(changes)
    }

    /// The revision up to which changes have been given.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}
