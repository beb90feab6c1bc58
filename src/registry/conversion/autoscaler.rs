//! HorizontalPodAutoscalers of autoscaling/v1 and v2. Version 1 has a field for the load of the cpu alone;
//! all else of version 2 is kept in annotations there.
//! Source: pkg/apis/autoscaling/v1/conversion.go.

use serde_json::json;

use crate::api::tree::Tree;
use crate::api::{Json, JsonMap};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

fn is_cpu_load(metric: &Json, part: &str) -> bool {
    let resource = metric.field("resource");
    metric.text("type") == "Resource"
        && resource.text("name") == "cpu"
        && resource.field(part).has("averageUtilization")
}

fn annotation(metadata: &mut JsonMap, name: &str, value: &Json) {
    let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if empty {
        return;
    }
    if let Json::Object(map) = metadata.entry("annotations").or_insert_with(|| json!({})) {
        map.insert(name.to_owned(), crate::api::go::json::compact(value).into());
    }
}

/// Takes an annotation that holds JSON out of the metadata.
fn take(metadata: &mut JsonMap, name: &str) -> Option<Json> {
    let Some(Json::Object(map)) = metadata.get_mut("annotations") else { return None };
    let value = map.remove(name)?;
    if map.is_empty() {
        metadata.remove("annotations");
    }
    serde_json::from_str(value.as_str()?).ok()
}

fn parts(tree: &Json) -> (JsonMap, JsonMap, JsonMap) {
    let map = |name: &str| tree.field(name).as_object().cloned().unwrap_or_default();
    (map("metadata"), map("spec"), map("status"))
}

fn whole(version: &str, metadata: JsonMap, spec: JsonMap, status: JsonMap) -> Json {
    json!({
        "kind": "HorizontalPodAutoscaler", "apiVersion": version,
        "metadata": metadata, "spec": spec, "status": status,
    })
}

pub(super) fn to_v1(tree: &Json) -> Json {
    let (mut metadata, mut spec, mut status) = parts(tree);
    let list = |map: &mut JsonMap, name: &str| match map.remove(name) {
        Some(Json::Array(items)) => items,
        _ => Vec::new(),
    };
    let (cpu, others): (Vec<Json>, Vec<Json>) =
        list(&mut spec, "metrics").into_iter().partition(|m| is_cpu_load(m, "target"));
    let mut cpu = cpu.into_iter();
    if let Some(metric) = cpu.next() {
        let load = metric.field("resource").field("target").field("averageUtilization").clone();
        spec.insert("targetCPUUtilizationPercentage".into(), load);
    }
    annotation(&mut metadata, METRICS, &Json::Array(cpu.chain(others).collect()));
    if let Some(behavior) = spec.remove("behavior") {
        annotation(&mut metadata, BEHAVIOR, &behavior);
    }
    let current = list(&mut status, "currentMetrics");
    if let Some(metric) = current.iter().find(|m| is_cpu_load(m, "current")) {
        let load = metric.field("resource").field("current").field("averageUtilization").clone();
        status.insert("currentCPUUtilizationPercentage".into(), load);
    }
    annotation(&mut metadata, CURRENT_METRICS, &Json::Array(current));
    annotation(&mut metadata, CONDITIONS, &Json::Array(list(&mut status, "conditions")));
    status.entry("currentReplicas").or_insert(json!(0));
    whole("autoscaling/v1", metadata, spec, status)
}

pub(super) fn to_v2(tree: &Json) -> Json {
    let (mut metadata, mut spec, mut status) = parts(tree);
    let mut metrics = Vec::new();
    if let Some(load) = spec.remove("targetCPUUtilizationPercentage") {
        metrics.push(json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": load},
        }}));
    }
    if let Some(Json::Array(others)) = take(&mut metadata, METRICS) {
        metrics.extend(others);
    }
    if !metrics.is_empty() {
        spec.insert("metrics".into(), Json::Array(metrics));
    }
    if let Some(behavior) = take(&mut metadata, BEHAVIOR) {
        spec.insert("behavior".into(), behavior);
    }
    let load = status.remove("currentCPUUtilizationPercentage");
    let current = match (take(&mut metadata, CURRENT_METRICS), load) {
        (Some(current), _) => current,
        (None, Some(load)) => json!([{"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": load},
        }}]),
        (None, None) => Json::Null,
    };
    status.insert("currentMetrics".into(), current);
    if let Some(conditions) = take(&mut metadata, CONDITIONS) {
        status.insert("conditions".into(), conditions);
    }
    if status.get("currentReplicas") == Some(&json!(0)) {
        status.remove("currentReplicas");
    }
    whole("autoscaling/v2", metadata, spec, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_version_1_has_no_field_for_survives_in_annotations() {
        let memory = json!({"type": "Resource", "resource": {"name": "memory",
            "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 60}}});
        let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
            "spec": {"maxReplicas": 3, "metrics": [cpu, memory], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}},
            "status": {"currentMetrics": null, "desiredReplicas": 0}});
        let v1 = to_v1(&v2);
        assert_eq!(v1["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 60}));
        assert_eq!(to_v2(&v1), v2);
    }
}
