//! Node ports and health check ports: 30000–32767, the lower ones kept for those who ask.
//! Source: pkg/registry/core/service/{portallocator,storage/alloc.go}.

use std::collections::BTreeSet;

use super::{Spec, spec_mut};
use crate::api::validation::field::{self, Path};
use crate::api::{Cause, GroupResource, Json, Object, Status};
use crate::registry::run::Run;

const FIRST: i64 = 30_000;
const LAST: i64 = 32_767;
/// portallocator: calculateRangeOffset of 2768 ports.
const BAND: i64 = 86;

fn number(port: &Json, field: &str) -> i64 {
    port.get(field).and_then(Json::as_i64).unwrap_or(0)
}

fn name(port: &Json) -> &str {
    port.get("name").and_then(Json::as_str).unwrap_or("")
}

/// Why a port of the machine cannot be opened now.
fn taken_by(run: &Run<'_, '_>, port: i64) -> Option<String> {
    (run.env.settings.port_is_taken)(u16::try_from(port).ok()?)
}

/// The ports of the machine that a service wants by number, each with its place.
fn on_the_machine(service: &Object) -> Vec<(String, i64)> {
    let spec = Spec::of(service);
    let balances = spec.kind() == "LoadBalancer" && spec.text("loadBalancerClass").is_empty();
    let fields = [("port", balances), ("nodePort", matches!(spec.kind(), "NodePort" | "LoadBalancer"))];
    let of_port = |(index, port): (usize, &Json)| -> Vec<(String, i64)> {
        let wanted = fields.iter().filter(|(field, wanted)| *wanted && number(port, field) != 0);
        wanted.map(|(field, _)| (format!("spec.ports[{index}].{field}"), number(port, field))).collect()
    };
    spec.ports().iter().enumerate().flat_map(of_port).collect()
}

/// Warns of ports that are asked for now and that another one on the machine has. They are opened when they are free.
pub(super) fn warn_of_taken(run: &mut Run<'_, '_>, service: &Object, old: Option<&Object>) {
    let before: BTreeSet<i64> = old.map(on_the_machine).unwrap_or_default().into_iter().map(|(_, port)| port).collect();
    let mut asked = on_the_machine(service);
    asked.retain(|(_, port)| !before.contains(port));
    let texts = asked.into_iter().filter_map(|(place, port)| {
        Some(format!("{place}: port {port} of this machine cannot be opened for now: {}", taken_by(run, port)?))
    });
    let texts: Vec<String> = texts.collect();
    run.warn(texts);
}

/// The ports that a service holds.
fn held(service: &Object) -> impl Iterator<Item = i64> {
    let spec = Spec::of(service);
    let node_ports = spec.ports().iter().map(|port| number(port, "nodePort"));
    node_ports.chain([spec.number("healthCheckNodePort")]).filter(|port| *port != 0)
}

/// All ports that are taken, by whom they may.
struct Taken(BTreeSet<i64>);

impl Taken {
    fn by_all(run: &Run<'_, '_>) -> Self {
        let services = GroupResource::new("", "services");
        Taken(run.state.all(&services).flat_map(|service| held(service)).collect())
    }

    fn ask(&mut self, port: i64) -> Result<(), String> {
        if !(FIRST..=LAST).contains(&port) {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {FIRST}-{LAST}"
            ));
        }
        if self.0.insert(port) { Ok(()) } else { Err("provided port is already allocated".into()) }
    }

    fn any(&mut self, run: &mut Run<'_, '_>) -> Result<i64, Status> {
        let upper = LAST - FIRST + 1 - BAND;
        let start = i64::try_from(run.env.random.next_u64() % upper.unsigned_abs()).unwrap_or(0);
        let from_upper = (0..upper).map(|step| FIRST + BAND + (start + step) % upper);
        let own = from_upper.chain(FIRST..FIRST + BAND).filter(|port| !self.0.contains(port));
        let free = |port: &i64| taken_by(run, *port).is_none();
        // Where others have all of them on the machine, one may be theirs no longer when it is opened.
        let port = own.clone().find(free).or_else(|| own.clone().next());
        let port = port.ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?;
        self.0.insert(port);
        Ok(port)
    }
}

fn refused(service: &Object, path: &Path, port: i64, why: &str) -> Status {
    let cause: Cause = field::invalid(path, port, why);
    Status::invalid("", "Service", service.name(), &[cause])
}

fn port_path(index: usize) -> Path {
    Path::new("spec").child("ports").index(index).child("nodePort")
}

fn set_node_port(service: &mut Object, index: usize, port: i64) {
    if let Some(entry) = service.json_mut().pointer_mut(&format!("/spec/ports/{index}")) {
        entry["nodePort"] = port.into();
    }
}

