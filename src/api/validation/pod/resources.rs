//! What containers and Pods ask for and are limited to.

use std::collections::BTreeSet;

use super::super::field::{self, Errors, Path};
use super::super::resource_names::{container_resource_name, resource_name};
use super::super::{names, rules};
use super::spec::Scope;
use crate::api::pod::{aggregate, is_hugepages, is_overcommitted, is_pod_level};
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;
use crate::api::{Cause, Json};

fn quantity(amount: &Json) -> Quantity {
    amount.as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or_else(Quantity::zero)
}

fn pod_resource_name(name: &str, path: &Path) -> Errors {
    let errors = resource_name(name, path);
    if !errors.is_empty() || is_pod_level(name) {
        return errors;
    }
    vec![field::not_supported(path, name, &["cpu", "hugepages-", "memory"])]
}

/// `resources` of a container.
pub(super) fn of_container(scope: &Scope<'_>, resources: &Json, path: &Path) -> Errors {
    requirements(scope, resources, container_resource_name, path)
}

/// `overhead` of a Pod, which reads like limits.
pub(super) fn overhead(scope: &Scope<'_>, path: &Path) -> Errors {
    let limits = serde_json::json!({"limits": scope.spec.field("overhead")});
    requirements(scope, &limits, container_resource_name, path)
}

/// What a RuntimeClass adds to each Pod, which reads like limits, too.
pub fn fixed_overhead(amounts: &Json, path: &Path) -> Errors {
    let limits = serde_json::json!({"limits": amounts});
    let scope = Scope {
        spec: &Json::Null,
        options: &super::Options::of_template(None),
        volumes: Default::default(),
        claims: BTreeSet::new(),
        grace: None,
        host_users: false,
    };
    requirements(&scope, &limits, container_resource_name, path)
}

