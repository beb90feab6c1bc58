//! Custom resources: the columns that their definition gives them.
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go.

use super::view::View;
use crate::api::custom::columns::JsonPath;
use crate::api::{Json, Resource};

/// All cells but the name's.
pub(super) fn cells(resource: &Resource, view: &View<'_>) -> Vec<Json> {
    let columns = resource.columns.iter().skip(1);
    columns
        .map(|column| {
            let path = JsonPath::parse(&column.json_path);
            match path.as_ref().and_then(|path| path.first(view.object)) {
                Some(value) => cell(&column.kind, value, view),
                None => Json::Null,
            }
        })
        .collect()
}

fn cell(kind: &str, value: &Json, view: &View<'_>) -> Json {
    match (kind, value) {
        ("integer", Json::Number(number)) => number.as_i64().map_or(Json::Null, Json::from),
        ("number", Json::Number(_)) | ("boolean", Json::Bool(_)) | ("string", Json::String(_)) => value.clone(),
        ("string", value) => value.to_string().into(),
        ("date", Json::String(text)) if text.parse::<jiff::Timestamp>().is_ok() => view.since(text).into(),
        ("date", Json::String(_)) => "<invalid>".into(),
        _ => Json::Null,
    }
}
