//! Autoscalers, budgets and priorities.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describeHorizontalPodAutoscalerV2` …).

use super::Related;
use super::document::{Document, or_unset, plain, quantity};
use super::events::events;
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{Json, shown};

/// An autoscaler in version 2, whatever version it was asked for in.
pub fn autoscaler(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let target = spec.field("scaleTargetRef");
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    doc.created(object);
    doc.field(0, "Reference", format!("{}/{}", target.text("kind"), target.text("name")));
    doc.field(0, "Metrics", "( current / target )");
    for (i, metric) in spec.list("metrics").iter().enumerate() {
        let current = status.list("currentMetrics").get(i).unwrap_or(&Json::Null);
        doc.line(1, &self::metric(metric, current));
    }
    doc.field(0, "Min replicas", or_unset(spec.field("minReplicas")));
    doc.field(0, "Max replicas", spec.int("maxReplicas"));
    let behavior = spec.field("behavior");
    if !behavior.is_null() {
        doc.line(0, "Behavior:");
        direction(doc, "Scale Up", behavior.field("scaleUp"));
        direction(doc, "Scale Down", behavior.field("scaleDown"));
    }
    let counts = format!("{} current / {} desired", status.int("currentReplicas"), status.int("desiredReplicas"));
    doc.field(0, &format!("{} pods", target.text("kind")), counts);
    let conditions = status.list("conditions");
    if !conditions.is_empty() {
        doc.line(0, "Conditions:");
        doc.line(1, "Type\tStatus\tReason\tMessage");
        doc.line(1, "----\t------\t------\t-------");
    }
    for c in conditions {
        let (kind, status, reason) = (c.text("type"), c.text("status"), c.text("reason"));
        doc.line(1, &format!("{kind}\t{status}\t{reason}\t{}", c.text("message")));
    }
    events(doc, related.events());
}

/// What a metric is about, where it stands and where it should.
fn metric(metric: &Json, current: &Json) -> String {
    let of = |source: &'static str, field: &'static str| {
        let now = current.field(source);
        if now.is_null() { "<unknown>".into() } else { quantity(now.field("current").field(field)) }
    };
    let about = |source: &str| quote(metric.field(source).field("metric").text("name"));
    let target = |source: &str, field: &str| quantity(metric.field(source).field("target").field(field));
    match metric.text("type") {
        "External" if metric.field("external").field("target").has("averageValue") => {
            let now = current.field("external").field("current").field("averageValue");
            let now = if now.is_null() { "<unknown>".into() } else { quantity(now) };
            format!("{} (target average value):\t{now} / {}", about("external"), target("external", "averageValue"))
        }
        "External" => {
            format!("{} (target value):\t{} / {}", about("external"), of("external", "value"), target("external", "value"))
        }
        "Pods" => format!("{} on pods:\t{} / {}", about("pods"), of("pods", "averageValue"), target("pods", "averageValue")),
        "Object" => {
            let source = metric.field("object");
            let on = source.field("describedObject");
            let (field, word) = match source.field("target").text("type") {
                "AverageValue" => ("averageValue", "average value"),
                _ => ("value", "value"),
            };
            let name = source.field("metric").text("name");
            let (now, wanted) = (of("object", field), target("object", field));
            format!("\"{name}\" on {}/{} (target {word}):\t{now} / {wanted}", on.text("kind"), on.text("name"))
        }
        "Resource" => {
            let source = metric.field("resource");
            resource(&format!("resource {} on pods", source.text("name")), source, current.field("resource"))
        }
        "ContainerResource" => {
            let source = metric.field("containerResource");
            let title = format!("resource {} of container \"{}\" on pods", source.text("name"), source.text("container"));
            resource(&title, source, current.field("containerResource"))
        }
        other => format!("<unknown metric type {}>", quote(other)),
    }
}

fn resource(title: &str, source: &Json, current: &Json) -> String {
    let (target, now) = (source.field("target"), current.field("current"));
    if target.has("averageValue") {
        let shown = if current.is_null() { "<unknown>".into() } else { quantity(now.field("averageValue")) };
        return format!("{title}:\t{shown} / {}", quantity(target.field("averageValue")));
    }
    let shown = match now.opt_int("averageUtilization") {
        Some(percent) => format!("{percent}% ({})", quantity(now.field("averageValue"))),
        None => "<unknown>".into(),
    };
    let wanted = target.opt_int("averageUtilization").map_or("<auto>".into(), |percent| format!("{percent}%"));
    format!("{title}  (as a percentage of request):\t{shown} / {wanted}")
}

fn direction(doc: &mut Document, title: &str, rules: &Json) {
    if rules.is_null() {
        return;
    }
    doc.line(1, &format!("{title}:"));
    if let Some(seconds) = rules.opt_int("stabilizationWindowSeconds") {
        doc.line(2, &format!("Stabilization Window: {seconds} seconds"));
    }
    let policies = rules.list("policies");
    if policies.is_empty() {
        return;
    }
    doc.line(2, &format!("Select Policy: {}", rules.opt_text("selectPolicy").unwrap_or("Max")));
    doc.line(2, "Policies:");
    for policy in policies {
        let (kind, value, period) = (policy.text("type"), policy.int("value"), policy.int("periodSeconds"));
        doc.line(3, &format!("- Type: {kind}\tValue: {value}\tPeriod: {period} seconds"));
    }
}

pub fn budget(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.namespace(object);
    if spec.has("minAvailable") {
        doc.field(0, "Min available", plain(spec.field("minAvailable")));
    } else {
        doc.some_field(0, "Max unavailable", &plain(spec.field("maxUnavailable")));
    }
    let selector = spec.field("selector");
    doc.field(0, "Selector", if selector.is_null() { "<unset>".into() } else { shown::selector(selector) });
    doc.line(0, "Status:");
    for (title, field) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        doc.field(2, title, status.int(field));
    }
    events(doc, related.events());
}

pub fn priority_class(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.field(0, "Value", object.int("value"));
    doc.field(0, "GlobalDefault", object.flag("globalDefault"));
    doc.field(0, "PreemptionPolicy", object.text("preemptionPolicy"));
    doc.field(0, "Description", object.text("description"));
    doc.field(0, "Annotations", shown::labels(object.field("metadata").field("annotations")));
    events(doc, related.events());
}
