//! Parts of a CustomResourceDefinition: names, columns, subresources, selectable fields, conversion, approval.
//! Source: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go,
//! …/pkg/apihelpers/helpers.go, k8s.io/apiserver/pkg/util/webhook/validation.go.

use super::custom_resource::label;
use super::field::{self, Errors, Path};
use super::{internal_form, names as rules_of_names};
use crate::api::custom::{field_path, openapi};
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// More fields than these cannot be selected by.
const MOST_SELECTABLE: usize = 8;

/// The names in a spec or a status.
pub(super) fn names(names: &Json, path: &Path) -> Errors {
    const MIXED: &str = "may have mixed case, but should otherwise match: ";
    let mut errors = Errors::new();
    for (name, before) in [("plural", ""), ("singular", ""), ("kind", MIXED), ("listKind", MIXED)] {
        let value = names.text(name);
        if !value.is_empty() {
            errors.extend(label(value, &path.child(name), before));
        }
    }
    let each = |name: &str| {
        let all = names.texts(name).into_iter().enumerate();
        all.flat_map(|(i, value)| label(value, &path.child(name).index(i), "")).collect::<Errors>()
    };
    errors.extend(each("shortNames"));
    if !names.text("kind").is_empty() && names.text("kind") == names.text("listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(field::invalid(&path.child("listKind"), names.text("listKind"), detail));
    }
    errors.extend(each("categories"));
    errors
}

/// What a version says of its objects, or (`shared`) all versions say.
pub(super) fn version_parts(version: &Json, path: &Path, with_status: bool, shared: bool) -> Errors {
    let at = path.child(if shared { "validation" } else { "schema" });
    let mut errors = schema(version.field("schema"), &at, with_status);
    errors.extend(scale(version.field("subresources").field("scale"), &path.child("subresources")));
    for (i, column) in version.list("additionalPrinterColumns").iter().enumerate() {
        errors.extend(self::column(column, &path.child("additionalPrinterColumns").index(i)));
    }
    if !version.list("selectableFields").is_empty() {
        errors.extend(selectable(version, path, shared));
    }
    errors
}

fn schema(holder: &Json, path: &Path, with_status: bool) -> Errors {
    let (schema, path) = (holder.field("openAPIV3Schema"), path.child("openAPIV3Schema"));
    if schema.is_null() {
        return Errors::new();
    }
    let mut errors = if with_status { root_beside_status(schema, &path) } else { Errors::new() };
    if schema.flag("nullable") {
        errors.push(field::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    errors.extend(openapi::check(schema, &path));
    errors
}

/// The schema of the status is taken out of that of the object, so that the root may not say much of its own.
fn root_beside_status(schema: &Json, path: &Path) -> Errors {
    const ALLOWED: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength \
        Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields \
        XValidations]";
    const REFUSED: &[&str] = &[
        "nullable", "default", "enum", "maxProperties", "minProperties", "allOf", "oneOf", "anyOf", "not", "additionalProperties",
        "patternProperties", "dependencies", "additionalItems", "definitions", "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-map-type",
    ];
    let said = |name: &&&str| !matches!(schema.field(name), Json::Null | Json::Bool(false));
    let refused = || {
        let shown = internal_form::line("JSONSchemaProps", schema);
        let detail = format!("only {ALLOWED} fields are allowed at the root of the schema if the status subresource is enabled");
        vec![field::invalid_shown(path, &shown, &detail)]
    };
    // In the order of the fields of the type, up to the first that is wrong.
    let before = !schema.text("id").is_empty() || !schema.text("$schema").is_empty() || schema.has("$ref");
    if before {
        return refused();
    }
    let kind = schema.text("type");
    if !kind.is_empty() && kind != "object" {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return vec![field::invalid(&path.child("type"), kind, detail)];
    }
    if REFUSED.iter().any(|name| said(&name)) { refused() } else { Errors::new() }
}

fn simple_json_path(text: &str, path: &Path) -> Option<Errors> {
    if text.starts_with('.') {
        return None;
    }
    Some(vec![field::invalid(path, text, "must be a simple json path starting with .")])
}

/// Where a custom resource says how many there should be and are.
fn scale(scale: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if scale.is_null() {
        return errors;
    }
    let path = path.child("scale");
    for (name, under) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let (value, at) = (scale.text(name), path.child(name));
        if value.is_empty() {
            errors.push(field::required(&at, ""));
        } else if let Some(wrong) = simple_json_path(value, &at) {
            errors.extend(wrong);
        } else if !value.starts_with(under) {
            let detail = format!("should be a json path under {}", under.trim_end_matches('.'));
            errors.push(field::invalid(&at, value, &detail));
        }
    }
    let (selector, at) = (scale.text("labelSelectorPath"), path.child("labelSelectorPath"));
    if selector.is_empty() {
        return errors;
    }
    if let Some(wrong) = simple_json_path(selector, &at) {
        errors.extend(wrong);
    } else if !selector.starts_with(".spec.") && !selector.starts_with(".status.") {
        errors.push(field::invalid(&at, selector, "should be a json path under either .spec or .status"));
    }
    errors
}

