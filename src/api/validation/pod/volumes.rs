//! Volumes of a Pod and their sources.

use std::collections::{BTreeMap, BTreeSet};

use super::super::field::{self, Errors, Path};
use super::super::{claim, meta, names, rules, volume_sources};
use super::mounts::{local_path, local_path_not_reserved};
use super::spec::Options;
use super::{env, projected, retired_volumes};
use crate::api::Json;
use crate::api::quantity::Quantity;
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::volumes::own_claim;

/// All sources, in the order in which Kubernetes looks for them.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];
const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// Checks all volumes; returns those in order by name. `pod` is the Pod's name, where it is one's.
pub(super) fn validate<'a>(
    volumes: &'a [Json],
    pod: Option<&str>,
    path: &Path,
    options: &Options,
) -> (BTreeMap<&'a str, &'a Json>, Errors) {
    let pod = pod.filter(|name| !name.is_empty());
    let of_ephemeral = |volume: &Json| Some(own_claim(pod?, volume.text("name")));
    let made: BTreeSet<String> =
        volumes.iter().filter(|v| v.has("ephemeral")).filter_map(of_ephemeral).collect();
    let (mut valid, mut errors) = (BTreeMap::new(), Errors::new());
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let name = volume.text("name");
        let mut found = source(volume, pod, &path, options);
        if name.is_empty() {
            found.push(field::required(&path.child("name"), ""));
        } else {
            found.extend(rules::each(&path.child("name"), name, names::dns1123_label(name)));
        }
        if valid.contains_key(name) {
            found.push(field::duplicate(&path.child("name"), name));
        }
        if found.is_empty() {
            valid.insert(name, volume);
        }
        errors.extend(found);
        let claim = volume.field("persistentVolumeClaim").text("claimName");
        if made.contains(claim) {
            let at = path.child("persistentVolumeClaim").child("claimName");
            errors.push(field::invalid(&at, claim, "must not reference a PVC that gets created for an ephemeral volume"));
        }
    }
    (valid, errors)
}

/// Exactly one source, and its rules.
fn source(volume: &Json, pod: Option<&str>, path: &Path, options: &Options) -> Errors {
    let mut errors = Errors::new();
    let mut found = false;
    for kind in SOURCES.into_iter().filter(|kind| volume.has(kind)) {
        if found && kind != "emptyDir" {
            let shown = match kind {
                "cephfs" => "cephFS",
                // Kubernetes has a typing error here.
                "downwardAPI" => "downwarAPI",
                other => other,
            };
            errors.push(field::forbidden(&path.child(shown), "may not specify more than 1 volume type"));
        } else {
            let shown = if kind == "gcePersistentDisk" { "persistentDisk" } else { kind };
            errors.extend(one_source(kind, volume, pod, &path.child(shown), path, options));
        }
        if kind == "iscsi" {
            errors.extend(retired_volumes::iscsi_name(volume, path));
        }
        found = true;
    }
    if !found {
        errors.push(field::required(path, "must specify a volume type"));
    }
    errors
}

fn one_source(kind: &str, volume: &Json, pod: Option<&str>, path: &Path, at: &Path, options: &Options) -> Errors {
    let source = volume.field(kind);
    let required = |name: &str| -> Errors {
        if source.text(name).is_empty() { vec![field::required(&path.child(name), "")] } else { Errors::new() }
    };
    match kind {
        "emptyDir" => empty_dir(source, path),
        "secret" => of_keys(source, "secretName", path),
        "configMap" => of_keys(source, "name", path),
        "persistentVolumeClaim" => required("claimName"),
        "downwardAPI" => {
            let mut errors = mode(source, "defaultMode", path);
            errors.extend(source.list("items").iter().flat_map(|file| downward_file(file, path)));
            errors
        }
        "projected" => projected::validate(source, path, options),
        "gitRepo" => {
            let mut errors = required("repository");
            errors.extend(local_path(source.text("directory"), &path.child("directory")));
            errors
        }
        "ephemeral" => ephemeral(volume, pod, path, at),
        "image" => {
            let mut errors = required("reference");
            let policy = source.text("pullPolicy");
            if !["Always", "IfNotPresent", "Never"].contains(&policy) && !policy.is_empty() {
                let supported = ["Always", "IfNotPresent", "Never"];
                errors.push(field::not_supported(&path.child("pullPolicy"), policy, &supported));
            }
            errors
        }
        "csi" => csi(source, path),
        "iscsi" | "glusterfs" | "cinder" | "flexVolume" | "azureFile" | "storageos" => {
            retired_volumes::validate(kind, source, path)
        }
        _ => volume_sources::validate(kind, source, path),
    }
}

