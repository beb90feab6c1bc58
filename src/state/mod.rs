//! All objects in memory: persistent maps, so that a snapshot is one cheap clone and readers never wait.
//!
//! `State` knows nothing of kinds: what a write means is `registry`'s, how it lasts is `store`'s.

mod dependent;

use std::ops::Range;
use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};

use crate::api::{GroupResource, Key, Object};

pub use dependent::Dependent;

/// Namespace and name.
type Place = (Arc<str>, Arc<str>);
type Objects = OrdMap<Place, Arc<Object>>;

/// The objects of all resources at one revision.
#[derive(Clone, Default)]
pub struct State {
    revision: u64,
    objects: HashMap<GroupResource, Objects>,
    /// uid of an owner → what names it in `metadata.ownerReferences`, itself and not only its key: who looks at all that is
    /// owned walks along and looks nothing up.
    owned: HashMap<Arc<str>, OrdMap<Key, Dependent>>,
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
    pub fn in_namespace(
        &self,
        resource: &GroupResource,
        namespace: &str,
    ) -> impl Iterator<Item = &Arc<Object>> + use<'_> {
        let within = within(namespace);
        let objects = self.objects.get(resource).into_iter();
        objects.flat_map(move |all| all.range(within.clone())).map(|(_, object)| object)
    }

    pub fn count(&self, resource: &GroupResource) -> usize {
        self.objects.get(resource).map_or(0, OrdMap::len)
    }

    /// What names `uid` as an owner, in order of key.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.owned.get(uid).into_iter().flat_map(|all| all.values()).map(Dependent::object)
    }

    /// The objects of a resource in one namespace whose controller has this uid, by name.
    pub fn controlled_by(
        &self,
        uid: &str,
        resource: &GroupResource,
        namespace: &str,
    ) -> impl Iterator<Item = &Dependent> + use<'_> {
        let places = within(namespace);
        let key = |(namespace, name): Place| Key { resource: resource.clone(), namespace, name };
        let within = key(places.start)..key(places.end);
        let within = self.owned.get(uid).into_iter().flat_map(move |all| all.range(within.clone()));
        within.map(|(_, dependent)| dependent).filter(|dependent| dependent.is_controlled)
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
    pub fn uncontrolled(
        &self,
        resource: &GroupResource,
        namespace: &str,
    ) -> impl Iterator<Item = &Arc<Object>> + use<'_> {
        let within = within(namespace);
        let objects = self.objects.get(resource);
        let free = self.uncontrolled.get(resource).into_iter();
        free.flat_map(move |all| all.range(within.clone())).filter_map(move |at| objects?.get(at))
    }

    /// Where what names `uid` as an owner is kept, in order.
    pub fn keys_owned_by(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.owned.get(uid).into_iter().flat_map(|all| all.keys())
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
        self.index(&key, before.as_deref(), Some(&object));
        self.changes.push(Change { revision: self.revision, key, before, after: Some(object.clone()) });
        object
    }

    /// Removes an object; the removal has a revision of its own.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let map = self.objects.get_mut(&key.resource)?;
        let before = map.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.index(key, Some(&before), None);
        self.revision += 1;
        let change = Change { revision: self.revision, key: key.clone(), before: Some(before.clone()), after: None };
        self.changes.push(change);
        Some(before)
    }

    /// Brings the indexes from what an object was to what it is.
    fn index(&mut self, key: &Key, before: Option<&Object>, after: Option<&Arc<Object>>) {
        let now = after.map(|object| object.uid()).filter(|uid| !uid.is_empty());
        if let Some(uid) = before.map(Object::uid).filter(|uid| Some(*uid) != now)
            && self.uids.get(uid) == Some(key)
        {
            self.uids.remove(uid);
        }
        if let Some(uid) = now.filter(|uid| self.uids.get(*uid) != Some(key)) {
            self.uids.insert(uid.into(), key.clone());
        }
        self.index_by_controller(key, before, after.map(AsRef::as_ref));
        self.index_by_owner(key, before, after);
    }

    fn index_by_controller(&mut self, key: &Key, before: Option<&Object>, after: Option<&Object>) {
        let [was_free, is_free] = [before, after].map(|object| object.is_some_and(|o| o.controller_ref().is_none()));
        if was_free == is_free {
            return;
        }
        let free = self.uncontrolled.entry(key.resource.clone()).or_default();
        let at = (key.namespace.clone(), key.name.clone());
        if is_free {
            free.insert(at);
        } else {
            free.remove(&at);
        }
    }

    fn index_by_owner(&mut self, key: &Key, before: Option<&Object>, after: Option<&Arc<Object>>) {
        let stays = |uid: &str| after.is_some_and(|object| owners(object).any(|owner| owner == uid));
        for owner in before.into_iter().flat_map(owners).filter(|owner| !stays(owner)) {
            let Some(all) = self.owned.get_mut(owner) else { continue };
            all.remove(key);
            if all.is_empty() {
                self.owned.remove(owner);
            }
        }
        let Some(object) = after else { return };
        let controller = object.controller_uid();
        for owner in owners(object) {
            let dependent = Dependent::new(object.clone(), controller == Some(owner));
            self.owned.entry(owner.into()).or_default().insert(key.clone(), dependent);
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
                    self.index(key, Some(&gone), None);
                }
            }
        }
    }

    /// Keeps as text what nobody has read since the last call and nobody else holds; whether there was any. To readers nothing
    /// changes.
    pub fn pack_unread(&mut self) -> bool {
        let packed = |(resource, (place, object)): (&GroupResource, (&Place, &Arc<Object>))| {
            // Held once here, and once for each owner; the tree of what others hold would stay all the same.
            let packed = object.packed().filter(|_| Arc::strong_count(object) <= 1 + owners(object).count())?;
            let (namespace, name) = place.clone();
            Some((Key { resource: resource.clone(), namespace, name }, object.clone(), packed))
        };
        let all = self.objects.iter().flat_map(|(resource, all)| std::iter::repeat(resource).zip(all));
        let packed: Vec<_> = all.filter_map(packed).collect();
        let is_any = !packed.is_empty();
        for (key, before, packed) in packed {
            let packed = Arc::new(packed);
            if let Some(all) = self.objects.get_mut(&key.resource) {
                all.insert((key.namespace.clone(), key.name.clone()), packed.clone());
            }
            for owner in owners(&before) {
                let dependent = self.owned.get_mut(owner).and_then(|all| all.get_mut(&key));
                if let Some(dependent) = dependent {
                    *dependent = dependent.with(packed.clone());
                }
            }
        }
        is_any
    }

    /// The changes since the last call, oldest first.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

/// The places in a namespace: up to the first of the namespace that could come next.
fn within(namespace: &str) -> Range<Place> {
    (namespace.into(), "".into())..(format!("{namespace}\0").into(), "".into())
}

fn owners(object: &Object) -> impl Iterator<Item = &str> {
    object.owner_references().iter().filter_map(|r| r.get("uid")?.as_str())
}

#[cfg(test)]
mod tests;
