//! Events, written through the API as [`super::correlation`] has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::clock::Clock;
use super::correlation::{Correlator, Told};
use super::requests;
use crate::api::Json;
use crate::controllers::{EventKind, EventNote};
use crate::registry::{Request, Verb};
use crate::store::Store;

/// What an Event is about besides what [`EventNote`] says.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// `Binding`, `Scheduling`: what was tried.
    pub action: Option<&'static str>,
    /// Of the Event itself.
    pub annotations: BTreeMap<String, String>,
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
    correlator: Correlator,
    counter: u64,
}

impl Recorder {
    pub fn new(store: Store, clock: Clock, host: &str) -> Self {
        Recorder { store, clock, host: host.to_owned(), seen: Mutex::new(Seen::default()) }
    }

    /// Writes Events, or counts them on. They are hints: nothing waits until they are safe, and one that cannot be written is dropped.
    pub fn record_all(self: &Arc<Self>, notes: &[EventNote], extra: &Extra) {
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
        let begun = self.store.begin_all(writes);
        let (recorder, extra) = (self.clone(), extra.clone());
        let order: Vec<_> = order.into_iter().map(|(index, key)| (notes[index].clone(), key)).collect();
        tokio::spawn(async move {
            for ((note, key), answer) in order.into_iter().zip(begun.await) {
                // An Event that has expired meanwhile is told anew.
                if answer.is_err_and(|status| status.reason == "NotFound") {
                    recorder.seen().correlator.forget(&key);
                    if let Some((_, request)) = recorder.request(&note, &extra) {
                        let _ = recorder.store.write(request).await;
                    }
                }
            }
        });
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The write that an Event comes to, if it comes to one.
    fn request(&self, note: &EventNote, extra: &Extra) -> Option<(String, Request)> {
        let now = (self.clock)();
        let mut seen = self.seen();
        let text = |key: &str| note.regarding.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let kind = match note.kind {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        };
        let observed = seen.correlator.observe(note, now)?;
        let (key, message) = (observed.key, observed.message);
        let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if let Some(told) = observed.told {
            let patch = json!({"count": observed.count, "lastTimestamp": time, "message": message});
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
            "firstTimestamp": time, "lastTimestamp": time, "count": observed.count,
        });
        if note.component == "kubelet" {
            event["source"]["host"] = json!(self.host);
            event["reportingInstance"] = json!(self.host);
        }
        if !extra.annotations.is_empty() {
            event["metadata"]["annotations"] = json!(extra.annotations);
        }
        if let Some(action) = extra.action {
            event["action"] = json!(action);
            event["reportingInstance"] = json!(format!("{}-{}", note.component, self.host));
        }
        let request = requests::on_core(Verb::Create, "events", None, &namespace, "", event, note.component);
        seen.correlator.keep(&key, Told { name, namespace });
        Some((key, request))
    }
}
