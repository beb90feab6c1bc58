//! Metrics of HorizontalPodAutoscalers as the annotations of version 1 hold them: in that version's own forms, with
//! what version 2 has under `metric`, `target` and `current` beside each other.
//! Source: pkg/apis/autoscaling/v1/conversion.go, k8s.io/api/autoscaling/v1/types.go.

use serde_json::json;

use crate::api::tree::Tree;
use crate::api::{Json, JsonMap, go};

const SOURCES: [&str; 5] = ["object", "pods", "resource", "containerResource", "external"];

/// The order of Go's structs, of all that stand in the annotations.
const ORDER: [&str; 30] = [
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "target",
    "kind",
    "metricName",
    "metricSelector",
    "name",
    "apiVersion",
    "targetAverageUtilization",
    "targetValue",
    "currentAverageUtilization",
    "currentValue",
    "targetAverageValue",
    "currentAverageValue",
    "container",
    "selector",
    "averageValue",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
];

/// Whether metrics are asked for or were read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Target,
    Current,
}

/// What one value of version 1 is called, what it is in version 2, and whether it is zero rather than left out.
type Value = (&'static str, &'static str, bool);

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Target => "target",
            Side::Current => "current",
        }
    }

    /// Source: the structs of k8s.io/api/autoscaling/v1 and their `omitempty`.
    fn values(self, source: &str) -> &'static [Value] {
        match (self, source) {
            (Side::Target, "object") => &[("targetValue", "value", true), ("averageValue", "averageValue", false)],
            (Side::Target, "pods") => &[("targetAverageValue", "averageValue", true)],
            (Side::Target, "external") => &[("targetValue", "value", false), ("targetAverageValue", "averageValue", false)],
            (Side::Target, _) => {
                &[("targetAverageUtilization", "averageUtilization", false), ("targetAverageValue", "averageValue", false)]
            }
            (Side::Current, "object") => &[("currentValue", "value", true), ("averageValue", "averageValue", false)],
            (Side::Current, "pods") => &[("currentAverageValue", "averageValue", true)],
            (Side::Current, "external") => &[("currentValue", "value", true), ("currentAverageValue", "averageValue", false)],
            (Side::Current, _) => {
                &[("currentAverageUtilization", "averageUtilization", false), ("currentAverageValue", "averageValue", true)]
            }
        }
    }
}

fn selector_name(source: &str) -> &'static str {
    if source == "external" { "metricSelector" } else { "selector" }
}

/// A metric of version 2 in the form of version 1.
pub(super) fn to_v1(metric: &Json, side: Side) -> Json {
    of_sources(metric, |given, source| source_to_v1(given, source, side))
}

fn source_to_v1(given: &Json, source: &str, side: Side) -> Json {
    let mut out = JsonMap::new();
    let mut put = |name: &str, value: &Json| {
        if !value.is_null() {
            out.insert(name.to_owned(), value.clone());
        }
    };
    put("target", given.field("describedObject"));
    put("container", given.field("container"));
    if given.has("metric") {
        put("metricName", given.field("metric").field("name"));
        put(selector_name(source), given.field("metric").field("selector"));
    } else {
        put("name", given.field("name"));
    }
    let zero = Json::from("0");
    for (name, value, always) in side.values(source) {
        let found = given.field(side.name()).field(value);
        put(name, if found.is_null() && *always { &zero } else { found });
    }
    Json::Object(out)
}

/// The other way.
pub(super) fn to_v2(metric: &Json, side: Side) -> Json {
    of_sources(metric, |given, source| source_to_v2(given, source, side))
}

/// A metric with what `form` makes of its source.
fn of_sources(metric: &Json, form: impl Fn(&Json, &str) -> Json) -> Json {
    let mut out = json!({"type": metric.text("type")});
    for source in SOURCES.into_iter().filter(|source| metric.has(source)) {
        out[source] = form(metric.field(source), source);
    }
    out
}

fn source_to_v2(given: &Json, source: &str, side: Side) -> Json {
    let mut out = JsonMap::new();
    for name in ["name", "container"] {
        if given.has(name) {
            out.insert(name.into(), given.field(name).clone());
        }
    }
    if given.has("target") {
        out.insert("describedObject".into(), given.field("target").clone());
    }
    if matches!(source, "object" | "pods" | "external") {
        let mut metric = json!({"name": given.text("metricName")});
        if given.has(selector_name(source)) {
            metric["selector"] = given.field(selector_name(source)).clone();
        }
        out.insert("metric".into(), metric);
    }
    let mut amounts = JsonMap::new();
    for (name, value, always) in side.values(source) {
        match given.get(*name) {
            Some(amount) if !amount.is_null() => amounts.insert((*value).into(), amount.clone()),
            _ if *always => amounts.insert((*value).into(), "0".into()),
            _ => None,
        };
    }
    if side == Side::Target {
        amounts.insert("type".into(), kind_of(source, &amounts).into());
    }
    out.insert(side.name().into(), Json::Object(amounts));
    Json::Object(out)
}

fn kind_of(source: &str, target: &JsonMap) -> &'static str {
    match source {
        "object" if target.contains_key("averageValue") => "AverageValue",
        "object" => "Value",
        "external" if target.contains_key("value") => "Value",
        "resource" | "containerResource" if target.contains_key("averageUtilization") => "Utilization",
        _ => "AverageValue",
    }
}

/// A value in the order of Go's structs.
pub(super) fn written(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(",")),
        Json::Object(map) => {
            let rank = |key: &str| ORDER.iter().position(|known| *known == key);
            let mut members: Vec<(&String, &Json)> = map.iter().collect();
            members.sort_by_key(|(key, _)| (rank(key).unwrap_or(ORDER.len()), *key));
            let write = |(key, value): (&String, &Json)| {
                // Labels are a map and in the order of their keys.
                let value = if key == "matchLabels" { go::json::compact(value) } else { written(value) };
                format!("{}:{value}", go::json::compact(&key.as_str().into()))
            };
            format!("{{{}}}", members.into_iter().map(write).collect::<Vec<_>>().join(","))
        }
        other => go::json::compact(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_either_version_say_the_same() {
        let both = |side: Side, v2: Json, v1: &str| {
            let older = to_v1(&v2, side);
            assert_eq!(written(&older), v1);
            assert_eq!(to_v2(&older, side), v2);
        };
        both(
            Side::Target,
            json!({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "7"}}}),
            r#"{"type":"Pods","pods":{"metricName":"hits","targetAverageValue":"7"}}"#,
        );
        both(
            Side::Target,
            json!({"type": "External", "external": {
                "metric": {"name": "queue", "selector": {"matchLabels": {"type": "b", "key": "a"}}},
                "target": {"type": "Value", "value": "30"}}}),
            r#"{"type":"External","external":{"metricName":"queue","metricSelector":{"matchLabels":{"key":"a","type":"b"}},"targetValue":"30"}}"#,
        );
        both(
            Side::Target,
            json!({"type": "Object", "object": {"metric": {"name": "open"}, "target": {"type": "Value", "value": "2k"},
                "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "shop"}}}),
            r#"{"type":"Object","object":{"target":{"kind":"Service","name":"shop","apiVersion":"v1"},"metricName":"open","targetValue":"2k"}}"#,
        );
        both(
            Side::Current,
            json!({"type": "ContainerResource", "containerResource": {"name": "memory", "container": "web",
                "current": {"averageValue": "9Mi", "averageUtilization": 40}}}),
            r#"{"type":"ContainerResource","containerResource":{"name":"memory","currentAverageUtilization":40,"currentAverageValue":"9Mi","container":"web"}}"#,
        );
    }
}
