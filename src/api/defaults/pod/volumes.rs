//! Defaults of volumes, those of retired plugins included.

use crate::api::tree::{Tree, child, default_text, default_to, items, present};
use crate::api::{Json, JsonMap};

use super::image::default_pull_policy;
use super::{fill_field_ref, round_resources};

/// 0644: what files of ConfigMaps, Secrets and the like get.
const FILE_MODE: i64 = 0o644;

/// Fills one volume; without a source it is an empty directory.
pub(super) fn fill(volume: &mut Json) {
    let Some(map) = volume.as_object_mut() else { return };
    if !map.iter().any(|(name, source)| name != "name" && !source.is_null()) {
        map.insert("emptyDir".into(), Json::Object(JsonMap::new()));
    }
    for (name, source) in map.iter_mut() {
        if !source.is_null() {
            fill_source(name, source);
        }
    }
}

fn fill_source(name: &str, source: &mut Json) {
    match name {
        "hostPath" => default_to(source, "type", ""),
        "secret" | "configMap" => default_to(source, "defaultMode", FILE_MODE),
        "downwardAPI" => {
            default_to(source, "defaultMode", FILE_MODE);
            items(source, "items").for_each(fill_field_ref);
        }
        "projected" => {
            default_to(source, "defaultMode", FILE_MODE);
            items(source, "sources").for_each(fill_projection);
        }
        "image" => {
            let policy = default_pull_policy(source.text("reference"));
            default_text(source, "pullPolicy", policy);
        }
        "ephemeral" => {
            let claim = present(source, "volumeClaimTemplate").and_then(|t| child(t, "spec"));
            if let Some(spec) = claim {
                default_to(spec, "volumeMode", "Filesystem");
                if let Some(resources) = present(spec, "resources") {
                    round_resources(resources.get_mut("limits"));
                    round_resources(resources.get_mut("requests"));
                }
            }
        }
        "iscsi" => default_text(source, "iscsiInterface", "default"),
        "rbd" => {
            default_text(source, "pool", "rbd");
            default_text(source, "user", "admin");
            default_text(source, "keyring", "/etc/ceph/keyring");
        }
        "azureDisk" => {
            default_to(source, "cachingMode", "ReadWrite");
            default_to(source, "kind", "Shared");
            default_to(source, "fsType", "ext4");
            default_to(source, "readOnly", false);
        }
        "scaleIO" => {
            default_text(source, "storageMode", "ThinProvisioned");
            default_text(source, "fsType", "xfs");
        }
        _ => {}
    }
}

fn fill_projection(source: &mut Json) {
    if let Some(downward) = present(source, "downwardAPI") {
        items(downward, "items").for_each(fill_field_ref);
    }
    if let Some(token) = present(source, "serviceAccountToken") {
        default_to(token, "expirationSeconds", 3600);
    }
    if let Some(certificate) = present(source, "podCertificate") {
        default_to(certificate, "maxExpirationSeconds", 86400);
    }
}
