//! Which Events are told, and how: equal ones are counted, similar ones combined, floods cut.
//! Source of the rules: k8s.io/client-go/tools/record/events_cache.go.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::api::Json;
use crate::controllers::{EventKind, EventNote};

/// Events about one object from one source: this many at once, then one in [`REFILL`].
const BURST: f64 = 25.0;
const REFILL: SignedDuration = SignedDuration::from_secs(300);
/// From so many different messages of one reason on they are combined.
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_secs(600);
/// How many objects and Events are remembered.
const REMEMBERED: usize = 4096;

/// How an Event is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What tells it from other Events; those of one key are one object that is counted on.
    pub key: String,
    pub message: String,
    pub count: i64,
    /// The object of this key, where [`Correlator::keep`] has put one.
    pub told: Option<Told>,
}

/// The Event object that stands for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub name: String,
    pub namespace: String,
}

/// What was told so far.
#[derive(Default)]
pub struct Correlator {
    buckets: HashMap<String, (f64, Timestamp)>,
    similar: HashMap<String, (BTreeSet<String>, Timestamp)>,
    counts: HashMap<String, (i64, Option<Told>)>,
}

impl Correlator {
    /// `None` for one too many.
    pub fn observe(&mut self, note: &EventNote, now: Timestamp) -> Option<Observed> {
        self.forget_old();
        let text = |key: &str| note.regarding.get(key).and_then(Json::as_str).unwrap_or_default();
        let kind = match note.kind {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        };
        let object = format!(
            "{} {} {} {} {} {}",
            note.component,
            text("kind"),
            text("namespace"),
            text("name"),
            text("uid"),
            text("apiVersion")
        );
        let group = format!("{object} {kind} {}", note.reason);
        let is_combined = self.is_one_of_many(&group, &note.message, now);
        let (key, message) = if is_combined {
            (group, format!("(combined from similar events): {}", note.message))
        } else {
            (format!("{group} {} {}", text("fieldPath"), note.message), note.message.clone())
        };
        let (count, told) = self.counts.entry(key.clone()).or_default();
        *count += 1;
        let observed = Observed { key, message, count: *count, told: told.clone() };
        self.passes(&format!("{object} {kind}"), now).then_some(observed)
    }

    /// Remembers the object that tells the Events of a key.
    pub fn keep(&mut self, key: &str, told: Told) {
        self.counts.entry(key.to_owned()).or_default().1 = Some(told);
    }

    /// The object of a key is gone: the count begins anew.
    pub fn forget(&mut self, key: &str) {
        self.counts.remove(key);
    }

    /// Whether a reason has had so many different messages of late that this one is combined with them.
    fn is_one_of_many(&mut self, group: &str, message: &str, now: Timestamp) -> bool {
        let (messages, at) = self.similar.entry(group.to_owned()).or_insert_with(|| (BTreeSet::new(), now));
        if now.duration_since(*at) > SIMILAR_WITHIN {
            messages.clear();
        }
        *at = now;
        messages.insert(message.to_owned());
        if messages.len() < SIMILAR {
            return false;
        }
        // One makes room, so that the list does not grow; which one is not said.
        messages.pop_first();
        true
    }

    /// A token bucket for each object, source and type: hints do not push out warnings, nor these the hints.
    fn passes(&mut self, object: &str, now: Timestamp) -> bool {
        let (tokens, at) = self.buckets.entry(object.to_owned()).or_insert((BURST, now));
        let passed = now.duration_since(*at).as_secs_f64() / REFILL.as_secs_f64();
        *tokens = (*tokens + passed.max(0.0)).min(BURST);
        *at = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }

    fn forget_old(&mut self) {
        if self.counts.len() > REMEMBERED {
            self.counts.clear();
        }
        if self.buckets.len() > REMEMBERED {
            self.buckets.clear();
        }
        if self.similar.len() > REMEMBERED {
            self.similar.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn note(message: &str) -> EventNote {
        EventNote {
            regarding: json!({"kind": "Deployment", "namespace": "default", "name": "web", "uid": "1"}),
            kind: EventKind::Normal,
            reason: "Scaled".into(),
            message: message.into(),
            component: "deployment-controller",
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn equal_events_are_counted() {
        let mut correlator = Correlator::default();
        let first = correlator.observe(&note("a"), at(0)).unwrap();
        let told = Told { name: "web.1".into(), namespace: "default".into() };
        correlator.keep(&first.key, told.clone());
        let second = correlator.observe(&note("a"), at(1)).unwrap();
        assert_eq!((first.count, first.told, second.count, second.told), (1, None, 2, Some(told)));
        assert_eq!(first.key, second.key);
    }

    #[test]
    fn from_the_tenth_similar_event_on_one_tells_them_all() {
        let mut correlator = Correlator::default();
        for n in 0..9 {
            assert_eq!(correlator.observe(&note(&n.to_string()), at(n)).unwrap().message, n.to_string());
        }
        let tenth = correlator.observe(&note("9"), at(9)).unwrap();
        let eleventh = correlator.observe(&note("10"), at(10)).unwrap();
        assert_eq!(tenth.message, "(combined from similar events): 9");
        assert_eq!((&eleventh.key, eleventh.count), (&tenth.key, 2));
        assert_eq!(correlator.observe(&note("11"), at(700)).unwrap().message, "11");
    }

    #[test]
    fn a_flood_is_cut_and_still_counted() {
        let mut correlator = Correlator::default();
        let told = (0..40).filter(|n| correlator.observe(&note("a"), at(*n)).is_some()).count();
        assert_eq!(told, 25);
        assert_eq!(correlator.observe(&note("a"), at(400)).unwrap().count, 41);
    }
}
