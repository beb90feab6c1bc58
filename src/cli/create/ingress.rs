//! `wl create ingress`. Source: k8s.io/kubectl/pkg/cmd/create/create_ingress.go.

use serde_json::json;

use super::making::Making;
use super::policy::int_or_text;
use crate::api::{Json, JsonMap};
use crate::cli::{CliError, CliResult, Context};

/// Create an Ingress
#[derive(clap::Args)]
pub struct Ingress {
    #[command(flatten)]
    making: Making,
    /// The IngressClass
    #[arg(long, default_value = "", hide_default_value = true)]
    class: String,
    /// `HOST/PATH=SERVICE:PORT[,tls[=SECRET]]`; a `*` behind the path makes it a prefix
    #[arg(long)]
    rule: Vec<String>,
    /// Where all else goes: `SERVICE:PORT`
    #[arg(long, default_value = "", hide_default_value = true)]
    default_backend: String,
    /// `KEY=VALUE`; may be repeated
    #[arg(long)]
    annotation: Vec<String>,
}

/// A rule taken apart.
struct Rule {
    host: String,
    /// With the slash, and the `*` behind it.
    path: String,
    backend: Json,
    /// The secret, maybe none, where TLS is asked for.
    tls: Option<String>,
}

impl Ingress {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        if self.default_backend.is_empty() && self.rule.is_empty() {
            return Err(CliError::message(
                "not enough information provided: every ingress has to either specify a default-backend (which catches all \
                 traffic) or a list of rules (which catch specific paths)",
            ));
        }
        let rules = self.rule.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        let mut annotations = JsonMap::new();
        for text in &self.annotation {
            let Some((key, value)) = text.split_once('=') else {
                return Err(CliError::message(format!("annotation {text} is invalid and should be in format key=[value]")));
            };
            annotations.insert(key.into(), value.into());
        }
        let mut spec = json!({"tls": tls(&rules), "rules": by_host(&rules)});
        if !self.class.is_empty() {
            spec["ingressClassName"] = self.class.as_str().into();
        }
        if !self.default_backend.is_empty() {
            let [service, port] = self.default_backend.split(':').collect::<Vec<_>>()[..] else {
                return Err(CliError::message("default-backend should be in format servicename:serviceport"));
            };
            spec["defaultBackend"] = backend(service, port);
        }
        let mut metadata = self.making.metadata(ctx, name);
        metadata["annotations"] = Json::Object(annotations);
        let tree = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec});
        self.making.make(ctx, "ingresses.networking.k8s.io", tree, "failed to create ingress:").await
    }
}

fn parse(text: &str) -> Result<Rule, CliError> {
    let wrong =
        || CliError::message(format!("rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let slash = text.find('/').ok_or_else(wrong)?;
    let host = &text[..slash];
    if !host.chars().all(|c| word(c) || c == '*' || c == '.') {
        return Err(wrong());
    }
    let (place, options) = text.split_once(',').map_or((text, None), |(place, options)| (place, Some(options)));
    let (path, service) = place.get(slash..).and_then(|p| p.split_once('=')).ok_or_else(wrong)?;
    let (service, port) = service.split_once(':').ok_or_else(wrong)?;
    if [service, port].iter().any(|part| !part.starts_with(word)) {
        return Err(wrong());
    }
    let tls = options.filter(|o| !o.contains(',')).map(|o| o.split('=').nth(1).unwrap_or("").to_owned());
    Ok(Rule { host: host.into(), path: path.into(), backend: backend(service, port), tls })
}

fn backend(service: &str, port: &str) -> Json {
    let port = int_or_text(port);
    let key = if port.is_number() { "number" } else { "name" };
    json!({"service": {"name": service, "port": {key: port}}})
}

/// The rules of each host together, hosts in the order in which they came.
fn by_host(rules: &[Rule]) -> Vec<Json> {
    let mut hosts: Vec<(&str, Vec<Json>)> = Vec::new();
    for rule in rules {
        let (path, kind) = match rule.path.strip_suffix('*') {
            Some(path) => (path, "Prefix"),
            None => (rule.path.as_str(), "Exact"),
        };
        let path = json!({"path": path, "pathType": kind, "backend": rule.backend});
        match hosts.iter_mut().find(|(host, _)| *host == rule.host) {
            Some((_, paths)) => paths.push(path),
            None => hosts.push((&rule.host, vec![path])),
        }
    }
    hosts.into_iter().map(|(host, paths)| json!({"host": host, "http": {"paths": paths}})).collect()
}

/// Secrets with their hosts, each host once.
fn tls(rules: &[Rule]) -> Vec<Json> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for rule in rules {
        let Some(secret) = rule.tls.as_deref().filter(|_| !seen.contains(&rule.host.as_str())) else { continue };
        seen.push(&rule.host);
        let host = rule.host.as_str();
        match all.iter_mut().find(|(s, _)| *s == secret) {
            Some((_, hosts)) => hosts.push(host),
            None if secret.is_empty() && host.is_empty() => {}
            None => all.push((secret, if host.is_empty() { Vec::new() } else { vec![host] })),
        }
    }
    all.into_iter().map(|(secret, hosts)| json!({"hosts": hosts, "secretName": secret})).collect()
}
