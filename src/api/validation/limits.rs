//! Whether a LimitRange or a ResourceQuota may be. Source: pkg/apis/core/validation/validation.go,
//! pkg/apis/core/helper/helpers.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::resource_names::{container_resource_name, resource_name};
use super::{meta, names, rules};
use crate::api::quantity::{Format, Quantity};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
const LIMIT_TYPES: &[&str] = &["Pod", "Container", "PersistentVolumeClaim"];

fn is_huge_pages(resource: &str) -> bool {
    resource.starts_with("hugepages-") || resource.starts_with("requests.hugepages-")
}

pub fn limit_range(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    let path = Path::new("spec").child("limits");
    let mut seen = BTreeSet::new();
    for (i, limit) in object.json().field("spec").list("limits").iter().enumerate() {
        let (path, kind) = (path.index(i), limit.text("type"));
        errors.extend(limit_type(kind, &path.child("type")));
        if !seen.insert(kind) {
            errors.push(field::duplicate(&path.child("type"), kind));
        }
        errors.extend(limit_item(limit, &path));
    }
    errors
}

fn limit_type(kind: &str, path: &Path) -> Errors {
    let errors = rules::each(path, kind, names::qualified_name(kind));
    if errors.is_empty() && !kind.contains('/') && !LIMIT_TYPES.contains(&kind) {
        return vec![field::invalid(path, kind, "must be a standard limit type or fully qualified")];
    }
    errors
}

fn limit_item(limit: &Json, path: &Path) -> Errors {
    let kind = limit.text("type");
    let mut keys = BTreeSet::new();
    let mut errors = Errors::new();
    let mut check = |list: &str, errors: &mut Errors| {
        for (resource, _) in limit.entries(list) {
            let path = path.child(list).key(resource);
            errors.extend(match kind {
                "Pod" | "Container" => container_resource_name(resource, &path),
                _ => resource_name(resource, &path),
            });
            keys.insert(resource.to_owned());
        }
    };
    check("max", &mut errors);
    check("min", &mut errors);
    for list in ["default", "defaultRequest"] {
        if kind != "Pod" {
            check(list, &mut errors);
        } else if !limit.entries(list).is_empty() {
            errors.push(field::forbidden(&path.child(list), "may not be specified when `type` is 'Pod'"));
        }
    }
    let bounded = |list: &str| limit.field(list).get("storage").is_some();
    if kind == "PersistentVolumeClaim" && !bounded("min") && !bounded("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(field::required(&path.child("limits"), detail));
    }
    check("maxLimitRequestRatio", &mut errors);
    for key in &keys {
        errors.extend(amounts(limit, key, path));
    }
    errors
}

/// The amounts of one resource against each other.
fn amounts(limit: &Json, key: &str, path: &Path) -> Errors {
    let of = |list: &str| limit.field(list).get(key).and_then(Json::as_str).and_then(|t| Quantity::parse(t).ok());
    let is_pod = limit.text("type") == "Pod";
    let (min, max) = (of("min"), of("max"));
    let default = of("default").filter(|_| !is_pod);
    let request = of("defaultRequest").filter(|_| !is_pod);
    let mut errors = Errors::new();
    let mut order = |low: &Option<Quantity>, high: &Option<Quantity>, at: &str, shown: bool, text: (&str, &str)| {
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            let detail = format!("{} value {low} is greater than {} value {high}", text.0, text.1);
            let shown = if shown { low } else { high };
            errors.push(field::invalid(&path.child(at).key(key), shown.to_string(), &detail));
        }
    };
    order(&min, &max, "min", true, ("min", "max"));
    order(&min, &request, "defaultRequest", false, ("min", "default request"));
    order(&request, &max, "defaultRequest", true, ("default request", "max"));
    order(&request, &default, "defaultRequest", true, ("default request", "default limit"));
    order(&min, &default, "default", true, ("min", "default"));
    order(&default, &max, "default", false, ("default", "max"));
    errors.extend(ratio(of("maxLimitRequestRatio"), min, max, &path.child("maxLimitRequestRatio").key(key)));
    let overcommits = rules::is_native_resource(key) && !is_huge_pages(key);
    if let (false, Some(default), Some(request)) = (overcommits, default, request)
        && default != request
    {
        let detail = format!("default value {default} must equal to defaultRequest value {request} in {key}");
        errors.push(field::invalid(&path.child("defaultRequest").key(key), request.to_string(), &detail));
    }
    errors
}

fn ratio(ratio: Option<Quantity>, min: Option<Quantity>, max: Option<Quantity>, path: &Path) -> Errors {
    let Some(ratio) = ratio else { return Errors::new() };
    let mut errors = Errors::new();
    if ratio < Quantity::from_i64(1, Format::DecimalSi) {
        let detail = format!("ratio {ratio} is less than 1");
        errors.push(field::invalid(path, ratio.to_string(), &detail));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let most = max.as_f64() / min.as_f64();
        if ratio.as_f64() > most {
            let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
            errors.push(field::invalid(path, ratio.to_string(), &detail));
        }
    }
    errors
}

