//! Services: IP families, cluster IPs and node ports, and what a change keeps of them.
//! Source: pkg/registry/core/service/{strategy.go,storage/storage.go}.

mod addresses;
mod families;
mod ports;

use serde_json::json;

use super::{Part, Rules, Strategy, plain, rules};
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
        families::fill(run, new, Some(old))?;
        match (Spec::of(old).needs_cluster_ip(), Spec::of(new).needs_cluster_ip()) {
            (false, true) => addresses::allocate(run, new)?,
            (true, false) => addresses::release(run, old),
            (true, true) => addresses::follow_families(run, new, old)?,
            (false, false) => {}
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

/// Fields that the new type has not are dropped where the client only sent back what there was
/// (dropTypeDependentFields).
fn drop_what_the_type_has_not(new: &mut Object, old: &Object) {
    let (before, after) = (Spec::of(old), Spec::of(new));
    let same = |field: &str| before.0.get(field) == after.0.get(field);
    let mut drop: Vec<&str> = Vec::new();
    if before.needs_cluster_ip() && !after.needs_cluster_ip() {
        if same("clusterIP") && same("clusterIPs") {
            drop.extend(["clusterIP", "clusterIPs"]);
        }
        drop.extend(["ipFamilies", "ipFamilyPolicy"].into_iter().filter(|field| same(field)));
    }
    if before.needs_health_port() && !after.needs_health_port() && same("healthCheckNodePort") {
        drop.push("healthCheckNodePort");
    }
    if before.kind() == "LoadBalancer" && after.kind() != "LoadBalancer" {
        drop.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"].into_iter().filter(|field| same(field)));
    }
    if before.is_external() && !after.is_external() && same("externalTrafficPolicy") {
        drop.push("externalTrafficPolicy");
    }
    // A balancer that is to have no node ports keeps those that it has until they are taken away.
    let may_have_ports = |spec: Spec<'_>| matches!(spec.kind(), "NodePort" | "LoadBalancer");
    let drop_ports = may_have_ports(before) && !may_have_ports(after) && ports::has_no_other(after, before);
    let balances = after.kind() == "LoadBalancer";
    let spec = spec_mut(new);
    for field in drop {
        spec.remove(field);
    }
    if drop_ports {
        ports::drop_all(new);
    }
    if !balances && new.at("/status").is_some_and(Json::is_object) {
        new.json_mut()["status"]["loadBalancer"] = json!({});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Json) -> Object {
        Object::new(json!({"spec": spec, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}}))
    }

    fn dropped(old: Json, new: Json) -> Json {
        let mut changed = service(new);
        drop_what_the_type_has_not(&mut changed, &service(old));
        changed.json().clone()
    }

    #[test]
    fn node_ports_go_with_the_type_unless_others_are_asked_for() {
        let spec = |kind: &str, ports: &[i64]| {
            let ports: Vec<Json> = ports.iter().map(|port| json!({"port": port - 30_000, "nodePort": port})).collect();
            json!({"type": kind, "ports": ports})
        };
        let old = spec("NodePort", &[30_001, 30_002]);
        let gone = dropped(old.clone(), spec("ClusterIP", &[30_002]));
        assert_eq!(gone["spec"]["ports"], json!([{"port": 2}]));
        let other = spec("ClusterIP", &[30_002, 30_003]);
        assert_eq!(dropped(old, other.clone())["spec"], other, "one of them is new, so that all are refused");
    }

    #[test]
    fn a_balancer_that_wants_no_node_ports_keeps_those_it_has() {
        let ports = json!([{"port": 1, "nodePort": 30_001}]);
        let old = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": true, "ports": ports});
        let new = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": ports});
        let kept = dropped(old, new.clone());
        assert_eq!(kept["spec"], new);
        assert_eq!(kept["status"]["loadBalancer"]["ingress"][0]["ip"], "10.0.0.9");
    }

    #[test]
    fn who_balances_no_more_has_no_addresses_of_a_balancer() {
        let old = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": true, "loadBalancerClass": "a/b"});
        let new = json!({"type": "ClusterIP", "allocateLoadBalancerNodePorts": true, "loadBalancerClass": "a/c"});
        let changed = dropped(old, new);
        assert_eq!(changed["spec"], json!({"type": "ClusterIP", "loadBalancerClass": "a/c"}));
        assert_eq!(changed["status"], json!({"loadBalancer": {}}));
    }

    #[test]
    fn addresses_go_together_or_stay() {
        let old = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]});
        let mut new = old.clone();
        new["type"] = "ExternalName".into();
        assert_eq!(dropped(old.clone(), new.clone())["spec"], json!({"type": "ExternalName"}));
        new["clusterIPs"] = json!(["10.0.0.2"]);
        let kept = dropped(old, new);
        let both = json!({"type": "ExternalName", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]});
        assert_eq!(kept["spec"], both);
    }
}
