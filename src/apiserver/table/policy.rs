//! Rows of budgets, autoscalers, scales and role bindings. Source: printPodDisruptionBudget,
//! printHorizontalPodAutoscaler, printScale, printRoleBinding.

use serde_json::json;

use super::view::{View, text};
use crate::api::Json;
use crate::registry::scale::SCALES;

/// So many metrics are listed.
const MOST_METRICS: usize = 2;

pub(super) fn cells(resource: &str, view: &View<'_>) -> Vec<Json> {
    if resource == SCALES {
        return vec![json!(view.int("/spec/replicas")), json!(view.int("/status/replicas")), view.own_age()];
    }
    if resource == "poddisruptionbudgets" {
        let bound = |pointer: &str| match view.at(pointer) {
            Some(Json::String(text)) => text.clone(),
            Some(number) => number.to_string(),
            None => "N/A".into(),
        };
        return vec![
            json!(bound("/spec/minAvailable")),
            json!(bound("/spec/maxUnavailable")),
            json!(view.int("/status/disruptionsAllowed")),
            view.own_age(),
        ];
    }
    let least = view.at("/spec/minReplicas").map_or("<unset>".to_owned(), Json::to_string);
    vec![
        json!(format!("{}/{}", view.text("/spec/scaleTargetRef/kind"), view.text("/spec/scaleTargetRef/name"))),
        json!(metrics(view)),
        json!(least),
        json!(view.int("/spec/maxReplicas")),
        json!(view.int("/status/currentReplicas")),
        view.own_age(),
    ]
}

fn metrics(view: &View<'_>) -> String {
    let specs = view.list("/spec/metrics");
    if specs.is_empty() {
        return "<none>".into();
    }
    let currents = view.list("/status/currentMetrics");
    let all: Vec<String> = specs.iter().enumerate().map(|(i, spec)| metric(spec, currents.get(i))).collect();
    if all.len() <= MOST_METRICS {
        return all.join(", ");
    }
    format!("{} + {} more...", all[..MOST_METRICS].join(", "), all.len() - MOST_METRICS)
}

fn metric(spec: &Json, current: Option<&Json>) -> String {
    let kind = text(spec, "/type");
    let field = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".into(),
    };
    let target = |name: &str| spec.pointer(&format!("/{field}/target/{name}")).filter(|v| !v.is_null());
    let source = current.and_then(|c| c.get(field)).filter(|v| !v.is_null());
    let now = |name: &str| source.and_then(|s| s.pointer(&format!("/current/{name}"))).filter(|v| !v.is_null());
    // A metric that was read, without the amount that is asked for.
    let missing = if source.is_some() { "<nil>" } else { "<unknown>" };
    let show = |value: Option<&Json>, missing: &str| match value {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => missing.into(),
    };
    let head = match kind {
        "Resource" | "ContainerResource" => format!("{}: ", text(spec, &format!("/{field}/name"))),
        _ => String::new(),
    };
    if let Some(average) = target("averageValue") {
        let (tail, missing) = if matches!(kind, "External" | "Object") { (" (avg)", "<unknown>") } else { ("", missing) };
        return format!("{head}{}/{}{tail}", show(now("averageValue"), missing), show(Some(average), missing));
    }
    if let Some(percent) = target("averageUtilization") {
        let now = now("averageUtilization").map_or("<unknown>".to_owned(), |n| format!("{n}%"));
        return format!("{head}{now}/{percent}%");
    }
    if matches!(kind, "Resource" | "ContainerResource") {
        return format!("{head}<unknown>/<auto>");
    }
    format!("{head}{}/{}", show(now("value"), missing), show(target("value"), "<nil>"))
}

pub(super) fn binding(view: &View<'_>) -> Vec<Json> {
    let subjects = |kind: &str| {
        let names = view.list("/subjects").iter().filter(|s| text(s, "/kind") == kind).map(|s| match kind {
            "ServiceAccount" => format!("{}/{}", text(s, "/namespace"), text(s, "/name")),
            _ => text(s, "/name").to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    vec![
        json!(format!("{}/{}", view.text("/roleRef/kind"), view.text("/roleRef/name"))),
        view.own_age(),
        json!(subjects("User")),
        json!(subjects("Group")),
        json!(subjects("ServiceAccount")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_was_read_without_its_amount_is_nil() {
        let pods = json!({"type": "Pods", "pods": {"target": {"type": "AverageValue", "averageValue": "12"}}});
        assert_eq!(metric(&pods, None), "<unknown>/12");
        assert_eq!(metric(&pods, Some(&json!({"type": "Pods", "pods": {"current": {"value": "3"}}}))), "<nil>/12");
        assert_eq!(metric(&pods, Some(&json!({"pods": {"current": {"averageValue": "3"}}}))), "3/12");
        let queue = json!({"type": "External", "external": {"target": {"averageValue": "5"}}});
        assert_eq!(metric(&queue, Some(&json!({"external": {"current": {"value": "3"}}}))), "<unknown>/5 (avg)");
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 60}}});
        assert_eq!(metric(&cpu, Some(&json!({"resource": {"current": {}}}))), "cpu: <unknown>/60%");
    }
}
