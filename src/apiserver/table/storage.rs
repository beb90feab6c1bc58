//! Rows of volumes and claims. Source: printPersistentVolume, printPersistentVolumeClaim, printStorageClass.

use serde_json::json;

use super::view::View;
use crate::api::Json;
use crate::api::shown::{access_modes, is_default_class, storage_class};

pub(super) fn cells(resource: &str, view: &View<'_>) -> Vec<Json> {
    let phase = if view.is_deleting() { "Terminating" } else { view.text("/status/phase") };
    let class = storage_class(view.object);
    let attributes = view.at("/spec/volumeAttributesClassName").and_then(Json::as_str).unwrap_or("<unset>");
    let mode = view.text_or("/spec/volumeMode", "<unset>");
    if resource == "persistentvolumeclaims" {
        let bound = !view.text("/spec/volumeName").is_empty();
        // A volume that is named and not bound yet has no capacity: zero, as Kubernetes shows an amount that is not there.
        let capacity = if bound { view.text_or("/status/capacity/storage", "0") } else { "" };
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

/// A StorageClass; the default one is marked.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(spec: Json, status: Json) -> Vec<Json> {
        let object = json!({"spec": spec, "status": status});
        cells("persistentvolumeclaims", &View { object: &object, now: jiff::Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn a_claim_that_waits_for_a_named_volume_has_zero_capacity() {
        assert_eq!(claim(json!({"volumeName": "disk"}), json!({"phase": "Pending"}))[1..4], [json!("disk"), json!("0"), json!("")]);
        assert_eq!(claim(json!({}), json!({"phase": "Pending"}))[2], "");
        let bound = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteMany"]});
        assert_eq!(claim(json!({"volumeName": "disk"}), bound)[2..4], [json!("2Gi"), json!("RWX")]);
    }

    #[test]
    fn an_empty_class_of_attributes_is_shown_as_it_is() {
        assert_eq!(claim(json!({"volumeAttributesClassName": ""}), json!({}))[5], "");
        assert_eq!(claim(json!({}), json!({}))[5], "<unset>");
    }
}
