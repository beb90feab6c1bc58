//! Environment variables and where they come from.

use super::super::field::{self, Errors, Path};
use super::super::{names, rules};
use super::mounts::local_path_not_reserved;
use crate::api::Json;
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;

/// Fields of a Pod that a variable may hold.
const VARIABLE_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of a Pod that a file may hold.
pub(super) const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Every field of a Pod that has a label.
const KNOWN_FIELDS: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const HUGEPAGES: [&str; 2] = ["limits.hugepages-", "requests.hugepages-"];

/// `env` of a container.
pub(super) fn variables(container: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (index, variable) in container.list("env").iter().enumerate() {
        let path = path.index(index);
        let name = variable.text("name");
        if name.is_empty() {
            errors.push(field::required(&path.child("name"), ""));
        } else {
            errors.extend(rules::each(&path.child("name"), name, names::relaxed_env_name(name)));
        }
        errors.extend(value_from(variable, &path.child("valueFrom")));
    }
    errors
}

fn value_from(variable: &Json, path: &Path) -> Errors {
    let from = variable.field("valueFrom");
    if from.is_null() {
        return Errors::new();
    }
    let mut errors = Errors::new();
    let mut count = 0;
    for name in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let source = from.field(name);
        if source.is_null() {
            continue;
        }
        count += 1;
        let path = path.child(name);
        errors.extend(match name {
            "fieldRef" => field_ref(source, &VARIABLE_FIELDS, &path),
            "resourceFieldRef" => resource_field_ref(source, &path, false),
            "fileKeyRef" => file_key(source, &path),
            _ => key_ref(source, &path),
        });
    }
    if count == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(field::invalid(path, "", detail));
    } else if !variable.text("value").is_empty() {
        errors.push(field::invalid(path, "", "may not be specified when `value` is not empty"));
    } else if count > 1 {
        errors.push(field::invalid(path, "", "may not have more than one field specified at a time"));
    }
    errors
}