/// `resources` of a Pod: names, amounts, and that what its containers have fits in.
pub(super) fn of_pod(scope: &Scope<'_>, path: &Path) -> Errors {
    let resources = scope.spec.field("resources");
    if resources.is_null() {
        return Errors::new();
    }
    if scope.spec.field("os").text("name") == "windows" {
        return vec![field::forbidden(path, "may not be set for a windows pod")];
    }
    let mut errors = Errors::new();
    if resources.has("claims") {
        errors.push(field::forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level"));
    }
    errors.extend(requirements(scope, resources, pod_resource_name, path));
    for which in ["requests", "limits"] {
        let stated = |name: &str| resources.field(which).has(name) && (which == "requests" || is_hugepages(name));
        for (name, amount) in aggregate(scope.spec, which).0.into_iter().filter(|(name, _)| stated(name)) {
            let own = quantity(resources.field(which).field(&name));
            if amount > own {
                let detail = format!("must be greater than or equal to aggregate container {which} of {amount}");
                errors.push(field::invalid(&path.child(which).key(&name), own.to_string(), &detail));
            }
        }
    }
    for (index, container) in scope.spec.list("containers").iter().enumerate() {
        for (name, amount) in container.field("resources").entries("limits") {
            let limit = resources.field("limits").field(name);
            if limit.is_null() || quantity(amount) <= quantity(limit) {
                continue;
            }
            let at = path.child("containers").index(index).key(name).child("limits");
            let detail = format!("must be less than or equal to pod limits of {}", quantity(limit));
            errors.push(field::invalid(&at, quantity(amount).to_string(), &detail));
        }
    }
    errors
}

fn requirements(scope: &Scope<'_>, resources: &Json, name_rule: fn(&str, &Path) -> Errors, path: &Path) -> Errors {
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let mut errors = Errors::new();
    let (mut computes, mut has_hugepages) = (false, false);
    let mut amount_at = |name: &str, amount: &Json, path: &Path| {
        let mut errors = name_rule(name, path);
        errors.extend(rules::resource_quantity(name, amount, path));
        computes |= matches!(name, "cpu" | "memory");
        has_hugepages |= is_hugepages(name);
        errors
    };
    for (name, amount) in resources.entries("limits") {
        let at = limits_path.key(name);
        errors.extend(amount_at(name, amount, &at));
        errors.extend(hugepages(scope, name, amount, &at));
    }
    for (name, amount) in resources.entries("requests") {
        let at = requests_path.key(name);
        errors.extend(amount_at(name, amount, &at));
        let limit = resources.field("limits").field(name);
        errors.extend(within_limit(name, amount, limit, &requests_path, &limits_path));
        errors.extend(hugepages(scope, name, amount, &at));
    }
    if has_hugepages && !computes {
        errors.push(field::forbidden(path, "HugePages require cpu or memory"));
    }
    errors.extend(claim_names(scope, resources.list("claims"), &path.child("claims")));
    errors
}

fn within_limit(name: &str, amount: &Json, limit: &Json, requests: &Path, limits: &Path) -> Option<Cause> {
    let is_elastic = is_overcommitted(name);
    if limit.is_null() {
        let detail = "Limit must be set for non overcommitable resources";
        return (!is_elastic).then(|| field::required(limits, detail));
    }
    let (amount, limit) = (quantity(amount), quantity(limit));
    let detail = if amount != limit && !is_elastic {
        format!("must be equal to {name} limit of {limit}")
    } else if amount > limit {
        format!("must be less than or equal to {name} limit of {limit}")
    } else {
        return None;
    };
    Some(field::invalid(requests, amount.to_string(), &detail))
}

fn hugepages(scope: &Scope<'_>, name: &str, amount: &Json, path: &Path) -> Option<Cause> {
    let size = name.strip_prefix("hugepages-")?;
    let amount = quantity(amount);
    if scope.options.indivisible_hugepages || is_divisible(size, &amount) {
        return None;
    }
    let detail = format!("{amount} is not positive integer multiple of {name}");
    Some(field::invalid(path, amount.to_string(), &detail))
}

fn is_divisible(size: &str, amount: &Quantity) -> bool {
    let Ok(size) = Quantity::parse(size) else { return false };
    size.signum() > 0 && size.is_multiple_of(0) && size.value() > 0 && amount.value() % size.value() == 0
}

/// Whether a PodSpec has an amount of huge pages that is no whole number of them.
pub(super) fn has_indivisible_hugepages(spec: &Json) -> bool {
    let containers = super::all_containers(spec, &Path::root());
    containers.iter().any(|(container, _)| {
        ["limits", "requests"].iter().any(|which| {
            container.field("resources").entries(which).iter().any(|(name, amount)| {
                name.strip_prefix("hugepages-").is_some_and(|size| !is_divisible(size, &quantity(amount)))
            })
        })
    })
}

fn claim_names(scope: &Scope<'_>, claims: &[Json], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        let (name, request) = (claim.text("name"), claim.text("request"));
        if name.is_empty() {
            errors.push(field::required(&path, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(field::duplicate(&path, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                errors.extend(rules::each(&path.child("request"), request, names::dns1123_label(request)));
                key = format!("{name}/{request}");
            }
            if seen.contains(&key) {
                errors.push(field::duplicate(&path, key.clone()));
            } else if request.is_empty() {
                let parts = seen.iter().filter(|k| k.split_once('/').is_some_and(|(of, _)| of == name));
                errors.extend(parts.map(|_| field::duplicate(&path, name)));
            }
            seen.insert(key);
        }
        if !scope.claims.contains(name) {
            let known: Vec<&str> = scope.claims.iter().copied().collect();
            let known = if known.is_empty() { " which is empty".into() } else { format!(": {}", known.join(", ")) };
            let mut error = field::not_found(&path, name);
            error.message = format!("{}: must be one of the names in pod.spec.resourceClaims{known}", error.message);
            errors.push(error);
        }
    }
    errors
}

/// `resourceClaims` of a Pod, which a static one, seen by its mirror, does not have.
pub(super) fn claims_of_pod(claims: &[Json], path: &Path, mirrors: bool) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        if mirrors {
            errors.push(field::forbidden(&Path::nameless(), "static pods do not support resource claims"));
            continue;
        }
        let path = path.index(index);
        let name = claim.text("name");
        if name.is_empty() {
            errors.push(field::required(&path.child("name"), ""));
        } else if !seen.insert(name) {
            errors.push(field::duplicate(&path.child("name"), name));
        } else {
            errors.extend(rules::each(&path.child("name"), name, names::dns1123_label(name)));
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        let detail = match sources.iter().filter(|s| claim.has(s)).count() {
            2 => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            _ => "",
        };
        if !detail.is_empty() {
            errors.push(rules::invalid_struct(&path, "PodResourceClaim", claim, detail));
        }
        for source in sources {
            if let Some(name) = claim.opt_text(source) {
                errors.extend(rules::each(&path.child(source), name, names::dns1123_subdomain(name)));
            }
        }
    }
    errors
}

/// `resizePolicy` of a container.
pub(super) fn resize_policy(scope: &Scope<'_>, container: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    let never = scope.spec.text("restartPolicy") == "Never";
    for (index, policy) in container.list("resizePolicy").iter().enumerate() {
        let (resource, restart) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if !seen.insert(resource) {
            errors.push(field::duplicate(&path.index(index), resource));
        }
        match resource {
            "cpu" | "memory" => {}
            "" => errors.push(field::required(path, "")),
            other => errors.push(field::not_supported(path, other, &["cpu", "memory"])),
        }
        match restart {
            "NotRequired" | "RestartContainer" => {}
            "" => errors.push(field::required(path, "")),
            other => errors.push(field::not_supported(path, other, &["NotRequired", "RestartContainer"])),
        }
        if never && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(field::invalid(path, restart, detail));
        }
    }
    errors
}
