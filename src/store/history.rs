//! The newest changes, for watches: bounded, so that a slow or absent reader costs nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::Shared;
use super::packed::Block;
use crate::api::Object;
use crate::state::Change;

/// How many changes a watch may lag behind.
pub const HISTORY: u64 = 10_000;
/// So many of the newest stay as trees, for those who follow closely.
const AT_HAND: usize = 32;
/// As many as stay trees while writes follow each other without a pause.
const AT_HAND_WHILE_BUSY: usize = 512;
/// So many are packed together, if there are.
const BLOCK: usize = 64;
/// Fewer are not worth a block.
const SMALLEST_BLOCK: usize = 16;

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
    /// Changes with the revisions `after + 1 ..`, without a gap: packed ones, then those at hand.
    after: u64,
    packed: VecDeque<Arc<Block>>,
    changes: VecDeque<Arc<Change>>,
}

impl History {
    pub(crate) fn new(revision: u64) -> Self {
        let kept = Mutex::new(Kept { after: revision, packed: VecDeque::new(), changes: VecDeque::new() });
        History { kept, newest: watch::Sender::new(revision) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn append(&self, changes: Vec<Change>) {
        let Some(last) = changes.last().map(|c| c.revision) else { return };
        let mut kept = self.kept();
        kept.changes.extend(changes.into_iter().map(Arc::new));
        kept.forget_up_to(last.saturating_sub(HISTORY));
        drop(kept);
        self.newest.send_replace(last);
        while self.pack_some(AT_HAND_WHILE_BUSY) {}
    }

    /// Packs all but the newest: there is a pause.
    pub(crate) fn pack(&self) {
        while self.pack_some(AT_HAND) {}
    }

    /// Keeps those at hand as text too: for a while nobody has followed.
    pub(crate) fn rest(&self) {
        let has_tree = |object: &Option<Arc<Object>>| object.as_ref().is_some_and(|object| object.is_tree());
        let rested = |object: &Arc<Object>| object.as_text().map_or_else(|| object.clone(), Arc::new);
        for change in &mut self.kept().changes {
            if has_tree(&change.before) || has_tree(&change.after) {
                let Change { revision, key, before, after } = change.as_ref();
                let (before, after) = (before.as_ref().map(rested), after.as_ref().map(rested));
                *change = Arc::new(Change { revision: *revision, key: key.clone(), before, after });
            }
        }
    }

    /// Packs the oldest that are at hand beyond so many. Only the writer does, so that nothing comes between.
    fn pack_some(&self, at_hand: usize) -> bool {
        let oldest: Vec<Arc<Change>> = {
            let kept = self.kept();
            let spare = kept.changes.len().saturating_sub(at_hand).min(BLOCK);
            kept.changes.iter().take(spare).cloned().collect()
        };
        if oldest.len() < SMALLEST_BLOCK {
            return false;
        }
        let Some(block) = Block::pack(&oldest) else { return false };
        let mut kept = self.kept();
        kept.changes.drain(..oldest.len());
        kept.packed.push_back(Arc::new(block));
        true
    }

    #[cfg(test)]
    pub(crate) fn compact(&self) {
        let newest = *self.newest.borrow();
        self.kept().forget_up_to(newest);
    }

    pub(crate) fn since(&self, revision: u64) -> Result<Vec<Arc<Change>>, Gone> {
        let (blocks, at_hand) = {
            let kept = self.kept();
            if revision < kept.after {
                return Err(Gone { asked: revision, oldest: kept.after });
            }
            let first = kept.packed.partition_point(|block| block.last <= revision);
            let from = kept.changes.partition_point(|c| c.revision <= revision);
            let blocks: Vec<Arc<Block>> = kept.packed.range(first..).cloned().collect();
            (blocks, kept.changes.range(from..).cloned().collect::<Vec<_>>())
        };
        if blocks.is_empty() {
            return Ok(at_hand);
        }
        let mut changes = Vec::new();
        for block in blocks {
            let unpacked = block.unpack().ok_or(Gone { asked: revision, oldest: block.last })?;
            changes.extend(unpacked.into_iter().filter(|c| c.revision > revision));
        }
        changes.extend(at_hand);
        Ok(changes)
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.kept().after
    }
}

impl Kept {
    fn forget_up_to(&mut self, revision: u64) {
        self.after = self.after.max(revision);
        while self.packed.front().is_some_and(|block| block.last <= self.after) {
            self.packed.pop_front();
        }
        while self.changes.front().is_some_and(|change| change.revision <= self.after) {
            self.changes.pop_front();
        }
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
        let changes = self.shared.history.since(self.seen)?;
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
