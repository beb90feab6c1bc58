//! How a decision is put together.

use jiff::Timestamp;
use serde_json::json;

use super::{Decision, EventKind, EventNote, Propagation, Write};
use crate::api::{Json, Key, Object};

impl Decision {
    /// Nothing to do, nothing to wait for.
    pub fn none() -> Self {
        Decision::default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(super) fn create(&mut self, object: impl Into<Object>) {
        self.writes.push(Write::Create { object: object.into() });
    }

    /// A PUT. Later ones of the same object in one decision build on the earlier and so name no version.
    pub(super) fn update(&mut self, mut object: Object) {
        self.forget_version(&mut object);
        self.writes.push(Write::Update { object });
    }

    /// A PUT of the status subresource.
    pub(super) fn update_status(&mut self, mut object: Object) {
        self.forget_version(&mut object);
        self.writes.push(Write::UpdateStatus { object });
    }

    /// A PUT of a namespace's own finalizers.
    pub(super) fn finalize(&mut self, mut object: Object) {
        self.forget_version(&mut object);
        self.writes.push(Write::Finalize { object });
    }

    fn forget_version(&self, object: &mut Object) {
        let written = self.writes.iter().any(|write| match write {
            Write::Update { object: earlier }
            | Write::UpdateStatus { object: earlier }
            | Write::Finalize { object: earlier } => earlier.uid() == object.uid(),
            Write::Patch { key, .. } => *key.name == *object.name() && *key.namespace == *object.namespace(),
            Write::Create { .. } | Write::Delete { .. } | Write::Event(_) => false,
        });
        if written {
            object.metadata_mut().remove("resourceVersion");
        }
    }

    pub(super) fn patch(&mut self, key: Key, patch: Json) {
        self.writes.push(Write::Patch { key, subresource: None, patch });
    }

    /// Deletes exactly this object, by uid, with the kind's own defaults for the rest.
    pub(super) fn delete(&mut self, key: Key, object: &Object) {
        self.delete_with(key, object, None);
    }

    pub(super) fn delete_with(&mut self, key: Key, object: &Object, propagation: Option<Propagation>) {
        let uid = Some(object.uid().to_owned()).filter(|uid| !uid.is_empty());
        self.writes.push(Write::Delete { key, uid, propagation, grace_seconds: None });
    }

    pub(super) fn normal(&mut self, component: &'static str, about: &Object, reason: &str, message: String) {
        self.event(EventKind::Normal, component, about, reason, message);
    }

    pub(super) fn warning(&mut self, component: &'static str, about: &Object, reason: &str, message: String) {
        self.event(EventKind::Warning, component, about, reason, message);
    }

    fn event(&mut self, kind: EventKind, component: &'static str, about: &Object, reason: &str, message: String) {
        let regarding = reference(about);
        self.writes.push(Write::Event(EventNote { regarding, kind, reason: reason.into(), message, component }));
    }

    /// Asks for another look at that time, or earlier if one was asked for already.
    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// An object as events name it.
fn reference(object: &Object) -> Json {
    let mut reference = json!({
        "apiVersion": object.api_version(),
        "kind": object.kind(),
        "name": object.name(),
        "uid": object.uid(),
        "resourceVersion": object.resource_version(),
    });
    if !object.namespace().is_empty() {
        reference["namespace"] = json!(object.namespace());
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::GroupResource;

    #[test]
    fn a_second_write_of_an_object_builds_on_the_first_and_names_no_version() {
        let object = |name: &str| {
            let metadata = json!({"name": name, "namespace": "n", "uid": name, "resourceVersion": "7"});
            Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}))
        };
        let key = |name: &str| Key::new(GroupResource::new("", "pods"), "n", name);
        let mut decision = Decision::none();
        decision.create(object("made"));
        decision.delete(key("gone"), &object("gone"));
        decision.patch(key("patched"), json!({}));
        for name in ["made", "gone", "patched", "a"] {
            decision.update(object(name));
        }
        decision.update_status(object("a"));
        decision.finalize(object("b"));
        decision.update_status(object("b"));
        let versions = decision.writes.iter().filter_map(|write| match write {
            Write::Update { object } | Write::UpdateStatus { object } | Write::Finalize { object } => {
                Some((object.name(), object.resource_version()))
            }
            _ => None,
        });
        let expected = [("made", "7"), ("gone", "7"), ("patched", ""), ("a", "7"), ("a", ""), ("b", "7"), ("b", "")];
        assert_eq!(versions.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn deletes_name_the_object_by_uid_where_it_has_one() {
        let key = Key::new(GroupResource::new("", "nodes"), "", "a");
        let mut decision = Decision::none();
        for uid in ["u", ""] {
            decision.delete(key.clone(), &Object::new(json!({"kind": "Node", "metadata": {"name": "a", "uid": uid}})));
        }
        let uids = decision.writes.iter().map(|write| match write {
            Write::Delete { uid, .. } => uid.as_deref(),
            _ => None,
        });
        assert_eq!(uids.collect::<Vec<_>>(), [Some("u"), None]);
    }

    #[test]
    fn events_name_the_namespace_of_what_has_one() {
        let about = |namespace: &str| reference(&Object::new(json!({"kind": "Pod", "metadata": {"name": "a", "namespace": namespace}})));
        assert_eq!((about("n").get("namespace"), about("").get("namespace")), (Some(&json!("n")), None));
    }

    #[test]
    fn of_several_times_to_look_again_the_earliest_counts() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut decision = Decision::none();
        [7, 3, 5].into_iter().for_each(|second| decision.wake(at(second)));
        assert_eq!(decision.wake_at, Some(at(3)));
    }
}
