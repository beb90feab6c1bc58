//! Rows of volumes and claims. Source: printPersistentVolume, printPersistentVolumeClaim, printStorageClass.

use serde_json::json;

use super::view::View;
use crate::api::Json;
use crate::api::shown::{access_modes, is_default_class, storage_class};

pub(super) fn cells(resource: &str, view: &View<'_>) -> Vec<Json> {
    let phase = if view.is_deleting() { "Terminating" } else { view.text("/status/phase") };
    let class = storage_class(view.object);
    let attributes = view.text_or("/spec/volumeAttributesClassName", "<unset>");
    let mode = view.text_or("/spec/volumeMode", "<unset>");
    if resource == "persistentvolumeclaims" {
        let bound = !view.text("/spec/volumeName").is_empty();
        let capacity = if bound { view.text("/status/capacity/storage") } else { "" };
        let modes = if bound { access_modes(view.list("/status/accessModes")) } else { String::new() };
        return vec![
            json!(phase),
            json!(view.text("/spec/volumeName")),
            json!(capacity),
            json!(modes),
            json!(class),
            json!(attributes),
            view.own_age(),
            json!(mode),
        ];
    }
    let claim = match view.at("/spec/claimRef") {
        Some(_) => format!("{}/{}", view.text("/spec/claimRef/namespace"), view.text("/spec/claimRef/name")),
        None => String::new(),
    };
    vec![
        json!(view.text("/spec/capacity/storage")),
        json!(access_modes(view.list("/spec/accessModes"))),
        json!(view.text("/spec/persistentVolumeReclaimPolicy")),
        json!(phase),
        json!(claim),
        json!(class),
        json!(attributes),
        json!(view.text("/status/reason")),
        view.own_age(),
        json!(mode),
    ]
}

pub(super) fn class(view: &View<'_>) -> Vec<Json> {
    let name = view.text("/metadata/name");
    vec![
        json!(if is_default_class(view.object) { format!("{name} (default)") } else { name.to_owned() }),
        json!(view.text("/provisioner")),
        json!(view.text_or("/reclaimPolicy", "Delete")),
        json!(view.text_or("/volumeBindingMode", "Immediate")),
        json!(view.at("/allowVolumeExpansion").and_then(Json::as_bool).unwrap_or(false)),
        view.own_age(),
    ]
}
