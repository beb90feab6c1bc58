//! All objects in memory: persistent maps, so that a snapshot is one cheap clone and readers never wait.
//!
//! `State` knows nothing of kinds: what a write means is `registry`'s, how it lasts is `store`'s.

use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};

use crate::api::{GroupResource, Key, Object};

/// Namespace and name.
type Place = (Arc<str>, Arc<str>);
type Objects = OrdMap<Place, Arc<Object>>;

/// The objects of all resources at one revision.
#[derive(Clone, Default)]
pub struct State {
    revision: u64,
    objects: HashMap<GroupResource, Objects>,
    /// uid of an owner → what names it in `metadata.ownerReferences`.
    owned: HashMap<Arc<str>, OrdSet<Key>>,
    /// Where each uid is.
    uids: HashMap<Arc<str>, Key>,
    /// By resource: namespace and name of what has no controller.
    uncontrolled: HashMap<GroupResource, OrdSet<Place>>,
    changes: Vec<Change>,
}

/// What one commit did to one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision the change made; the object's `resourceVersion`.
    pub revision: u64,
    pub key: Key,
    pub before: Option<Arc<Object>>,
    /// `None`: deleted.
    pub after: Option<Arc<Object>>,
}

impl State {
    pub fn new() -> Self {
        State::default()
    }

    /// The revision of the newest change; grows by one with each.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Sets the revision a restored state starts from.
    pub fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(&key.resource)?.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// The resources that have, or had, an object.
    pub fn resources(&self) -> impl Iterator<Item = &GroupResource> {
        self.objects.keys()
    }

    /// All objects of a resource, by namespace and name.
    pub fn all(&self, resource: &GroupResource) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.get(resource).into_iter().flat_map(|m| m.values())
    }

    /// The objects of a resource in one namespace, by name.
    pub fn in_namespace<'a>(
        &'a self,
        resource: &GroupResource,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let from: (Arc<str>, Arc<str>) = (namespace.into(), "".into());
        self.objects
            .get(resource)
            .into_iter()
            .flat_map(move |m| m.range(from.clone()..))
            .take_while(move |((ns, _), _)| ns.as_ref() == namespace)
            .map(|(_, object)| object)
    }

    pub fn count(&self, resource: &GroupResource) -> usize {
        self.objects.get(resource).map_or(0, OrdMap::len)
    }

    /// What names `uid` as an owner, in order of key.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.owned.get(uid).into_iter().flatten().filter_map(|key| self.get(key))
    }

    /// The object that has this uid.
    pub fn with_uid(&self, uid: &str) -> Option<&Arc<Object>> {
        self.get(self.uids.get(uid)?)
    }

    /// Where the object that has this uid is kept.
    pub fn key_with_uid(&self, uid: &str) -> Option<&Key> {
        self.uids.get(uid)
    }

    /// The objects of a resource in one namespace that no controller owns, by name.
    pub fn uncontrolled<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let from: (Arc<str>, Arc<str>) = (namespace.into(), "".into());
        let objects = self.objects.get(resource);
        self.uncontrolled
            .get(resource)
            .into_iter()
            .flat_map(move |set| set.range(from.clone()..))
            .take_while(move |(ns, _)| ns.as_ref() == namespace)
            .filter_map(move |at| objects?.get(at))
    }

    /// Where what names `uid` as an owner is kept, in order.
    pub fn keys_owned_by(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.owned.get(uid).into_iter().flatten()
    }

    /// Keeps an object (new or changed) under a new revision, which becomes its `resourceVersion`.
    pub fn put(&mut self, key: Key, mut object: Object) -> Arc<Object> {
        self.revision += 1;
        object.metadata_mut().insert("resourceVersion".into(), self.revision.to_string().into());
        self.place(key, Arc::new(object))
    }

    /// Keeps an object exactly as it is, `resourceVersion` included: for loading what was kept before.
    pub fn load(&mut self, key: Key, object: Object) {
        self.place(key, Arc::new(object));
        self.changes.clear();
    }

    fn place(&mut self, key: Key, object: Arc<Object>) -> Arc<Object> {
        let map = self.objects.entry(key.resource.clone()).or_default();
        let before = map.insert((key.namespace.clone(), key.name.clone()), object.clone());
        if let Some(before) = &before {
            self.unindex(&key, before);
        }
        for owner in owners(&object) {
            self.owned.entry(owner.into()).or_default().insert(key.clone());
        }
        if !object.uid().is_empty() {
            self.uids.insert(object.uid().into(), key.clone());
        }
        if object.controller_ref().is_none() {
            let at = (key.namespace.clone(), key.name.clone());
            self.uncontrolled.entry(key.resource.clone()).or_default().insert(at);
        }
        self.changes.push(Change { revision: self.revision, key, before, after: Some(object.clone()) });
        object
    }

    /// Removes an object; the removal has a revision of its own.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let map = self.objects.get_mut(&key.resource)?;
        let before = map.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.unindex(key, &before);
        self.revision += 1;
        let change = Change { revision: self.revision, key: key.clone(), before: Some(before.clone()), after: None };
        self.changes.push(change);
        Some(before)
    }

    fn unindex(&mut self, key: &Key, object: &Object) {
        if self.uids.get(object.uid()) == Some(key) {
            self.uids.remove(object.uid());
        }
        if let Some(set) = self.uncontrolled.get_mut(&key.resource) {
            set.remove(&(key.namespace.clone(), key.name.clone()));
        }
        for owner in owners(object) {
            let Some(set) = self.owned.get_mut(owner) else { continue };
            set.remove(key);
            if set.is_empty() {
                self.owned.remove(owner);
            }
        }
    }

    /// Takes a change back; the revision stays. Later changes of the same object must be undone before.
    pub fn undo(&mut self, change: &Change) {
        match &change.before {
            Some(before) => {
                self.place(change.key.clone(), before.clone());
                self.changes.pop();
            }
            None => {
                let key = &change.key;
                let map = self.objects.get_mut(&key.resource);
                let gone = map.and_then(|map| map.remove(&(key.namespace.clone(), key.name.clone())));
                if let Some(gone) = gone {
                    self.unindex(key, &gone);
                }
            }
        }
    }

    /// The changes since the last call, oldest first.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

fn owners(object: &Object) -> impl Iterator<Item = &str> {
    object.owner_references().iter().filter_map(|r| r.get("uid")?.as_str())
}
