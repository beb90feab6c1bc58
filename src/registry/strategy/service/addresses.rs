//! Cluster IPs. Who has which is kept as IPAddress objects, so that a look-up is enough to give one out.
//! Source: pkg/registry/core/service/ipallocator, pkg/registry/core/service/storage/alloc.go.

use std::net::IpAddr;

use serde_json::json;

use super::{Spec, families, spec_mut};
use crate::api::validation::field::{self, Path};
use crate::api::{GroupResource, Key, Object, Status};
use crate::registry::allocation::{self, Family, Range};
use crate::registry::metadata;
use crate::registry::run::Run;

/// Brings `clusterIP` and `clusterIPs` together (normalizeClusterIPs).
pub(super) fn normalize(new: &mut Object, old: Option<&Object>) {
    let spec = Spec::of(new);
    let (address, addresses) = (spec.text("clusterIP").to_owned(), spec.texts("clusterIPs"));
    let follow = match old {
        None => !address.is_empty() && addresses.is_empty(),
        Some(old) => {
            let before = Spec::of(old);
            let only_address_changed = address != before.text("clusterIP") && addresses == before.texts("clusterIPs");
            let not_sent = !address.is_empty() && addresses.is_empty();
            only_address_changed || not_sent
        }
    };
    if !follow {
        return;
    }
    let spec = spec_mut(new);
    if address.is_empty() {
        spec.remove("clusterIPs");
    } else {
        spec.insert("clusterIPs".into(), json!([address]));
    }
}

/// An update that does not mention the addresses keeps them.
pub(super) fn keep(new: &mut Object, old: &Object) {
    let before = Spec::of(old);
    let (address, addresses) = (before.text("clusterIP"), before.texts("clusterIPs"));
    let after = Spec::of(new);
    let unsaid = after.text("clusterIP").is_empty();
    let same = unsaid || after.text("clusterIP") == address;
    let list_unsaid = after.texts("clusterIPs").is_empty();
    let spec = spec_mut(new);
    if unsaid && !address.is_empty() {
        spec.insert("clusterIP".into(), address.into());
    }
    if list_unsaid && same && !addresses.is_empty() {
        spec.insert("clusterIPs".into(), json!(addresses));
    }
}

fn key(address: IpAddr) -> Key {
    Key::new(GroupResource::new("networking.k8s.io", "ipaddresses"), "", &address.to_string())
}

/// Gives the service an address of each of its families: the one that it asks for, or a free one.
pub(super) fn allocate(run: &mut Run<'_, '_>, service: &mut Object) -> Result<(), Status> {
    let spec = Spec::of(service);
    if !spec.needs_cluster_ip() || spec.is_headless() {
        return Ok(());
    }
    let wanted = spec.texts("ipFamilies").len();
    give(run, service, 0..wanted)
}

