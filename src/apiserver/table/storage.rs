//! Rows of volumes and claims. Source: printPersistentVolume, printPersistentVolumeClaim, printStorageClass.

use serde_json::json;

use super::view::View;
use crate::api::Json;

/// The annotation that came before the field.
const BETA_CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

pub(super) fn cells(resource: &str, view: &View<'_>) -> Vec<Json> {
    let phase = if view.is_deleting() { "Terminating" } else { view.text("/status/phase") };
    let class = view.text_or(BETA_CLASS, view.text("/spec/storageClassName"));
    let attributes = view.text_or("/spec/volumeAttributesClassName", "<unset>");
    let mode = view.text_or("/spec/volumeMode", "<unset>");
    if resource == "persistentvolumeclaims" {
        let bound = !view.text("/spec/volumeName").is_empty();
        let capacity = if bound { view.text("/status/capacity/storage") } else { "" };
        let modes = if bound { modes(view.list("/status/accessModes")) } else { String::new() };
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
        json!(modes(view.list("/spec/accessModes"))),
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

/// `RWO,ROX`, always in the same order.
fn modes(modes: &[Json]) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.iter().any(|m| m.as_str() == Some(mode));
    known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

pub(super) fn class(view: &View<'_>) -> Vec<Json> {
    let default = ["storageclass.kubernetes.io~1is-default-class", "storageclass.beta.kubernetes.io~1is-default-class"];
    let is_default = default.iter().any(|a| view.text(&format!("/metadata/annotations/{a}")) == "true");
    let name = view.text("/metadata/name");
    vec![
        json!(if is_default { format!("{name} (default)") } else { name.to_owned() }),
        json!(view.text("/provisioner")),
        json!(view.text_or("/reclaimPolicy", "Delete")),
        json!(view.text_or("/volumeBindingMode", "Immediate")),
        json!(view.at("/allowVolumeExpansion").and_then(Json::as_bool).unwrap_or(false)),
        view.own_age(),
    ]
}