/// `envFrom` of a container.
pub(super) fn sources(container: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (index, source) in container.list("envFrom").iter().enumerate() {
        let at = path.index(index);
        let prefix = source.text("prefix");
        if !prefix.is_empty() {
            errors.extend(rules::each(&at.child("prefix"), prefix, names::relaxed_env_name(prefix)));
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            let reference = source.field(kind);
            if reference.is_null() {
                continue;
            }
            count += 1;
            let (name, at) = (reference.text("name"), at.child(kind).child("name"));
            if name.is_empty() {
                errors.push(field::required(&at, ""));
            } else {
                errors.extend(rules::each(&at, name, names::name_is_subdomain(name, true)));
            }
        }
        if count == 0 {
            errors.push(field::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
        } else if count > 1 {
            errors.push(field::invalid(path, "", "may not have more than one field specified at a time"));
        }
    }
    errors
}

fn key_ref(source: &Json, path: &Path) -> Errors {
    let (name, key) = (source.text("name"), source.text("key"));
    let mut errors = rules::each(&path.child("name"), name, names::dns1123_subdomain(name));
    if key.is_empty() {
        errors.push(field::required(&path.child("key"), ""));
    } else {
        errors.extend(rules::each(&path.child("key"), key, names::config_key(key)));
    }
    errors
}

fn file_key(source: &Json, path: &Path) -> Errors {
    let (volume, file, key) = (source.text("volumeName"), source.text("path"), source.text("key"));
    let mut errors = Errors::new();
    if key.is_empty() {
        errors.push(field::required(&path.child("key"), ""));
    } else {
        errors.extend(rules::each(&path.child("key"), key, names::relaxed_env_name(key)));
    }
    if volume.is_empty() {
        errors.push(field::required(&path.child("volumeName"), ""));
    } else {
        errors.extend(rules::each(&path.child("volumeName"), volume, names::dns1123_label(volume)));
    }
    if file.is_empty() {
        errors.push(field::required(&path.child("path"), ""));
    } else {
        errors.extend(local_path_not_reserved(file, &path.child("path")));
    }
    errors
}

/// Variables from files are read from empty directories of the Pod only.
pub(super) fn file_key_volumes(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (container, path) in super::all_containers(spec, path) {
        for (index, variable) in container.list("env").iter().enumerate() {
            let source = variable.field("valueFrom").field("fileKeyRef");
            let name = source.text("volumeName");
            if name.is_empty() {
                continue;
            }
            let at = path.child("env").index(index).child("valueFrom").child("fileKeyRef").child("volumeName");
            match spec.list("volumes").iter().find(|v| v.text("name") == name) {
                None => errors.push(field::not_found(&at, name)),
                Some(volume) if !volume.has("emptyDir") => {
                    errors.push(field::invalid(&at, name, "referenced volume must be of type emptyDir"));
                }
                Some(_) => {}
            }
        }
    }
    errors
}

/// `metadata.labels['a']` → `metadata.labels`, `a`. Source: pkg/fieldpath/fieldpath.go.
fn subscript(label: &str) -> Option<(&str, &str)> {
    label.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

/// A field of the Pod. Source: pkg/apis/core/pods/helpers.go, ConvertDownwardAPIFieldLabel.
pub(super) fn field_ref(reference: &Json, allowed: &[&str], path: &Path) -> Errors {
    let (version, label) = (reference.text("apiVersion"), reference.text("fieldPath"));
    for (name, value) in [("apiVersion", version), ("fieldPath", label)] {
        if value.is_empty() {
            return vec![field::required(&path.child(name), "")];
        }
    }
    let at = path.child("fieldPath");
    let refused = |why: String| vec![field::invalid(&at, label, &format!("error converting fieldPath: {why}"))];
    if version != "v1" {
        return refused(format!("unsupported pod version: {version}"));
    }
    if let Some((map, key)) = subscript(label) {
        return match map {
            "metadata.annotations" => {
                let key = key.to_lowercase();
                rules::each(path, &key, names::qualified_name(&key))
            }
            "metadata.labels" => rules::each(path, key, names::qualified_name(key)),
            _ => refused(format!("field label does not support subscript: {label}")),
        };
    }
    if !KNOWN_FIELDS.contains(&label) {
        return refused(format!("field label not supported: {label}"));
    }
    let internal = if label == "spec.host" { "spec.nodeName" } else { label };
    if allowed.contains(&internal) {
        return Errors::new();
    }
    vec![field::not_supported(&at, internal, allowed)]
}

/// A resource of a container.
pub(super) fn resource_field_ref(reference: &Json, path: &Path, in_volume: bool) -> Errors {
    let mut errors = Errors::new();
    let resource = reference.text("resource");
    if in_volume && reference.text("containerName").is_empty() {
        errors.push(field::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(field::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !HUGEPAGES.iter().any(|p| resource.starts_with(p)) {
        errors.push(field::not_supported(&path.child("resource"), resource, &RESOURCES));
    }
    errors.extend(divisor(resource, reference.text("divisor"), &path.child("divisor")));
    errors
}

fn divisor(resource: &str, divisor: &str, path: &Path) -> Errors {
    const BYTES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let Ok(quantity) = Quantity::parse(divisor) else { return Errors::new() };
    if quantity.is_zero() {
        return Errors::new();
    }
    let shown = quantity.to_string();
    let noun = match resource {
        "limits.cpu" | "requests.cpu" => {
            if ["1m", "1"].contains(&shown.as_str()) {
                return Errors::new();
            }
            return vec![field::invalid(path, resource, "only divisor's values 1m and 1 are supported with the cpu resource")];
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if HUGEPAGES.iter().any(|p| resource.starts_with(p)) => "hugepages",
        _ => return Errors::new(),
    };
    if BYTES.contains(&shown.as_str()) {
        return Errors::new();
    }
    let detail = format!("only divisor's values {} are supported with the {noun} resource", BYTES.join(", "));
    vec![field::invalid(path, resource, &detail)]
}
