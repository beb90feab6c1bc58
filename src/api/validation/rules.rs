//! Small rules that many kinds share. Source: pkg/apis/core/validation/validation.go,
//! pkg/apis/apps/validation/validation.go, k8s.io/apimachinery/pkg/api/validation.

use super::field::{self, Errors, Path};
use super::{internal_form, names};
use crate::api::quantity::Quantity;
use crate::api::selector::LabelSelector;
use crate::api::tree::Tree;
use crate::api::{Cause, Json};

pub use super::{IMMUTABLE, NOT_NEGATIVE};

pub const SELECTOR_MISMATCH: &str = "`selector` does not match template `labels`";


/// An invalid value that is not shown.
pub fn invalid_unshown(path: &Path, detail: &str) -> Cause {
    field::invalid_shown(path, detail, "")
}

/// An invalid struct, shown as its internal type `kind`; null if absent.
pub fn invalid_struct(path: &Path, kind: &str, value: &Json, detail: &str) -> Cause {
    field::invalid_shown(path, &shown(kind, value), detail)
}

fn shown(kind: &str, value: &Json) -> String {
    if value.is_null() { "null".into() } else { internal_form::line(kind, value) }
}

/// An unsupported struct, shown as its internal type `kind`.
pub fn not_supported_struct(path: &Path, kind: &str, value: &Json, supported: &[&str]) -> Cause {
    let mut cause = field::not_supported(path, Json::Null, supported);
    cause.message = cause.message.replacen("null", &shown(kind, value), 1);
    cause
}

/// A struct that stands twice in a list.
pub fn duplicate_struct(path: &Path, kind: &str, value: &Json) -> Cause {
    let mut cause = field::duplicate(path, Json::Null);
    cause.message = format!("Duplicate value: {}", shown(kind, value));
    cause
}

/// One error for each of `problems` with a text.
pub fn each(path: &Path, value: &str, problems: Vec<String>) -> Errors {
    problems.iter().map(|problem| field::invalid(path, value, problem)).collect()
}

pub fn not_negative(path: &Path, value: i64) -> Errors {
    if value < 0 { vec![field::invalid(path, value, NOT_NEGATIVE)] } else { Errors::new() }
}

pub fn positive(path: &Path, value: i64) -> Errors {
    if value <= 0 { vec![field::invalid(path, value, "must be greater than 0")] } else { Errors::new() }
}

/// The number at `name` of `tree`, absent as zero, must not be negative.
pub fn not_negative_at(tree: &Json, path: &Path, name: &str) -> Errors {
    not_negative(&path.child(name), tree.get(name).and_then(Json::as_i64).unwrap_or(0))
}

/// The value may not change. `kind` is the internal type of a struct, empty for other values.
pub fn immutable(path: &Path, kind: &str, new: &Json, old: &Json) -> Errors {
    if new == old {
        return Errors::new();
    }
    if kind.is_empty() {
        return vec![field::invalid(path, new.clone(), IMMUTABLE)];
    }
    vec![invalid_struct(path, kind, new, IMMUTABLE)]
}

/// A selector as messages show it.
pub fn invalid_selector(path: &Path, value: &Json, detail: &str) -> Cause {
    invalid_struct(path, "LabelSelector", value, detail)
}

/// The counter may not go back, and is shown as zero where it is gone.
pub fn not_decremented(path: &Path, new: Option<i64>, old: Option<i64>) -> Errors {
    match (new, old) {
        (None, Some(_)) => vec![field::invalid(path, 0, "cannot be decremented")],
        (Some(new), Some(old)) if new < old => vec![field::invalid(path, new, "cannot be decremented")],
        _ => Errors::new(),
    }
}

/// A whole number from zero, or a percentage.
pub fn int_or_percent(path: &Path, value: &Json) -> Errors {
    match value.as_str() {
        Some(text) => each(path, text, names::percent(text)),
        None => not_negative(path, value.as_i64().unwrap_or(0)),
    }
}

/// The percentage, if it is one.
pub fn percent(value: &Json) -> Option<i64> {
    let text = value.as_str()?;
    if !names::percent(text).is_empty() {
        return None;
    }
    Some(text.strip_suffix('%')?.parse().unwrap_or(i64::MAX))
}

