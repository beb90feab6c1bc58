//! Services: IP families, cluster IPs and node ports, and what a change keeps of them.
//! Source: pkg/registry/core/service/{strategy.go,storage/storage.go}.

mod addresses;
mod families;
mod ports;

use serde_json::json;

use super::{Part, Rules, Strategy, plain, rules};
use crate::api::validation::{self, field::Errors};
use crate::api::{GroupResource, Json, Key, Object, Status};
use crate::registry::run::Run;

pub(crate) struct Services;

/// A service's spec, read by name.
#[derive(Clone, Copy)]
pub(super) struct Spec<'a>(&'a Json);

impl<'a> Spec<'a> {
    pub(super) fn of(object: &'a Object) -> Self {
        Spec(object.at("/spec").unwrap_or(&Json::Null))
    }

    pub(super) fn text(self, field: &str) -> &'a str {
        self.0.get(field).and_then(Json::as_str).unwrap_or("")
    }

    pub(super) fn number(self, field: &str) -> i64 {
        self.0.get(field).and_then(Json::as_i64).unwrap_or(0)
    }

    pub(super) fn texts(self, field: &str) -> Vec<&'a str> {
        let list = self.0.get(field).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    pub(super) fn ports(self) -> &'a [Json] {
        self.0.get("ports").and_then(Json::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn kind(self) -> &'a str {
        match self.text("type") {
            "" => "ClusterIP",
            kind => kind,
        }
    }

    pub(super) fn needs_cluster_ip(self) -> bool {
        self.kind() != "ExternalName"
    }

    pub(super) fn is_headless(self) -> bool {
        self.text("clusterIP") == "None"
    }

    pub(super) fn allocates_node_ports(self) -> bool {
        self.0.get("allocateLoadBalancerNodePorts").and_then(Json::as_bool).unwrap_or(true)
    }

    pub(super) fn needs_node_port(self) -> bool {
        self.kind() == "NodePort" || (self.kind() == "LoadBalancer" && self.allocates_node_ports())
    }

    pub(super) fn needs_health_port(self) -> bool {
        self.kind() == "LoadBalancer" && self.text("externalTrafficPolicy") == "Local"
    }

    /// Reachable from outside by node ports, balancers or external IPs.
    fn is_external(self) -> bool {
        matches!(self.kind(), "LoadBalancer" | "NodePort")
            || (self.kind() == "ClusterIP" && !self.texts("externalIPs").is_empty())
    }
}

/// The spec, to change; made where it is missing.
pub(super) fn spec_mut(object: &mut Object) -> &mut serde_json::Map<String, Json> {
    let spec = &mut object.json_mut()["spec"];
    if !spec.is_object() {
        *spec = json!({});
    }
    match spec {
        Json::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

impl Strategy for Services {
    fn rules(&self) -> &'static Rules {
        rules::rules("", "services")
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        if part == Part::Main {
            drop_what_the_type_has_not(new, old);
        }
    }

    fn begin_create(&self, run: &mut Run<'_, '_>, object: &mut Object) -> Result<(), Status> {
        addresses::normalize(object, None);
        check_addresses(run, object, None)?;
        families::fill(run, object, None)?;
        addresses::allocate(run, object)?;
        ports::warn_of_taken(run, object, None);
        ports::allocate_new(run, object)
    }

    fn begin_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) -> Result<(), Status> {
        if part != Part::Main {
            return Ok(());
        }
        keep_allocated(new, old);
        addresses::normalize(new, Some(old));
        check_addresses(run, new, Some(old))?;
        families::fill(run, new, Some(old))?;
        match (Spec::of(old).needs_cluster_ip(), Spec::of(new).needs_cluster_ip()) {
            (false, true) => addresses::allocate(run, new)?,
            (true, false) => addresses::release(run, old),
            _ => {}
        }
        ports::warn_of_taken(run, new, Some(old));
        ports::allocate_changed(run, new, old)
    }

    fn after_delete(&self, run: &mut Run<'_, '_>, object: &Object) {
        addresses::release(run, object);
        let endpoints = Key::new(GroupResource::new("", "endpoints"), object.namespace(), object.name());
        run.state.remove(&endpoints);
    }
}

/// What is wrong with the fields about addresses is said before any is given out.
fn check_addresses(run: &Run<'_, '_>, new: &Object, old: Option<&Object>) -> Result<(), Status> {
    let gvk = run.gvk();
    let errors = match old {
        None => validation::create(&gvk, new),
        Some(old) => validation::update(&gvk, new, old),
    };
    let about = ["spec.clusterIP", "spec.ipFamil"];
    let errors: Errors = errors.into_iter().filter(|e| about.iter().any(|field| e.field.starts_with(field))).collect();
    run.refuse(new.name(), errors)
}

/// What was given out before and is not mentioned now stays (patchAllocatedValues).
fn keep_allocated(new: &mut Object, old: &Object) {
    let (before, after) = (Spec::of(old), Spec::of(new));
    let addresses = before.needs_cluster_ip() && after.needs_cluster_ip();
    let node_ports = before.needs_node_port() && after.needs_node_port();
    let health = before.needs_health_port() && after.needs_health_port();
    if addresses {
        addresses::keep(new, old);
    }
    if node_ports {
        ports::keep(new, old);
    }
    if health && Spec::of(new).number("healthCheckNodePort") == 0 {
        spec_mut(new).insert("healthCheckNodePort".into(), before.number("healthCheckNodePort").into());
    }
}

/// Fields that the new type has not are dropped where the client only sent back what there was.
fn drop_what_the_type_has_not(new: &mut Object, old: &Object) {
    let (before, after) = (Spec::of(old), Spec::of(new));
    let mut drop: Vec<&str> = Vec::new();
    if before.needs_cluster_ip() && !after.needs_cluster_ip() {
        drop.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    if before.needs_health_port() && !after.needs_health_port() {
        drop.push("healthCheckNodePort");
    }
    if before.kind() == "LoadBalancer" && after.kind() != "LoadBalancer" {
        drop.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if before.is_external() && !after.is_external() {
        drop.push("externalTrafficPolicy");
    }
    let drop_ports = before.needs_node_port() && !after.needs_node_port();
    let old_spec = old.at("/spec").cloned().unwrap_or_default();
    let spec = spec_mut(new);
    for field in drop {
        if spec.get(field) == old_spec.get(field) {
            spec.remove(field);
        }
    }
    if drop_ports {
        ports::drop_same(new, old);
    }
}
