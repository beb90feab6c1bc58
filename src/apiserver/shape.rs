//! Objects and lists as a client wants them: whole, metadata only, or as a Table.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::json;

use super::negotiate::As;
use super::table;
use crate::api::{Json, Object, Resource, Status};
use crate::registry::conversion;

/// What of each object a Table carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// Reads `includeObject`.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text.unwrap_or("") {
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            "None" => Ok(Include::None),
            other => {
                let value = crate::api::status::quote(other);
                Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: {value}: \
                     must be 'Metadata', 'Object', 'None', or empty"
                )))
            }
        }
    }
}

/// How one resource's objects are shown to one client.
#[derive(Clone)]
pub(crate) struct Shape {
    pub resource: Arc<Resource>,
    pub what: As,
    pub include: Include,
    pub now: Timestamp,
}

/// An item of a list: the object without its kind and apiVersion.
struct Item<'a>(&'a Json);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(map) = self.0.as_object() else { return self.0.serialize(serializer) };
        let mut out = serializer.serialize_map(None)?;
        for (key, value) in map.iter().filter(|(key, _)| *key != "kind" && *key != "apiVersion") {
            out.serialize_entry(key, value)?;
        }
        out.end()
    }
}

/// A list, written from the kept trees without copying them.
pub(crate) struct List<'a> {
    pub shape: &'a Shape,
    pub metadata: Json,
    pub objects: &'a [&'a Arc<Object>],
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        let resource = &self.shape.resource;
        match &self.shape.what {
            As::Table(version) => {
                out.serialize_entry("kind", "Table")?;
                out.serialize_entry("apiVersion", &format!("meta.k8s.io/{version}"))?;
                out.serialize_entry("metadata", &self.metadata)?;
                out.serialize_entry("columnDefinitions", &table::columns(resource))?;
                if self.objects.is_empty() && table::is_plain(resource) {
                    out.serialize_entry("rows", &Json::Null)?;
                } else {
                    out.serialize_entry("rows", &Rows(self))?;
                }
            }
            As::Metadata { version, .. } => {
                out.serialize_entry("kind", "PartialObjectMetadataList")?;
                out.serialize_entry("apiVersion", &format!("meta.k8s.io/{version}"))?;
                out.serialize_entry("metadata", &self.metadata)?;
                let items: Option<Vec<Json>> = (!self.objects.is_empty())
                    .then(|| self.objects.iter().map(|object| partial(object, version)).collect());
                out.serialize_entry("items", &items)?;
            }
            As::Object | As::Discovery => {
                out.serialize_entry("kind", &format!("{}List", resource.kind))?;
                out.serialize_entry("apiVersion", &resource.api_version())?;
                out.serialize_entry("metadata", &self.metadata)?;
                out.serialize_entry("items", &Items(self))?;
            }
        }
        out.end()
    }
}

struct Items<'a, 'b>(&'a List<'b>);

impl Serialize for Items<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(self.0.objects.len()))?;
        for object in self.0.objects {
            out.serialize_element(&Item(&conversion::shown(&self.0.shape.resource, object.json())))?;
        }
        out.end()
    }
}

struct Rows<'a, 'b>(&'a List<'b>);

impl Serialize for Rows<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(self.0.objects.len()))?;
        let version = match &self.0.shape.what {
            As::Table(version) => version.as_str(),
            _ => "v1",
        };
        for object in self.0.objects {
            out.serialize_element(&row(self.0.shape, object, version))?;
        }
        out.end()
    }
}

fn row(shape: &Shape, object: &Object, version: &str) -> Json {
    let shown = conversion::shown(&shape.resource, object.json());
    // Printers see the form that is kept, whatever version was asked for; columns of custom resources are their version's.
    let printed = if shape.resource.custom { &shown } else { object.json() };
    let mut row = table::row(&shape.resource, printed, shape.now);
    row["object"] = match shape.include {
        Include::None => Json::Null,
        Include::Metadata => partial(object, version),
        Include::Object => shown.into_owned(),
    };
    row
}

fn partial(object: &Object, version: &str) -> Json {
    let mut metadata = object.at("/metadata").cloned().unwrap_or_else(|| json!({}));
    without_fields_of_old(&mut metadata);
    json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata})
}

/// Annotations that stand for fields of the kind inside a kube-apiserver and so are no metadata there.
/// Source: pkg/apis/apps/v1/conversion.go.
const FIELDS_OF_OLD: &[&str] = &["deprecated.daemonset.template.generation", "deprecated.deployment.rollback.revision"];

fn without_fields_of_old(metadata: &mut Json) {
    let Some(annotations) = metadata.get_mut("annotations").and_then(Json::as_object_mut) else { return };
    annotations.retain(|name, _| !FIELDS_OF_OLD.contains(&name.as_str()));
    if annotations.is_empty()
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.remove("annotations");
    }
}

impl Shape {
    /// One object; as a Table with its column definitions or, later in a watch, without.
    pub(crate) fn object<'a>(&self, object: &'a Object, with_columns: bool) -> Cow<'a, Json> {
        match &self.what {
            As::Object | As::Discovery => conversion::shown(&self.resource, object.json()),
            As::Metadata { version, .. } => Cow::Owned(partial(object, version)),
            As::Table(version) => {
                let version_of_object = object.resource_version();
                let columns = if with_columns { json!(table::columns(&self.resource)) } else { Json::Null };
                Cow::Owned(json!({
                    "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": {"resourceVersion": version_of_object},
                    "columnDefinitions": columns, "rows": [row(self, object, version)],
                }))
            }
        }
    }
}
