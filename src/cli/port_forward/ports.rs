//! Which port is which: `8080:80`, `:80`, `80`, names of pods' and Services' ports.
//! Source: k8s.io/kubectl/pkg/cmd/portforward/portforward.go, k8s.io/kubectl/pkg/util/{pod,service}_port.go.

use crate::api::{Json, Object};
use crate::cli::CliError;

/// A local port (0: any that is free), and the port of the pod that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    pub local: u16,
    pub remote: u16,
}

impl Forward {
    /// What an argument means for a pod, reached by way of a Service or not.
    pub fn of(text: &str, service: Option<&Object>, pod: &Object) -> Result<Self, CliError> {
        let (local, remote) = match text.split(':').collect::<Vec<_>>()[..] {
            [local, remote] => (local, remote),
            [both] => (both, both),
            _ => return Err(CliError::message(format!("invalid port format '{text}'"))),
        };
        refuse_udp(remote, service, pod)?;
        let (asked, number) = match service {
            Some(service) => {
                let asked = match remote.parse::<i64>() {
                    Ok(number) => number,
                    Err(_) => service_port_named(service, remote)?,
                };
                (asked, target_port(service, pod, asked)?)
            }
            None if remote.is_empty() => return Err(CliError::message("remote port cannot be empty")),
            None => match remote.parse::<i64>() {
                Ok(number) => (number, number),
                Err(_) => {
                    let number = container_port_named(pod, remote)?;
                    (number, number)
                }
            },
        };
        let local = match local {
            "" => 0,
            local if local == remote => port(&asked.to_string(), "local")?,
            local => port(local, "local")?,
        };
        match port(&number.to_string(), "remote")? {
            0 => Err(CliError::message("remote port must be > 0")),
            remote => Ok(Forward { local, remote }),
        }
    }
}

fn port(text: &str, which: &str) -> Result<u16, CliError> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        CliError::message(format!("error parsing {which} port '{text}': strconv.ParseUint: parsing \"{text}\": {why}"))
    })
}

fn list<'a>(object: &'a Object, pointer: &str) -> impl Iterator<Item = &'a Json> {
    object.at(pointer).and_then(Json::as_array).into_iter().flatten()
}

fn container_ports(pod: &Object) -> impl Iterator<Item = &Json> {
    list(pod, "/spec/containers").filter_map(|c| c.get("ports")?.as_array()).flatten()
}

fn service_port_named(service: &Object, name: &str) -> Result<i64, CliError> {
    let port = list(service, "/spec/ports").find(|p| p["name"] == name).and_then(|p| p["port"].as_i64());
    port.ok_or_else(|| CliError::message(format!("Service '{}' does not have a named port '{name}'", service.name())))
}

fn container_port_named(pod: &Object, name: &str) -> Result<i64, CliError> {
    let port = container_ports(pod).find(|p| p["name"] == name).and_then(|p| p["containerPort"].as_i64());
    port.ok_or_else(|| CliError::message(format!("Pod '{}' does not have a named port '{name}'", pod.name())))
}

/// The pod's port behind a Service's.
fn target_port(service: &Object, pod: &Object, port: i64) -> Result<i64, CliError> {
    let missing = || CliError::message(format!("Service {} does not have a service port {port}", service.name()));
    let found = list(service, "/spec/ports").find(|p| p["port"] == port).ok_or_else(missing)?;
    if service.str_at("/spec/clusterIP") == Some("None") {
        return Ok(port);
    }
    match found.get("targetPort") {
        Some(Json::String(name)) => match name.parse() {
            Ok(number) => Ok(number),
            Err(_) => container_port_named(pod, name),
        },
        Some(number) if number.as_i64().is_some_and(|n| n != 0) => Ok(number.as_i64().unwrap_or(port)),
        _ => Ok(port),
    }
}

/// Only TCP is carried: a port that is UDP alone is refused.
fn refuse_udp(remote: &str, service: Option<&Object>, pod: &Object) -> Result<(), CliError> {
    let ports: Vec<(i64, &str)> = match service {
        Some(service) => list(service, "/spec/ports").filter_map(|p| Some((p["port"].as_i64()?, p["protocol"].as_str()?))).collect(),
        None => container_ports(pod).filter_map(|p| Some((p["containerPort"].as_i64()?, p["protocol"].as_str()?))).collect(),
    };
    let has = |number: i64, protocol: &str| ports.contains(&(number, protocol));
    let number = match (remote.parse::<i64>(), service) {
        (Ok(number), _) => number,
        (Err(_), Some(service)) => service_port_named(service, remote)?,
        (Err(_), None) if remote.is_empty() => return Ok(()),
        (Err(_), None) => container_port_named(pod, remote)?,
    };
    if has(number, "UDP") && !has(number, "TCP") {
        return Err(CliError::message(format!("UDP protocol is not supported for {remote}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Object {
        Object::new(json!({"metadata": {"name": "web"}, "spec": {"containers": [{"ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]}}))
    }

    fn service(cluster_ip: &str) -> Object {
        Object::new(json!({"metadata": {"name": "web"}, "spec": {"clusterIP": cluster_ip, "ports": [
            {"name": "www", "port": 80, "targetPort": "http", "protocol": "TCP"}, {"port": 443, "targetPort": 8443, "protocol": "TCP"}]}}))
    }

    fn read(text: &str, service: Option<&Object>) -> Result<(u16, u16), String> {
        Forward::of(text, service, &pod()).map(|f| (f.local, f.remote)).map_err(|e| e.text())
    }

    #[test]
    fn a_port_is_a_number_a_pair_or_a_name() {
        assert_eq!(read("80", None), Ok((80, 80)));
        assert_eq!(read("9000:80", None), Ok((9000, 80)));
        assert_eq!(read(":80", None), Ok((0, 80)));
        assert_eq!(read("http", None), Ok((8080, 8080)));
        assert_eq!(read("9000:http", None), Ok((9000, 8080)));
        assert_eq!(read("80:", None), Err("remote port cannot be empty".into()));
        assert_eq!(read("dns", None), Err("UDP protocol is not supported for dns".into()));
        assert_eq!(read("1:2:3", None), Err("invalid port format '1:2:3'".into()));
        assert_eq!(read("0", None), Err("remote port must be > 0".into()));
        assert!(read("99999", None).unwrap_err().starts_with("error parsing local port '99999'"));
    }

    #[test]
    fn a_services_port_leads_to_its_target() {
        let service = service("10.0.0.1");
        assert_eq!(read("80", Some(&service)), Ok((80, 8080)));
        assert_eq!(read("www", Some(&service)), Ok((80, 8080)));
        assert_eq!(read(":443", Some(&service)), Ok((0, 8443)));
        assert_eq!(read("81", Some(&service)), Err("Service web does not have a service port 81".into()));
        assert_eq!(read("x", Some(&service)), Err("Service 'web' does not have a named port 'x'".into()));
        assert_eq!(read("80", Some(&self::service("None"))), Ok((80, 80)), "headless: as it is");
    }
}
