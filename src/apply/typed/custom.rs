//! Types of custom resources, made from the schemas of their definitions.
//! Source: k8s.io/kube-openapi/pkg/schemaconv/openapi.go, …/apiextensions-apiserver/pkg/controller/openapi/builder.

use std::collections::BTreeMap;

use super::atom::{ANY_SCALAR, TypeRef};
use crate::api::Json;
use crate::api::schema::{Field, Type};
use crate::api::tree::Tree;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The types that a custom kind has in its versions.
#[derive(Debug, Default)]
pub struct CustomTypes {
    /// By `apiVersion`.
    types: BTreeMap<String, Version>,
}

#[derive(Debug)]
struct Version {
    kind: Type,
    has_status: bool,
}

impl CustomTypes {
    /// Of a definition. Versions without a schema have none.
    pub fn of(definition: &Json) -> Self {
        let spec = definition.field("spec");
        let version = |version: &Json| {
            let schema = version.field("schema").field("openAPIV3Schema");
            let has_status = version.field("subresources").has("status");
            let name = format!("{}/{}", spec.text("group"), version.text("name"));
            schema.is_object().then(|| (name, Version { kind: kind(schema), has_status }))
        };
        CustomTypes { types: spec.list("versions").iter().filter_map(version).collect() }
    }

    /// The type at an `apiVersion`; deduced where there is no schema.
    pub fn at(&self, api_version: &str) -> TypeRef<'_> {
        match self.types.get_key_value(api_version) {
            Some((name, version)) => TypeRef::Named(name, &version.kind),
            None => TypeRef::Deduced,
        }
    }

    /// Whether the status is written apart from the rest.
    pub fn has_status(&self, api_version: &str) -> bool {
        self.types.get(api_version).is_some_and(|version| version.has_status)
    }
}

fn kind(schema: &Json) -> Type {
    let mut field = field(schema, false);
    let fields = field.fields.get_or_insert_default();
    own_fields(fields);
    Type { fields: field.fields, open: field.open, map_type: field.map_type, ..Type::default() }
}

/// What every object has.
fn own_fields(fields: &mut BTreeMap<String, Field>) {
    for name in ["apiVersion", "kind"] {
        fields.insert(name.into(), Field { kind: Some("string".into()), ..Field::default() });
    }
    fields.insert("metadata".into(), Field { reference: Some(OBJECT_META.into()), ..Field::default() });
}

/// One place of a schema. `open`: a place around it keeps what it does not know.
fn field(schema: &Json, open: bool) -> Field {
    let open = open || schema.flag("x-kubernetes-preserve-unknown-fields");
    let inner = |name: &str| schema.field(name).is_object().then(|| Box::new(field(schema.field(name), open)));
    let properties = schema.entries("properties");
    let mut fields: BTreeMap<String, Field> =
        properties.iter().map(|(name, property)| ((*name).to_owned(), field(property, open))).collect();
    if schema.flag("x-kubernetes-embedded-resource") {
        own_fields(&mut fields);
    }
    let keys = schema.texts("x-kubernetes-list-map-keys");
    let text = |name: &str| schema.opt_text(name).map(str::to_owned);
    Field {
        kind: sort(schema),
        default: Some(schema.field("default").clone()).filter(|default| !default.is_null()),
        items: inner("items"),
        values: inner("additionalProperties"),
        list_type: text("x-kubernetes-list-type"),
        list_map_keys: keys.into_iter().map(str::to_owned).collect(),
        map_type: text("x-kubernetes-map-type"),
        open: open || *schema.field("additionalProperties") == Json::Bool(true),
        fields: Some(fields).filter(|fields| !fields.is_empty()),
        ..Field::default()
    }
}

/// Texts of a format may be any scalars, but for bytes.
fn sort(schema: &Json) -> Option<String> {
    let kind = schema.opt_text("type").filter(|kind| !kind.is_empty())?;
    let known = kind != "string" || matches!(schema.text("format"), "" | "byte");
    Some(if known { kind.to_owned() } else { ANY_SCALAR.to_owned() })
}
