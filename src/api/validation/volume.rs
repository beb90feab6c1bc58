//! Whether a PersistentVolume may be. Source: pkg/apis/core/validation/validation.go.

use super::field::{self, Errors, Path};
use super::volume_sources;
use super::{claim, internal_form, meta, names, node_selector, rules};
use crate::api::tree::{Tree, remove};
use crate::api::{Json, JsonMap, Object, quantity::Quantity};

const RECLAIM: &[&str] = &["Delete", "Recycle", "Retain"];

/// The kinds of sources in the order in which they are looked at.
pub const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

pub fn create(object: &Object) -> Errors {
    let mut errors = volume(object);
    errors.extend(mount_options(object));
    errors
}

fn volume(object: &Object) -> Errors {
    let mut errors = meta::create(object, false, names::name_is_subdomain);
    errors.extend(spec(object.json().field("spec"), &Path::new("spec")));
    errors
}

const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// The old annotation is for the sources of its time. Source: pkg/volume/validation/pv_validation.go.
fn mount_options(object: &Object) -> Errors {
    const MOUNTED: &[&str] = &[
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
    ];
    let spec = object.json().field("spec");
    if object.annotation(MOUNT_OPTIONS).is_none() || MOUNTED.iter().any(|source| spec.has(source)) {
        return Errors::new();
    }
    let path = Path::new("metadata").child("annotations").child(MOUNT_OPTIONS);
    vec![field::forbidden(&path, "may not specify mount options for this volume type")]
}

fn spec(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if spec.list("accessModes").is_empty() {
        errors.push(field::required(&path.child("accessModes"), ""));
    }
    errors.extend(claim::access_modes(spec, path));
    errors.extend(capacity(spec, &path.child("capacity")));
    let reclaim = spec.text("persistentVolumeReclaimPolicy");
    if !reclaim.is_empty() && !RECLAIM.contains(&reclaim) {
        errors.push(field::not_supported(&path.child("persistentVolumeReclaimPolicy"), reclaim, RECLAIM));
    }
    let affinity = spec.field("nodeAffinity");
    if !affinity.is_null() {
        errors.extend(node_affinity(affinity, &path.child("nodeAffinity")));
    }
    errors.extend(sources(spec, path));
    let root = spec.field("hostPath").opt_text("path").is_some_and(is_root);
    if root && reclaim == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(field::forbidden(&path.child("persistentVolumeReclaimPolicy"), detail));
    }
    let class = spec.text("storageClassName");
    if !class.is_empty() {
        errors.extend(rules::each(&path.child("storageClassName"), class, names::dns1123_subdomain(class)));
    }
    if let Some(mode) = spec.opt_text("volumeMode").filter(|mode| !claim::VOLUME_MODES.contains(mode)) {
        errors.push(field::not_supported(&path.child("volumeMode"), mode, claim::VOLUME_MODES));
    }
    if let Some(class) = spec.opt_text("volumeAttributesClassName") {
        let class_path = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(field::required(&class_path, "an empty string is disallowed"));
        } else {
            errors.extend(rules::each(&class_path, class, names::dns1123_subdomain(class)));
        }
        if !spec.has("csi") {
            let detail = "has to be specified when using volumeAttributesClassName";
            errors.push(field::required(&path.child("csi"), detail));
        }
    }
    errors
}

/// Whether a path is `/` once `.`, `..` and doubled slashes are gone.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

fn capacity(spec: &Json, path: &Path) -> Errors {
    let capacity = spec.entries("capacity");
    let mut errors = Errors::new();
    if capacity.is_empty() {
        errors.push(field::required(path, ""));
    }
    if !spec.field("capacity").has("storage") || capacity.len() > 1 {
        errors.push(field::not_supported(path, spec.field("capacity").clone(), &["storage"]));
    }
    for (resource, amount) in capacity {
        let path = path.key(resource);
        errors.extend(rules::basic_quantity(amount, &path));
        let text = amount.as_str().unwrap_or("0");
        if !Quantity::parse(text).is_ok_and(|amount| amount.signum() > 0) {
            errors.push(field::invalid(&path, text, "must be greater than zero"));
        }
    }
    errors
}

fn node_affinity(affinity: &Json, path: &Path) -> Errors {
    let path = path.child("required");
    if !affinity.has("required") {
        return vec![field::required(&path, "must specify required node constraints")];
    }
    node_selector::validate(affinity.field("required"), &path)
}

