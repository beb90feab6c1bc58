//! `wl open`: the URL by which a Service or an Ingress is reached on this machine.

use std::process::{Command, Stdio};

use super::resources::Selection;
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::engine::watch;

/// Show the URL of a Service or Ingress, and open it on a desktop
#[derive(clap::Args)]
pub struct Open {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", required = true, add = super::complete::resources())]
    args: Vec<String>,
}

impl Open {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let selection = Selection { args: self.args.clone(), chunk: 500, ..Selection::default() };
        let found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        let here = published_at(ctx);
        for info in super::resources::items(found.infos) {
            let urls = match info.object.get("kind").and_then(Json::as_str) {
                Some("Service") => of_service(&info.object, &here),
                Some("Ingress") => of_ingress(&info.object),
                _ => return Err(CliError::message(format!("{} is neither a Service nor an Ingress", info.shown()))),
            };
            let Some(first) = urls.first() else {
                let how = "a Service of type NodePort or LoadBalancer is, and `wl port-forward` reaches all others";
                return Err(CliError::message(format!("{} is not open on this machine: {how}", info.shown())));
            };
            let shows = ctx.out.is_terminal() && ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|n| ctx.env.contains_key(*n));
            if shows {
                // Where there is no such program the printed URL is what there is.
                let browser = Command::new("xdg-open").arg(first).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
                if let Ok(mut browser) = browser {
                    std::thread::spawn(move || browser.wait());
                }
            }
            urls.iter().for_each(|url| ctx.out.line(url));
        }
        Ok(Exit::Success)
    }
}

/// How this machine is named where the watch opens ports.
fn published_at(ctx: &Context) -> String {
    let arguments = watch::status(&ctx.state_dir()).arguments;
    let named = arguments.iter().find_map(|a| a.strip_prefix("--publish-address=")).unwrap_or("127.0.0.1");
    match named.parse::<std::net::IpAddr>() {
        Ok(address) if !address.is_loopback() && !address.is_unspecified() => host(&address.to_string()),
        _ => "localhost".to_owned(),
    }
}

/// IPv6 addresses stand in brackets.
fn host(name: &str) -> String {
    if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
}

/// One for each port by TCP: the balancer's own, or the node port.
fn of_service(service: &Json, here: &str) -> Vec<String> {
    let kind = service.pointer("/spec/type").and_then(Json::as_str).unwrap_or_default();
    let entry = service.pointer("/status/loadBalancer/ingress/0");
    let balancer = entry.and_then(|e| e.get("hostname").or(e.get("ip"))).and_then(Json::as_str).map(host);
    let ports = service.pointer("/spec/ports").and_then(Json::as_array).into_iter().flatten();
    let tcp = ports.filter(|port| port.get("protocol").is_none_or(|p| p == "TCP"));
    let url = |port: &Json| {
        let number = |field: &str| port.get(field).and_then(Json::as_u64).filter(|n| *n > 0);
        let (host, number) = match (kind, &balancer) {
            ("LoadBalancer", Some(balancer)) => (balancer.as_str(), number("port")?),
            ("LoadBalancer" | "NodePort", _) => (here, number("nodePort")?),
            _ => return None,
        };
        let text = |field: &str| port.get(field).and_then(Json::as_str).unwrap_or_default();
        let secure = text("name").starts_with("https") || text("appProtocol") == "https" || text("appProtocol") == "HTTPS";
        Some(show(secure, host, number, port.get("port").and_then(Json::as_u64) == Some(443)))
    };
    tcp.filter_map(url).collect()
}

fn show(secure: bool, host: &str, port: u64, is_https: bool) -> String {
    let scheme = if secure || is_https { "https" } else { "http" };
    match (scheme, port) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{host}/"),
        _ => format!("{scheme}://{host}:{port}/"),
    }
}

/// One for each rule: its host (any: this machine's) and its path, by TLS where it has a certificate.
fn of_ingress(ingress: &Json) -> Vec<String> {
    let entry = ingress.pointer("/status/loadBalancer/ingress/0");
    let Some(here) = entry.and_then(|e| e.get("hostname").or(e.get("ip"))).and_then(Json::as_str) else { return Vec::new() };
    let list = |value: Option<&Json>| value.and_then(Json::as_array).cloned().unwrap_or_default();
    let ports: Vec<u64> =
        list(entry.and_then(|e| e.get("ports"))).iter().filter_map(|p| p.get("port")?.as_u64()).collect();
    let Some(http) = ports.first() else { return Vec::new() };
    let secured: Vec<Json> = list(ingress.pointer("/spec/tls")).iter().flat_map(|tls| list(tls.get("hosts"))).collect();
    let mut urls = Vec::new();
    for rule in list(ingress.pointer("/spec/rules")) {
        let named = rule.get("host").and_then(Json::as_str).filter(|name| !name.starts_with("*."));
        let is_secure = named.is_some_and(|name| secured.iter().any(|host| host == name));
        let (scheme, port) = match (is_secure, ports.get(1)) {
            (true, Some(https)) => (true, *https),
            _ => (false, *http),
        };
        let base = show(scheme, &host(named.unwrap_or(here)), port, false);
        for path in list(rule.pointer("/http/paths")) {
            let path = path.get("path").and_then(Json::as_str).unwrap_or("/").trim_start_matches('/');
            urls.push(format!("{base}{path}"));
        }
    }
    if urls.is_empty() && ingress.pointer("/spec/defaultBackend").is_some() {
        urls.push(show(false, &host(here), *http, false));
    }
    urls.dedup();
    urls
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_is_reached_by_its_balancer_or_node_port() {
        let ports = json!([{"name": "web", "port": 80, "nodePort": 30080, "protocol": "TCP"},
            {"name": "https", "port": 443, "nodePort": 30443}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]);
        let urls = |kind: &str, status: Json| {
            of_service(&json!({"spec": {"type": kind, "ports": ports}, "status": {"loadBalancer": status}}), "localhost")
        };
        assert_eq!(urls("ClusterIP", json!({})), [""; 0]);
        assert_eq!(urls("NodePort", json!({})), ["http://localhost:30080/", "https://localhost:30443/"]);
        assert_eq!(urls("LoadBalancer", json!({})), ["http://localhost:30080/", "https://localhost:30443/"]);
        let balancer = json!({"ingress": [{"hostname": "localhost"}]});
        assert_eq!(urls("LoadBalancer", balancer), ["http://localhost/", "https://localhost/"]);
    }

    #[test]
    fn an_ingress_is_reached_by_its_rules() {
        let path = |path: &str| json!({"path": path});
        let mut ingress = json!({"spec": {
            "tls": [{"hosts": ["shop.localhost"]}],
            "rules": [
                {"host": "shop.localhost", "http": {"paths": [path("/"), path("/api")]}},
                {"host": "*.any.test", "http": {"paths": [path("/x")]}},
            ],
        }});
        assert_eq!(of_ingress(&ingress), [""; 0]);
        ingress["status"] = json!({"loadBalancer": {"ingress": [
            {"hostname": "localhost", "ports": [{"port": 8080}, {"port": 8443}]},
        ]}});
        let expected = ["https://shop.localhost:8443/", "https://shop.localhost:8443/api", "http://localhost:8080/x"];
        assert_eq!(of_ingress(&ingress), expected);
    }
}
