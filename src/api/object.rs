//! One API object: a JSON tree with named access to what every object has, and a typed view on demand.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::{Gvk, Json, JsonMap, resource::GroupResource, tree};

/// Where an object is kept: resource, namespace (empty for cluster-scoped ones) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub resource: GroupResource,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(resource: GroupResource, namespace: &str, name: &str) -> Self {
        Key { resource, namespace: namespace.into(), name: name.into() }
    }
}

/// An API object. Cheap typed views: the first call to [`Object::typed`] parses, later ones share.
pub struct Object {
    json: Json,
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Clone for Object {
    fn clone(&self) -> Self {
        Object::new(self.json.clone())
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.json.fmt(f)
    }
}

impl Object {
    /// Wraps a tree. The tree should be a JSON object; anything else has no name, no kind, nothing.
    pub fn new(json: Json) -> Self {
        Object { json, typed: OnceLock::new() }
    }

    pub fn json(&self) -> &Json {
        &self.json
    }

    pub fn into_json(self) -> Json {
        self.json
    }

    /// The tree, to change; a cached typed view is forgotten.
    pub fn json_mut(&mut self) -> &mut Json {
        self.typed = OnceLock::new();
        &mut self.json
    }

    /// A view as one of Kubernetes' own types. All callers of one object should ask for the same `T`;
    /// another `T` parses anew each time.
    pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, serde_json::Error> {
        if let Some(view) = self.typed.get().and_then(|v| v.clone().downcast::<T>().ok()) {
            return Ok(view);
        }
        let view: Arc<T> = Arc::new(T::deserialize(&self.json)?);
        let _ = self.typed.set(view.clone());
        Ok(view)
    }

    /// The value at a JSON pointer (`/spec/replicas`).
    pub fn at(&self, pointer: &str) -> Option<&Json> {
        tree::at(&self.json, pointer)
    }

    pub fn str_at(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    pub fn i64_at(&self, pointer: &str) -> Option<i64> {
        self.at(pointer)?.as_i64()
    }

    pub fn gvk(&self) -> Gvk {
        Gvk::of(self.str_at("/apiVersion").unwrap_or(""), self.str_at("/kind").unwrap_or(""))
    }

    pub fn kind(&self) -> &str {
        self.str_at("/kind").unwrap_or("")
    }

    pub fn api_version(&self) -> &str {
        self.str_at("/apiVersion").unwrap_or("")
    }

    pub fn name(&self) -> &str {
        self.str_at("/metadata/name").unwrap_or("")
    }

    pub fn namespace(&self) -> &str {
        self.str_at("/metadata/namespace").unwrap_or("")
    }

    pub fn uid(&self) -> &str {
        self.str_at("/metadata/uid").unwrap_or("")
    }

    pub fn resource_version(&self) -> &str {
        self.str_at("/metadata/resourceVersion").unwrap_or("")
    }

    pub fn generation(&self) -> i64 {
        self.i64_at("/metadata/generation").unwrap_or(0)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.at("/metadata/labels")?.get(key)?.as_str()
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.at("/metadata/annotations")?.get(key)?.as_str()
    }

    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.string_map("/metadata/labels")
    }

    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.string_map("/metadata/annotations")
    }

    fn string_map(&self, pointer: &str) -> impl Iterator<Item = (&str, &str)> {
        let map = self.at(pointer).and_then(Json::as_object);
        map.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
    }

    pub fn creation_timestamp(&self) -> Option<Timestamp> {
        self.str_at("/metadata/creationTimestamp")?.parse().ok()
    }

    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.str_at("/metadata/deletionTimestamp")?.parse().ok()
    }

    pub fn is_deleting(&self) -> bool {
        self.at("/metadata/deletionTimestamp").is_some_and(|t| !t.is_null())
    }

    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        let list = self.at("/metadata/finalizers").and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str)
    }

    pub fn owner_references(&self) -> &[Json] {
        self.at("/metadata/ownerReferences").and_then(Json::as_array).map_or(&[], Vec::as_slice)
    }

    /// The owner reference with `controller: true`.
    pub fn controller_ref(&self) -> Option<&Json> {
        self.owner_references().iter().find(|r| r.get("controller").and_then(Json::as_bool) == Some(true))
    }

    pub fn controller_uid(&self) -> Option<&str> {
        self.controller_ref()?.get("uid")?.as_str()
    }

    /// `metadata`, made where missing.
    pub fn metadata_mut(&mut self) -> &mut JsonMap {
        let json = self.json_mut();
        if !json.is_object() {
            *json = Json::Object(JsonMap::new());
        }
        let metadata = &mut json["metadata"];
        if !metadata.is_object() {
            *metadata = Json::Object(JsonMap::new());
        }
        match metadata {
            Json::Object(map) => map,
            _ => unreachable!("made an object above"),
        }
    }
}

impl From<Json> for Object {
    fn from(json: Json) -> Self {
        Object::new(json)
    }
}
