//! When what a sync writes was set off, for whoever measures how long that takes.
//! Source: k8s.io/endpointslice/util/trigger_time_tracker.go.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::super::conditions::time;
use super::super::pods::PodView;
use super::super::resources::dig;
use crate::api::{Key, Object};

/// What was known of a Service at the last sync.
#[derive(Default)]
struct Seen {
    service: Option<Timestamp>,
    /// By pod: when its readiness last changed.
    pods: HashMap<String, Timestamp>,
}

/// What was known of each Service. Without it the next change of one counts as set off by its creation.
#[derive(Default)]
pub(super) struct Triggers(Mutex<HashMap<Key, Seen>>);

impl Triggers {
    /// The earliest cause since the last sync, as it is written; `None` where there is no new one.
    pub fn since_last(&self, key: &Key, service: &Object, pods: &[PodView<'_>]) -> Option<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let created = time(dig(service.json(), &["metadata", "creationTimestamp"]));
        let changed_at = |pod: &PodView<'_>| Some((pod.name().to_owned(), pod.condition("Ready")?.last_transition_time.as_ref()?.0));
        let now = Seen { service: created, pods: pods.iter().filter_map(changed_at).collect() };
        let before = known.remove(key);
        let cause = match &before {
            None => created,
            Some(before) => {
                let changed = now.pods.iter().filter(|(pod, at)| before.pods.get(*pod).is_none_or(|seen| *at > seen));
                let service = created.filter(|at| before.service.is_none_or(|seen| *at > seen));
                changed.map(|(_, at)| *at).chain(service).min()
            }
        };
        known.insert(key.clone(), now);
        cause.map(|at| at.to_string())
    }

    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
