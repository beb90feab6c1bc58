//! Which volume fits a claim. Source of the rules: k8s.io/component-helpers/storage/volume/pv_helpers.go.

use std::sync::Arc;

use crate::api::quantity::Quantity;
use crate::api::{Json, Key, Object};
use crate::controllers::resources::{VOLUMES, dig, text};
use crate::controllers::selection::matches;
use crate::state::State;

fn storage(object: &Object, path: &[&str]) -> Option<Quantity> {
    dig(object.json(), path).as_str().and_then(|text| Quantity::parse(text).ok())
}

fn is_for(volume: &Object, claim: &Object) -> bool {
    let uid = text(volume, &["spec", "claimRef", "uid"]);
    text(volume, &["spec", "claimRef", "namespace"]) == claim.namespace()
        && text(volume, &["spec", "claimRef", "name"]) == claim.name()
        && (uid.is_empty() || uid == claim.uid())
}

fn modes(object: &Object) -> Vec<&str> {
    let list = dig(object.json(), &["spec", "accessModes"]).as_array();
    list.into_iter().flatten().filter_map(Json::as_str).collect()
}

fn class(object: &Object) -> &str {
    text(object, &["spec", "storageClassName"])
}

fn mode(object: &Object) -> &str {
    Some(text(object, &["spec", "volumeMode"])).filter(|mode| !mode.is_empty()).unwrap_or("Filesystem")
}

/// Whether both are file systems, or both block devices.
pub(super) fn is_of_mode(volume: &Object, claim: &Object) -> bool {
    mode(volume) == mode(claim)
}

fn is_large_enough(volume: &Object, claim: &Object) -> bool {
    let has = storage(volume, &["spec", "capacity", "storage"]);
    let wants = storage(claim, &["spec", "resources", "requests", "storage"]);
    wants.is_none_or(|wants| has.is_some_and(|has| has >= wants))
}

fn offers_modes(volume: &Object, claim: &Object) -> bool {
    let offered = modes(volume);
    modes(claim).iter().all(|wanted| offered.contains(wanted))
}

/// Why a volume cannot be a claim's that names it. Source: checkVolumeSatisfyClaim of pv_controller.go.
fn mismatch(volume: &Object, claim: &Object) -> Option<String> {
    if volume.is_deleting() {
        return Some(format!("the volume is marked for deletion {:?}", volume.name()));
    }
    let why = if !is_large_enough(volume, claim) {
        "requested PV is too small"
    } else if class(volume) != class(claim) {
        "storageClassName does not match"
    } else if !is_of_mode(volume, claim) {
        "incompatible volumeMode"
    } else if !offers_modes(volume, claim) {
        "incompatible accessMode"
    } else {
        return None;
    };
    Some(why.into())
}

/// Which volume a claim gets.
pub(super) enum Choice {
    Volume(Arc<Object>),
    /// None fits.
    Nothing,
    /// The one that the claim names is not there.
    NotThere,
    /// The one that the claim names cannot be its: reason and message of the Event that says so.
    Refused(&'static str, String),
}

/// The volume that the claim names; else one that names the claim, or the smallest free one that fits. Of
/// these, volumes with few access modes come before volumes with many.
/// Source: also pkg/controller/volume/persistentvolume/index.go (allPossibleMatchingAccessModes).
pub(super) fn volume_for(state: &State, claim: &Object) -> Choice {
    let named = text(claim, &["spec", "volumeName"]);
    if !named.is_empty() {
        let volume = state.get(&Key::new(VOLUMES.clone(), "", named));
        return volume.map_or(Choice::NotThere, |volume| named_choice(volume, claim));
    }
    let selector = dig(claim.json(), &["spec", "selector"]);
    let is_free = |volume: &Object| {
        dig(volume.json(), &["spec", "claimRef"]).is_null()
            && !matches!(text(volume, &["status", "phase"]), "Bound" | "Released" | "Failed")
            && class(volume) == class(claim)
            && (selector.is_null() || matches(selector, dig(volume.json(), &["metadata", "labels"])))
    };
    let fitting = state.all(&VOLUMES).filter(|volume| {
        !volume.is_deleting()
            && is_large_enough(volume, claim)
            && is_of_mode(volume, claim)
            && offers_modes(volume, claim)
            && (is_for(volume, claim) || is_free(volume))
    });
    let best = fitting.min_by_key(|volume| {
        let size = storage(volume, &["spec", "capacity", "storage"]);
        (modes(volume).len(), !is_for(volume, claim), size, volume.name().to_owned())
    });
    best.map_or(Choice::Nothing, |volume| Choice::Volume(volume.clone()))
}

fn named_choice(volume: &Arc<Object>, claim: &Object) -> Choice {
    if dig(volume.json(), &["spec", "claimRef"]).is_null() {
        return match mismatch(volume, claim) {
            Some(why) => {
                Choice::Refused("VolumeMismatch", format!("Cannot bind to requested volume {:?}: {why}", volume.name()))
            }
            None => Choice::Volume(volume.clone()),
        };
    }
    if is_for(volume, claim) {
        return Choice::Volume(volume.clone());
    }
    Choice::Refused("FailedBinding", format!("volume {:?} already bound to a different claim.", volume.name()))
}
