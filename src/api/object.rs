//! One API object: a JSON tree with named access to what every object has, and a typed view on demand.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::digest::PodDigest;
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

/// Deeper trees stay trees: reading a text stops at 128 levels. Source: serde_json's recursion limit.
const MOST_LEVELS: usize = 120;

/// Whether the text of a tree gives exactly that tree again: fractions may come back a little off.
fn reads_back(tree: &Json, levels: usize) -> bool {
    match tree {
        Json::Null | Json::Bool(_) | Json::String(_) => true,
        Json::Number(number) => !number.is_f64(),
        Json::Array(items) => levels > 0 && items.iter().all(|item| reads_back(item, levels - 1)),
        Json::Object(fields) => levels > 0 && fields.values().all(|value| reads_back(value, levels - 1)),
    }
}

/// An API object. Cheap typed views: the first call to [`Object::typed`] parses, later ones share.
///
/// One that nobody reads for a while is kept as text ([`Object::packed`]), a tenth of the tree's size; who asks for the tree gets it
/// all the same.
pub struct Object {
    /// Empty until somebody asks, where there is a text.
    tree: OnceLock<Json>,
    text: Option<Box<str>>,
    /// Whether somebody has asked since the last try to pack it.
    is_read: AtomicBool,
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
    digest: OnceLock<Box<PodDigest>>,
}

impl Clone for Object {
    fn clone(&self) -> Self {
        Object::new(self.json().clone())
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.json().fmt(f)
    }
}

impl Object {
    /// Wraps a tree. The tree should be a JSON object; anything else has no name, no kind, nothing.
    pub fn new(json: Json) -> Self {
        Object {
            tree: OnceLock::from(json),
            text: None,
            is_read: AtomicBool::new(true),
            typed: OnceLock::new(),
            digest: OnceLock::new(),
        }
    }

    pub fn json(&self) -> &Json {
        if !self.is_read.load(Ordering::Relaxed) {
            self.is_read.store(true, Ordering::Relaxed);
        }
        self.tree.get_or_init(|| self.unpacked())
    }

    /// Whether the tree is in memory.
    pub fn is_tree(&self) -> bool {
        self.tree.get().is_some()
    }

