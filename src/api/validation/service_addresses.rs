//! A Service's cluster IPs and address families, and how they may change.
//! Source: pkg/apis/core/validation/validation.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::ips;
use crate::api::{Json, tree::Tree};

const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
const MAY_NOT_CHANGE: &str = "may not change once set";

/// Whether the Service asks for no address.
pub fn is_headless(spec: &Json) -> bool {
    spec.texts("clusterIPs") == ["None"]
}

fn is_external_name(spec: &Json) -> bool {
    spec.text("type") == "ExternalName"
}

/// `kept`: the addresses that the Service already has.
pub fn cluster_ips(spec: &Json, kept: &[String]) -> Errors {
    if is_external_name(spec) {
        return Errors::new();
    }
    let path = Path::new("spec").child("clusterIPs");
    let list = spec.field("clusterIPs").clone();
    let addresses = spec.texts("clusterIPs");
    let first = spec.text("clusterIP");
    let mut errors = Errors::new();
    match (first, addresses.first()) {
        ("", Some(_)) => {
            let detail = "must be empty when `clusterIP` is not specified";
            errors.push(field::invalid(&path, list.clone(), detail));
        }
        ("", None) => {}
        (_, None) => errors.push(field::required(&path, "")),
        (first, Some(other)) if first != *other => {
            errors.push(field::invalid(&path, list.clone(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    errors.extend(families(spec));
    let (problems, odd) = each_address(&addresses, &list, &path, kept);
    errors.extend(problems);
    if addresses.len() > 2 {
        errors.push(field::invalid(&path, list.clone(), "may only hold up to 2 values"));
    }
    if odd {
        return errors;
    }
    if addresses.len() > 1 && !(addresses.len() == 2 && ips::is_dual_stack(&addresses)) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(field::invalid(&path, list, detail));
    }
    errors.extend(families_of_addresses(spec, &addresses, &path));
    errors
}

fn families(spec: &Json) -> Errors {
    let path = Path::new("spec").child("ipFamilies");
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (i, family) in spec.texts("ipFamilies").into_iter().enumerate() {
        if !FAMILIES.contains(&family) {
            errors.push(field::not_supported(&path.index(i), family, FAMILIES));
        }
        if !seen.insert(family) {
            errors.push(field::duplicate(&path.index(i), family));
        }
    }
    if let Some(policy) = spec.opt_text("ipFamilyPolicy").filter(|policy| !POLICIES.contains(policy)) {
        errors.push(field::not_supported(&Path::new("spec").child("ipFamilyPolicy"), policy, POLICIES));
    }
    errors
}

fn each_address(addresses: &[&str], list: &Json, path: &Path, kept: &[String]) -> (Errors, bool) {
    let mut errors = Errors::new();
    let mut odd = false;
    for (i, address) in addresses.iter().enumerate() {
        if i == 0 && *address == "None" {
            if addresses.len() > 1 {
                odd = true;
                errors.push(field::invalid(path, list.clone(), "'None' must be the first and only value"));
            }
            continue;
        }
        if kept.iter().any(|old| old == address) {
            continue;
        }
        let problems = ips::legacy_ip(&path.index(i), address);
        odd |= !problems.is_empty();
        errors.extend(problems);
    }
    (errors, odd)
}

fn families_of_addresses(spec: &Json, addresses: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if is_headless(spec) {
        return errors;
    }
    for (i, (address, family)) in addresses.iter().zip(spec.texts("ipFamilies")).enumerate() {
        let is_v6 = ips::is_ipv6(address);
        if (family == "IPv4" && is_v6) || (family == "IPv6" && !is_v6) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(field::invalid(&path.index(i), *address, &detail));
        }
    }
    errors
}

/// The first address stays; a second one may come and go.
pub fn cluster_ips_update(spec: &Json, old: &Json) -> Errors {
    let (headless, was_headless) = (is_headless(spec), is_headless(old));
    if is_external_name(spec) || is_external_name(old) || (headless && was_headless) {
        return Errors::new();
    }
    let path = Path::new("spec").child("clusterIPs");
    let list = spec.field("clusterIPs");
    let (new, before) = (spec.texts("clusterIPs"), old.texts("clusterIPs"));
    let mut errors = Errors::new();
    if new.len() == before.len() {
        for i in (0..new.len()).filter(|i| new[*i] != before[*i]) {
            errors.push(field::invalid(&path.index(i), list.clone(), MAY_NOT_CHANGE));
        }
        return errors;
    }
    let first_changed = !new.is_empty() && !before.is_empty() && new[0] != before[0];
    if new.len() < before.len() && new.is_empty() {
        errors.push(field::invalid(&path.index(0), list.clone(), "primary clusterIP can not be unset"));
    }
    if first_changed {
        errors.push(field::invalid(&path.index(0), list.clone(), MAY_NOT_CHANGE));
    }
    if new.len() < before.len() && new.len() == 1 {
        errors.extend(must_be_single(spec, "secondary clusterIP"));
    }
    errors
}

fn must_be_single(spec: &Json, released: &str) -> Errors {
    if spec.text("ipFamilyPolicy") == "SingleStack" {
        return Errors::new();
    }
    let detail = format!("must be set to 'SingleStack' when releasing the {released}");
    vec![field::invalid(&Path::new("spec").child("ipFamilyPolicy"), spec.field("ipFamilyPolicy").clone(), &detail)]
}

/// The first family stays; a second one may come and go.
pub fn families_update(spec: &Json, old: &Json) -> Errors {
    if is_external_name(spec) || is_external_name(old) || is_headless(spec) || is_headless(old) {
        return Errors::new();
    }
    let path = Path::new("spec").child("ipFamilies").index(0);
    let (new, before) = (spec.texts("ipFamilies"), old.texts("ipFamilies"));
    let mut errors = Errors::new();
    if new.len() == before.len() {
        for _ in (0..new.len()).filter(|i| new[*i] != before[*i]) {
            errors.push(field::invalid(&path, spec.field("ipFamilies").clone(), MAY_NOT_CHANGE));
        }
        return errors;
    }
    if new.len() < before.len() && spec.list("clusterIPs").is_empty() {
        let detail = "primary ipFamily can not be unset";
        errors.push(field::invalid(&path, spec.field("ipFamilies").clone(), detail));
    }
    if !new.is_empty() && !before.is_empty() && new[0] != before[0] {
        errors.push(field::invalid(&path, spec.field("clusterIPs").clone(), MAY_NOT_CHANGE));
    }
    if new.len() < before.len() && new.len() == 1 {
        errors.extend(must_be_single(spec, "secondary ipFamily"));
    }
    errors
}
