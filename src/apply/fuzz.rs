//! One door for tests that throw arbitrary trees at this room.

use super::{FieldManager, create_merge_patch, json_patch, merge_patch, strategic, three_way_merge_patch};
use crate::api::{Gvk, Json};

/// Patches `live` with `patch` in every way, and checks what always holds: nothing panics, a made merge patch
/// makes its target, and an apply done twice is an apply done once.
pub fn merge_any(live: &Json, patch: &Json) {
    let text = |key: &str| live.get(key).and_then(Json::as_str).unwrap_or("");
    let gvk = Gvk::of(text("apiVersion"), text("kind"));
    let now = jiff::Timestamp::UNIX_EPOCH;
    let _ = json_patch(live, patch);
    let merged = merge_patch(live, patch);
    let made = merge_patch(live, &create_merge_patch(live, &merged));
    assert_eq!(made, merged, "a made merge patch makes its target");
    let _ = three_way_merge_patch(patch, live, &merged);
    let _ = strategic::strategic_merge_patch(&gvk, live, patch);
    let _ = strategic::two_way_strategic_patch(&gvk, live, patch);
    let _ = strategic::three_way_strategic_patch(&gvk, patch, live, &merged);
    let _ = strategic::restore(&gvk, live);
    let managers = FieldManager::new(&gvk, "");
    let updated = managers.update(Some(live), patch.clone(), "editor", now);
    let _ = managers.update(None, updated, "editor", now);
    let known = crate::api::schema::Schema::get().type_of(&gvk).is_some();
    for force in [false, true] {
        let Ok(first) = managers.apply(Some(live), patch, "kubectl", force, now) else { continue };
        let again = managers.apply(Some(&first), patch, "kubectl", force, now);
        let entries = |object: &Json| object.pointer("/metadata/managedFields").cloned();
        if !known {
            continue;
        }
        assert_eq!(again.as_ref().ok().and_then(entries), entries(&first), "an apply done twice is done once");
    }
}
