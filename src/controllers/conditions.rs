//! Lists of conditions in a status, and times as they are written there.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::resources::dig;
use crate::api::{Json, Object};

/// A time as the API writes it: whole seconds.
pub(super) fn stamp(at: Timestamp) -> Json {
    json!(whole(at).to_string())
}

/// The time cut to whole seconds, as `metav1.Time` is kept.
pub(super) fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A time some seconds later; the end of time where that overflows.
pub(super) fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Parses a time of a status or of metadata.
pub(super) fn time(value: &Json) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The conditions of an object's status.
pub(super) fn list(object: &Object) -> Vec<Json> {
    dig(object.json(), &["status", "conditions"]).as_array().cloned().unwrap_or_default()
}

/// The condition of a type.
pub(super) fn get<'a>(conditions: &'a [Json], kind: &str) -> Option<&'a Json> {
    conditions.iter().find(|c| dig(c, &["type"]) == kind)
}

/// A text field of a condition.
pub(super) fn field<'a>(condition: Option<&'a Json>, name: &str) -> &'a str {
    condition.and_then(|c| c.get(name)).and_then(Json::as_str).unwrap_or("")
}

pub(super) fn remove(conditions: &mut Vec<Json>, kind: &str) {
    conditions.retain(|c| dig(c, &["type"]) != kind);
}

/// A new condition that became so just now.
pub(super) fn new(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Json {
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": stamp(now)});
    if !reason.is_empty() {
        condition["reason"] = json!(reason);
    }
    if !message.is_empty() {
        condition["message"] = json!(message);
    }
    condition
}

/// Replaces the condition of the same type by moving it to the end; nothing happens while status and
/// reason stay. The transition time stays while the status does.
/// Source: pkg/controller/deployment/util/deployment_util.go (SetDeploymentCondition).
pub(super) fn set_last(conditions: &mut Vec<Json>, mut condition: Json) {
    let kind = field(Some(&condition), "type").to_owned();
    if let Some(current) = get(conditions, &kind) {
        if current["status"] == condition["status"] && current.get("reason") == condition.get("reason") {
            return;
        }
        if current["status"] == condition["status"] {
            condition["lastTransitionTime"] = current["lastTransitionTime"].clone();
        }
    }
    remove(conditions, &kind);
    conditions.push(condition);
}
