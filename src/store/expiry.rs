//! Events live for an hour after they were last written, as with `--event-ttl=1h0m0s`.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::api::{Key, Object};
use crate::state::{Change, State};

/// How long an Event is kept (kube-apiserver's default for `--event-ttl`).
pub(crate) const EVENT_TTL: SignedDuration = SignedDuration::from_hours(1);

/// When which Event is due.
#[derive(Default)]
pub(crate) struct Expiry {
    due: BTreeSet<(Timestamp, Key)>,
    by_key: HashMap<Key, Timestamp>,
}

impl Expiry {
    /// From a loaded state: what the Events themselves say of when they were last seen.
    pub(crate) fn of(state: &State, now: Timestamp) -> Self {
        let mut expiry = Expiry::default();
        let events = crate::api::GroupResource::new("", "events");
        for event in state.all(&events) {
            let key = Key::new(events.clone(), event.namespace(), event.name());
            expiry.set(key, last_seen(event).unwrap_or(now).min(now) + EVENT_TTL);
        }
        expiry
    }

    pub(crate) fn note(&mut self, changes: &[Change], now: Timestamp) {
        for change in changes.iter().filter(|c| &*c.key.resource.resource == "events") {
            if change.after.is_some() {
                self.set(change.key.clone(), now + EVENT_TTL);
            } else if let Some(at) = self.by_key.remove(&change.key) {
                self.due.remove(&(at, change.key.clone()));
            }
        }
    }

    fn set(&mut self, key: Key, at: Timestamp) {
        if let Some(old) = self.by_key.insert(key.clone(), at) {
            self.due.remove(&(old, key.clone()));
        }
        self.due.insert((at, key));
    }

    /// The Events that are due by `now`.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<Key> {
        self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key.clone()).collect()
    }

    /// When the next Event is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}

fn last_seen(event: &Object) -> Option<Timestamp> {
    ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"]
        .iter()
        .filter_map(|at| event.str_at(at)?.parse().ok())
        .max()
}
