//! Sources of volumes that Kubernetes no longer has a plugin for, where a Pod's rules differ from a
//! PersistentVolume's.

use super::super::field::{self, Errors, Path};
use super::super::volume_sources;
use crate::api::Json;
use crate::api::tree::Tree;

pub(super) fn validate(kind: &str, source: &Json, path: &Path) -> Errors {
    let required = |fields: &[&str]| -> Errors {
        let missing = fields.iter().filter(|name| source.text(name).is_empty());
        missing.map(|name| field::required(&path.child(name), "")).collect()
    };
    match kind {
        "glusterfs" => required(&["endpoints", "path"]),
        "azureFile" => required(&["secretName", "shareName"]),
        "cinder" => {
            let mut errors = required(&["volumeID"]);
            errors.extend(secret_name(source, path));
            errors
        }
        "storageos" => {
            let mut errors = volume_sources::storageos_volume(source, path);
            errors.extend(secret_name(source, path));
            errors
        }
        "flexVolume" => flex(source, path),
        "iscsi" => volume_sources::iscsi_target(source, path),
        _ => Errors::new(),
    }
}

fn secret_name(source: &Json, path: &Path) -> Errors {
    let secret = source.field("secretRef");
    if secret.is_null() || !secret.text("name").is_empty() {
        return Errors::new();
    }
    vec![field::required(&path.child("secretRef").child("name"), "")]
}

fn flex(source: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if source.text("driver").is_empty() {
        errors.push(field::required(&path.child("driver"), ""));
    }
    for (key, _) in source.entries("options") {
        let domain = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(field::invalid(&path.child("options").key(key), key, detail));
        }
    }
    errors
}

/// What an initiator with a name of its own is told apart by is short.
pub(super) fn iscsi_name(volume: &Json, path: &Path) -> Errors {
    let source = volume.field("iscsi");
    let name = volume.text("name");
    if !source.has("initiatorName") || name.len() + 1 + source.text("targetPortal").len() <= 64 {
        return Errors::new();
    }
    let detail =
        "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
    vec![field::invalid(&path.child("name"), name, detail)]
}
