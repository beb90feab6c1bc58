//! Whether a PersistentVolumeClaim may be. Source: pkg/apis/core/validation/validation.go.

use super::field::{self, Errors, Path};
use super::pod::same;
use super::pod::warnings::fraction;
use super::{internal_form, meta, names, rules, selector};
use crate::api::tree::{Tree, remove};
use crate::api::{Json, Object, quantity::Quantity};

pub const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub fn create(object: &Object) -> Errors {
    claim(object, None)
}

fn claim(object: &Object, old: Option<&Json>) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(spec(object.json().field("spec"), &Path::new("spec"), old));
    errors
}

/// Known modes, and `ReadWriteOncePod` alone.
pub fn access_modes(spec: &Json, path: &Path) -> Errors {
    let path = path.child("accessModes");
    let modes = spec.texts("accessModes");
    let mut errors: Errors = modes
        .iter()
        .filter(|mode| !ACCESS_MODES.contains(mode))
        .map(|mode| field::not_supported(&path, *mode, ACCESS_MODES))
        .collect();
    let alone = modes.contains(&"ReadWriteOncePod");
    if alone && modes.iter().any(|mode| *mode != "ReadWriteOncePod" && ACCESS_MODES.contains(mode)) {
        errors.push(field::forbidden(&path, "may not use ReadWriteOncePod with other access modes"));
    }
    errors
}

/// A claim's spec, also in a template. `old`: the spec that is changed.
pub fn spec(spec: &Json, path: &Path, old: Option<&Json>) -> Errors {
    let mut errors = Errors::new();
    if spec.list("accessModes").is_empty() {
        errors.push(field::required(&path.child("accessModes"), "at least 1 access mode is required"));
    }
    if spec.has("selector") {
        errors.extend(selector::label_selector(Some(spec.field("selector")), &path.child("selector")));
    }
    errors.extend(access_modes(spec, path));
    errors.extend(storage(spec, &path.child("resources").key("storage")));
    let class = spec.text("storageClassName");
    if !class.is_empty() {
        errors.extend(rules::each(&path.child("storageClassName"), class, names::dns1123_subdomain(class)));
    }
    if let Some(mode) = spec.opt_text("volumeMode").filter(|mode| !VOLUME_MODES.contains(mode)) {
        errors.push(field::not_supported(&path.child("volumeMode"), mode, VOLUME_MODES));
    }
    errors.extend(sources(spec, path, old));
    let attributes = spec.text("volumeAttributesClassName");
    if !attributes.is_empty() {
        let path = path.child("volumeAttributesClassName");
        errors.extend(rules::each(&path, attributes, names::dns1123_subdomain(attributes)));
    }
    errors
}

fn storage(spec: &Json, path: &Path) -> Errors {
    let amount = spec.field("resources").field("requests").field("storage");
    let Some(text) = amount.as_str() else { return vec![field::required(path, "")] };
    match Quantity::parse(text) {
        Ok(amount) if amount.signum() > 0 => Errors::new(),
        _ => vec![field::invalid(path, text, "must be greater than zero")],
    }
}

fn sources(spec: &Json, path: &Path, old: Option<&Json>) -> Errors {
    let (source, reference) = (spec.field("dataSource"), spec.field("dataSourceRef"));
    let grouped = |old: &Json| old.field("dataSource").has("apiGroup") || old.field("dataSourceRef").has("apiGroup");
    let tolerated = old.is_some_and(grouped);
    let mut errors = Errors::new();
    for (value, name) in [(source, "dataSource"), (reference, "dataSourceRef")] {
        if !value.is_null() {
            errors.extend(data_source(value, &path.child(name), tolerated));
        }
    }
    let shown = || format!("{{\"name\":{:?}}}", "dataSource");
    let namespaced = !reference.text("namespace").is_empty();
    if namespaced {
        let namespace = reference.text("namespace");
        let path = path.child("dataSourceRef").child("namespace");
        errors.extend(rules::each(&path, namespace, names::dns1123_label(namespace)));
    }
    if source.is_null() || reference.is_null() {
        return errors;
    }
    let same = ["apiGroup", "kind", "name"].iter().all(|name| source.field(name) == reference.field(name));
    if namespaced {
        let detail = "may not be specified when dataSourceRef.namespace is specified";
        errors.push(field::invalid_shown(path, &shown(), detail));
    } else if !same {
        errors.push(field::invalid_shown(path, &shown(), "must match dataSourceRef"));
    }
    errors
}

