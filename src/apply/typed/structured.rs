//! Trees as Go's structs would show them: fields without `omitempty` stand there even when nothing set them.
//! Whether a list stands there as null or not at all decides whether who fills it owns it (`f:x: {".": {}}`).

use crate::api::schema::{Field, Schema, Type};
use crate::api::{Gvk, Json, JsonMap};
use crate::apply::fields::FieldSet;

/// Fields of a struct type, not a pointer, whatever type they are in: Go writes them as `{}`.
/// Facts from the default values in k8s.io/client-go/applyconfigurations/internal/internal.go.
const STRUCT_FIELDS: &[&str] = &["metadata", "spec", "status"];

/// More of them, by the type they are in.
const STRUCT_FIELDS_OF: &[(&str, &[&str])] = &[
    ("DaemonSetSpec", &["template", "updateStrategy"]),
    ("DeploymentSpec", &["template", "strategy"]),
    ("ReplicaSetSpec", &["template"]),
    ("StatefulSetSpec", &["template", "updateStrategy"]),
    ("JobSpec", &["template"]),
    ("PodTemplate", &["template"]),
    ("CronJobSpec", &["jobTemplate"]),
    ("HorizontalPodAutoscalerSpec", &["scaleTargetRef"]),
    ("ContainerResourceMetricSource", &["target"]),
    ("ExternalMetricSource", &["target", "metric"]),
    ("ObjectMetricSource", &["target", "metric", "describedObject"]),
    ("PodsMetricSource", &["target", "metric"]),
    ("ResourceMetricSource", &["target"]),
    ("ContainerResourceMetricStatus", &["current"]),
    ("ExternalMetricStatus", &["current", "metric"]),
    ("ObjectMetricStatus", &["current", "metric", "describedObject"]),
    ("PodsMetricStatus", &["current", "metric"]),
    ("ResourceMetricStatus", &["current"]),
    ("Container", &["resources"]),
    ("EphemeralContainer", &["resources"]),
    ("PersistentVolumeClaimSpec", &["resources"]),
    ("ContainerStatus", &["lastState", "state"]),
    ("Event", &["involvedObject", "source", "deprecatedSource", "regarding"]),
    ("VolumeAttachmentSpec", &["source"]),
    ("NodeDaemonEndpoints", &["kubeletEndpoint"]),
    ("NodeStatus", &["daemonEndpoints", "nodeInfo"]),
    ("PreferredSchedulingTerm", &["preference"]),
    ("ServiceStatus", &["loadBalancer"]),
    ("IngressStatus", &["loadBalancer"]),
    ("WeightedPodAffinityTerm", &["podAffinityTerm"]),
    ("Endpoint", &["conditions"]),
    ("HTTPIngressPath", &["backend"]),
    ("IngressServiceBackend", &["port"]),
    ("NetworkPolicySpec", &["podSelector"]),
    ("RoleBinding", &["roleRef"]),
    ("ClusterRoleBinding", &["roleRef"]),
];

fn is_struct(type_name: &str, field: &str) -> bool {
    let short = type_name.rsplit('.').next().unwrap_or(type_name);
    let of_kind = STRUCT_FIELDS.contains(&field) && !POINTERS.contains(&(short, field));
    of_kind || STRUCT_FIELDS_OF.iter().any(|(name, fields)| *name == short && fields.contains(&field))
}

/// Fields of these names that are pointers or scalars after all.
const POINTERS: &[(&str, &str)] = &[("CustomResourceDefinition", "status")];

/// The tree with what Go's structs of this kind always show. Idempotent.
pub fn structured(gvk: &Gvk, mut tree: Json) -> Json {
    let schema = Schema::get();
    if let Some((name, kind)) = schema.type_name(gvk).and_then(|n| schema.types.get_key_value(n)) {
        complete(name, kind, &mut tree);
    }
    tree
}

fn complete(name: &str, kind: &Type, value: &mut Json) {
    let (Some(fields), Json::Object(map)) = (&kind.fields, value) else { return };
    for (field_name, field) in fields {
        if !map.contains_key(field_name)
            && let Some(zero) = zero(name, field_name, field, kind)
        {
            map.insert(field_name.clone(), zero);
        }
        if let Some(child) = map.get_mut(field_name) {
            complete_field(field, child);
        }
    }
}

fn complete_field(field: &Field, value: &mut Json) {
    if let Some((name, kind)) = field.reference.as_ref().and_then(|r| Schema::get().types.get_key_value(r)) {
        return complete(name, kind, value);
    }
    match value {
        Json::Array(items) => {
            if let Some(item) = &field.items {
                items.iter_mut().for_each(|i| complete_field(item, i));
            }
        }
        Json::Object(entries) => {
            if let Some(item) = &field.values {
                entries.values_mut().for_each(|v| complete_field(item, v));
            }
        }
        _ => {}
    }
}

fn zero(type_name: &str, field_name: &str, field: &Field, kind: &Type) -> Option<Json> {
    if is_struct(type_name, field_name) && field.reference.is_some() {
        return Some(Json::Object(JsonMap::new()));
    }
    if !kind.required.iter().any(|r| r == field_name) {
        return None;
    }
    Some(field.default.clone().unwrap_or(Json::Null))
}

/// The fields that a write to this place resets, so that nobody comes to own them by it.
/// Source: `GetResetFields` of the strategies in k8s.io/kubernetes/pkg/registry.
pub fn reset(gvk: &Gvk, subresource: &str) -> FieldSet {
    let has_status = || {
        let schema = Schema::get();
        schema.type_of(gvk).is_none_or(|t| t.fields.as_ref().is_some_and(|f| f.contains_key("status")))
    };
    let paths: &[&str] = match (subresource, gvk.kind.as_str()) {
        ("", "Binding" | "Status" | "Scale") => &[],
        ("", _) if has_status() => &["status"],
        ("status", "Deployment") => &["spec", "metadata.labels"],
        ("status", "Pod") => &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ("status", _) => &["spec"],
        ("ephemeralcontainers" | "resize", "Pod") => &["status"],
        _ => &[],
    };
    FieldSet::of_fields(paths)
}

/// The same of custom resources (…/registry/customresource/{strategy,status_strategy}.go).
pub fn reset_of_custom(subresource: &str, has_status: bool) -> FieldSet {
    FieldSet::of_fields(match subresource {
        "" if has_status => &["status"],
        "status" => &["metadata", "spec"],
        _ => &[],
    })
}
