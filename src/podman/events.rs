//! Podman's events, read as hints only: they are late and may be lost.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::http::Lines;
use super::index::Record;
use super::{Inner, naming};
use crate::runtime::ContainerState;

/// Each event repeats all labels of its container, which may be large when others than `wl` set them.
const LONGEST_LINE: usize = 4 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where events tell what happens, lists only find what they have missed: they are so many times rarer.
const WITH_EVENTS: u32 = 3;

/// One line of the stream.
#[derive(Deserialize)]
struct Event {
    #[serde(default, rename = "Action")]
    action: String,
    #[serde(default, rename = "Actor")]
    actor: Actor,
}

#[derive(Default, Deserialize)]
struct Actor {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default, rename = "Attributes")]
    attributes: BTreeMap<String, String>,
}

/// Reads events for as long as the client lives; after each break everything is to be looked at.
pub async fn run(inner: Weak<Inner>) {
    let mut pause = FIRST_PAUSE;
    let mut first = true;
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let opened = open(&strong).await;
        let relist_at = Instant::now() + *strong.relist_pause() * WITH_EVENTS;
        match opened {
            Ok(lines) => {
                pause = FIRST_PAUSE;
                if !first {
                    strong.distrust_everything();
                }
                first = false;
                drop(strong);
                read(&inner, lines, relist_at).await;
            }
            Err(()) => {
                first = false;
                strong.http.forget_connections();
                drop(strong);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn open(inner: &Inner) -> Result<Lines, ()> {
    let filters = serde_json::json!({
        "type": ["container"],
        "label": [format!("{}={}", naming::INSTANCE, inner.instance.as_str())],
        "event": ["start", "died", "remove", "pause", "unpause"],
    });
    let call = inner.http.get("/events").query("stream", "true").query("filters", filters.to_string());
    call.deadline(Duration::from_secs(10)).lines(LONGEST_LINE).await.map_err(drop)
}

/// Until the stream ends.
async fn read(inner: &Weak<Inner>, mut lines: Lines, mut relist_at: Instant) {
    loop {
        tokio::select! {
            line = lines.next() => {
                let (Ok(Some(line)), Some(inner)) = (line, inner.upgrade()) else { return };
                match serde_json::from_slice::<Event>(&line) {
                    Ok(event) => take(&inner, &event),
                    // Without an events backend the stream is one error: lists must do.
                    Err(_) if line.starts_with(b"{\"cause\"") => return wait_for_relist(&inner).await,
                    Err(_) => {}
                }
            }
            () = tokio::time::sleep_until(relist_at) => {
                let Some(inner) = inner.upgrade() else { return };
                inner.hints.all();
                relist_at = Instant::now() + *inner.relist_pause() * WITH_EVENTS;
            }
        }
    }
}

async fn wait_for_relist(inner: &Inner) {
    let pause = *inner.relist_pause();
    tokio::time::sleep(pause).await;
    inner.hints.all();
}

fn take(inner: &Inner, event: &Event) {
    let Some(uid) = event.actor.attributes.get(naming::POD_UID) else { return };
    if let Some(record) = inner.index().records.get_mut(&event.actor.id) {
        if is_no_news(record, &event.action) {
            return;
        }
        record.stale = true;
    } else if event.action == "remove" {
        return;
    }
    inner.hints.pod(uid);
}

/// What an action of ours, or the watch on the process, has told before.
fn is_no_news(record: &Record, action: &str) -> bool {
    match (action, &record.state) {
        _ if record.leaving => true,
        _ if record.stale => false,
        ("died", ContainerState::Exited(_)) => true,
        ("died", ContainerState::Running { .. }) => record.watch.is_some(),
        ("start", ContainerState::Running { .. }) => true,
        ("start", _) => record.starting,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_action_container_and_labels() {
        let line = br#"{"status":"died","id":"abc","from":"x","Type":"container","Action":"died","Actor":{"ID":"abc","Attributes":{"io.wl.pod-uid":"u","containerExitCode":"1"}},"scope":"local","time":1,"timeNano":1}"#;
        // Two keys for one field would be an error.
        let event: Event = serde_json::from_slice(line).expect("an event");
        assert_eq!((event.action.as_str(), event.actor.id.as_str()), ("died", "abc"));
        assert_eq!(event.actor.attributes["io.wl.pod-uid"], "u");
    }
}
