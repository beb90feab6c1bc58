//! The schemas of custom resources, as their definitions give them.
//! Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder.

use std::sync::Arc;

use serde_json::json;

use super::schemas::{Dialect, Schemas};
use crate::api::tree::Tree;
use crate::api::{GroupResource, Gvk, Json, JsonMap, Object};
use crate::state::State;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The definitions of one group.
pub(super) fn definitions<'a>(state: &'a State, group: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
    let resource = GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
    let all: Vec<&Arc<Object>> = state.all(&resource).collect();
    all.into_iter().filter(move |definition| definition.str_at("/spec/group") == Some(group))
}

/// The name of a custom kind's type: its group backwards, its version and itself.
pub(super) fn type_name(gvk: &Gvk) -> String {
    let group: Vec<&str> = gvk.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), gvk.version, gvk.kind)
}

/// Adds the kinds of a group and version.
pub(super) fn add(state: &State, group: &str, version: &str, schemas: &mut Schemas) {
    for definition in definitions(state, group) {
        let versions = definition.json().field("spec").list("versions");
        let Some(found) = versions.iter().find(|v| v.text("name") == version && v.flag("served")) else { continue };
        let names = definition.json().field("spec").field("names");
        let gvk = Gvk { group: group.into(), version: version.into(), kind: names.text("kind").into() };
        let list = Gvk { kind: names.text("listKind").into(), ..gvk.clone() };
        let schema = kind(&gvk, found.field("schema").field("openAPIV3Schema"), schemas);
        schemas.put(type_name(&gvk), schema);
        let schema = list_of(&list, &gvk, schemas);
        schemas.put(type_name(&list), schema);
    }
}

fn marked(mut schema: JsonMap, gvk: &Gvk) -> Json {
    let gvks = json!([{"group": gvk.group, "version": gvk.version, "kind": gvk.kind}]);
    schema.insert("x-kubernetes-group-version-kind".into(), gvks);
    Json::Object(schema)
}

fn kind(gvk: &Gvk, schema: &Json, schemas: &mut Schemas) -> Json {
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    schema.insert("type".into(), "object".into());
    if schemas.dialect() == Dialect::V2 {
        reduce(&mut schema);
    }
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("apiVersion".into(), json!({"type": "string"}));
        properties.insert("kind".into(), json!({"type": "string"}));
        properties.insert("metadata".into(), schemas.refer(OBJECT_META));
    }
    marked(schema, gvk)
}

/// What v2 does not know goes, as Kubernetes does it there, too.
fn reduce(schema: &mut JsonMap) {
    for word in ["oneOf", "anyOf", "allOf", "not", "nullable"] {
        schema.remove(word);
    }
    for (word, value) in schema.iter_mut() {
        match (word.as_str(), value) {
            ("properties", Json::Object(properties)) => {
                properties.values_mut().filter_map(Json::as_object_mut).for_each(reduce);
            }
            ("items" | "additionalProperties", Json::Object(inner)) => reduce(inner),
            _ => {}
        }
    }
}

fn list_of(list: &Gvk, item: &Gvk, schemas: &mut Schemas) -> Json {
    let properties = json!({
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": schemas.refer(LIST_META),
        "items": {"type": "array", "items": schemas.refer_kind(item)},
    });
    let mut schema = JsonMap::new();
    schema.insert("type".into(), "object".into());
    schema.insert("required".into(), json!(["items"]));
    schema.insert("properties".into(), properties);
    marked(schema, list)
}
