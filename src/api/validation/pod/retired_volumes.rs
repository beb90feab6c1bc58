//! Sources of volumes that Kubernetes no longer has a plugin for, where a Pod's rules differ from a
//! PersistentVolume's.

use super::super::field::{self, Errors, Path};
use super::super::{names, rules};
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
        "storageos" => storageos(source, path),
        "flexVolume" => flex(source, path),
        "iscsi" => iscsi(source, path),
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

fn storageos(source: &Json, path: &Path) -> Errors {
    let (name, namespace) = (source.text("volumeName"), source.text("volumeNamespace"));
    let mut errors = if name.is_empty() {
        vec![field::required(&path.child("volumeName"), "")]
    } else {
        rules::each(&path.child("volumeName"), name, names::dns1123_label(name))
    };
    if !namespace.is_empty() {
        errors.extend(rules::each(&path.child("volumeNamespace"), namespace, names::dns1123_label(namespace)));
    }
    errors.extend(secret_name(source, path));
    errors
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

fn iscsi(source: &Json, path: &Path) -> Errors {
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
    errors.extend(names::in_range(lun, 0, 255).iter().map(|m| field::invalid(&path.child("lun"), lun, m)));
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
