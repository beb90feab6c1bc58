//! Hints for the engine: each pod is in the queue at most once, so that it never grows beyond what there is.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::runtime::Hint;

/// A queue of hints without doubles.
#[derive(Default)]
pub struct Hints {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    all: bool,
    pods: BTreeSet<String>,
}

impl Hints {
    pub fn pod(&self, uid: &str) {
        self.waiting().pods.insert(uid.to_owned());
        self.arrived.notify_one();
    }

    pub fn all(&self) {
        self.waiting().all = true;
        self.arrived.notify_one();
    }

    /// Waits for the next hint. "All" comes first and stands for the pods that wait.
    pub async fn next(&self) -> Hint {
        loop {
            if let Some(hint) = self.take() {
                return hint;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Hint> {
        let mut waiting = self.waiting();
        if std::mem::take(&mut waiting.all) {
            waiting.pods.clear();
            return Some(Hint::All);
        }
        let uid = waiting.pods.pop_first()?;
        if !waiting.pods.is_empty() {
            self.arrived.notify_one();
        }
        Some(Hint::Pod { uid })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hints_are_neither_lost_nor_doubled() {
        let hints = Hints::default();
        for uid in ["b", "a", "b"] {
            hints.pod(uid);
        }
        assert_eq!(hints.next().await, Hint::Pod { uid: "a".into() });
        assert_eq!(hints.next().await, Hint::Pod { uid: "b".into() });
        hints.pod("c");
        hints.all();
        assert_eq!(hints.next().await, Hint::All);
        hints.pod("d");
        assert_eq!(hints.next().await, Hint::Pod { uid: "d".into() });
    }
}
