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

/// Class, size, modes and labels as the claim wants them.
fn fits(volume: &Object, claim: &Object) -> bool {
    let class = |object: &Object| text(object, &["spec", "storageClassName"]).to_owned();
    let mode = |object: &Object| match text(object, &["spec", "volumeMode"]) {
        "" => "Filesystem".to_owned(),
        mode => mode.to_owned(),
    };
    let selector = dig(claim.json(), &["spec", "selector"]);
    let offered = modes(volume);
    let large_enough = match (
        storage(volume, &["spec", "capacity", "storage"]),
        storage(claim, &["spec", "resources", "requests", "storage"]),
    ) {
        (Some(has), Some(wants)) => has >= wants,
        (_, wants) => wants.is_none(),
    };
    class(volume) == class(claim)
        && mode(volume) == mode(claim)
        && modes(claim).iter().all(|wanted| offered.contains(wanted))
        && large_enough
        && (selector.is_null() || matches(selector, dig(volume.json(), &["metadata", "labels"])))
}

/// The volume that names the claim, the one that the claim names, or the smallest free one that fits.
pub(super) fn volume_for(state: &State, claim: &Object) -> Option<Arc<Object>> {
    let named = text(claim, &["spec", "volumeName"]);
    if !named.is_empty() {
        let volume = state.get(&Key::new(VOLUMES.clone(), "", named))?;
        let is_free = dig(volume.json(), &["spec", "claimRef"]).is_null();
        return (is_free || is_for(volume, claim)).then(|| volume.clone());
    }
    let alive = || state.all(&VOLUMES).filter(|volume| !volume.is_deleting());
    if let Some(volume) = alive().find(|volume| is_for(volume, claim)) {
        return Some(volume.clone());
    }
    let free = alive().filter(|volume| dig(volume.json(), &["spec", "claimRef"]).is_null() && fits(volume, claim));
    free.min_by_key(|volume| (storage(volume, &["spec", "capacity", "storage"]), volume.name().to_owned())).cloned()
}
