//! Defaults of HorizontalPodAutoscaler. Source: pkg/apis/autoscaling/{v1,v2}/defaults.go.

use serde_json::json;

use crate::api::Json;
use crate::api::tree::{Tree, child, default_to, present};

/// The load in percent that an autoscaler without metrics aims at.
const UTILIZATION: i32 = 80;

pub fn v1(tree: &mut Json) {
    if let Some(spec) = child(tree, "spec") {
        default_to(spec, "minReplicas", 1);
    }
}

pub fn v2(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    default_to(spec, "minReplicas", 1);
    if spec.list("metrics").is_empty() {
        let target = json!({"type": "Utilization", "averageUtilization": UTILIZATION});
        spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
    }
    let Some(behavior) = present(spec, "behavior") else { return };
    let quick = json!([
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]);
    rules(behavior, "scaleUp", Some(0), &quick);
    let all = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
    rules(behavior, "scaleDown", None, &all);
}

fn rules(behavior: &mut Json, name: &str, window: Option<i32>, policies: &Json) {
    let Some(rules) = child(behavior, name) else { return };
    default_to(rules, "selectPolicy", "Max");
    if let Some(window) = window {
        default_to(rules, "stabilizationWindowSeconds", window);
    }
    if !rules.has("policies") {
        rules["policies"] = policies.clone();
    }
}
