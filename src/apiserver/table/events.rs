//! Rows of events, in either version's words. Source: printEvent.

use serde_json::json;

use super::view::View;
use crate::api::Json;

pub(super) fn cells(view: &View<'_>) -> Vec<Json> {
    let new = view.at("/regarding").is_some();
    let about = if new { "/regarding" } else { "/involvedObject" };
    let pick = |new_name: &'static str, old_name: &'static str| if new { new_name } else { old_name };
    let seen = |pointer: &str| {
        let time = view.text(pointer);
        view.since(if time.is_empty() { view.text("/eventTime") } else { time })
    };
    let first = seen(pick("/deprecatedFirstTimestamp", "/firstTimestamp"));
    let (last, count) = match view.at("/series") {
        Some(_) => (view.age("/series/lastObservedTime"), view.int("/series/count")),
        None => (
            seen(pick("/deprecatedLastTimestamp", "/lastTimestamp")),
            Some(view.int(pick("/deprecatedCount", "/count"))).filter(|c| *c != 0).unwrap_or(1),
        ),
    };
    let kind = view.text(&format!("{about}/kind")).to_lowercase();
    let name = view.text(&format!("{about}/name"));
    let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
    let source = pick("/deprecatedSource", "/source");
    let component = view.text_or(
        pick("/deprecatedSource/component", "/source/component"),
        view.text(pick("/reportingController", "/reportingComponent")),
    );
    let host = view.text(&format!("{source}/host"));
    let host = if host.is_empty() { view.text("/reportingInstance") } else { host };
    let shown = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    vec![
        json!(last),
        json!(view.text("/type")),
        json!(view.text("/reason")),
        json!(target),
        json!(view.text(&format!("{about}/fieldPath"))),
        json!(shown),
        json!(view.text(pick("/note", "/message")).trim()),
        json!(first),
        json!(count),
        json!(view.text("/metadata/name")),
    ]
}
