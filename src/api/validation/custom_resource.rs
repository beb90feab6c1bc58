//! Whether a CustomResourceDefinition may be: its names, versions, scope and columns.
//! Source: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::{meta, names, rules};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

pub fn create(object: &Object) -> Errors {
    let mut errors = meta::create(object, false, crd_name);
    errors.extend(expected_name(object));
    errors.extend(spec(object.json().field("spec"), &Path::new("spec"), true));
    errors
}

fn crd_name(name: &str, prefix: bool) -> Vec<String> {
    names::name_is_subdomain(name, prefix)
}

/// The name says what the resource is called and of which group it is.
fn expected_name(object: &Object) -> Errors {
    let spec = object.json().field("spec");
    let required = format!("{}.{}", spec.field("names").text("plural"), spec.text("group"));
    if object.name() == required || object.name().is_empty() {
        return Errors::new();
    }
    let detail = "must be spec.names.plural+\".\"+spec.group";
    vec![field::invalid(&Path::new("metadata").child("name"), object.name(), detail)]
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let (spec_new, spec_old, path) = (new.json().field("spec"), old.json().field("spec"), Path::new("spec"));
    let mut errors = meta::update(new, old);
    errors.extend(spec(spec_new, &path, false));
    let established = old.json().field("status").list("conditions");
    let established = established.iter().any(|c| c.text("type") == "Established" && c.text("status") == "True");
    if established {
        errors.extend(rules::immutable(&path.child("scope"), "", spec_new.field("scope"), spec_old.field("scope")));
        let (kind, old_kind) = (spec_new.field("names").field("kind"), spec_old.field("names").field("kind"));
        errors.extend(rules::immutable(&path.child("names").child("kind"), "", kind, old_kind));
    }
    errors.extend(rules::immutable(&path.child("group"), "", spec_new.field("group"), spec_old.field("group")));
    let plural = |spec: &Json| spec.field("names").field("plural").clone();
    errors.extend(rules::immutable(&path.child("names").child("plural"), "", &plural(spec_new), &plural(spec_old)));
    errors
}

fn spec(spec: &Json, path: &Path, new: bool) -> Errors {
    let group = spec.text("group");
    let mut errors = Errors::new();
    if group.is_empty() {
        errors.push(field::required(&path.child("group"), ""));
    } else {
        errors.extend(rules::each(&path.child("group"), group, names::dns1123_subdomain(group)));
        if group.split('.').count() < 2 {
            errors.push(field::invalid(&path.child("group"), group, "should be a domain with at least one dot"));
        }
    }
    match spec.text("scope") {
        "" => errors.push(field::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(field::not_supported(&path.child("scope"), other, &["Cluster", "Namespaced"])),
    }
    errors.extend(versions(spec.list("versions"), &path.child("versions"), new));
    errors.extend(resource_names(spec.field("names"), &path.child("names")));
    errors
}

fn versions(versions: &[Json], path: &Path, new: bool) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().enumerate() {
        let (name, path) = (version.text("name"), path.index(i));
        if !seen.insert(name) {
            errors.push(field::invalid(&path, name, "must contain unique version names"));
        }
        let problems = names::dns1035_label(name);
        if !problems.is_empty() {
            errors.push(field::invalid(&path.child("name"), name, &problems.join(",")));
        }
        let schema_path = path.child("schema").child("openAPIV3Schema");
        let schema = version.field("schema").field("openAPIV3Schema");
        if new && schema.is_null() {
            errors.push(field::required(&schema_path, "schemas are required"));
        }
        if !schema.is_null() {
            errors.extend(crate::api::custom::structural::check(schema, &schema_path));
        }
        errors.extend(scale(version.field("subresources").field("scale"), &path.child("subresources").child("scale")));
        errors.extend(columns(version, &path.child("additionalPrinterColumns")));
    }
    let stored = versions.iter().filter(|version| version.flag("storage")).count();
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(field::invalid(path, versions.to_vec(), detail));
    }
    if !versions.is_empty() && !versions.iter().any(|version| version.flag("served")) {
        let detail = "must have at least one version marked as served version";
        errors.push(field::invalid(path, versions.to_vec(), detail));
    }
    errors
}

/// Where a custom resource says how many there should be and are.
fn scale(scale: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if scale.is_null() {
        return errors;
    }
    for (name, under) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let (value, at) = (scale.text(name), path.child(name));
        let root = under.trim_end_matches('.');
        if value.is_empty() {
            errors.push(field::required(&at, ""));
        } else if !value.starts_with(under) {
            errors.push(field::invalid(&at, value, &format!("should be a json path under {root}")));
        }
    }
    let selector = scale.text("labelSelectorPath");
    if !selector.is_empty() && !selector.starts_with(".spec.") && !selector.starts_with(".status.") {
        let detail = "should be a json path under either .spec or .status";
        errors.push(field::invalid(&path.child("labelSelectorPath"), selector, detail));
    }
    errors
}

fn columns(version: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, column) in version.list("additionalPrinterColumns").iter().enumerate() {
        let path = path.index(i);
        if column.text("name").is_empty() {
            errors.push(field::required(&path.child("name"), ""));
        }
        let kind = column.text("type");
        if kind.is_empty() {
            let list = COLUMN_TYPES.join(",");
            errors.push(field::required(&path.child("type"), &format!("must be one of {list}")));
        } else if !COLUMN_TYPES.contains(&kind) {
            let list = COLUMN_TYPES.join(",");
            errors.push(field::invalid(&path.child("type"), kind, &format!("must be one of {list}")));
        }
        let format = column.text("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let list = COLUMN_FORMATS.join(",");
            errors.push(field::invalid(&path.child("format"), format, &format!("must be one of {list}")));
        }
        if column.text("jsonPath").is_empty() {
            errors.push(field::required(&path.child("JSONPath"), ""));
        }
    }
    errors
}

fn resource_names(tree: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let label = |name: &str, value: &str, lower: bool, errors: &mut Errors| {
        let checked = if lower { value.to_lowercase() } else { value.to_owned() };
        let problems = names::dns1035_label(&checked);
        if !problems.is_empty() {
            errors.push(field::invalid(&path.child(name), value, &problems.join(",")));
        }
    };
    for (name, lower, required) in
        [("plural", false, true), ("singular", false, false), ("kind", true, true), ("listKind", true, true)]
    {
        let value = tree.text(name);
        if !value.is_empty() {
            label(name, value, lower, &mut errors);
        } else if required {
            errors.push(field::required(&path.child(name), ""));
        }
    }
    for name in ["shortNames", "categories"] {
        for (i, value) in tree.texts(name).into_iter().enumerate() {
            label(&format!("{name}[{i}]"), value, false, &mut errors);
        }
    }
    if !tree.text("kind").is_empty() && tree.text("kind") == tree.text("listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(field::invalid(&path.child("listKind"), tree.text("listKind"), detail));
    }
    errors
}
