//! What each kind of source of a PersistentVolume must have.
//! Source: pkg/apis/core/validation/validation.go.

use super::field::{self, Errors, Path};
use super::{names, rules};
use crate::api::{Json, tree::Tree};

const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// The rules of the source `kind`.
pub fn validate(kind: &str, source: &Json, path: &Path) -> Errors {
    let required = |fields: &[&str]| -> Errors {
        let missing = fields.iter().filter(|field| source.text(field).is_empty());
        missing.map(|name| field::required(&path.child(name), "")).collect()
    };
    match kind {
        "hostPath" => host_path(source, path),
        "gcePersistentDisk" => {
            let mut errors = required(&["pdName"]);
            errors.extend(partition(source, path));
            errors
        }
        "awsElasticBlockStore" => {
            let mut errors = required(&["volumeID"]);
            errors.extend(partition(source, path));
            errors
        }
        "glusterfs" => glusterfs(source, path),
        "flocker" => flocker(source, path),
        "nfs" => nfs(source, path),
        "rbd" => with_list(source, path, "monitors", &["image"]),
        "quobyte" => quobyte(source, path),
        "cephfs" => with_list(source, path, "monitors", &[]),
        "iscsi" => iscsi(source, path),
        "cinder" => cinder(source, path),
        "fc" => fibre_channel(source, path),
        "flexVolume" => required(&["driver"]),
        "azureFile" => azure_file(source, path),
        "vsphereVolume" => required(&["volumePath"]),
        "photonPersistentDisk" => required(&["pdID"]),
        "portworxVolume" => required(&["volumeID"]),
        "azureDisk" => azure_disk(source, path),
        "scaleIO" => required(&["gateway", "system", "volumeName"]),
        "local" => local(source, path),
        "storageos" => storageos(source, path),
        "csi" => csi(source, path),
        _ => Errors::new(),
    }
}

fn host_path(source: &Json, path: &Path) -> Errors {
    let text = source.text("path");
    if text.is_empty() {
        return vec![field::required(&path.child("path"), "")];
    }
    let mut errors = rules::no_backsteps(&path.child("path"), text);
    if let Some(kind) = source.opt_text("type").filter(|kind| !HOST_PATH_TYPES.contains(kind)) {
        errors.push(field::not_supported(&path.child("type"), kind, HOST_PATH_TYPES));
    }
    errors
}

fn partition(source: &Json, path: &Path) -> Errors {
    let number = source.int("partition");
    if (0..=255).contains(&number) {
        return Errors::new();
    }
    vec![field::invalid(&path.child("partition"), number, &names::between(1, 255))]
}

