//! `ipFamilies` and `ipFamilyPolicy` on a server with IPv4 alone.
//! Source: pkg/registry/core/service/storage/alloc.go: initIPFamilyFields.

use serde_json::json;

use super::{Spec, spec_mut};
use crate::api::validation::field::{self, Errors, Path};
use crate::api::{Json, Object, Status};
use crate::registry::run::Run;

/// The one family that this server has addresses of.
const FAMILY: &str = "IPv4";
const OTHER: &str = "IPv6";

fn family_of(address: &str) -> &'static str {
    if address.contains(':') { OTHER } else { FAMILY }
}

pub(super) fn fill(run: &Run<'_, '_>, new: &mut Object, old: Option<&Object>) -> Result<(), Status> {
    let spec = Spec::of(new);
    if !spec.needs_cluster_ip() || old.is_some_and(|old| same_preference(new, old)) {
        return Ok(());
    }
    let mut errors = Errors::new();
    let addresses = spec.texts("clusterIPs");
    let mut families: Vec<String> = spec.texts("ipFamilies").into_iter().map(str::to_owned).collect();
    let mut policy = spec.text("ipFamilyPolicy").to_owned();
    if policy.is_empty() && (addresses.len() > 1 || families.len() > 1) {
        policy = "RequireDualStack".into();
    }
    for (index, address) in addresses.iter().enumerate().take_while(|(_, a)| **a != "None") {
        let family = family_of(address);
        if index < families.len() {
            continue;
        }
        if family == FAMILY {
            families.push(family.into());
        } else {
            let path = Path::new("spec").child("clusterIPs").index(index);
            errors.push(field::invalid(&path, json!(addresses), &format!("{family} is not configured on this cluster")));
        }
    }
    run.refuse(new.name(), errors)?;
    let selectorless = new.at("/spec/selector").and_then(Json::as_object).is_none_or(serde_json::Map::is_empty);
    if addresses.first() == Some(&"None") && selectorless {
        headless(&mut families, &mut policy);
    } else {
        run.refuse(new.name(), not_offered(&families, &policy))?;
        if families.is_empty() {
            families.push(FAMILY.into());
        }
        if policy.is_empty() {
            policy = "SingleStack".into();
        }
    }
    let spec = spec_mut(new);
    spec.insert("ipFamilies".into(), families.into());
    spec.insert("ipFamilyPolicy".into(), policy.into());
    Ok(())
}

/// A service that prefers two families keeps what it has until its policy changes.
fn same_preference(new: &Object, old: &Object) -> bool {
    let (new, old) = (Spec::of(new), Spec::of(old));
    old.needs_cluster_ip()
        && new.text("ipFamilyPolicy") == "PreferDualStack"
        && old.text("ipFamilyPolicy") == "PreferDualStack"
        && new.texts("ipFamilies") == old.texts("ipFamilies")
        && new.texts("clusterIPs") == old.texts("clusterIPs")
}

/// Headless and without a selector: whoever makes the endpoints may use both families.
fn headless(families: &mut Vec<String>, policy: &mut String) {
    if families.is_empty() {
        families.push(FAMILY.into());
    }
    if families.len() < 2 && policy != "SingleStack" {
        let other = if families[0] == FAMILY { OTHER } else { FAMILY };
        families.push(other.into());
    }
    if policy.is_empty() {
        *policy = "RequireDualStack".into();
    }
}

fn not_offered(families: &[String], policy: &str) -> Errors {
    let mut errors = Errors::new();
    if policy == "RequireDualStack" {
        let path = Path::new("spec").child("ipFamilyPolicy");
        errors.push(field::invalid(&path, policy, "this cluster is not configured for dual-stack services"));
    }
    for (index, family) in families.iter().enumerate().filter(|(_, family)| *family != FAMILY) {
        let path = Path::new("spec").child("ipFamilies").index(index);
        errors.push(field::invalid(&path, family.as_str(), "not configured on this cluster"));
    }
    errors
}
