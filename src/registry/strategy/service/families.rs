//! `ipFamilies` and `ipFamilyPolicy`: inferred from what is given, and held against what this server has ranges of.
//! Source: pkg/registry/core/service/storage/alloc.go: initIPFamilyFields.

use std::net::IpAddr;

use serde_json::json;

use super::{Spec, addresses, spec_mut};
use crate::api::validation::field::{self, Errors, Path};
use crate::api::validation::{ips, service};
use crate::api::{Json, Object, Status};
use crate::registry::allocation::Family;
use crate::registry::run::Run;

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// The family that comes first where nothing is said.
struct Offered(Vec<Family>);

impl Offered {
    fn has(&self, family: &str) -> bool {
        self.0.iter().any(|offered| offered.name() == family)
    }

    fn default(&self) -> Family {
        self.0.first().copied().unwrap_or(Family::V4)
    }
}

fn family_of(address: &str) -> Family {
    ips::parse_sloppy(address).map_or(Family::V4, Family::of)
}

fn other(family: &str) -> &'static str {
    if family == Family::V4.name() { Family::V6.name() } else { Family::V4.name() }
}

pub(super) fn fill(run: &Run<'_, '_>, new: &mut Object, old: Option<&Object>) -> Result<(), Status> {
    if !Spec::of(new).needs_cluster_ip() || old.is_some_and(|old| same_preference(new, old)) {
        return Ok(());
    }
    let policy = policy(new, old);
    spec_mut(new).insert("ipFamilyPolicy".into(), policy.as_str().into());
    run.refuse(new.name(), service::cluster_ips(new, old))?;
    let mut errors = Errors::new();
    if let Some(old) = old {
        errors.extend(less_than_before(new, old, &policy));
    }
    let offered = Offered(addresses::ranges(run).iter().map(|range| range.family()).collect());
    errors.extend(too_many(new, &policy));
    let (mut families, problems) = inferred(new, &offered);
    errors.extend(problems);
    run.refuse(new.name(), errors)?;
    let selectorless = new.at("/spec/selector").and_then(Json::as_object).is_none_or(serde_json::Map::is_empty);
    if Spec::of(new).is_headless() && selectorless {
        // Whoever makes its endpoints may use both families, whatever this server has.
        if families.is_empty() {
            families.push(offered.default().name().into());
        }
        if families.len() < 2 && policy != SINGLE {
            families.push(other(&families[0]).into());
        }
    } else {
        run.refuse(new.name(), not_offered(&families, &policy, &offered))?;
        if families.is_empty() {
            families.push(offered.default().name().into());
        }
        if policy != SINGLE && families.len() == 1 && offered.0.len() == 2 {
            families.push(other(&families[0]).into());
        }
    }
    spec_mut(new).insert("ipFamilies".into(), families.into());
    Ok(())
}

/// What is said; else what was said before; else by what kind of Service it is.
fn policy(new: &Object, old: Option<&Object>) -> String {
    let spec = Spec::of(new);
    let said = spec.text("ipFamilyPolicy");
    if !said.is_empty() {
        return said.to_owned();
    }
    // pkg/apis/core/v1/defaults.go: SetDefaults_Service.
    if spec.texts("clusterIPs").len() == 2 || spec.texts("ipFamilies").len() == 2 {
        return REQUIRE.to_owned();
    }
    if let Some(before) = old.map(|old| Spec::of(old).text("ipFamilyPolicy")).filter(|before| !before.is_empty()) {
        return before.to_owned();
    }
    let selectorless = new.at("/spec/selector").and_then(Json::as_object).is_none_or(serde_json::Map::is_empty);
    if spec.is_headless() && selectorless { REQUIRE.to_owned() } else { SINGLE.to_owned() }
}

/// A service that prefers two families keeps what it has until its policy changes.
fn same_preference(new: &Object, old: &Object) -> bool {
    let (new, old) = (Spec::of(new), Spec::of(old));
    new.kind() == old.kind()
        && new.needs_cluster_ip()
        && new.text("ipFamilyPolicy") == PREFER
        && matches!(old.text("ipFamilyPolicy"), PREFER | "")
        && new.texts("ipFamilies") == old.texts("ipFamilies")
        && new.texts("clusterIPs") == old.texts("clusterIPs")
}

/// Going back to one family is said by the policy: then what is sent back unchanged is cut, else what is cut is refused.
fn less_than_before(new: &mut Object, old: &Object, policy: &str) -> Errors {
    let mut errors = Errors::new();
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, before) = (Spec::of(new).texts(field), Spec::of(old).texts(field));
        if policy == SINGLE {
            if now == before && now.len() > 1 {
                let first = json!([now[0]]);
                spec_mut(new).insert(field.into(), first);
            }
        } else if !now.is_empty() && now.len() < before.len() {
            let detail = format!("must be 'SingleStack' to release the secondary {what}");
            errors.push(field::invalid(&Path::new("spec").child("ipFamilyPolicy"), policy, &detail));
        }
    }
    errors
}

fn too_many(new: &Object, policy: &str) -> Errors {
    let mut errors = Errors::new();
    for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if policy == SINGLE && Spec::of(new).texts(field).len() == 2 {
            let detail = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            errors.push(field::invalid(&Path::new("spec").child("ipFamilyPolicy"), policy, &detail));
        }
    }
    errors
}

/// The families that are named, and those of the addresses that are named beyond them.
fn inferred(new: &Object, offered: &Offered) -> (Vec<String>, Errors) {
    let spec = Spec::of(new);
    let addresses = spec.texts("clusterIPs");
    let mut families: Vec<String> = spec.texts("ipFamilies").into_iter().map(str::to_owned).collect();
    let mut errors = Errors::new();
    for (index, address) in addresses.iter().enumerate().take_while(|(_, a)| **a != "None") {
        let family = family_of(address).name();
        if index < families.len() {
            continue;
        }
        if offered.has(family) {
            families.push(family.into());
        } else {
            let path = Path::new("spec").child("clusterIPs").index(index);
            errors.push(field::invalid(&path, json!(addresses), &format!("{family} is not configured on this cluster")));
        }
    }
    (families, errors)
}

fn not_offered(families: &[String], policy: &str, offered: &Offered) -> Errors {
    let mut errors = Errors::new();
    if policy == REQUIRE && offered.0.len() < 2 {
        let path = Path::new("spec").child("ipFamilyPolicy");
        errors.push(field::invalid(&path, policy, "this cluster is not configured for dual-stack services"));
    }
    for (index, family) in families.iter().enumerate().filter(|(_, family)| !offered.has(family)) {
        let path = Path::new("spec").child("ipFamilies").index(index);
        errors.push(field::invalid(&path, family.as_str(), "not configured on this cluster"));
    }
    errors
}

/// The family of a Service's n-th address.
pub(super) fn nth(service: &Object, index: usize) -> Option<Family> {
    let families = Spec::of(service).texts("ipFamilies");
    let named = families.get(index)?;
    [Family::V4, Family::V6].into_iter().find(|family| family.name() == *named)
}

/// An address as it is kept, however it was written.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    ips::parse_sloppy(text)
}