    /// The tree of the text, which was written from one.
    fn unpacked(&self) -> Json {
        self.text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The same object as text, if it has a tree and nobody has read that since the last call; the digest stays at hand.
    pub fn packed(&self) -> Option<Object> {
        if !self.is_tree() || self.is_read.swap(false, Ordering::Relaxed) {
            return None;
        }
        self.as_text()
    }

    /// The same object as text, if it has a tree now: for who only keeps it.
    pub fn as_text(&self) -> Option<Object> {
        let tree = self.tree.get()?;
        let written = || serde_json::to_string(tree).ok().filter(|_| reads_back(tree, MOST_LEVELS)).map(Into::into);
        let text = self.text.clone().or_else(written)?;
        Some(Object {
            tree: OnceLock::new(),
            text: Some(text),
            is_read: AtomicBool::new(false),
            typed: OnceLock::new(),
            digest: self.digest.clone(),
        })
    }

    pub fn into_json(mut self) -> Json {
        self.tree.take().unwrap_or_else(|| self.unpacked())
    }

    /// The tree, to change; cached views are forgotten.
    pub fn json_mut(&mut self) -> &mut Json {
        if self.tree.get().is_none() {
            self.tree = OnceLock::from(self.unpacked());
        }
        self.text = None;
        *self.is_read.get_mut() = true;
        self.typed = OnceLock::new();
        self.digest = OnceLock::new();
        match self.tree.get_mut() {
            Some(tree) => tree,
            None => unreachable!("made above"),
        }
    }

    /// A view as one of Kubernetes' own types. All callers of one object should ask for the same `T`;
    /// another `T` parses anew each time.
    pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, serde_json::Error> {
        if let Some(view) = self.typed.get().and_then(|v| v.clone().downcast::<T>().ok()) {
            return Ok(view);
        }
        let view: Arc<T> = Arc::new(T::deserialize(self.json())?);
        let _ = self.typed.set(view.clone());
        Ok(view)
    }

    /// The same, lent; `None` where it cannot be read as `T`, or somebody reads it as another type.
    pub fn typed_ref<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Option<&T> {
        if self.typed.get().is_none() {
            self.typed::<T>().ok()?;
        }
        self.typed.get()?.downcast_ref::<T>()
    }

    /// What controllers ask of every pod at each look: made by the first call, shared by later ones.
    pub fn pod_digest(&self) -> &PodDigest {
        self.digest.get_or_init(|| Box::new(PodDigest::of(self)))
    }

    /// The value at a JSON pointer (`/spec/replicas`).
    pub fn at(&self, pointer: &str) -> Option<&Json> {
        tree::at(self.json(), pointer)
    }

    fn metadata(&self, field: &str) -> Option<&Json> {
        self.json().get("metadata")?.get(field)
    }

    fn metadata_str(&self, field: &str) -> Option<&str> {
        self.metadata(field)?.as_str()
    }

    pub fn str_at(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    pub fn i64_at(&self, pointer: &str) -> Option<i64> {
        self.at(pointer)?.as_i64()
    }

    pub fn gvk(&self) -> Gvk {
        Gvk::of(self.api_version(), self.kind())
    }

    pub fn kind(&self) -> &str {
        self.json().get("kind").and_then(Json::as_str).unwrap_or("")
    }

    pub fn api_version(&self) -> &str {
        self.json().get("apiVersion").and_then(Json::as_str).unwrap_or("")
    }

    pub fn name(&self) -> &str {
        self.metadata_str("name").unwrap_or("")
    }

    pub fn namespace(&self) -> &str {
        self.metadata_str("namespace").unwrap_or("")
    }

    pub fn uid(&self) -> &str {
        self.metadata_str("uid").unwrap_or("")
    }

    pub fn resource_version(&self) -> &str {
        self.metadata_str("resourceVersion").unwrap_or("")
    }

    pub fn generation(&self) -> i64 {
        self.metadata("generation").and_then(Json::as_i64).unwrap_or(0)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata("labels")?.get(key)?.as_str()
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata("annotations")?.get(key)?.as_str()
    }

    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.string_map("labels")
    }

    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.string_map("annotations")
    }

    fn string_map(&self, field: &str) -> impl Iterator<Item = (&str, &str)> + use<'_> {
        let map = self.metadata(field).and_then(Json::as_object);
        map.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
    }

    pub fn creation_timestamp(&self) -> Option<Timestamp> {
        self.metadata_str("creationTimestamp")?.parse().ok()
    }

    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.metadata_str("deletionTimestamp")?.parse().ok()
    }

    pub fn is_deleting(&self) -> bool {
        self.metadata("deletionTimestamp").is_some_and(|t| !t.is_null())
    }

    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        let list = self.metadata("finalizers").and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str)
    }

    pub fn owner_references(&self) -> &[Json] {
        self.metadata("ownerReferences").and_then(Json::as_array).map_or(&[], Vec::as_slice)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_packed_once_nobody_reads_it_and_reads_as_before() {
        let tree = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"n": [1, -2, null], "t": "ä\n"}});
        let object = Object::new(tree.clone());
        assert!(object.packed().is_none(), "a new one was just read");
        let packed = object.packed().expect("nobody has read it since");
        assert!(packed.packed().is_none(), "it is already");
        assert_eq!((packed.name(), packed.label("a"), packed.json()), ("x", Some("b"), &tree));
        assert!(packed.packed().is_none(), "it was read");
        let again = packed.packed().expect("nobody has read it since");
        assert_eq!(again.clone().into_json(), tree);
        let mut changed = again;
        changed.json_mut()["spec"] = json!({});
        assert_eq!(changed.json()["spec"], json!({}));
        assert!(changed.packed().is_none());
        assert_eq!(changed.packed().expect("packed anew").json(), changed.json(), "not the text of before");
    }

    #[test]
    fn what_a_text_might_not_give_back_stays_a_tree() {
        let deep = (0..130).fold(json!(0), |tree, _| json!([tree]));
        for tree in [json!({"fraction": 0.1}), deep] {
            let object = Object::new(tree);
            assert!(object.packed().is_none() && object.packed().is_none() && object.packed().is_none());
        }
    }
}
