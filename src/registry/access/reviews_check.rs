//! What is wrong with a review.
//! Source: pkg/apis/authorization/validation/validation.go.

use serde_json::json;

use crate::api::tree::Tree;
use crate::api::validation::field::{self, Errors, Path};
use crate::api::{Json, JsonMap, Object, Status};

pub(super) const GROUP: &str = "authorization.k8s.io";

/// 422 as Kubernetes says it of reviews: without a kind.
pub(super) fn refuse(errors: &Errors) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(GROUP, "", "", errors)) }
}

/// A review of the asking user.
pub(super) fn own(review: &Object) -> Errors {
    let mut errors = what(review, false);
    errors.extend(empty_metadata(review, &[], "must be empty"));
    errors
}

/// A review of a named user.
pub(super) fn subject(review: &Object) -> Errors {
    let mut errors = what(review, true);
    errors.extend(empty_metadata(review, &[], "must be empty"));
    errors
}

/// A review of a named user in one namespace.
pub(super) fn local(review: &Object) -> Errors {
    let mut errors = what(review, true);
    errors.extend(empty_metadata(review, &["namespace"], "must be empty except for namespace"));
    let spec = review.json().field("spec");
    let path = Path::new("spec");
    let namespace = spec.field("resourceAttributes").text("namespace");
    if spec.has("resourceAttributes") && namespace != review.namespace() {
        let at = path.child("resourceAttributes").child("namespace");
        errors.push(field::invalid(&at, namespace, "must match metadata.namespace"));
    }
    if spec.has("nonResourceAttributes") {
        let value = shown(spec.field("nonResourceAttributes"));
        let at = path.child("nonResourceAttributes");
        errors.push(field::invalid(&at, value, "disallowed on this kind of request"));
    }
    errors
}

fn what(review: &Object, of_subject: bool) -> Errors {
    let spec = review.json().field("spec");
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let (resource, other) = (spec.field("resourceAttributes"), spec.field("nonResourceAttributes"));
    if !resource.is_null() && !other.is_null() {
        let why = "cannot be specified in combination with resourceAttributes";
        errors.push(field::invalid(&path.child("nonResourceAttributes"), shown(other), why));
    }
    if resource.is_null() && other.is_null() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(field::invalid(&path.child("resourceAttributes"), Json::Null, why));
    }
    if of_subject && spec.text("user").is_empty() && spec.list("groups").is_empty() {
        errors.push(field::invalid(&path.child("user"), "", "at least one of user or group must be specified"));
    }
    errors.extend(selector(resource.field("fieldSelector"), &path.child("resourceAttributes").child("fieldSelector")));
    errors.extend(selector(resource.field("labelSelector"), &path.child("resourceAttributes").child("labelSelector")));
    errors
}

/// Attributes as the kind inside the server prints them: Go's names, every member.
fn shown(attributes: &Json) -> Json {
    json!({"Path": attributes.text("path"), "Verb": attributes.text("verb")})
}

fn empty_metadata(review: &Object, but: &[&str], why: &str) -> Errors {
    let metadata = review.at("/metadata").and_then(Json::as_object).cloned().unwrap_or_default();
    let said: JsonMap = metadata
        .into_iter()
        .filter(|(key, value)| key != "managedFields" && !but.contains(&key.as_str()) && !value.is_null())
        .collect();
    if said.is_empty() {
        return Errors::new();
    }
    vec![field::invalid(&Path::new("metadata"), Json::Object(said), why)]
}

/// A selector is given raw or as requirements.
fn selector(selector: &Json, path: &Path) -> Errors {
    if selector.is_null() {
        return Errors::new();
    }
    let mut errors = Errors::new();
    let (raw, requirements) = (selector.text("rawSelector"), selector.list("requirements"));
    if !raw.is_empty() && !requirements.is_empty() {
        errors.push(field::invalid(&path.child("rawSelector"), raw, "may not specified at the same time as requirements"));
    }
    if raw.is_empty() && requirements.is_empty() {
        let why = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(field::required(&path.child("requirements"), &why));
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let path = path.child("requirements").index(index);
        if requirement.text("key").is_empty() {
            errors.push(field::required(&path.child("key"), "must be specified"));
        }
        let values = requirement.list("values");
        match requirement.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(field::required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(field::forbidden(&path.child("values"), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(field::invalid(&path.child("operator"), other, "not a valid selector operator")),
        }
    }
    errors
}
