//! Where the controllers' objects are kept, and short ways to their fields.

use std::sync::{Arc, LazyLock};

use crate::api::{GroupResource, Json, Key, Object, Status};
use crate::state::Change;

macro_rules! resources {
    ($($name:ident = $group:literal $resource:literal;)*) => {
        $(pub(super) static $name: LazyLock<GroupResource> = LazyLock::new(|| GroupResource::new($group, $resource));)*
    };
}

resources! {
    PODS = "" "pods";
    REPLICATION_CONTROLLERS = "" "replicationcontrollers";
    REPLICA_SETS = "apps" "replicasets";
    DEPLOYMENTS = "apps" "deployments";
    STATEFUL_SETS = "apps" "statefulsets";
    DAEMON_SETS = "apps" "daemonsets";
    CONTROLLER_REVISIONS = "apps" "controllerrevisions";
    CLAIMS = "" "persistentvolumeclaims";
    VOLUMES = "" "persistentvolumes";
    NODES = "" "nodes";
    NAMESPACES = "" "namespaces";
    BUDGETS = "policy" "poddisruptionbudgets";
    CONFIG_MAPS = "" "configmaps";
    SECRETS = "" "secrets";
    SERVICES = "" "services";
    ENDPOINTS = "" "endpoints";
    ENDPOINT_SLICES = "discovery.k8s.io" "endpointslices";
    JOBS = "batch" "jobs";
    CRON_JOBS = "batch" "cronjobs";
}

/// The key of an object of a namespaced resource.
pub(super) fn key_of(resource: &GroupResource, object: &Object) -> Key {
    Key::new(resource.clone(), object.namespace(), object.name())
}

/// The value at a path of fields; `Null` where there is none.
pub(super) fn dig<'a>(tree: &'a Json, path: &[&str]) -> &'a Json {
    path.iter().fold(tree, |at, field| at.get(field).unwrap_or(&Json::Null))
}

/// The whole number at a path of fields, 0 where there is none.
pub(super) fn int(object: &Object, path: &[&str]) -> i64 {
    dig(object.json(), path).as_i64().unwrap_or(0)
}

/// The text at a path of fields, empty where there is none.
pub(super) fn text<'a>(object: &'a Object, path: &[&str]) -> &'a str {
    dig(object.json(), path).as_str().unwrap_or("")
}

/// The objects a change is about: as it was and as it is.
pub(super) fn sides(change: &Change) -> impl Iterator<Item = &Arc<Object>> {
    change.before.iter().chain(&change.after)
}

/// Drops the fields that Go's `omitempty` would: nulls, zeros, empty lists and maps, at the top level.
pub(super) fn without_zeros(status: &Json) -> Json {
    let fields = status.as_object().into_iter().flatten();
    let kept = fields.filter(|(_, value)| match value {
        Json::Null => false,
        Json::Bool(b) => *b,
        Json::Number(n) => n.as_i64() != Some(0),
        Json::String(s) => !s.is_empty(),
        Json::Array(list) => !list.is_empty(),
        Json::Object(map) => !map.is_empty(),
    });
    Json::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// Whether a write was refused because its namespace is going away.
pub(super) fn is_terminating_namespace(why: &Status) -> bool {
    let causes = why.details.as_ref().map(|d| dig(d, &["causes"]));
    causes.and_then(Json::as_array).into_iter().flatten().any(|c| dig(c, &["reason"]) == "NamespaceTerminating")
}
