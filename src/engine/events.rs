//! Events: equal ones are counted, similar ones combined, floods cut.
//! Source: k8s.io/client-go/tools/record/events_cache.go.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::clock::Clock;
use super::requests;
use crate::api::Json;
use crate::controllers::{EventKind, EventNote};
use crate::registry::{Request, Verb};
use crate::store::Store;

/// Events about one object from one source: this many at once, then one in [`REFILL`].
const BURST: f64 = 25.0;
const REFILL: SignedDuration = SignedDuration::from_secs(300);
/// So many different messages of one reason are told one by one; later ones are combined.
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_secs(600);
/// How many objects and events are remembered.
const REMEMBERED: usize = 4096;

/// What an Event is about besides what [`EventNote`] says.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// `Binding`, `Scheduling`: what was tried.
    pub action: Option<&'static str>,
}

/// Counts Events and writes them through the API.
pub struct Recorder {
    store: Store,
    clock: Clock,
    host: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    buckets: HashMap<String, (f64, Timestamp)>,
    similar: HashMap<String, (BTreeSet<String>, Timestamp)>,
    events: HashMap<String, Told>,
    counter: u64,
}

#[derive(Clone)]
struct Told {
    name: String,
    namespace: String,
    count: i64,
}

impl Recorder {
    pub fn new(store: Store, clock: Clock, host: &str) -> Self {
        Recorder { store, clock, host: host.to_owned(), seen: Mutex::new(Seen::default()) }
    }

    /// Writes Events, or counts them on. They are hints: one that cannot be written is dropped.
    pub async fn record_all(&self, notes: &[EventNote], extra: &Extra) {
        let requests: Vec<(usize, String, Request)> = notes
            .iter()
            .enumerate()
            .filter_map(|(i, note)| self.request(note, extra).map(|(key, request)| (i, key, request)))
            .collect();
        if requests.is_empty() {
            return;
        }
        let (order, writes): (Vec<_>, Vec<_>) =
            requests.into_iter().map(|(i, key, request)| ((i, key), request)).unzip();
        let answers = self.store.write_all(writes).await;
        for ((index, key), answer) in order.into_iter().zip(answers) {
            // An Event that has expired meanwhile is told anew.
            if answer.is_err_and(|status| status.reason == "NotFound") {
                self.seen().events.remove(&key);
                if let Some((_, request)) = self.request(&notes[index], extra) {
                    let _ = self.store.write(request).await;
                }
            }
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The write that an Event comes to, if it comes to one.
    fn request(&self, note: &EventNote, extra: &Extra) -> Option<(String, Request)> {
        let now = (self.clock)();
        let mut seen = self.seen();
        seen.forget_old();
        let text = |key: &str| note.regarding.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let kind = match note.kind {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        };
        let object =
            format!("{} {} {} {} {kind}", note.component, text("kind"), text("namespace"), text("uid") + &text("name"));
        if !seen.passes(&object, now) {
            return None;
        }
        let group = format!("{object} {} {}", text("fieldPath"), note.reason);
        let message = seen.combined(&group, &note.message, now);
        let key = format!("{group} {message}");
        let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if let Some(told) = seen.events.get_mut(&key) {
            told.count += 1;
            let patch = json!({"count": told.count, "lastTimestamp": time, "message": message});
            let request =
                requests::on_core(Verb::Patch, "events", None, &told.namespace, &told.name, patch, note.component);
            return Some((key, request));
        }
        seen.counter += 1;
        // Names are `<object>.<hex>`, from the time and a counter, so that no two are equal.
        let name = format!("{}.{:x}", text("name"), now.as_nanosecond() + i128::from(seen.counter));
        let namespace = Some(text("namespace")).filter(|n| !n.is_empty()).unwrap_or_else(|| "default".into());
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": note.regarding,
            "reason": note.reason, "message": message, "type": kind,
            "source": {"component": note.component},
            "reportingComponent": note.component, "reportingInstance": "",
            "firstTimestamp": time, "lastTimestamp": time, "count": 1,
        });
        if note.component == "kubelet" {
            event["source"]["host"] = json!(self.host);
            event["reportingInstance"] = json!(self.host);
        }
        if let Some(action) = extra.action {
            event["action"] = json!(action);
            event["reportingInstance"] = json!(format!("{}-{}", note.component, self.host));
        }
        let request = requests::on_core(Verb::Create, "events", None, &namespace, "", event, note.component);
        seen.events.insert(key.clone(), Told { name, namespace, count: 1 });
        Some((key, request))
    }
}

impl Seen {
    /// A token bucket for each object and source.
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

    fn combined(&mut self, group: &str, message: &str, now: Timestamp) -> String {
        let (messages, at) = self.similar.entry(group.to_owned()).or_insert_with(|| (BTreeSet::new(), now));
        if now.duration_since(*at) > SIMILAR_WITHIN {
            messages.clear();
        }
        *at = now;
        messages.insert(message.to_owned());
        if messages.len() < SIMILAR {
            return message.to_owned();
        }
        if let Some(oldest) = messages.first().cloned().filter(|_| messages.len() > SIMILAR) {
            messages.remove(&oldest);
        }
        // All that is combined counts as one event with the newest text.
        format!("(combined from similar events): {message}")
    }

    fn forget_old(&mut self) {
        if self.events.len() > REMEMBERED {
            self.events.clear();
        }
        if self.buckets.len() > REMEMBERED {
            self.buckets.clear();
        }
        if self.similar.len() > REMEMBERED {
            self.similar.clear();
        }
    }
}
