//! Which objects a quota is about.
//! Source: `podMatchesScopeFunc` in pkg/quota/v1/evaluator/core/pods.go.

use super::usage::Evaluator;
use crate::api::Json;
use crate::api::tree::Tree;

/// Whether an object is within all scopes of a quota. Scopes are of Pods and of claims; others match none.
pub(super) fn matches(evaluator: &Evaluator<'_>, quota: &Json, object: &Json) -> bool {
    let spec = quota.field("spec");
    let pods = evaluator.group.is_empty() && evaluator.resource == "pods";
    let claims = evaluator.group.is_empty() && evaluator.resource == "persistentvolumeclaims";
    let within = |scope: &str, operator: &str, values: &[&str]| {
        if pods {
            pod_is_within(object, scope, operator, values)
        } else if claims {
            let class = object.field("spec").text("volumeAttributesClassName");
            scope == "VolumeAttributesClass" && selects(class, operator, values)
        } else {
            false
        }
    };
    let plain = spec.texts("scopes").iter().all(|scope| within(scope, "Exists", &[]));
    let selected = spec.field("scopeSelector").list("matchExpressions").iter();
    plain && { selected }.all(|e| within(e.text("scopeName"), e.text("operator"), &e.texts("values")))
}

fn pod_is_within(pod: &Json, scope: &str, operator: &str, values: &[&str]) -> bool {
    let spec = pod.field("spec");
    let terminating = spec.opt_int("activeDeadlineSeconds").is_some_and(|s| s >= 0);
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => is_best_effort(spec),
        "NotBestEffort" => !is_best_effort(spec),
        "PriorityClass" => selects(spec.text("priorityClassName"), operator, values),
        "CrossNamespacePodAffinity" => crosses_namespaces(spec),
        _ => false,
    }
}

fn selects(value: &str, operator: &str, values: &[&str]) -> bool {
    match operator {
        "Exists" => !value.is_empty(),
        "DoesNotExist" => value.is_empty(),
        "In" => !value.is_empty() && values.contains(&value),
        "NotIn" => value.is_empty() || !values.contains(&value),
        _ => false,
    }
}

/// No container asks for or is limited in cpu or memory.
fn is_best_effort(spec: &Json) -> bool {
    let mut lists = ["containers", "initContainers"].into_iter().flat_map(|l| spec.list(l)).map(|c| c.field("resources"));
    let asks = |resources: &Json| {
        ["requests", "limits"].into_iter().any(|kind| {
            resources.entries(kind).into_iter().any(|(name, amount)| {
                matches!(name, "cpu" | "memory")
                    && crate::admission::pod_resources::quantity(amount).is_some_and(|q| !q.is_zero())
            })
        })
    };
    !lists.any(asks) && !asks(spec.field("resources"))
}

fn crosses_namespaces(spec: &Json) -> bool {
    let affinity = spec.field("affinity");
    ["podAffinity", "podAntiAffinity"].into_iter().map(|a| affinity.field(a)).any(|a| {
        let required = a.list("requiredDuringSchedulingIgnoredDuringExecution").iter();
        let preferred = a.list("preferredDuringSchedulingIgnoredDuringExecution").iter();
        let terms = required.chain(preferred.map(|p| p.field("podAffinityTerm")));
        { terms }.any(|t| !t.list("namespaces").is_empty() || t.has("namespaceSelector"))
    })
}