fn column(column: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if column.text("name").is_empty() {
        errors.push(field::required(&path.child("name"), ""));
    }
    let one_of = |list: &[&str]| format!("must be one of {}", list.join(","));
    match column.text("type") {
        "" => errors.push(field::required(&path.child("type"), &one_of(COLUMN_TYPES))),
        kind if COLUMN_TYPES.contains(&kind) => {}
        other => errors.push(field::invalid(&path.child("type"), other, &one_of(COLUMN_TYPES))),
    }
    let format = column.text("format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(field::invalid(&path.child("format"), format, &one_of(COLUMN_FORMATS)));
    }
    match column.text("jsonPath") {
        "" => errors.push(field::required(&path.child("JSONPath"), "")),
        text => errors.extend(simple_json_path(text, &path.child("JSONPath")).unwrap_or_default()),
    }
    errors
}

fn selectable(version: &Json, path: &Path, shared: bool) -> Errors {
    let at = path.child("selectableFields");
    let schema = version.field("schema").field("openAPIV3Schema");
    if schema.is_null() {
        let detail = match shared {
            true => "may only be set when validations.schema is included",
            false => "may only be set when `version.schema.openAPIV3Schema` is not included",
        };
        return vec![field::invalid(&at, "", detail)];
    }
    let mut errors = Errors::new();
    let mut seen: Vec<String> = Vec::new();
    for (i, selectable) in version.list("selectableFields").iter().enumerate() {
        let (text, at) = (selectable.text("jsonPath"), at.index(i).child("jsonPath"));
        if text.is_empty() {
            errors.push(field::required(&at, ""));
            continue;
        }
        let (found, kind) = match field_path::resolve(schema, text, false) {
            Ok(found) => found,
            Err(why) => {
                errors.push(field::invalid(&at, text, &format!("is an invalid path: {why}")));
                continue;
            }
        };
        if found == "metadata" || found.starts_with("metadata.") {
            errors.push(field::invalid(&at, text, "must not point to fields in metadata"));
        }
        if !matches!(kind.text("type"), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats \
                are allowed.";
            errors.push(field::invalid(&at, text, detail));
        }
        if seen.contains(&found) {
            errors.push(field::duplicate(&at, text));
        } else {
            seen.push(found);
        }
    }
    if seen.len() > MOST_SELECTABLE {
        errors.push(field::too_many(&at, seen.len(), MOST_SELECTABLE));
    }
    errors
}

pub(super) fn conversion(conversion: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if conversion.is_null() {
        return errors;
    }
    let webhook = conversion.field("webhook");
    let (client, at) = (webhook.field("clientConfig"), path.child("webhookClientConfig"));
    let (versions, versions_at) = (webhook.texts("conversionReviewVersions"), path.child("conversionReviewVersions"));
    match conversion.text("strategy") {
        "" => errors.push(field::required(&path.child("strategy"), "")),
        "None" | "Webhook" => {}
        other => errors.push(field::not_supported(&path.child("strategy"), other, &["None", "Webhook"])),
    }
    if conversion.text("strategy") != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if !client.is_null() {
            errors.push(field::forbidden(&at, detail));
        }
        if !versions.is_empty() {
            errors.push(field::forbidden(&versions_at, detail));
        }
        return errors;
    }
    if client.is_null() {
        errors.push(field::required(&at, "required when strategy is set to Webhook"));
    } else if client.has("url") == client.has("service") {
        errors.push(field::required(&at, "exactly one of url or service is required"));
    } else if client.has("url") {
        errors.extend(webhook_url(client.text("url"), &at.child("url")));
    } else {
        errors.extend(webhook_service(client.field("service"), &at.child("service")));
    }
    errors.extend(review_versions(&versions, webhook, &versions_at));
    errors
}