fn empty_dir(source: &Json, path: &Path) -> Errors {
    let size = source.opt_text("sizeLimit").and_then(|text| Quantity::parse(text).ok());
    if size.is_none_or(|size| size.signum() >= 0) {
        return Errors::new();
    }
    vec![field::forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")]
}

/// The permissions of files.
pub(super) fn mode(source: &Json, name: &str, path: &Path) -> Errors {
    match source.opt_int(name) {
        Some(mode) if !(0..=0o777).contains(&mode) => vec![field::invalid(&path.child(name), mode, MODE)],
        _ => Errors::new(),
    }
}

/// A ConfigMap or Secret as files.
fn of_keys(source: &Json, name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if source.text(name).is_empty() {
        errors.push(field::required(&path.child(name), ""));
    }
    errors.extend(mode(source, "defaultMode", path));
    for (index, item) in source.list("items").iter().enumerate() {
        errors.extend(key_to_path(item, &path.child("items").index(index)));
    }
    errors
}

/// One key and the file it becomes.
pub(super) fn key_to_path(item: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for name in ["key", "path"] {
        if item.text(name).is_empty() {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    errors.extend(local_path_not_reserved(item.text("path"), &path.child("path")));
    errors.extend(mode(item, "mode", path));
    errors
}

/// One file that holds a field of the Pod; its errors stand at the volume's path.
pub(super) fn downward_file(file: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if file.text("path").is_empty() {
        errors.push(field::required(&path.child("path"), ""));
    }
    errors.extend(local_path_not_reserved(file.text("path"), &path.child("path")));
    if file.has("fieldRef") {
        errors.extend(env::field_ref(file.field("fieldRef"), &env::FILE_FIELDS, &path.child("fieldRef")));
        if file.has("resourceFieldRef") {
            let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.push(field::invalid(path, "resource", detail));
        }
    } else if file.has("resourceFieldRef") {
        let reference = file.field("resourceFieldRef");
        errors.extend(env::resource_field_ref(reference, &path.child("resourceFieldRef"), true));
    } else {
        errors.push(field::required(path, "one of fieldRef and resourceFieldRef is required"));
    }
    errors.extend(mode(file, "mode", path));
    errors
}

fn csi(source: &Json, path: &Path) -> Errors {
    let mut errors = volume_sources::csi_driver_name(source.text("driver"), &path.child("driver"));
    let secret = source.field("nodePublishSecretRef");
    if !secret.is_null() {
        let name = secret.text("name");
        if name.is_empty() {
            errors.push(field::required(&path.child("nodePublishSecretRef").child("name"), ""));
        } else {
            errors.extend(rules::each(&path.child("name"), name, names::dns1123_subdomain(name)));
        }
    }
    errors
}

/// A claim that is made for the Pod, named after both.
fn ephemeral(volume: &Json, pod: Option<&str>, path: &Path, at: &Path) -> Errors {
    let template = volume.field("ephemeral").field("volumeClaimTemplate");
    let path = path.child("volumeClaimTemplate");
    let mut errors = if template.is_null() {
        vec![field::required(&path, "")]
    } else {
        let mut errors = template_metadata(template.field("metadata"), &path.child("metadata"));
        errors.extend(claim::spec(template.field("spec"), &path.child("spec"), None));
        errors
    };
    let name = volume.text("name");
    if let Some(pod) = pod.filter(|_| !name.is_empty()) {
        let claim = format!("{pod}-{name}");
        for wrong in names::dns1123_subdomain(&claim) {
            let detail = format!("PVC name {}: {wrong}", quote(&claim));
            errors.push(field::invalid(&at.child("name"), name, &detail));
        }
    }
    errors
}

/// A template's metadata has labels and annotations, nothing else.
fn template_metadata(metadata: &Json, path: &Path) -> Errors {
    // In the order of the fields in Go's struct.
    const OTHERS: [&str; 11] = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
    ];
    let mut errors = meta::annotations(metadata.get("annotations"), &path.child("annotations"));
    errors.extend(meta::labels(metadata.get("labels"), &path.child("labels")));
    let others = OTHERS.into_iter().chain(["finalizers", "managedFields"]);
    let set = others.filter(|name| metadata.has(name));
    errors.extend(set.map(|name| {
        let shown = if name == "uid" { "uID" } else { name };
        field::forbidden(&path.child(shown), "cannot be set")
    }));
    errors
}
