//! The types, fields and resources of Kubernetes 1.36 as data, read once from the embedded schema.

mod descriptions;
mod path;

pub use descriptions::{Description, Descriptions};

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use serde::Deserialize;

use super::{Json, Resource, resource::Gvk};

/// Everything the schema file holds.
#[derive(Debug, Deserialize)]
pub struct Schema {
    pub version: String,
    /// By OpenAPI name: `io.k8s.api.core.v1.Container`.
    pub types: HashMap<String, Type>,
    pub resources: Vec<Resource>,
    #[serde(skip)]
    by_gvk: HashMap<Gvk, String>,
}

/// A named type: a struct with fields, or a scalar of its own (Quantity, Time, IntOrString).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Type {
    #[serde(default)]
    pub required: Vec<String>,
    pub fields: Option<BTreeMap<String, Field>>,
    #[serde(default)]
    pub group_version_kind: Vec<GroupVersionKind>,
    pub map_type: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub format: Option<String>,
    #[serde(default, rename = "oneOf")]
    pub one_of: Vec<Json>,
    #[serde(default)]
    pub unions: Vec<Json>,
    /// Of a custom resource that may have other fields besides.
    #[serde(skip)]
    pub open: bool,
}

#[derive(Debug, Deserialize)]
pub struct GroupVersionKind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

/// A field of a type, an item of a list or a value of a map.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub struct Field {
    /// `string`, `integer`, `number`, `boolean`, `array`, `object`; absent where `ref` is given.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Name of the type it is of.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub format: Option<String>,
    pub default: Option<Json>,
    #[serde(rename = "enum")]
    pub choices: Option<Vec<Json>>,
    /// Of a list.
    pub items: Option<Box<Field>>,
    /// Of a map.
    pub values: Option<Box<Field>>,
    /// `atomic`, `set` or `map`.
    pub list_type: Option<String>,
    #[serde(default)]
    pub list_map_keys: Vec<String>,
    /// `atomic` or `granular`.
    pub map_type: Option<String>,
    pub patch_strategy: Option<String>,
    pub patch_merge_key: Option<String>,
    /// Of a map in a custom resource; in Kubernetes' own schema only named types have fields.
    #[serde(skip)]
    pub fields: Option<BTreeMap<String, Field>>,
    /// Of such a map: it may have others besides.
    #[serde(skip)]
    pub open: bool,
}

impl Schema {
    /// The embedded schema, parsed at the first call.
    pub fn get() -> &'static Schema {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| {
            let text = include_str!("kubernetes-1.36.json");
            let mut schema: Schema = serde_json::from_str(text).expect("the embedded schema is valid");
            for (name, kind) in &schema.types {
                for gvk in &kind.group_version_kind {
                    let gvk = Gvk { group: gvk.group.clone(), version: gvk.version.clone(), kind: gvk.kind.clone() };
                    schema.by_gvk.insert(gvk, name.clone());
                }
            }
            schema
        })
    }

    pub fn type_named(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// The OpenAPI name of a kind's type.
    pub fn type_name(&self, gvk: &Gvk) -> Option<&str> {
        self.by_gvk.get(gvk).map(String::as_str)
    }

    pub fn type_of(&self, gvk: &Gvk) -> Option<&Type> {
        self.type_named(self.type_name(gvk)?)
    }

    /// The resource of a kind.
    pub fn resource_of(&self, gvk: &Gvk) -> Option<&Resource> {
        self.resources.iter().find(|r| r.kind == gvk.kind && r.group == gvk.group && r.version == gvk.version)
    }

    pub fn resource(&self, group: &str, version: &str, resource: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.resource == resource && r.group == group && r.version == version)
    }
}
