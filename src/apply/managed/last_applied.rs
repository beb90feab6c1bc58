//! The way over from kubectl's client-side apply: its annotation says what kubectl owned.
//! Source: lastappliedmanager.go and lastappliedupdater.go of
//! k8s.io/apimachinery/pkg/util/managedfields/internal.

use super::FieldManager;
use crate::api::Json;
use crate::apply::fields::FieldSet;
use crate::api::go;
use crate::apply::typed::{self, Duplicates};

/// The annotation in which client-side apply keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All annotations of an object together, keys and values. Source: `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_MAX_SIZE: usize = 256 * 1024;

/// Whether a manager's applies go on from where kubectl's client-side apply ended: kubectl's, and our own.
pub(super) fn goes_on(manager: &str) -> bool {
    matches!(manager, "kubectl" | "wl")
}

fn annotation(object: &Json) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str().filter(|t| !t.is_empty())
}

/// Whether the object has the annotation, which then goes along with each apply.
pub(super) fn is_kept(object: &Json) -> bool {
    annotation(object).is_some()
}

/// Fields that kubectl may take over although another manager has them: it applied them itself, by the
/// annotation, and they still have the value it applied.
pub(super) fn allowed_conflicts(fm: &FieldManager<'_>, live: &Json) -> Option<FieldSet> {
    let last: Json = serde_json::from_str(annotation(live)?).ok()?;
    let live = fm.structured(live.clone());
    typed::validate(&live, fm.kind, Duplicates::Refused).ok()?;
    if last.get("apiVersion")?.as_str()? != fm.api_version() {
        return None;
    }
    typed::validate(&last, fm.kind, Duplicates::Refused).ok()?;
    let comparison = typed::compare(&last, &live, fm.kind);
    let set = typed::field_set(&last, fm.kind);
    Some(set.difference(&comparison.modified).difference(&comparison.added).difference(&comparison.removed))
}

/// Keeps the annotation of an object that has one at what was applied.
pub(super) fn refresh(object: &mut Json, applied: &Json) {
    if !is_kept(object) {
        return;
    }
    let mut applied = applied.clone();
    if let Some(Json::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(LAST_APPLIED);
    }
    let text = go::json::compact(&applied) + "\n";
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Json::as_object_mut) else { return };
    annotations.insert(LAST_APPLIED.into(), text.into());
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_MAX_SIZE {
        annotations.remove(LAST_APPLIED);
    }
}
