//! Whether a patched tree can become an object of its kind, in the words of the converter that the API
//! server uses after a strategic merge patch (they differ from those of its JSON decoder).
//! Source: `fromUnstructured` in k8s.io/apimachinery/pkg/runtime/converter.go.

use crate::api::schema::{Field, Schema, Type};
use crate::api::{Gvk, Json};
use crate::api::go;

/// The first place that does not fit, as the converter words it.
pub fn restore(gvk: &Gvk, tree: &Json) -> Result<(), String> {
    match Schema::get().type_of(gvk) {
        Some(kind) => of_struct(kind, tree),
        None => Ok(()),
    }
}

fn of_struct(kind: &Type, value: &Json) -> Result<(), String> {
    let Some(fields) = &kind.fields else { return Ok(()) };
    match value {
        Json::Null => Ok(()),
        Json::Object(map) => {
            map.iter().try_for_each(|(key, value)| fields.get(key).map_or(Ok(()), |f| of_field(f, value)))
        }
        other => Err(format!("cannot restore struct from: {}", go::kind_name(other))),
    }
}

fn of_field(field: &Field, value: &Json) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    if let Some(name) = &field.reference {
        return match Schema::get().type_named(name) {
            Some(kind) if kind.fields.is_some() => of_struct(kind, value),
            // Quantities, times and the like have readers of their own.
            _ => Ok(()),
        };
    }
    match (field.kind.as_deref(), field.format.as_deref(), value) {
        (Some("array"), _, Json::Array(items)) => {
            items.iter().try_for_each(|i| field.items.as_deref().map_or(Ok(()), |f| of_field(f, i)))
        }
        (Some("array"), _, other) => Err(format!("cannot restore slice from {}", go::kind_name(other))),
        (Some("object"), _, Json::Object(map)) => {
            map.values().try_for_each(|v| field.values.as_deref().map_or(Ok(()), |f| of_field(f, v)))
        }
        (Some("object"), _, other) => Err(format!("cannot restore map from {}", go::kind_name(other))),
        (Some("string"), Some("int-or-string"), _) => Ok(()),
        (Some("string"), Some("byte"), Json::String(_)) => Ok(()),
        (Some("string"), Some("byte"), other) => Err(format!("cannot restore slice from {}", go::kind_name(other))),
        (Some("string"), _, Json::String(_)) | (Some("boolean"), _, Json::Bool(_)) => Ok(()),
        // Go converts integers to texts (as code points), so the converter comes further before it refuses.
        (Some("string"), _, Json::Number(n)) if !n.is_f64() => Err("cannot convert int64 to string".into()),
        (Some("string"), ..) => Err("unrecognized type: string".into()),
        (Some("boolean"), ..) => Err("unrecognized type: bool".into()),
        (Some("integer" | "number"), format, value) => of_number(field, format, value),
        _ => Ok(()),
    }
}

fn of_number(field: &Field, format: Option<&str>, value: &Json) -> Result<(), String> {
    let name = match (field.kind.as_deref(), format) {
        (Some("number"), _) => "float64",
        (_, Some("int64")) => "int64",
        _ => "int32",
    };
    match value {
        Json::Number(n) if n.is_f64() && name != "float64" => {
            let whole = n.as_f64().is_some_and(|f| f.fract() == 0.0);
            if whole { Ok(()) } else { Err(format!("cannot convert float64 to {name}")) }
        }
        Json::Number(_) => Ok(()),
        _ => Err(format!("unrecognized type: {name}")),
    }
}