pub fn limit_range_update(new: &Object, _old: &Object) -> Errors {
    limit_range(new)
}

pub fn resource_quota(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(quota_spec(object.json().field("spec")));
    errors.extend(quota_status(object.json().field("status")));
    errors
}

fn quota_name(resource: &str, path: &Path) -> Errors {
    let mut errors = resource_name(resource, path);
    if !resource.contains('/') && !QUOTA.contains(&resource) && !is_huge_pages(resource) {
        errors.push(field::invalid(path, resource, "must be a standard resource for quota"));
    }
    errors
}

fn quota_amounts(tree: &Json, name: &str, path: &Path) -> Errors {
    let path = path.child(name);
    let mut errors = Errors::new();
    for (resource, amount) in tree.entries(name) {
        errors.extend(quota_name(resource, &path.key(resource)));
        errors.extend(rules::resource_quantity(resource, amount, &path.key(resource)));
    }
    errors
}

fn quota_spec(spec: &Json) -> Errors {
    let path = Path::new("spec");
    let mut errors = quota_amounts(spec, "hard", &path);
    errors.extend(scopes(spec, &path.child("scopes")));
    if spec.has("scopeSelector") {
        errors.extend(scope_selector(spec, &path.child("scopeSelector").child("matchExpressions")));
    }
    errors
}

fn quota_status(status: &Json) -> Errors {
    let path = Path::new("status");
    let mut errors = quota_amounts(status, "hard", &path);
    errors.extend(quota_amounts(status, "used", &path));
    errors
}

/// Whether a scope says something about a resource.
fn applies(scope: &str, resource: &str) -> bool {
    let compute = matches!(
        resource,
        "cpu" | "memory" | "ephemeral-storage" | "requests.cpu" | "requests.memory" | "requests.ephemeral-storage"
            | "limits.cpu" | "limits.memory" | "limits.ephemeral-storage" | "pods"
    ) || is_huge_pages(resource);
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => compute,
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "requests.storage" | "persistentvolumeclaims"),
        _ => true,
    }
}

fn is_quota_resource(resource: &str) -> bool {
    QUOTA.contains(&resource) || is_huge_pages(resource)
}

fn conflicts(scopes: &[&str], path: &Path, shown: &Json) -> Errors {
    let pairs = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
    let both = pairs.iter().filter(|(a, b)| scopes.contains(a) && scopes.contains(b));
    both.map(|_| field::invalid(path, shown.clone(), "conflicting scopes")).collect()
}

fn scopes(spec: &Json, path: &Path) -> Errors {
    let (scopes, shown) = (spec.texts("scopes"), spec.field("scopes"));
    let mut errors = Errors::new();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            errors.push(field::invalid(path, shown.clone(), "unsupported scope"));
        }
        let hard = spec.entries("hard");
        let misfits = hard.iter().filter(|(resource, _)| is_quota_resource(resource) && !applies(scope, resource));
        let detail = "unsupported scope applied to resource";
        errors.extend(misfits.map(|_| field::invalid(path, shown.clone(), detail)));
    }
    errors.extend(conflicts(&scopes, path, shown));
    errors
}

fn scope_selector(spec: &Json, path: &Path) -> Errors {
    let selector = spec.field("scopeSelector");
    let requirements = selector.list("matchExpressions");
    let mut errors = Errors::new();
    for requirement in requirements {
        let (scope, operator) = (requirement.text("scopeName"), requirement.text("operator"));
        let values = requirement.list("values");
        if !SCOPES.contains(&scope) {
            errors.push(field::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        for (resource, _) in spec.entries("hard") {
            if is_quota_resource(resource) && !applies(scope, resource) {
                let detail = "unsupported scope applied to resource";
                errors.push(rules::invalid_struct(path, "ScopeSelector", selector, detail));
            }
        }
        let valueless = !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope);
        if valueless && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(field::invalid(&path.child("operator"), operator, detail));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(field::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(field::invalid(&path.child("values"), values.to_vec(), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(field::invalid(&path.child("operator"), other, "not a valid selector operator")),
        }
    }
    let scopes: Vec<&str> = requirements.iter().map(|r| r.text("scopeName")).collect();
    errors.extend(conflicts(&scopes, path, spec.field("scopes")));
    errors
}

pub fn resource_quota_update(new: &Object, old: &Object) -> Errors {
    let (spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    let mut errors = meta::update(new, old);
    errors.extend(quota_spec(spec));
    let set = |spec: &Json| spec.texts("scopes").into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    if set(spec) != set(old_spec) {
        let path = Path::new("spec").child("scopes");
        errors.push(field::invalid(&path, spec.field("scopes").clone(), rules::IMMUTABLE));
    }
    errors
}

pub fn resource_quota_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    if new.resource_version().is_empty() {
        errors.push(field::required(&Path::new("resourceVersion"), ""));
    }
    errors.extend(quota_status(new.json().field("status")));
    errors
}
