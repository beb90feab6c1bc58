//! Defaults of PersistentVolumeClaim and PersistentVolume. Source: pkg/apis/core/v1/defaults.go.

use super::pod::round_resources;
use crate::api::Json;
use crate::api::tree::{child, default_text, default_to, present};

pub fn claim(tree: &mut Json) {
    if let Some(status) = child(tree, "status") {
        default_text(status, "phase", "Pending");
        round_resources(status.get_mut("capacity"));
        round_resources(status.get_mut("allocatedResources"));
    }
    if let Some(spec) = child(tree, "spec") {
        default_to(spec, "volumeMode", "Filesystem");
        if let Some(resources) = present(spec, "resources") {
            round_resources(resources.get_mut("limits"));
            round_resources(resources.get_mut("requests"));
        }
    }
}

pub fn volume(tree: &mut Json) {
    if let Some(status) = child(tree, "status") {
        default_text(status, "phase", "Pending");
    }
    let Some(spec) = child(tree, "spec") else { return };
    round_resources(spec.get_mut("capacity"));
    default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
    default_to(spec, "volumeMode", "Filesystem");
    if let Some(source) = present(spec, "hostPath") {
        default_to(source, "type", "");
    }
    if let Some(source) = present(spec, "iscsi") {
        default_text(source, "iscsiInterface", "default");
    }
    if let Some(source) = present(spec, "rbd") {
        default_text(source, "pool", "rbd");
        default_text(source, "user", "admin");
        default_text(source, "keyring", "/etc/ceph/keyring");
    }
    if let Some(source) = present(spec, "azureDisk") {
        default_to(source, "cachingMode", "ReadWrite");
        default_to(source, "kind", "Shared");
        default_to(source, "fsType", "ext4");
        default_to(source, "readOnly", false);
    }
    if let Some(source) = present(spec, "scaleIO") {
        default_text(source, "storageMode", "ThinProvisioned");
        default_text(source, "fsType", "xfs");
    }
}