fn review_versions(versions: &[&str], webhook: &Json, path: &Path) -> Errors {
    if versions.is_empty() {
        return vec![field::required(path, "")];
    }
    let mut errors = Errors::new();
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            errors.push(field::invalid(&path.index(i), *version, "duplicate version"));
            continue;
        }
        errors.extend(super::rules::each(&path.index(i), version, rules_of_names::dns1035_label(version)));
    }
    if !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        let shown = webhook.field("conversionReviewVersions").clone();
        errors.push(field::invalid(path, shown, "must include at least one of v1, v1beta1"));
    }
    errors
}

fn webhook_url(url: &str, path: &Path) -> Errors {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut errors = Errors::new();
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once(':').filter(|(scheme, _)| !scheme.contains('/')).unwrap_or(("", rest));
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or(""));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if !scheme.eq_ignore_ascii_case("https") {
        errors.push(field::invalid(path, scheme, &format!("'https' is the only allowed URL scheme{FORM}")));
    }
    if host.is_empty() {
        errors.push(field::invalid(path, host, &format!("host must be specified{FORM}")));
    }
    let parts = [
        (user.unwrap_or(""), user.is_some(), "user information is not permitted in the URL"),
        (fragment, !fragment.is_empty(), "fragments are not permitted in the URL"),
        (query, !query.is_empty(), "query parameters are not permitted in the URL"),
    ];
    for (part, is_there, detail) in parts {
        if is_there {
            errors.push(field::invalid(path, part, detail));
        }
    }
    errors
}

fn webhook_service(service: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for name in ["name", "namespace"].into_iter().filter(|name| service.text(name).is_empty()) {
        errors.push(field::required(&path.child(name), ""));
    }
    let port = service.opt_int("port").unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(field::invalid(&path.child("port"), port, detail));
    }
    let (url, path) = (service.text("path"), path.child("path"));
    if matches!(url, "" | "/") {
        return errors;
    }
    if url == "//" {
        errors.push(field::invalid(&path, url, "segment[0] may not be empty"));
        return errors;
    }
    if !url.starts_with('/') {
        errors.push(field::invalid(&path, url, "must start with a '/'"));
    }
    let steps = url.get(1..).unwrap_or("");
    for (i, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            errors.push(field::invalid(&path, url, &format!("segment[{i}] may not be empty")));
            continue;
        }
        for problem in rules_of_names::dns1123_subdomain(step) {
            errors.push(field::invalid(&path, url, &format!("segment[{i}]: {problem}")));
        }
    }
    errors
}

const APPROVED: &str = "api-approved.kubernetes.io";

/// Whether the groups of Kubernetes' own community are meant.
pub(crate) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|own| group.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// What the annotation says of a definition in a protected group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

impl Approval {
    /// With the reason in words (GetAPIApprovalState).
    pub(crate) fn of(object: &Object) -> (Self, String) {
        let text = object.annotation(APPROVED).unwrap_or("");
        let must = format!("protected groups must have approval annotation {}", quote(APPROVED));
        let see = "see https://github.com/kubernetes/enhancements/pull/1111";
        let url = text.split_once("://").is_some_and(|(scheme, rest)| {
            let host = rest.split(['/', '?']).next().unwrap_or("");
            let host = host.rsplit('@').next().unwrap_or("");
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && !host.is_empty()
                && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        });
        match text {
            "" => (Self::Missing, format!("{must}, {see}")),
            text if text.starts_with("unapproved") => (Self::Bypassed, format!("not approved: {}", quote(text))),
            text if url => (Self::Approved, format!("approved in {text}")),
            _ => (Self::Invalid, format!("{must} with either a URL or a reason starting with \"unapproved\", {see}")),
        }
    }
}

/// Groups of Kubernetes' community take approved definitions only. What was so may stay.
pub(super) fn approval(new: &Object, old: Option<&Object>) -> Errors {
    if !is_protected(new.json().field("spec").text("group")) {
        return Errors::new();
    }
    let (state, reason) = Approval::of(new);
    if old.is_some_and(|old| Approval::of(old).0 == state) {
        return Errors::new();
    }
    let path = Path::new("metadata").child("annotations").key(APPROVED);
    match state {
        Approval::Invalid => vec![field::invalid(&path, new.annotation(APPROVED).unwrap_or(""), &reason)],
        Approval::Missing => vec![field::required(&path, &reason)],
        Approval::Approved | Approval::Bypassed => Errors::new(),
    }
}
