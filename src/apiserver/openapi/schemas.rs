//! Types as OpenAPI schemas, with all that they refer to.

use std::collections::BTreeSet;

use serde_json::json;

use crate::api::schema::{Description, Descriptions, Field, Schema, Type};
use crate::api::{Gvk, Json, JsonMap};

/// Which OpenAPI is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

/// The schemas of one document, as they are found to be needed.
pub(super) struct Schemas {
    dialect: Dialect,
    wanted: BTreeSet<String>,
    own: JsonMap,
}

impl Schemas {
    pub fn new(dialect: Dialect) -> Self {
        Schemas { dialect, wanted: BTreeSet::new(), own: JsonMap::new() }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A reference to a type by its OpenAPI name; the document will have it.
    pub fn refer(&mut self, name: &str) -> Json {
        self.wanted.insert(name.to_owned());
        json!({"$ref": self.pointer(name)})
    }

    fn pointer(&self, name: &str) -> String {
        match self.dialect {
            Dialect::V2 => format!("#/definitions/{name}"),
            Dialect::V3 => format!("#/components/schemas/{name}"),
        }
    }

    /// A reference to a kind, where there is a type of it.
    pub fn refer_kind(&mut self, gvk: &Gvk) -> Json {
        let schema = Schema::get();
        match schema.type_name(gvk) {
            Some(name) => self.refer(name),
            // Options of connections have no type here.
            None if schema.resources.iter().any(|r| r.group == gvk.group) => json!({"type": "object"}),
            None => json!({"$ref": self.pointer(&super::custom::type_name(gvk))}),
        }
    }

    /// Puts a schema that is not of the schema data.
    pub fn put(&mut self, name: String, schema: Json) {
        self.own.insert(name, schema);
    }

    /// All schemas that are referred to, by name.
    pub fn finish(mut self) -> JsonMap {
        let texts = Descriptions::read();
        let described = texts.by_type();
        let none = Description::default();
        let mut done = JsonMap::new();
        while let Some(name) = self.wanted.pop_first() {
            if done.contains_key(&name) {
                continue;
            }
            let Some(kind) = Schema::get().type_named(&name) else { continue };
            let schema = self.of_type(kind, described.get(name.as_str()).unwrap_or(&none));
            done.insert(name, schema);
        }
        done.extend(self.own);
        done
    }

    fn of_type(&mut self, kind: &Type, description: &Description<'_>) -> Json {
        let mut schema = JsonMap::new();
        if !description.text.is_empty() {
            schema.insert("description".into(), description.text.into());
        }
        if let Some(sort) = &kind.kind {
            schema.insert("type".into(), sort.as_str().into());
        }
        if let Some(format) = &kind.format {
            schema.insert("format".into(), format.as_str().into());
        }
        if !kind.one_of.is_empty() {
            match self.dialect {
                Dialect::V3 => schema.insert("oneOf".into(), Json::Array(kind.one_of.clone())),
                Dialect::V2 => schema.insert("type".into(), "string".into()),
            };
        }
        if let Some(fields) = &kind.fields {
            schema.insert("type".into(), "object".into());
            let mut properties = JsonMap::new();
            for (name, field) in fields {
                let text = description.fields.get(name.as_str()).copied().unwrap_or_else(|| common(name));
                properties.insert(name.clone(), self.of_field(field, text));
            }
            if !properties.is_empty() {
                schema.insert("properties".into(), Json::Object(properties));
            }
        }
        if !kind.required.is_empty() {
            schema.insert("required".into(), json!(kind.required));
        }
        if let Some(map_type) = &kind.map_type {
            schema.insert("x-kubernetes-map-type".into(), map_type.as_str().into());
        }
        if !kind.unions.is_empty() {
            schema.insert("x-kubernetes-unions".into(), Json::Array(kind.unions.clone()));
        }
        if !kind.group_version_kind.is_empty() {
            let gvks = kind.group_version_kind.iter();
            let gvks = gvks.map(|g| json!({"group": g.group, "version": g.version, "kind": g.kind})).collect();
            schema.insert("x-kubernetes-group-version-kind".into(), gvks);
        }
        Json::Object(schema)
    }

    fn of_field(&mut self, field: &Field, description: &str) -> Json {
        let mut schema = JsonMap::new();
        if !description.is_empty() {
            schema.insert("description".into(), description.into());
        }
        if let Some(default) = &field.default {
            schema.insert("default".into(), default.clone());
        }
        if let Some(name) = &field.reference {
            let reference = self.refer(name);
            // In v3 a reference with anything beside it has to stand in `allOf`.
            if self.dialect == Dialect::V2 || schema.is_empty() {
                schema.extend(reference.as_object().cloned().unwrap_or_default());
            } else {
                schema.insert("allOf".into(), json!([reference]));
            }
        }
        let texts = [("type", &field.kind), ("format", &field.format)];
        let extensions = [
            ("x-kubernetes-list-type", &field.list_type),
            ("x-kubernetes-map-type", &field.map_type),
            ("x-kubernetes-patch-strategy", &field.patch_strategy),
            ("x-kubernetes-patch-merge-key", &field.patch_merge_key),
        ];
        for (key, value) in texts.into_iter().chain(extensions) {
            if let Some(value) = value {
                schema.insert(key.into(), value.as_str().into());
            }
        }
        if let Some(choices) = &field.choices {
            schema.insert("enum".into(), Json::Array(choices.clone()));
        }
        if !field.list_map_keys.is_empty() {
            schema.insert("x-kubernetes-list-map-keys".into(), json!(field.list_map_keys));
        }
        if let Some(items) = &field.items {
            let items = self.of_field(items, "");
            schema.insert("items".into(), items);
        }
        if let Some(values) = &field.values {
            let values = self.of_field(values, "");
            schema.insert("additionalProperties".into(), values);
        }
        Json::Object(schema)
    }
}

/// What fields that every kind has are for, where the kind does not say it.
fn common(field: &str) -> &'static str {
    match field {
        "apiVersion" => "APIVersion defines the versioned schema of this representation of an object. Servers should \
            convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
            https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
        "kind" => "Kind is a string value representing the REST resource this object represents. Servers may infer this \
            from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
            https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
        "metadata" => "Standard object's metadata. More info: \
            https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        _ => "",
    }
}