/// The number or the number before the percent sign; a text that is neither counts as zero or as its digits.
pub fn int_or_percent_value(value: &Json) -> i64 {
    percent(value)
        .or_else(|| value.as_i64())
        .or_else(|| crate::api::go_time::atoi(value.as_str()?).ok())
        .unwrap_or(0)
}

pub fn at_most_100_percent(path: &Path, value: &Json) -> Errors {
    match percent(value) {
        Some(percent) if percent > 100 => {
            vec![field::invalid(path, value.clone(), "must not be greater than 100%")]
        }
        _ => Errors::new(),
    }
}

/// `example.com/path`: a domain, a slash, a path.
/// Source: k8s.io/apimachinery/pkg/util/validation/validation.go, IsDomainPrefixedPath.
pub fn domain_prefixed_path(path: &Path, text: &str) -> Errors {
    if text.is_empty() {
        return vec![field::required(path, "")];
    }
    let Some((host, rest)) = text.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty()) else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![field::invalid(path, text, detail)];
    };
    let problems = names::dns1123_subdomain(host);
    let mut errors: Errors = problems.iter().map(|problem| field::invalid(path, host, problem)).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if !rest.chars().all(plain) {
        let detail = names::regex_says("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+", &[]);
        errors.push(field::invalid(path, rest, &detail));
    }
    errors
}

/// No part of the path is `..`.
pub fn no_backsteps(path: &Path, text: &str) -> Errors {
    if text.split('/').any(|part| part == "..") {
        vec![field::invalid(path, text, "must not contain '..'")]
    } else {
        Errors::new()
    }
}

/// Whether the labels fit a selector: `None` if the selector cannot be read.
pub fn selects(selector: &Json, labels: &Json) -> Option<Selection> {
    let selector = LabelSelector::of(Some(selector)).ok()?;
    Some(Selection { everything: selector.is_everything(), matches: selector.matches_map(Some(labels)) })
}

/// What a selector says of some labels.
#[derive(Clone, Copy)]
pub struct Selection {
    /// The selector has no requirements.
    pub everything: bool,
    pub matches: bool,
}

/// Whether a resource is Kubernetes' own: without a domain, or of `kubernetes.io`.
/// Source: pkg/apis/core/helper/helpers.go.
pub fn is_native_resource(resource: &str) -> bool {
    !resource.contains('/') || resource.contains("kubernetes.io/")
}

/// An amount that is not negative, in whole units.
pub fn basic_quantity(amount: &Json, path: &Path) -> Errors {
    let value = Quantity::parse(amount.as_str().unwrap_or("0")).map_or(0, |amount| amount.value());
    if value < 0 { vec![field::invalid(path, value, "must be a valid resource quantity")] } else { Errors::new() }
}

/// The amounts of the map at `name`.
pub fn basic_quantities(tree: &Json, path: &Path, name: &str) -> Errors {
    let path = path.child(name);
    tree.entries(name).into_iter().flat_map(|(resource, amount)| basic_quantity(amount, &path.key(resource))).collect()
}

/// An amount of a resource: not negative, and whole where the resource is counted in whole units.
pub fn resource_quantity(resource: &str, amount: &Json, path: &Path) -> Errors {
    let text = amount.as_str().unwrap_or("0");
    let Ok(quantity) = Quantity::parse(text) else { return Errors::new() };
    let mut errors = Errors::new();
    if quantity.signum() < 0 {
        errors.push(field::invalid(path, text, NOT_NEGATIVE));
    }
    if is_counted(resource) && !quantity.is_multiple_of(0) {
        errors.push(field::invalid(path, text, "must be an integer"));
    }
    errors
}

/// Resources that come in whole units. Source: pkg/apis/core/helper/helpers.go, IsIntegerResourceName.
fn is_counted(resource: &str) -> bool {
    const COUNTED: &[&str] = &[
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    COUNTED.contains(&resource) || is_extended(resource)
}

/// Resources of a domain that is not Kubernetes'.
pub fn is_extended(resource: &str) -> bool {
    !is_native_resource(resource)
        && !resource.starts_with("requests.")
        && names::qualified_name(&format!("requests.{resource}")).is_empty()
}
