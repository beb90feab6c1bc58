//! Rows of events, as they are kept. Source: printEvent.

use serde_json::json;

use super::view::View;
use crate::api::Json;

pub(super) fn cells(view: &View<'_>) -> Vec<Json> {
    let first = view.text_or("/firstTimestamp", view.text("/eventTime"));
    let (last, count) = match view.at("/series") {
        Some(_) => (view.age("/series/lastObservedTime"), view.int("/series/count")),
        // An Event of the newer kind that was seen once has no count.
        None => (view.since(view.text_or("/lastTimestamp", first)), Some(view.int("/count")).filter(|c| *c != 0).unwrap_or(1)),
    };
    let kind = view.text("/involvedObject/kind").to_lowercase();
    let name = view.text("/involvedObject/name");
    let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
    let component = view.text_or("/source/component", view.text("/reportingComponent"));
    let host = view.text_or("/source/host", view.text("/reportingInstance"));
    let shown = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    vec![
        json!(last),
        json!(view.text("/type")),
        json!(view.text("/reason")),
        json!(target),
        json!(view.text("/involvedObject/fieldPath")),
        json!(shown),
        json!(view.text("/message").trim()),
        json!(view.since(first)),
        json!(count),
        json!(view.text("/metadata/name")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_was_seen_once_was_last_seen_when_it_was_first_seen() {
        let shown = |event: Json| {
            let cells = cells(&View { object: &event, now: "2024-05-01T10:00:00Z".parse().unwrap() });
            (cells[0].clone(), cells[7].clone())
        };
        let first = json!({"firstTimestamp": "2024-05-01T09:59:00Z"});
        assert_eq!(shown(first), (json!("60s"), json!("60s")));
        let both = json!({"firstTimestamp": "2024-05-01T09:59:00Z", "eventTime": "2024-05-01T09:00:00.000000Z"});
        assert_eq!(shown(both), (json!("60s"), json!("60s")));
        let new = json!({"eventTime": "2024-05-01T09:00:00.000000Z"});
        assert_eq!(shown(new), (json!("60m"), json!("60m")));
        assert_eq!(shown(json!({})), (json!("<unknown>"), json!("<unknown>")));
    }
}