/// Ports of a new service: one number for all protocols of one port.
pub(super) fn allocate_new(run: &mut Run<'_, '_>, service: &mut Object) -> Result<(), Status> {
    let kind = Spec::of(service).kind().to_owned();
    if !matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        return Ok(());
    }
    let mut taken = Taken::by_all(run);
    let allocates = Spec::of(service).allocates_node_ports() || kind == "NodePort";
    let ports = Spec::of(service).ports().to_vec();
    let mut by_port: std::collections::HashMap<i64, i64> = std::collections::HashMap::new();
    for (index, port) in ports.iter().enumerate() {
        let (wanted, number_of_port) = (number(port, "nodePort"), number(port, "port"));
        if wanted == 0 && !allocates {
            continue;
        }
        let ask = |taken: &mut Taken, node_port: i64| {
            taken.ask(node_port).map_err(|why| refused(service, &port_path(index), node_port, &why))
        };
        let given = match by_port.get(&number_of_port).copied() {
            None => {
                let requested =
                    ports.iter().filter(|p| number(p, "port") == number_of_port).map(|p| number(p, "nodePort"));
                let given = match requested.into_iter().find(|n| *n != 0) {
                    Some(requested) => ask(&mut taken, requested).map(|()| requested)?,
                    None => taken.any(run)?,
                };
                by_port.insert(number_of_port, given);
                given
            }
            Some(given) if wanted == 0 || wanted == given => given,
            Some(_) => ask(&mut taken, wanted).map(|()| wanted)?,
        };
        set_node_port(service, index, given);
    }
    allocate_health(run, service, &mut taken)
}

fn allocate_health(run: &mut Run<'_, '_>, service: &mut Object, taken: &mut Taken) -> Result<(), Status> {
    let spec = Spec::of(service);
    if !spec.needs_health_port() {
        return Ok(());
    }
    let wanted = spec.number("healthCheckNodePort");
    let given = if wanted == 0 {
        taken.any(run)?
    } else {
        taken.ask(wanted).map_err(|why| {
            Status::internal(format!("failed to allocate requested HealthCheck NodePort {wanted}: {why}"))
        })?;
        wanted
    };
    spec_mut(service).insert("healthCheckNodePort".into(), given.into());
    Ok(())
}

/// Ports of a changed service: what it had it keeps, what is new is given out.
pub(super) fn allocate_changed(run: &mut Run<'_, '_>, new: &mut Object, old: &Object) -> Result<(), Status> {
    let (before, after) = (Spec::of(old), Spec::of(new));
    let kind = after.kind().to_owned();
    if !matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        return Ok(());
    }
    let had_ports = matches!(before.kind(), "NodePort" | "LoadBalancer");
    let old_ports: BTreeSet<i64> =
        if had_ports { before.ports().iter().map(|p| number(p, "nodePort")).collect() } else { BTreeSet::new() };
    let had_health = before.needs_health_port();
    let allocates = after.allocates_node_ports() || kind == "NodePort";
    let mut taken = Taken::by_all(run);
    let ports = after.ports().to_vec();
    let mut asked = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let wanted = number(port, "nodePort");
        if wanted == 0 {
            if allocates {
                let given = taken.any(run)?;
                set_node_port(new, index, given);
            }
            continue;
        }
        if !old_ports.contains(&wanted) && asked.insert(wanted) {
            taken.ask(wanted).map_err(|why| refused(new, &port_path(index), wanted, &why))?;
        }
    }
    if !had_health {
        allocate_health(run, new, &mut taken)?;
    }
    Ok(())
}

/// Ports that are not mentioned keep their node port, found by name.
pub(super) fn keep(new: &mut Object, old: &Object) {
    let (before, after) = (Spec::of(old), Spec::of(new));
    let used = |spec: Spec<'_>| -> BTreeSet<i64> { spec.ports().iter().map(|p| number(p, "nodePort")).collect() };
    let mut taken: BTreeSet<i64> = used(before).intersection(&used(after)).copied().collect();
    taken.remove(&0);
    let by_name = |wanted: &str| before.ports().iter().rev().find(|p| name(p) == wanted).map(|p| number(p, "nodePort"));
    let mut kept = Vec::new();
    for (index, port) in after.ports().iter().enumerate().filter(|(_, p)| number(p, "nodePort") == 0) {
        if let Some(node_port) = by_name(name(port)).filter(|n| *n != 0 && taken.insert(*n)) {
            kept.push((index, node_port));
        }
    }
    for (index, node_port) in kept {
        set_node_port(new, index, node_port);
    }
}

/// Whether a service asks for no node ports but those that another one has.
pub(super) fn has_no_other(after: Spec<'_>, before: Spec<'_>) -> bool {
    let had: BTreeSet<i64> = before.ports().iter().map(|p| number(p, "nodePort")).collect();
    after.ports().iter().map(|p| number(p, "nodePort")).all(|port| port == 0 || had.contains(&port))
}

pub(super) fn drop_all(service: &mut Object) {
    let ports = spec_mut(service).get_mut("ports").and_then(Json::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Json::as_object_mut) {
        port.remove("nodePort");
    }
}
