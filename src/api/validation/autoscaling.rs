//! Whether a HorizontalPodAutoscaler or a Scale may be. Source: pkg/apis/autoscaling/validation/validation.go.

use super::field::{self, Errors, Path};
use super::resource_names::container_resource_name;
use super::rules::{self, not_negative_at};
use super::{meta, names};
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const MAX_PERIOD: i64 = 1800;
const MAX_WINDOW: i64 = 3600;
const SOURCES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const MISSING: &str = "must populate information for the given metric source";

/// A Scale as a client sends it to the subresource `scale`.
pub fn scale(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(not_negative_at(object.json().field("spec"), &Path::new("spec"), "replicas"));
    errors
}

pub fn create(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(spec(object.json().field("spec"), 1, None));
    errors
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let least = if old.i64_at("/spec/minReplicas") == Some(0) { 0 } else { 1 };
    let mut errors = meta::update(new, old);
    errors.extend(spec(new.json().field("spec"), least, Some(old.json().field("spec"))));
    errors
}

pub fn update_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let (status, path) = (new.json().field("status"), Path::new("status"));
    errors.extend(not_negative_at(status, &path, "currentReplicas"));
    errors.extend(not_negative_at(status, &path, "desiredReplicas"));
    errors
}

fn spec(spec: &Json, least: i64, old: Option<&Json>) -> Errors {
    let path = Path::new("spec");
    let (min, max) = (spec.opt_int("minReplicas"), spec.int("maxReplicas"));
    let mut errors = Errors::new();
    if let Some(min) = min.filter(|min| *min < least) {
        let detail = format!("must be greater than or equal to {least}");
        errors.push(field::invalid(&path.child("minReplicas"), min, &detail));
    }
    if max < 1 {
        errors.push(field::invalid(&path.child("maxReplicas"), max, "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(field::invalid(&path.child("maxReplicas"), max, detail));
    }
    errors.extend(reference(spec.field("scaleTargetRef"), &path.child("scaleTargetRef")));
    errors.extend(target_version(spec.field("scaleTargetRef"), &path, old.map(|old| old.field("scaleTargetRef"))));
    let (metrics, metrics_path) = (spec.list("metrics"), path.child("metrics"));
    for (i, metric) in metrics.iter().enumerate() {
        errors.extend(self::metric(metric, &metrics_path.index(i)));
    }
    let wakes = metrics.iter().any(|metric| matches!(metric.text("type"), "Object" | "External"));
    if min == Some(0) && !wakes {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(field::forbidden(&metrics_path, detail));
    }
    for name in ["scaleUp", "scaleDown"] {
        let rules = spec.field("behavior").field(name);
        if !rules.is_null() {
            errors.extend(scaling(rules, &path.child("behavior").child(name)));
        }
    }
    errors
}

fn reference(reference: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for name in ["kind", "name"] {
        errors.extend(segment(reference.text(name), &path.child(name), ""));
    }
    errors
}

/// The target's `apiVersion` has a group, for all but ReplicationControllers; what was wrong before may stay.
fn target_version(target: &Json, spec: &Path, old: Option<&Json>) -> Errors {
    let wrong = |target: &Json| {
        let of_core = || target.text("kind") == "ReplicationController";
        match group(target) {
            Ok("") if !of_core() => Some("apiVersion must specify API group".to_owned()),
            Ok(_) => None,
            Err(why) => Some(why),
        }
    };
    if old.is_some_and(|old| wrong(old).is_some()) {
        return Errors::new();
    }
    let path = spec.child("scaleTargetRef").child("apiVersion");
    wrong(target).map(|why| field::invalid(&path, target.text("apiVersion"), &why)).into_iter().collect()
}

/// The group of the object that a reference names (schema.ParseGroupVersion).
fn group(reference: &Json) -> Result<&str, String> {
    let version = reference.text("apiVersion");
    match version.matches('/').count() {
        0 => Ok(""),
        1 => Ok(version.split('/').next().unwrap_or("")),
        _ => Err(format!("unexpected GroupVersion string: {version}")),
    }
}

fn segment(value: &str, path: &Path, missing: &str) -> Errors {
    if value.is_empty() {
        return vec![field::required(path, missing)];
    }
    rules::each(path, value, names::path_segment(value, false))
}

fn scaling(rules: &Json, path: &Path) -> Errors {
    const SELECT: &[&str] = &["Disabled", "Max", "Min"];
    const KINDS: &[&str] = &["Percent", "Pods"];
    let mut errors = Errors::new();
    if let Some(window) = rules.opt_int("stabilizationWindowSeconds") {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.push(field::invalid(&path, window, "must be greater than or equal to zero"));
        }
        if window > MAX_WINDOW {
            errors.push(field::invalid(&path, window, &format!("must be less than or equal to {MAX_WINDOW}")));
        }
    }
    if let Some(policy) = rules.opt_text("selectPolicy").filter(|policy| !SELECT.contains(policy)) {
        errors.push(field::not_supported(&path.child("selectPolicy"), policy, SELECT));
    }
    let (policies, at) = (rules.list("policies"), path.child("policies"));
    if policies.is_empty() {
        errors.push(field::required(&at, "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        let path = at.index(i);
        if !KINDS.contains(&policy.text("type")) {
            errors.push(field::not_supported(&path.child("type"), policy.text("type"), KINDS));
        }
        for name in ["value", "periodSeconds"] {
            if policy.int(name) <= 0 {
                errors.push(field::invalid(&path.child(name), policy.int(name), "must be greater than zero"));
            }
        }
        let period = policy.int("periodSeconds");
        if period > MAX_PERIOD {
            let detail = format!("must be less than or equal to {MAX_PERIOD}");
            errors.push(field::invalid(&path.child("periodSeconds"), period, &detail));
        }
    }
    if let Some(text) = rules.opt_text("tolerance")
        && Quantity::parse(text).is_ok_and(|amount| amount.signum() < 0)
    {
        errors.push(field::invalid(&path.child("tolerance"), text, rules::NOT_NEGATIVE));
    }
    errors
}

fn metric(metric: &Json, path: &Path) -> Errors {
    let kind = metric.text("type");
    let kind_path = path.child("type");
    let mut errors = Errors::new();
    if kind.is_empty() {
        errors.push(field::required(&kind_path, "must specify a metric source type"));
    }
    if !SOURCES.contains(&kind) {
        errors.push(field::not_supported(&kind_path, kind, SOURCES));
    }
    let order = ["object", "external", "pods", "resource", "containerResource"];
    let present: Vec<&str> = order.into_iter().filter(|name| metric.has(name)).collect();
    if let Some(first) = present.first() {
        errors.extend(source(first, metric.field(first), &path.child(first)));
    }
    let expected = match kind {
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        "External" => "external",
        "ContainerResource" => "containerResource",
        _ => "",
    };
    if expected.is_empty() {
        errors.push(field::not_supported(&kind_path, kind, SOURCES));
    } else if !metric.has(expected) {
        errors.push(field::required(&path.child(expected), MISSING));
    }
    if present.len() != 1 {
        let others = present.into_iter().filter(|name| *name != expected);
        errors.extend(
            others.map(|name| field::forbidden(&path.child(name), "must populate the given metric source only")),
        );
    }
    errors
}

fn source(kind: &str, source: &Json, path: &Path) -> Errors {
    let (target, target_path) = (source.field("target"), path.child("target"));
    let mut errors = Errors::new();
    match kind {
        "object" => {
            let (object, at) = (source.field("describedObject"), path.child("describedObject"));
            errors.extend(reference(object, &at));
            if let Err(why) = group(object) {
                errors.push(field::invalid(&at.child("apiVersion"), object.text("apiVersion"), &why));
            }
            errors.extend(identifier(source, path));
        }
        "external" | "pods" => errors.extend(identifier(source, path)),
        _ => errors.extend(resource(kind, source, path)),
    }
    errors.extend(metric_target(target, &target_path));
    let (value, average) = (target.has("value"), target.has("averageValue"));
    let average_path = target_path.child("averageValue");
    let utilization = target.has("averageUtilization");
    match kind {
        "object" if !value && !average => {
            errors.push(field::required(&average_path, "must set either a target value or averageValue"));
        }
        "external" if !value && !average => {
            let detail = "must set either a target value for metric or a per-pod target";
            errors.push(field::required(&average_path, detail));
        }
        "external" if value && average => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.push(field::forbidden(&target_path.child("value"), detail));
        }
        "pods" if !average => {
            errors.push(field::required(&average_path, "must specify a positive target averageValue"));
        }
        "resource" | "containerResource" if !utilization && !average => {
            let detail = "must set either a target raw value or a target utilization";
            errors.push(field::required(&target_path.child("averageUtilization"), detail));
        }
        "resource" | "containerResource" if utilization && average => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(field::forbidden(&average_path, detail));
        }
        _ => {}
    }
    errors
}

fn identifier(source: &Json, path: &Path) -> Errors {
    let name = source.field("metric").text("name");
    segment(name, &path.child("metric").child("name"), "must specify a metric name")
}

fn resource(kind: &str, source: &Json, path: &Path) -> Errors {
    let (name, container) = (source.text("name"), source.text("container"));
    let mut errors = Errors::new();
    if name.is_empty() {
        errors.push(field::required(&path.child("name"), "must specify a resource name"));
    } else if kind == "containerResource" {
        errors.extend(container_resource_name(name, &path.child("name")));
    }
    if kind == "containerResource" {
        let path = path.child("container");
        if container.is_empty() {
            errors.push(field::required(&path, "must specify a container"));
        } else {
            errors.extend(rules::each(&path, container, names::dns1123_label(container)));
        }
    }
    errors
}

fn metric_target(target: &Json, path: &Path) -> Errors {
    let kind = target.text("type");
    let mut errors = Errors::new();
    if kind.is_empty() {
        errors.push(field::required(&path.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(field::invalid(&path.child("type"), kind, detail));
    }
    for name in ["value", "averageValue"] {
        let Some(text) = target.opt_text(name) else { continue };
        if !Quantity::parse(text).is_ok_and(|amount| amount.signum() > 0) {
            errors.push(field::invalid(&path.child(name), text, "must be positive"));
        }
    }
    if let Some(utilization) = target.opt_int("averageUtilization").filter(|u| *u < 1) {
        errors.push(field::invalid(&path.child("averageUtilization"), utilization, "must be greater than 0"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(change: impl FnOnce(&mut Json)) -> Vec<String> {
        let mut spec = json!({"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}});
        change(&mut spec);
        self::spec(&spec, 1, None).iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
    }

    #[test]
    fn a_target_has_a_group() {
        assert_eq!(problems(|_| {}), Vec::<String>::new());
        let of = |version: &str| problems(|spec| spec["scaleTargetRef"]["apiVersion"] = version.into());
        let at = "spec.scaleTargetRef.apiVersion: Invalid value";
        assert_eq!(of("v1"), [format!("{at}: \"v1\": apiVersion must specify API group")]);
        assert_eq!(of("/v1"), [format!("{at}: \"/v1\": apiVersion must specify API group")]);
        assert_eq!(of("a/b/c"), [format!("{at}: \"a/b/c\": unexpected GroupVersion string: a/b/c")]);
    }

    #[test]
    fn the_object_of_a_metric_may_be_of_the_core() {
        let of = |version: &str| {
            problems(|spec| {
                let object = json!({"apiVersion": version, "kind": "Service", "name": "a"});
                let target = json!({"type": "Value", "value": "1"});
                let object = json!({"describedObject": object, "metric": {"name": "m"}, "target": target});
                spec["metrics"] = json!([{"type": "Object", "object": object}]);
            })
        };
        assert_eq!(of("v1"), Vec::<String>::new());
        let at = "spec.metrics[0].object.describedObject.apiVersion: Invalid value";
        assert_eq!(of("a/b/c"), [format!("{at}: \"a/b/c\": unexpected GroupVersion string: a/b/c")]);
    }

    #[test]
    fn a_tolerance_is_not_negative() {
        let of = |tolerance: &str| {
            let rules = json!({"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1}], "tolerance": tolerance});
            problems(|spec| spec["behavior"] = json!({"scaleUp": rules}))
        };
        assert_eq!(of("100m"), Vec::<String>::new());
        assert_eq!(
            of("-1"),
            ["spec.behavior.scaleUp.tolerance: Invalid value: \"-1\": must be greater than or equal to 0"]
        );
    }
}