/// A second family brings its address, and takes it along where it goes (updateClusterIPs).
pub(super) fn follow_families(run: &mut Run<'_, '_>, new: &mut Object, old: &Object) -> Result<(), Status> {
    if Spec::of(old).is_headless() {
        return Ok(());
    }
    match (Spec::of(old).texts("ipFamilies").len(), Spec::of(new).texts("ipFamilies").len()) {
        (1, 2) => give(run, new, 1..2),
        (2, 1) => {
            if let Some(second) = Spec::of(old).texts("clusterIPs").get(1) {
                release_one(run, old, second);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Gives out the addresses at these places.
fn give(run: &mut Run<'_, '_>, service: &mut Object, places: std::ops::Range<usize>) -> Result<(), Status> {
    let mut all: Vec<String> = Spec::of(service).texts("clusterIPs").into_iter().map(str::to_owned).collect();
    if all.len() < places.end {
        all.resize(places.end, String::new());
    }
    for place in places {
        let family = families::nth(service, place);
        let range = ranges(run).into_iter().find(|range| Some(range.family()) == family);
        let range = range.ok_or_else(|| Status::internal("the range of cluster IPs cannot be read"))?;
        let address = if all[place].is_empty() {
            let free = free(run, range);
            let free = free.ok_or_else(|| Status::internal("failed to allocate a serviceIP: range is full"))?;
            all[place] = free.to_string();
            free
        } else {
            asked_for(run, service, range, &all[place], &all)?
        };
        take(run, service, address);
    }
    let spec = spec_mut(service);
    spec.insert("clusterIP".into(), all.first().map_or("", String::as_str).into());
    spec.insert("clusterIPs".into(), json!(all));
    Ok(())
}

/// The ranges of this state, or those that it is to have.
fn cidrs<'a>(run: &'a Run<'_, '_>) -> Vec<&'a str> {
    let kept = allocation::kept_cidrs(run.state);
    if kept.is_empty() { run.env.settings.service_cidrs.iter().map(String::as_str).collect() } else { kept }
}

pub(super) fn ranges(run: &Run<'_, '_>) -> Vec<Range> {
    cidrs(run).into_iter().filter_map(Range::parse).collect()
}

fn asked_for(run: &Run<'_, '_>, service: &Object, range: Range, text: &str, all: &[String]) -> Result<IpAddr, Status> {
    let refuse = |why: String| {
        let path = Path::new("spec").child("clusterIPs");
        let detail = format!("failed to allocate IP {text}: {why}");
        Status::invalid("", "Service", service.name(), &[field::invalid(&path, json!(all), &detail)])
    };
    let Some(address) = families::address(text).filter(|address| Family::of(*address) == range.family()) else {
        return Err(refuse("the provided IP is invalid".into()));
    };
    if !range.contains(address) {
        let cidr = cidrs(run).into_iter().find(|cidr| Range::parse(cidr) == Some(range)).unwrap_or_default();
        return Err(refuse(if run.request.options.dry_run {
            format!("the provided IP ({address}) is not in the valid range. The range of valid IPs is {cidr}")
        } else {
            "the provided network does not match the current range".into()
        }));
    }
    if run.state.get(&key(address)).is_some() {
        return Err(refuse("provided IP is already allocated".into()));
    }
    Ok(address)
}

/// A free address: from the upper part first, at random, then from the band kept for those who ask.
fn free(run: &mut Run<'_, '_>, range: Range) -> Option<IpAddr> {
    let band = range.band();
    let upper = range.size().saturating_sub(band);
    let start = run.env.random.next_u64() % upper.max(1);
    let from_upper = (0..upper).map(|step| band + 1 + (start + step) % upper);
    let from_band = 1..=band.min(range.size());
    from_upper.chain(from_band).map(|offset| range.at(offset)).find(|address| run.state.get(&key(*address)).is_none())
}

fn take(run: &mut Run<'_, '_>, service: &Object, address: IpAddr) {
    let mut object = Object::new(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": Family::of(address).name(),
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {
            "group": "", "resource": "services", "namespace": service.namespace(), "name": service.name(),
        }},
    }));
    metadata::fill_new(run, &mut object);
    run.state.put(key(address), object);
}

/// Lets the service's addresses go.
pub(super) fn release(run: &mut Run<'_, '_>, service: &Object) {
    for text in Spec::of(service).texts("clusterIPs") {
        release_one(run, service, text);
    }
}

fn release_one(run: &mut Run<'_, '_>, service: &Object, text: &str) {
    let Some(address) = families::address(text) else { return };
    let owner = |field: &str, object: &Object| object.str_at(&format!("/spec/parentRef/{field}")).map(str::to_owned);
    let is_ours = run.state.get(&key(address)).is_some_and(|object| {
        owner("namespace", object).as_deref() == Some(service.namespace())
            && owner("name", object).as_deref() == Some(service.name())
    });
    if is_ours {
        run.state.remove(&key(address));
    }
}
