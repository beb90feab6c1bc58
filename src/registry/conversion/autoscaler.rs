//! HorizontalPodAutoscalers of autoscaling/v1 and v2. Version 1 has a field for the load of the cpu alone;
//! all else of version 2 is kept in annotations there.
//! Source: pkg/apis/autoscaling/v1/conversion.go.

use serde_json::json;

use super::metrics::{self, Side};
use crate::api::tree::Tree;
use crate::api::validation::internal_form;
use crate::api::{Json, JsonMap};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// How much of the cpu is to be used where nothing is said. Source: pkg/apis/autoscaling/types.go, DefaultCPUUtilization.
const DEFAULT_LOAD: i64 = 80;

fn is_cpu_load(metric: &Json, part: &str) -> bool {
    let resource = metric.field("resource");
    metric.text("type") == "Resource"
        && resource.text("name") == "cpu"
        && resource.field(part).has("averageUtilization")
}

fn annotation(metadata: &mut JsonMap, name: &str, text: String) {
    if let Json::Object(map) = metadata.entry("annotations").or_insert_with(|| json!({})) {
        map.insert(name.to_owned(), text.into());
    }
}

fn list_annotation(metadata: &mut JsonMap, name: &str, items: Vec<Json>) {
    if !items.is_empty() {
        annotation(metadata, name, metrics::written(&Json::Array(items)));
    }
}

/// Takes an annotation that holds JSON out of the metadata, whatever it is.
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

/// The load of the cpu that version 1 has a field for, taken from the first metric of the cpu.
fn cpu_load<'m>(metrics: &'m [Json], part: &str) -> Option<&'m Json> {
    let cpu = metrics.iter().find(|m| m.text("type") == "Resource" && m.field("resource").text("name") == "cpu")?;
    Some(cpu.field("resource").field(part).field("averageUtilization")).filter(|load| !load.is_null())
}

fn conditions(items: Vec<Json>) -> Vec<Json> {
    let known = ["type", "status", "lastTransitionTime", "reason", "message"];
    let mut items = items;
    for condition in items.iter_mut().filter_map(Json::as_object_mut) {
        condition.retain(|name, _| known.contains(&name.as_str()));
        condition.entry("lastTransitionTime").or_insert(Json::Null);
    }
    items
}

pub(super) fn to_v1(tree: &Json) -> Json {
    let (mut metadata, mut spec, mut status) = parts(tree);
    for name in [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS] {
        take(&mut metadata, name);
    }
    let list = |map: &mut JsonMap, name: &str| match map.remove(name) {
        Some(Json::Array(items)) => items,
        _ => Vec::new(),
    };
    let wanted = list(&mut spec, "metrics");
    if let Some(load) = cpu_load(&wanted, "target") {
        spec.insert("targetCPUUtilizationPercentage".into(), load.clone());
    }
    let others = wanted.iter().filter(|m| !is_cpu_load(m, "target")).map(|m| metrics::to_v1(m, Side::Target));
    list_annotation(&mut metadata, METRICS, others.collect());
    if let Some(behavior) = spec.remove("behavior") {
        annotation(&mut metadata, BEHAVIOR, internal_form::line("HorizontalPodAutoscalerBehavior", &behavior));
    }
    let current = list(&mut status, "currentMetrics");
    if let Some(metric) = current.iter().rfind(|m| is_cpu_load(m, "current")) {
        let load = metric.field("resource").field("current").field("averageUtilization").clone();
        status.insert("currentCPUUtilizationPercentage".into(), load);
    }
    let current = current.iter().map(|m| metrics::to_v1(m, Side::Current)).collect();
    list_annotation(&mut metadata, CURRENT_METRICS, current);
    let conditions = conditions(list(&mut status, "conditions"));
    list_annotation(&mut metadata, CONDITIONS, conditions);
    status.entry("currentReplicas").or_insert(json!(0));
    whole("autoscaling/v1", metadata, spec, status)
}

/// Names as the annotation of the behavior has them, which are those of Go's fields: `ScaleUp` → `scaleUp`.
fn with_json_names(value: Json) -> Json {
    match value {
        Json::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let mut chars = key.chars();
                let first = chars.next().map(|c| c.to_ascii_lowercase());
                (first.into_iter().chain(chars).collect::<String>(), with_json_names(value))
            })
            .collect::<JsonMap>()
            .into(),
        Json::Array(items) => items.into_iter().map(with_json_names).collect(),
        other => other,
    }
}

/// Metrics of the annotation come first. Where there are none at all, the cpu is to be used by the default.
fn wanted_metrics(metadata: &mut JsonMap, load: Option<Json>) -> Vec<Json> {
    let of_cpu = |load: Json| {
        json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": load},
        }})
    };
    let mut wanted = match take(metadata, METRICS) {
        Some(Json::Array(others)) => others.iter().map(|m| metrics::to_v2(m, Side::Target)).collect(),
        _ => Vec::new(),
    };
    wanted.extend(load.map(of_cpu));
    if wanted.is_empty() {
        wanted.push(of_cpu(DEFAULT_LOAD.into()));
    }
    wanted
}

pub(super) fn to_v2(tree: &Json) -> Json {
    let (mut metadata, mut spec, mut status) = parts(tree);
    let load = spec.remove("targetCPUUtilizationPercentage");
    spec.insert("metrics".into(), wanted_metrics(&mut metadata, load).into());
    if let Some(behavior) = take(&mut metadata, BEHAVIOR).map(with_json_names) {
        spec.insert("behavior".into(), behavior);
    }
    let load = status.remove("currentCPUUtilizationPercentage");
    let current = match (take(&mut metadata, CURRENT_METRICS), load) {
        (Some(Json::Array(current)), _) => current.iter().map(|m| metrics::to_v2(m, Side::Current)).collect(),
        (_, Some(load)) => json!([{"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": load},
        }}]),
        (_, None) => Json::Null,
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
            "spec": {"maxReplicas": 3, "metrics": [memory, cpu], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}},
            "status": {"currentMetrics": null, "desiredReplicas": 0}});
        let v1 = to_v1(&v2);
        assert_eq!(v1["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 60}));
        let annotations = &v1["metadata"]["annotations"];
        assert_eq!(
            annotations[METRICS],
            r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]"#
        );
        assert_eq!(
            annotations[BEHAVIOR],
            r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":5,"SelectPolicy":null,"Policies":null,"Tolerance":null}}"#
        );
        assert_eq!(to_v2(&v1), v2);
    }

    #[test]
    fn an_autoscaler_of_version_1_that_wants_nothing_wants_the_cpu_used_by_the_default() {
        let v2 = to_v2(&json!({"spec": {"maxReplicas": 3}}));
        assert_eq!(v2.pointer("/spec/metrics/0/resource/target/averageUtilization"), Some(&json!(80)));
        assert_eq!(to_v1(&v2)["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}));
    }
}