fn data_source(source: &Json, path: &Path, tolerated: bool) -> Errors {
    let mut errors = Errors::new();
    for name in ["name", "kind"] {
        if source.text(name).is_empty() {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    let group = source.text("apiGroup");
    if group.is_empty() && source.text("kind") != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(field::invalid(path, source.text("kind"), detail));
    }
    if !group.is_empty() && !tolerated {
        errors.extend(rules::each(&path.child("apiGroup"), group, names::dns1123_subdomain(group)));
    }
    errors
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let (new_spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    // The strategy asks the rules for a new claim as well.
    let mut errors = claim(new, Some(old_spec));
    errors.extend(meta::update(new, old));
    errors.extend(claim(new, Some(old_spec)));
    let mut wanted = new_spec.clone();
    let mut kept = old_spec.clone();
    if old_spec.text("volumeName").is_empty() {
        put(&mut kept, "volumeName", new_spec.field("volumeName"));
    }
    errors.extend(class(new, old, &mut wanted));
    if new.json().field("status").text("phase") == "Bound" {
        let before = old_spec.field("resources").field("requests").field("storage");
        if wanted.field("resources").has("requests") {
            put(&mut wanted["resources"]["requests"], "storage", before);
        }
        put(&mut wanted, "volumeAttributesClassName", old_spec.field("volumeAttributesClassName"));
    }
    if !same(&wanted, &kept) {
        let difference = internal_form::diff("PersistentVolumeClaimSpec", &kept, &wanted);
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                      bound claims";
        errors.push(field::forbidden(&Path::new("spec"), &format!("{detail}\n{difference}")));
    }
    errors.extend(size(new, old));
    let mode = (new_spec.field("volumeMode"), old_spec.field("volumeMode"));
    errors.extend(rules::immutable(&Path::new("volumeMode"), "", mode.0, mode.1));
    errors.extend(attributes_class(new_spec, old));
    errors
}

fn put(tree: &mut Json, name: &str, value: &Json) {
    if value.is_null() {
        remove(tree, name);
    } else {
        tree[name] = value.clone();
    }
}

/// The class may be named once, in the field or by the old annotation.
fn class(new: &Object, old: &Object, wanted: &mut Json) -> Errors {
    let (before, after) = (old.annotation(BETA_CLASS), new.annotation(BETA_CLASS));
    let old_class = old.str_at("/spec/storageClassName");
    let new_class = new.str_at("/spec/storageClassName");
    let from_annotation =
        before.is_some() && old_class.is_none() && new_class == before && (after.is_none() || after == before);
    if from_annotation {
        remove(wanted, "storageClassName");
        return Errors::new();
    }
    let mut errors = Errors::new();
    if before.unwrap_or("") != after.unwrap_or("") {
        let path = Path::new("metadata").child("annotations").child(BETA_CLASS);
        errors.push(field::invalid(&path, after.unwrap_or(""), rules::IMMUTABLE));
    }
    let from_nothing = new_class.is_some() && old_class.is_none() && (before.is_none() || before == new_class);
    if from_nothing {
        remove(wanted, "storageClassName");
    }
    errors
}

/// A claim may shrink back to what it has, if growing it failed.
fn size(new: &Object, old: &Object) -> Errors {
    let amount = |object: &Object, pointer: &str| {
        object.str_at(pointer).and_then(|text| Quantity::parse(text).ok()).unwrap_or_else(Quantity::zero)
    };
    let requested = "/spec/resources/requests/storage";
    let (wanted, before) = (amount(new, requested), amount(old, requested));
    if wanted < before && wanted <= amount(old, "/status/capacity/storage") {
        let path = Path::new("spec").child("resources").child("requests").child("storage");
        return vec![field::forbidden(&path, "field can not be less than status.capacity")];
    }
    Errors::new()
}

/// Once a volume has a class of attributes, its claim names one.
fn attributes_class(new: &Json, old: &Object) -> Errors {
    const NAME: &str = "volumeAttributesClassName";
    const CURRENT: &str = "currentVolumeAttributesClassName";
    let (before, now) = (old.json().field("spec").opt_text(NAME), new.opt_text(NAME));
    if before == now || !old.json().field("status").has(CURRENT) {
        return Errors::new();
    }
    let to = match now {
        None => "nil",
        Some("") => "empty string",
        Some(_) => return Errors::new(),
    };
    let detail = format!("update to {to} is forbidden when status.{CURRENT} is not nil");
    vec![field::forbidden(&Path::new("spec").child(NAME), &detail)]
}

const RESIZE_STATES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub fn update_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    if new.resource_version().is_empty() {
        errors.push(field::required(&Path::new("resourceVersion"), ""));
    }
    if new.json().field("spec").list("accessModes").is_empty() {
        errors.push(field::required(&Path::new("Spec").child("accessModes"), ""));
    }
    let (status, path) = (new.json().field("status"), Path::new("status"));
    errors.extend(rules::basic_quantities(status, &path, "capacity"));
    let states_path = path.child("allocatedResourceStatuses");
    for (resource, state) in status.entries("allocatedResourceStatuses") {
        errors.extend(resource_key(resource, &states_path));
        if !RESIZE_STATES.contains(&state.as_str().unwrap_or("")) {
            errors.push(field::not_supported(&states_path, resource, RESIZE_STATES));
        }
    }
    let allocated_path = path.child("allocatedResources");
    for (resource, amount) in status.entries("allocatedResources") {
        let problems = resource_key(resource, &allocated_path);
        if problems.is_empty() {
            errors.extend(rules::basic_quantity(amount, &allocated_path.key(resource)));
        }
        errors.extend(problems);
    }
    errors
}

fn resource_key(resource: &str, path: &Path) -> Errors {
    let errors = rules::each(path, resource, names::qualified_name(resource));
    if errors.is_empty() && rules::is_native_resource(resource) && resource != "storage" {
        return vec![field::not_supported(path, resource, &["storage"])];
    }
    errors
}

/// Amounts in fractions of a byte, and classes named by the old annotation.
pub fn warnings(object: &Object) -> Vec<String> {
    let mut warnings = Vec::new();
    if object.annotation(BETA_CLASS).is_some() {
        let path = Path::new("metadata").child("annotations").key(BETA_CLASS);
        warnings.push(format!("{path}: deprecated since v1.8; use \"storageClassName\" attribute instead"));
    }
    warnings.extend(spec_warnings(object.json().field("spec"), &Path::new("spec")));
    warnings
}

/// Amounts in fractions of a byte.
pub fn spec_warnings(spec: &Json, path: &Path) -> Vec<String> {
    let (resources, path) = (spec.field("resources"), path.child("resources"));
    let lists = ["requests", "limits"].into_iter();
    lists.filter_map(|list| fraction(resources.field(list), "storage", &path.child(list))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(annotations: Json, class: Json, phase: &str, current: Json) -> Object {
        Object::new(json!({
            "metadata": {"name": "c", "namespace": "n", "resourceVersion": "1", "annotations": annotations},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
                "volumeAttributesClassName": class,
            },
            "status": {"phase": phase, "currentVolumeAttributesClassName": current},
        }))
    }

    fn shown(errors: &Errors) -> Vec<String> {
        errors.iter().map(|c| format!("{}: {}", c.field, c.message)).collect()
    }

    #[test]
    fn a_class_of_attributes_stays_once_the_volume_has_one() {
        let old = claim(Json::Null, json!("gold"), "Bound", json!("gold"));
        let to = |class: Json| shown(&update(&claim(Json::Null, class, "Bound", json!("gold")), &old));
        let path = "spec.volumeAttributesClassName: Forbidden: update to";
        let end = "is forbidden when status.currentVolumeAttributesClassName is not nil";
        assert_eq!(to(json!("silver")), Vec::<String>::new());
        assert_eq!(to(Json::Null), [format!("{path} nil {end}")]);
        assert_eq!(to(json!("")), [format!("{path} empty string {end}")]);
        let unbound = claim(Json::Null, json!("gold"), "Bound", Json::Null);
        assert_eq!(shown(&update(&claim(Json::Null, Json::Null, "Bound", Json::Null), &unbound)), Vec::<String>::new());
    }

    #[test]
    fn states_of_a_resize_are_known_ones() {
        let old = claim(Json::Null, Json::Null, "Bound", Json::Null);
        let mut new = old.clone();
        new.json_mut()["status"]["allocatedResourceStatuses"] = json!({"storage": "Growing"});
        let errors = shown(&update_status(&new, &old));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("status.allocatedResourceStatuses: Unsupported value: \"storage\""), "{errors:?}");
    }

    #[test]
    fn the_old_annotation_of_a_class_stays() {
        let old = claim(json!({BETA_CLASS: "a"}), Json::Null, "Pending", Json::Null);
        let new = claim(json!({BETA_CLASS: "b"}), Json::Null, "Pending", Json::Null);
        let at = "metadata.annotations.volume.beta.kubernetes.io/storage-class";
        assert_eq!(shown(&update(&new, &old)), [format!("{at}: Invalid value: \"b\": field is immutable")]);
    }

    #[test]
    fn a_changed_claim_is_asked_its_rules_twice() {
        let old = claim(Json::Null, Json::Null, "Pending", Json::Null);
        let mut new = old.clone();
        new.json_mut()["spec"]["accessModes"] = json!([]);
        let errors = shown(&update(&new, &old));
        let missing = "spec.accessModes: Required value: at least 1 access mode is required";
        assert_eq!(errors[..2], [missing, missing]);
        assert!(errors.len() == 3 && errors[2].starts_with("spec: Forbidden: spec is immutable"), "{errors:?}");
    }
}
