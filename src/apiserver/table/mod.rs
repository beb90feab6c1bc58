//! Objects as rows, as `kubectl get` prints them.
//! Source: pkg/printers/internalversion/printers.go.

use jiff::Timestamp;
use serde_json::json;

use crate::api::{Json, Resource, resource::Column};

/// The column definitions of a resource's Table.
pub(crate) fn columns(resource: &Resource) -> Vec<Json> {
    if resource.columns.is_empty() {
        return vec![column("Name", "string", "name", 0), column("Created At", "date", "", 0)];
    }
    let show = |c: &Column| column(&c.name, &c.kind, &c.format, c.priority);
    resource.columns.iter().map(show).collect()
}

fn column(name: &str, kind: &str, format: &str, priority: i64) -> Json {
    json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
}

/// A row: its cells, and the conditions that printers may note.
pub(crate) fn row(resource: &Resource, object: &Json, now: Timestamp) -> Json {
    let _ = (resource, now);
    json!({"cells": [object.pointer("/metadata/name")]})
}