fn glusterfs(source: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for name in ["endpoints", "path"] {
        if source.text(name).is_empty() {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    if let Some(namespace) = source.opt_text("endpointsNamespace") {
        let path = path.child("endpointsNamespace");
        if namespace.is_empty() {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(field::invalid(&path, namespace, detail));
        } else {
            errors.extend(rules::each(&path, namespace, names::dns1123_label(namespace)));
        }
    }
    errors
}

fn flocker(source: &Json, path: &Path) -> Errors {
    let (name, id) = (source.text("datasetName"), source.text("datasetUUID"));
    if name.is_empty() && id.is_empty() {
        return vec![field::required(path, "one of datasetName and datasetUUID is required")];
    }
    if !name.is_empty() && !id.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        return vec![field::invalid(path, "resource", detail)];
    }
    if name.contains('/') {
        return vec![field::invalid(&path.child("datasetName"), name, "must not contain '/'")];
    }
    Errors::new()
}

fn nfs(source: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for name in ["server", "path"] {
        if source.text(name).is_empty() {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    if !source.text("path").starts_with('/') {
        errors.push(field::invalid(&path.child("path"), source.text("path"), "must be an absolute path"));
    }
    errors
}

fn with_list(source: &Json, path: &Path, list: &str, fields: &[&str]) -> Errors {
    let mut errors = Errors::new();
    if source.list(list).is_empty() {
        errors.push(field::required(&path.child(list), ""));
    }
    let missing = fields.iter().filter(|name| source.text(name).is_empty());
    errors.extend(missing.map(|name| field::required(&path.child(name), "")));
    errors
}

fn quobyte(source: &Json, path: &Path) -> Errors {
    let registry = source.text("registry");
    let registry_path = path.child("registry");
    let mut errors = Errors::new();
    if registry.is_empty() {
        let detail = "must be a host:port pair or multiple pairs separated by commas";
        errors.push(field::required(&registry_path, detail));
    } else if registry.len() >= 65536 {
        errors.push(field::too_long(&registry_path, 65535));
    } else {
        let pair = |text: &str| text.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        if !registry.split(',').all(pair) {
            let detail = "must be a host:port pair or multiple pairs separated by commas";
            errors.push(field::invalid(&registry_path, registry, detail));
        }
    }
    if source.text("tenant").len() >= 65 {
        errors.push(field::required(&path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters"));
    }
    if source.text("volume").is_empty() {
        errors.push(field::required(&path.child("volume"), ""));
    }
    errors
}

fn iscsi(source: &Json, path: &Path) -> Errors {
    let mut errors = iscsi_target(source, path);
    if source.has("secretRef") && source.field("secretRef").text("name").is_empty() {
        errors.push(field::required(&path.child("secretRef").child("name"), ""));
    }
    errors
}

/// Portal, name, unit and initiator, as Pods and PersistentVolumes have them.
pub fn iscsi_target(source: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if source.text("targetPortal").is_empty() {
        errors.push(field::required(&path.child("targetPortal"), ""));
    }
    let name = source.text("iqn");
    if name.is_empty() {
        errors.push(field::required(&path.child("iqn"), ""));
    } else {
        errors.extend(target(name, &path.child("iqn")));
    }
    let lun = source.int("lun");
    if !(0..=255).contains(&lun) {
        errors.push(field::invalid(&path.child("lun"), lun, &names::between(0, 255)));
    }
    let chap = source.flag("chapAuthDiscovery") || source.flag("chapAuthSession");
    if chap && !source.has("secretRef") {
        errors.push(field::required(&path.child("secretRef"), ""));
    }
    if let Some(initiator) = source.opt_text("initiatorName") {
        errors.extend(target(initiator, &path.child("initiatorname")));
    }
    errors
}

/// `iqn.2001-04.com.example:storage`, `eui.` and 16, `naa.` and 32 letters or digits.
fn target(name: &str, path: &Path) -> Errors {
    let counted = |rest: &str, count: usize| {
        let mut chars = rest.chars();
        chars.next().is_some() && chars.as_str().len() == count && chars.all(|c| c.is_ascii_alphanumeric())
    };
    let valid = match name.split_at_checked(3) {
        Some(("iqn", _)) => is_iqn(name),
        Some(("eui", rest)) => counted(rest, 16),
        Some(("naa", rest)) => counted(rest, 32),
        _ => return vec![field::invalid(path, name, "must be valid format starting with iqn, eui, or naa")],
    };
    if valid { Errors::new() } else { vec![field::invalid(path, name, "must be valid format")] }
}

/// As the regular expression `iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$` finds it anywhere in the name.
fn is_iqn(name: &str) -> bool {
    name.match_indices("iqn.").any(|(at, found)| {
        let rest = &name[at + found.len()..];
        let date = rest.as_bytes();
        let dated = date.len() > 8
            && date[..4].iter().all(u8::is_ascii_digit)
            && date[4] == b'-'
            && date[5..7].iter().all(u8::is_ascii_digit)
            && date[7] == b'.';
        let Some((authority, storage)) = rest.get(8..).and_then(|r| r.split_once(':')) else { return false };
        dated
            && !authority.is_empty()
            && authority.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
            && !storage.is_empty()
            && !storage.contains(|c: char| c.is_whitespace() || ",;*&$|".contains(c))
    })
}

fn cinder(source: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if source.text("volumeID").is_empty() {
        errors.push(field::required(&path.child("volumeID"), ""));
    }
    errors.extend(secret_with_namespace(source, path));
    errors
}

fn fibre_channel(source: &Json, path: &Path) -> Errors {
    let (targets, ids) = (source.list("targetWWNs"), source.list("wwids"));
    let mut errors = Errors::new();
    if targets.is_empty() && ids.is_empty() {
        let detail = "must specify either targetWWNs or wwids, but not both";
        errors.push(field::required(&path.child("targetWWNs"), detail));
    }
    if !targets.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(field::invalid(&path.child("targetWWNs"), targets.to_vec(), detail));
    }
    if !targets.is_empty() {
        match source.opt_int("lun") {
            None => errors.push(field::required(&path.child("lun"), "lun is required if targetWWNs is specified")),
            Some(lun) if !(0..=255).contains(&lun) => {
                errors.push(field::invalid(&path.child("lun"), lun, &names::between(0, 255)));
            }
            Some(_) => {}
        }
    }
    errors
}

fn azure_file(source: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for name in ["secretName", "shareName"] {
        if source.text(name).is_empty() {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    if source.opt_text("secretNamespace") == Some("") {
        errors.push(field::required(&path.child("secretNamespace"), ""));
    }
    errors
}

fn azure_disk(source: &Json, path: &Path) -> Errors {
    const CACHING: &[&str] = &["None", "ReadOnly", "ReadWrite"];
    const KINDS: &[&str] = &["Dedicated", "Managed", "Shared"];
    let mut errors = Errors::new();
    for name in ["diskName", "diskURI"] {
        if source.text(name).is_empty() {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    if let Some(mode) = source.opt_text("cachingMode").filter(|mode| !CACHING.contains(mode)) {
        errors.push(field::not_supported(&path.child("cachingMode"), mode, CACHING));
    }
    let kind = source.opt_text("kind");
    if let Some(kind) = kind.filter(|kind| !KINDS.contains(kind)) {
        errors.push(field::not_supported(&path.child("kind"), kind, KINDS));
    }
    let uri = source.text("diskURI");
    if kind == Some("Managed") && !uri.starts_with("/subscriptions") {
        let supported =
            &["/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"];
        errors.push(field::not_supported(&path.child("diskURI"), uri, supported));
    }
    if kind.is_some_and(|kind| kind != "Managed") && !uri.starts_with("https://") {
        let supported = &["https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"];
        errors.push(field::not_supported(&path.child("diskURI"), uri, supported));
    }
    errors
}

fn local(source: &Json, path: &Path) -> Errors {
    let text = source.text("path");
    if text.is_empty() {
        return vec![field::required(&path.child("path"), "")];
    }
    rules::no_backsteps(&path.child("path"), text)
}

fn storageos(source: &Json, path: &Path) -> Errors {
    let mut errors = storageos_volume(source, path);
    errors.extend(secret_with_namespace(source, path));
    errors
}

/// Names of a volume and its namespace, as Pods and PersistentVolumes have them.
pub fn storageos_volume(source: &Json, path: &Path) -> Errors {
    let (name, namespace) = (source.text("volumeName"), source.text("volumeNamespace"));
    let mut errors = if name.is_empty() {
        vec![field::required(&path.child("volumeName"), "")]
    } else {
        rules::each(&path.child("volumeName"), name, names::dns1123_label(name))
    };
    if !namespace.is_empty() {
        errors.extend(rules::each(&path.child("volumeNamespace"), namespace, names::dns1123_label(namespace)));
    }
    errors
}

fn secret_with_namespace(source: &Json, path: &Path) -> Errors {
    let secret = source.field("secretRef");
    let missing = ["name", "namespace"].into_iter().filter(|name| !secret.is_null() && secret.text(name).is_empty());
    missing.map(|name| field::required(&path.child("secretRef").child(name), "")).collect()
}

/// The name of a CSI driver.
pub fn csi_driver_name(name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if name.is_empty() {
        return vec![field::required(path, "")];
    }
    if name.len() > 63 {
        errors.push(field::too_long(path, 63));
    }
    errors.extend(rules::each(path, name, names::dns1123_subdomain(&name.to_lowercase())));
    errors
}

fn csi(source: &Json, path: &Path) -> Errors {
    let mut errors = csi_driver_name(source.text("driver"), &path.child("driver"));
    if source.text("volumeHandle").is_empty() {
        errors.push(field::required(&path.child("volumeHandle"), ""));
    }
    let secrets =
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];
    for name in secrets.into_iter().filter(|name| source.has(name)) {
        errors.extend(secret_reference(source.field(name), &path.child(name)));
    }
    errors
}

fn secret_reference(reference: &Json, path: &Path) -> Errors {
    let part = |name: &str, problems: fn(&str) -> Vec<String>| {
        let value = reference.text(name);
        let path = path.child(name);
        if value.is_empty() { vec![field::required(&path, "")] } else { rules::each(&path, value, problems(value)) }
    };
    let mut errors = part("name", names::dns1123_subdomain);
    errors.extend(part("namespace", names::dns1123_label));
    errors
}
