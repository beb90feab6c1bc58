//! Events of core/v1 and of events.k8s.io/v1: the same fields under other names.
//! Source: pkg/apis/events/v1/conversion.go.

use serde_json::json;

use crate::api::{Json, JsonMap};

/// Names in core/v1 and in events.k8s.io/v1.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn renamed(tree: &Json, name: impl Fn(&str) -> Option<&'static str>) -> JsonMap {
    let entries = tree.as_object().into_iter().flatten();
    entries.map(|(key, value)| (name(key).map_or_else(|| key.clone(), str::to_owned), value.clone())).collect()
}

pub(super) fn to_events(tree: &Json) -> Json {
    let mut map = renamed(tree, |key| RENAMED.iter().find(|(core, _)| *core == key).map(|(_, events)| *events));
    map.insert("apiVersion".into(), "events.k8s.io/v1".into());
    // Here empty texts are left out, which core/v1 writes.
    for field in ["reportingController", "reportingInstance"] {
        if map.get(field).and_then(Json::as_str) == Some("") {
            map.remove(field);
        }
    }
    Json::Object(map)
}

pub(super) fn to_core(tree: &Json) -> Json {
    let mut map = renamed(tree, |key| RENAMED.iter().find(|(_, events)| *events == key).map(|(core, _)| *core));
    map.insert("apiVersion".into(), "v1".into());
    for (field, zero) in [
        ("involvedObject", json!({})),
        ("source", json!({})),
        ("firstTimestamp", Json::Null),
        ("lastTimestamp", Json::Null),
        ("eventTime", Json::Null),
        ("reportingComponent", json!("")),
        ("reportingInstance", json!("")),
    ] {
        map.entry(field).or_insert(zero);
    }
    Json::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"kind": "Pod"},
            "reason": "R", "message": "m", "source": {"component": "c"}, "firstTimestamp": "2020-01-01T00:00:00Z",
            "lastTimestamp": null, "count": 2, "type": "Normal", "eventTime": null, "reportingComponent": "",
            "reportingInstance": ""});
        let events = to_events(&core);
        assert_eq!(events["note"], "m");
        assert_eq!(events["deprecatedCount"], 2);
        assert!(events.get("reportingController").is_none());
        assert_eq!(to_core(&events), core);
    }
}
