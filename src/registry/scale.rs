//! The subresource `scale` of workloads, as `autoscaling/v1` Scale.
//! Source: pkg/registry/apps/*/storage/storage.go: ScaleREST.

use serde_json::json;

use crate::api::resource::Column;
use crate::api::{Json, Object, Resource, Status};

/// What Scales would be called if they were a resource of their own.
pub const SCALES: &str = "scales";

/// Where an object has the parts of its Scale, as JSON pointers.
struct Paths {
    wanted: String,
    present: String,
    /// Of a selector in one line.
    selector: Option<String>,
}

impl Paths {
    fn of(resource: &Resource) -> Self {
        let scale = resource.subresources.iter().find(|s| s.get("name").and_then(Json::as_str) == Some("scale"));
        // A custom resource's definition says it: `.spec.replicas`.
        let said = |name: &str| Some(scale?.get(name)?.as_str()?.replace('.', "/"));
        Paths {
            wanted: said("specReplicasPath").unwrap_or_else(|| "/spec/replicas".into()),
            present: said("statusReplicasPath").unwrap_or_else(|| "/status/replicas".into()),
            selector: said("labelSelectorPath").filter(|path| !path.is_empty()),
        }
    }
}

/// Writes how many there should be.
pub(crate) fn set_replicas(resource: &Resource, object: &mut Object, replicas: i64) {
    let path = Paths::of(resource).wanted;
    let mut at = object.json_mut();
    for step in path.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[step];
    }
    *at = replicas.into();
}

/// Scale as a kind that is shown, with its columns (pkg/printers/internalversion/printers.go: AddHandlers, printScale).
pub fn shown() -> Resource {
    let column = |name: &str, kind: &str, format: &str| Column {
        name: name.into(),
        kind: kind.into(),
        format: format.into(),
        priority: 0,
        json_path: String::new(),
    };
    Resource {
        group: "autoscaling".into(),
        version: "v1".into(),
        resource: SCALES.into(),
        kind: "Scale".into(),
        namespaced: true,
        singular: "scale".into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        verbs: Vec::new(),
        subresources: Vec::new(),
        columns: vec![
            column("Name", "string", "name"),
            column("Desired", "integer", ""),
            column("Available", "integer", ""),
            column("Age", "string", ""),
        ],
        custom: false,
        selectable: Vec::new(),
    }
}

/// An object's Scale.
pub fn of(resource: &Resource, object: &Object) -> Result<Json, Status> {
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.at(&format!("/metadata/{field}")) {
            metadata.insert(field.into(), value.clone());
        }
    }
    let mut spec = serde_json::Map::new();
    let paths = Paths::of(resource);
    let wanted = object.i64_at(&paths.wanted);
    if resource.custom && wanted.is_none() {
        let path = crate::api::status::quote(&paths.wanted.replace('/', "."));
        return Err(Status::internal(format!("the spec replicas field {path} does not exist")));
    }
    if let Some(replicas) = wanted.filter(|n| *n != 0) {
        spec.insert("replicas".into(), replicas.into());
    }
    let mut status = json!({"replicas": object.i64_at(&paths.present).unwrap_or(0)});
    let selector = match &paths.selector {
        Some(path) => object.str_at(path).unwrap_or("").to_owned(),
        None if resource.custom => String::new(),
        None => selector_text(object),
    };
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    Ok(json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status,
    }))
}

/// The selector in one line (metav1.LabelSelectorAsSelector, labels.Selector.String).
fn selector_text(object: &Object) -> String {
    let Some(selector) = object.at("/spec/selector").and_then(Json::as_object) else { return String::new() };
    let old_style = object.kind() == "ReplicationController";
    let labels = if old_style { Some(selector) } else { selector.get("matchLabels").and_then(Json::as_object) };
    let mut parts: Vec<(String, String)> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), format!("{key}={}", value.as_str().unwrap_or(""))))
        .collect();
    let expressions = selector.get("matchExpressions").and_then(Json::as_array).filter(|_| !old_style);
    parts.extend(expressions.into_iter().flatten().filter_map(expression));
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

fn expression(tree: &Json) -> Option<(String, String)> {
    let key = tree.get("key")?.as_str()?;
    let mut values: Vec<&str> =
        tree.get("values").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    values.sort_unstable();
    let values = values.join(",");
    let text = match tree.get("operator")?.as_str()? {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        _ => return None,
    };
    Some((key.to_owned(), text))
}
