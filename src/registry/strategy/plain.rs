//! What most kinds do: status apart from the rest, and a generation that counts changes of the rest.

use super::{Generation, Part, Rules, StatusMetadata, Strategy};
use crate::api::{Json, JsonMap, Object};
use crate::registry::metadata;

/// A kind that does nothing else.
pub(crate) struct Plain(pub Rules);

impl Strategy for &'static Plain {
    fn rules(&self) -> &'static Rules {
        &self.0
    }
}

pub(super) fn prepare_create(rules: &Rules, object: &mut Object) {
    if let Some(empty) = rules.status {
        let status = serde_json::from_str(empty).unwrap_or(Json::Null);
        object.json_mut()["status"] = status;
    }
    if rules.generation != Generation::None {
        metadata::set_generation(object, 1);
    }
}

pub(super) fn prepare_update(rules: &Rules, new: &mut Object, old: &Object, part: Part) {
    match part {
        Part::Main => {
            if rules.status.is_some() {
                metadata::take_from(new.json_mut(), old.json(), "status");
            }
        }
        Part::Status => keep_all_but_status(rules, new, old),
        Part::Other => {}
    }
    if part != Part::Status {
        raise_generation(rules.generation, new, old);
    }
}

/// A write to `status` changes nothing else, metadata apart.
fn keep_all_but_status(rules: &Rules, new: &mut Object, old: &Object) {
    let sent = new.json_mut();
    let (Some(sent), Some(kept)) = (sent.as_object_mut(), old.json().as_object()) else { return };
    let status = sent.remove("status");
    let mut metadata = sent.remove("metadata").unwrap_or_default();
    let fields: &[&str] = match rules.status_metadata {
        StatusMetadata::Taken => &[],
        StatusMetadata::ButLabels => &["labels"],
        StatusMetadata::ButOwners => &["ownerReferences"],
        StatusMetadata::Kept => &["labels", "annotations", "finalizers", "ownerReferences"],
    };
    let old_metadata = old.at("/metadata").cloned().unwrap_or_default();
    for field in fields {
        metadata::take_from(&mut metadata, &old_metadata, field);
    }
    *sent = kept.clone();
    sent.insert("metadata".into(), metadata);
    match status {
        Some(status) => sent.insert("status".into(), status),
        None => match rules.status.and_then(|empty| serde_json::from_str(empty).ok()) {
            Some(empty) => sent.insert("status".into(), empty),
            None => sent.remove("status"),
        },
    };
}

pub(super) fn raise_generation(generation: Generation, new: &mut Object, old: &Object) {
    let metadata_field = |field: &str| new.at(&format!("/metadata/{field}")) != old.at(&format!("/metadata/{field}"));
    let changed = match generation {
        Generation::None | Generation::One => false,
        Generation::Spec => spec_differs(new, old),
        Generation::SpecAndAnnotations => spec_differs(new, old) || metadata_field("annotations"),
        Generation::All => spec_differs(new, old) || metadata_field("annotations") || metadata_field("labels"),
    };
    if changed {
        metadata::set_generation(new, old.generation() + 1);
    }
}

/// Whether anything but metadata and status differs.
fn spec_differs(new: &Object, old: &Object) -> bool {
    fn rest(object: &JsonMap) -> impl Iterator<Item = (&String, &Json)> {
        let skip = ["metadata", "status", "kind", "apiVersion"];
        object.iter().filter(move |(key, _)| !skip.contains(&key.as_str()))
    }
    match (new.json().as_object(), old.json().as_object()) {
        (Some(new), Some(old)) => !rest(new).eq(rest(old)),
        _ => false,
    }
}
