//! How long a Job waits before it replaces a failed pod: 10 s, doubling to 10 min, from the last failure on.
//! Source of the rules: pkg/controller/job/backoff_utils.go.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::controllers::pods::PodView;

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// When a pod ended: its last container, else since it is not ready, else when it was deleted, else its birth.
pub(super) fn finished_at(pod: &PodView<'_>) -> Timestamp {
    from_containers(pod)
        .or_else(|| {
            let ready = pod.condition("Ready").filter(|c| c.status == "False")?;
            ready.last_transition_time.as_ref().map(|t| t.0)
        })
        .or_else(|| {
            let grace = pod.i64_at("/metadata/deletionGracePeriodSeconds").unwrap_or(0);
            pod.deletion_timestamp()?.checked_sub(SignedDuration::from_secs(grace)).ok()
        })
        .or(pod.facts.created_at.get())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The latest end of the containers, sidecars and what came before among them; `None` while one of them has not ended.
fn from_containers(pod: &PodView<'_>) -> Option<Timestamp> {
    let mut latest = None;
    for status in pod.container_statuses().iter().chain(pod.init_container_statuses()) {
        let end = status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0;
        latest = latest.max(Some(end));
    }
    latest
}

/// When `failures` in a row, the last at `last`, have been waited for.
pub(super) fn due_at(failures: usize, last: Timestamp) -> Timestamp {
    let Some(doublings) = failures.checked_sub(1) else { return Timestamp::UNIX_EPOCH };
    let pause = FIRST.checked_mul(1 << doublings.min(10)).map_or(LONGEST, |pause| pause.min(LONGEST));
    last.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// How the pods of one Job ended, by uid. Pods that are long gone count on.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    failed: BTreeMap<String, Timestamp>,
    succeeded_at: Option<Timestamp>,
}

impl Record {
    pub fn note_success(&mut self, pod: &PodView<'_>) {
        self.succeeded_at = self.succeeded_at.max(Some(finished_at(pod)));
    }

    /// A pod that failed once keeps the time at which it was first seen to.
    pub fn note_failure(&mut self, pod: &PodView<'_>) {
        self.failed.entry(pod.uid().to_owned()).or_insert_with(|| finished_at(pod));
    }

    /// When the next pod may be made: the failures since the last success decide.
    pub fn due_at(&mut self) -> Timestamp {
        let success = self.succeeded_at;
        self.failed.retain(|_, at| success.is_none_or(|success| *at > success));
        self.failed.values().max().map_or(Timestamp::UNIX_EPOCH, |last| due_at(self.failed.len(), *last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_ten_seconds_to_ten_minutes() {
        let last = Timestamp::from_second(1000).unwrap();
        let pause = |failures| due_at(failures, last).as_second() - 1000;
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8, 60].map(pause), [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(due_at(0, last), Timestamp::UNIX_EPOCH);
    }
}
