//! Where containers mount volumes, and the paths in and of them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::field::{self, Errors, Path};
use super::super::rules::no_backsteps;
use super::spec::Scope;
use crate::api::Json;
use crate::api::tree::Tree;

/// A relative path that stays below where it starts.
pub(super) fn local_path(text: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if text.starts_with('/') {
        errors.push(field::invalid(path, text, "must be a relative path"));
    }
    errors.extend(no_backsteps(path, text));
    errors
}

/// The same, and it does not start with two dots, which are the kubelet's.
pub(super) fn local_path_not_reserved(text: &str, path: &Path) -> Errors {
    let mut errors = local_path(text, path);
    if text.starts_with("..") && !text.starts_with("../") {
        errors.push(field::invalid(path, text, "must not start with '..'"));
    }
    errors
}

fn by_name<'a>(list: &'a [Json], path: &str) -> BTreeMap<&'a str, &'a str> {
    list.iter().map(|entry| (entry.text("name"), entry.text(path))).collect()
}

/// `volumeMounts` of a container.
pub(super) fn mounts(scope: &Scope<'_>, container: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let devices = by_name(container.list("volumeDevices"), "devicePath");
    let mut points = BTreeSet::new();
    for (index, mount) in container.list("volumeMounts").iter().enumerate() {
        let at = path.index(index);
        let (name, point) = (mount.text("name"), mount.text("mountPath"));
        if name.is_empty() {
            errors.push(field::required(&at.child("name"), ""));
        }
        let volume = scope.volumes.get(name);
        if volume.is_none() {
            errors.push(field::not_found(&at.child("name"), name));
        }
        if point.is_empty() {
            errors.push(field::required(&at.child("mountPath"), ""));
        }
        if !points.insert(point) {
            errors.push(field::invalid(&at.child("mountPath"), point, "must be unique"));
        }
        if devices.contains_key(name) {
            errors.push(field::invalid(&at.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.values().any(|d| *d == point) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(field::invalid(&at.child("mountPath"), point, detail));
        }
        errors.extend(sub_path(mount, path, &at));
        errors.extend(propagation(mount, container, &path.child("mountPropagation")));
        errors.extend(recursive_read_only(mount, &path.child("recursiveReadOnly")));
    }
    errors
}

/// Its errors stand at the list's path where Kubernetes puts them there.
fn sub_path(mount: &Json, list: &Path, at: &Path) -> Errors {
    let (sub_path, expression) = (mount.text("subPath"), mount.text("subPathExpr"));
    let mut errors = Errors::new();
    if !sub_path.is_empty() {
        errors.extend(local_path(sub_path, &list.child("subPath")));
    }
    if !expression.is_empty() {
        if !sub_path.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(field::invalid(&at.child("subPathExpr"), expression, detail));
        }
        errors.extend(local_path(expression, &list.child("subPathExpr")));
    }
    errors
}

fn propagation(mount: &Json, container: &Json, path: &Path) -> Errors {
    const SUPPORTED: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    let Some(mode) = mount.opt_text("mountPropagation") else { return Errors::new() };
    let mut errors = Errors::new();
    if !SUPPORTED.contains(&mode) {
        errors.push(field::not_supported(path, mode, &SUPPORTED));
    }
    if mode == "Bidirectional" && !container.field("securityContext").flag("privileged") {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(field::forbidden(path, detail));
    }
    errors
}

fn recursive_read_only(mount: &Json, path: &Path) -> Errors {
    let Some(mode) = mount.opt_text("recursiveReadOnly") else { return Errors::new() };
    let mut errors = Errors::new();
    match mode {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.flag("readOnly") {
                errors.push(field::forbidden(path, "may only be specified when readOnly is true"));
            }
            if mount.opt_text("mountPropagation").is_some_and(|p| p != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(field::forbidden(path, detail));
            }
        }
        other => errors.push(field::not_supported(path, other, &["Disabled", "Enabled", "IfPossible"])),
    }
    errors
}

/// `volumeDevices` of a container.
pub(super) fn devices(scope: &Scope<'_>, container: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mounts = by_name(container.list("volumeMounts"), "mountPath");
    let (mut paths, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (index, device) in container.list("volumeDevices").iter().enumerate() {
        let path = path.index(index);
        let (name_path, device_path) = (path.child("name"), path.child("devicePath"));
        let (name, at) = (device.text("name"), device.text("devicePath"));
        if name.is_empty() {
            errors.push(field::required(&name_path, ""));
        }
        if seen.contains(name) {
            errors.push(field::invalid(&name_path, name, "must be unique"));
        }
        match scope.volumes.get(name) {
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(field::invalid(&name_path, name, detail));
            }
            Some(_) => {}
            None => errors.push(field::not_found(&name_path, name)),
        }
        if at.is_empty() {
            errors.push(field::required(&device_path, ""));
        }
        if paths.contains(at) {
            errors.push(field::invalid(&device_path, at, "must be unique"));
        }
        if no_backsteps(&device_path, at).is_empty() {
            paths.insert(at);
        } else {
            errors.push(field::invalid(&device_path, at, "can not contain backsteps ('..')"));
        }
        if mounts.contains_key(name) {
            errors.push(field::invalid(&name_path, name, "must not already exist in volumeMounts"));
        }
        if mounts.values().any(|m| *m == at) {
            errors.push(field::invalid(&device_path, at, "must not already exist as a path in volumeMounts"));
        }
        if !name.is_empty() {
            seen.insert(name);
        }
    }
    errors
}
