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
            scope == "VolumeAttributesClass" && claim_is_within(object, operator, values)
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

/// Whether a class of attributes that the claim asks for, has, or is on its way to is one that is meant.
/// Source: `getReferencedVolumeAttributesClassNames` in pkg/quota/v1/evaluator/core/persistent_volume_claims.go.
fn claim_is_within(claim: &Json, operator: &str, values: &[&str]) -> bool {
    let status = claim.field("status");
    let classes = [
        claim.field("spec").text("volumeAttributesClassName"),
        status.text("currentVolumeAttributesClassName"),
        status.field("modifyVolumeStatus").text("targetVolumeAttributesClassName"),
    ];
    let mut named = classes.into_iter().filter(|class| !class.is_empty()).peekable();
    if named.peek().is_none() {
        return selects("", operator, values);
    }
    named.any(|class| selects(class, operator, values))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_counts_for_the_classes_that_it_has_and_wants() {
        let claim = json!({"spec": {"volumeAttributesClassName": "gold"}, "status": {"currentVolumeAttributesClassName": "silver"}});
        for class in ["gold", "silver"] {
            assert!(claim_is_within(&claim, "In", &[class]), "{class}");
        }
        assert!(!claim_is_within(&claim, "In", &["bronze"]));
        assert!(!claim_is_within(&json!({}), "Exists", &[]));
        assert!(claim_is_within(&json!({}), "DoesNotExist", &[]));
    }
}