fn sources(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut found = false;
    for kind in SOURCES.iter().filter(|kind| spec.has(kind)) {
        let source = spec.field(kind);
        if found && *kind != "flexVolume" {
            let kind = if *kind == "cephfs" { "cephFS" } else { kind };
            errors.push(field::forbidden(&path.child(kind), "may not specify more than 1 volume type"));
            continue;
        }
        found = true;
        let source_path = path.child(if *kind == "gcePersistentDisk" { "persistentDisk" } else { kind });
        errors.extend(volume_sources::validate(kind, source, &source_path));
        if *kind == "local" && !spec.field("nodeAffinity").has("required") {
            errors.push(field::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if !found {
        errors.push(field::required(path, "must specify a volume type"));
    }
    errors
}

fn source_of(spec: &Json) -> Json {
    let present = SOURCES.iter().filter(|kind| spec.has(kind));
    Json::Object(present.map(|kind| ((*kind).to_owned(), spec.field(kind).clone())).collect::<JsonMap>())
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let (new_spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    // The strategy asks the rules for a new volume as well.
    let mut errors = create(new);
    errors.extend(volume(new));
    let (mut wanted, kept) = (source_of(new_spec), source_of(old_spec));
    let expand = "controllerExpandSecretRef";
    if kept.has("csi") && !kept.field("csi").has(expand) && wanted.has("csi") {
        remove(&mut wanted["csi"], expand);
    }
    if wanted != kept {
        let difference = internal_form::diff("PersistentVolumeSource", &kept, &wanted);
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
        errors.push(field::forbidden(&Path::new("spec").child("persistentvolumesource"), &detail));
    }
    let mode = (new_spec.field("volumeMode"), old_spec.field("volumeMode"));
    errors.extend(rules::immutable(&Path::new("volumeMode"), "", mode.0, mode.1));
    if old_spec.has("nodeAffinity") {
        errors.extend(affinity_update(new_spec.field("nodeAffinity"), old_spec.field("nodeAffinity")));
    }
    let class = "volumeAttributesClassName";
    if old_spec.has(class) && !new_spec.has(class) {
        let detail = "update from non-nil value to nil is forbidden";
        errors.push(field::forbidden(&Path::new("spec").child(class), detail));
    }
    errors
}

/// Labels that were renamed when they became stable.
const STABLE_LABELS: &[(&str, &str)] = &[
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

fn affinity_update(new: &Json, old: &Json) -> Errors {
    let mut old = old.clone();
    rename_labels(&mut old, new);
    if &old == new {
        return Errors::new();
    }
    let detail = "field is immutable, except for updating from beta label to GA";
    vec![rules::invalid_struct(&Path::new("nodeAffinity"), "VolumeNodeAffinity", new, detail)]
}

/// Gives a key of `old` its stable name where `new` has that at the same place.
fn rename_labels(old: &mut Json, new: &Json) {
    match old {
        Json::Object(map) => {
            let key = map.get("key").and_then(Json::as_str).unwrap_or("");
            let stable = STABLE_LABELS.iter().find(|(beta, _)| *beta == key).map(|(_, stable)| *stable);
            if let Some(stable) = stable.filter(|stable| new.text("key") == *stable) {
                map.insert("key".into(), stable.into());
            }
            for (name, value) in map.iter_mut() {
                rename_labels(value, new.field(name));
            }
        }
        Json::Array(items) => {
            let others = new.as_array().map_or(&[][..], Vec::as_slice);
            items.iter_mut().zip(others).for_each(|(old, new)| rename_labels(old, new));
        }
        _ => {}
    }
}

pub fn update_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    if new.resource_version().is_empty() {
        errors.push(field::required(&Path::new("resourceVersion"), ""));
    }
    errors
}

pub fn warnings(object: &Object) -> Vec<String> {
    let spec = object.json().field("spec");
    let mut warnings = Vec::new();
    let annotation = "volume.beta.kubernetes.io/storage-class";
    if object.annotation(annotation).is_some() {
        let path = Path::new("metadata").child("annotations").key(annotation);
        warnings.push(format!("{path}: deprecated since v1.8; use \"storageClassName\" attribute instead"));
    }
    if spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .into(),
        );
    }
    let required = Path::new("spec").child("nodeAffinity").child("required").child("nodeSelectorTerms");
    for (i, term) in spec.field("nodeAffinity").field("required").list("nodeSelectorTerms").iter().enumerate() {
        warnings.extend(node_selector::term_warnings(term, false, &required.index(i)));
    }
    for (kind, text) in DEPRECATED_SOURCES {
        if spec.has(kind) {
            let shown = if *kind == "storageos" { "storageOS" } else { kind };
            warnings.push(format!("spec.{shown}: {text}"));
        }
    }
    warnings
}

const DEPRECATED_SOURCES: &[(&str, &str)] = &[
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mount_options_by_annotation_are_for_old_sources() {
        let of = |source: Json| {
            let mut spec = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}});
            spec.as_object_mut().into_iter().for_each(|spec| spec.extend(source.as_object().cloned().unwrap_or_default()));
            let metadata = json!({"name": "v", "resourceVersion": "1", "annotations": {MOUNT_OPTIONS: "ro"}});
            Object::new(json!({"metadata": metadata, "spec": spec}))
        };
        let shown = |errors: Errors| errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>();
        assert_eq!(shown(create(&of(json!({"nfs": {"server": "s", "path": "/"}})))), Vec::<String>::new());
        let host = of(json!({"hostPath": {"path": "/d"}}));
        let detail = "Forbidden: may not specify mount options for this volume type";
        let told = format!("metadata.annotations.{MOUNT_OPTIONS}: {detail}");
        assert_eq!((shown(create(&host)), shown(update(&host, &host))), (vec![told.clone()], vec![told]));
    }

    #[test]
    fn a_changed_volume_is_asked_its_rules_twice() {
        let of = |modes: Json| {
            let spec = json!({"accessModes": modes, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/d"}});
            Object::new(json!({"metadata": {"name": "v", "resourceVersion": "1"}, "spec": spec}))
        };
        let errors = update(&of(json!([])), &of(json!(["ReadWriteOnce"])));
        let shown: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
        assert_eq!(shown, ["spec.accessModes: Required value", "spec.accessModes: Required value"]);
    }
}
