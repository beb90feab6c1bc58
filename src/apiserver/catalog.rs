//! Which resources there are: Kubernetes' own from the schema, custom ones from their definitions.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::json;

use crate::api::schema::Schema;
use crate::api::{Json, Key, Object, Resource};
use crate::registry::custom::definitions;
use crate::state::State;

type Index = HashMap<(&'static str, &'static str, &'static str), Arc<Resource>>;

fn built_in() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let entry = |r: &'static Resource| {
            ((r.group.as_str(), r.version.as_str(), r.resource.as_str()), Arc::new(r.clone()))
        };
        Schema::get().resources.iter().map(entry).collect()
    })
}

/// A resource by the parts of its path.
pub fn find(state: &State, group: &str, version: &str, resource: &str) -> Option<Arc<Resource>> {
    if let Some(found) = built_in().get(&(group, version, resource) as &(&str, &str, &str)) {
        return Some(found.clone());
    }
    let key = Key::new(definitions(), "", &format!("{resource}.{group}"));
    let definition = state.get(&key)?;
    custom(definition).into_iter().find(|r| r.version == version).map(Arc::new)
}

/// Whether a group is there at all.
pub fn has_group(state: &State, group: &str) -> bool {
    Schema::get().resources.iter().any(|r| r.group == group)
        || state.all(&definitions()).any(|d| d.str_at("/spec/group") == Some(group))
}

/// All resources, Kubernetes' own first and in its order.
pub fn all(state: &State) -> Vec<Arc<Resource>> {
    let mut found: Vec<Arc<Resource>> = Schema::get()
        .resources
        .iter()
        .filter_map(|r| built_in().get(&(r.group.as_str(), r.version.as_str(), r.resource.as_str())).cloned())
        .collect();
    found.extend(state.all(&definitions()).flat_map(|d| custom(d)).map(Arc::new));
    found
}

/// The resources that a CustomResourceDefinition makes, one for each served version.
fn custom(definition: &Object) -> Vec<Resource> {
    let versions = definition.at("/spec/versions").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let served = versions.iter().filter(|v| v.get("served").and_then(Json::as_bool) == Some(true));
    served.filter_map(|version| custom_version(definition, version)).collect()
}

fn custom_version(definition: &Object, version: &Json) -> Option<Resource> {
    let texts = |at: &str| -> Json { definition.at(at).cloned().unwrap_or_else(|| json!([])) };
    if !is_established(definition) {
        return None;
    }
    let kind = definition.str_at("/spec/names/kind")?;
    let group = definition.str_at("/spec/group")?;
    let name = version.get("name")?.as_str()?;
    let verbs = ["get", "patch", "update"];
    let mut subresources = Vec::new();
    let sub = version.get("subresources");
    if sub.is_some_and(|s| s.get("status").is_some()) {
        subresources.push(json!({"name": "status", "kind": kind, "group": group, "version": name, "verbs": verbs}));
    }
    if let Some(paths) = sub.and_then(|s| s.get("scale")) {
        let mut scale = paths.clone();
        for (name, value) in [("name", "scale"), ("kind", "Scale"), ("group", "autoscaling"), ("version", "v1")] {
            scale[name] = value.into();
        }
        scale["verbs"] = json!(verbs);
        subresources.push(scale);
    }
    let mut columns = vec![json!({"name": "Name", "type": "string", "format": "name"})];
    let printed = version.get("additionalPrinterColumns").and_then(Json::as_array);
    columns.extend(printed.into_iter().flatten().cloned());
    if printed.is_none() {
        columns.push(json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}));
    }
    serde_json::from_value(json!({
        "group": group, "version": name, "resource": definition.str_at("/spec/names/plural")?, "kind": kind,
        "namespaced": definition.str_at("/spec/scope") == Some("Namespaced"),
        "singular": definition.str_at("/spec/names/singular").map_or_else(|| kind.to_lowercase(), str::to_owned),
        "shortNames": texts("/spec/names/shortNames"), "categories": texts("/spec/names/categories"),
        "verbs": ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
        "subresources": subresources, "columns": columns, "custom": true, "selectable": selectable(version),
    }))
    .ok()
}

/// Whether the definition's names have been free: it serves nothing before.
fn is_established(definition: &Object) -> bool {
    let conditions = definition.at("/status/conditions").and_then(Json::as_array);
    let refuses = |c: &Json| c.get("type") == Some(&json!("Established")) && c.get("status") == Some(&json!("False"));
    !conditions.is_some_and(|conditions| conditions.iter().any(refuses))
}

/// The paths of fields that may be selected, without the first dot.
fn selectable(version: &Json) -> Vec<&str> {
    let fields = version.get("selectableFields").and_then(Json::as_array);
    let paths = fields.into_iter().flatten().filter_map(|field| field.get("jsonPath")?.as_str());
    paths.map(|path| path.trim_start_matches('.')).collect()
}

/// A subresource of a resource, as the schema describes it.
pub fn subresource<'a>(resource: &'a Resource, name: &str) -> Option<&'a Json> {
    resource.subresources.iter().find(|s| s.get("name").and_then(Json::as_str) == Some(name))
}
