//! `wl create service clusterip|nodeport|loadbalancer|externalname`.
//! Source: k8s.io/kubectl/pkg/cmd/create/create_service.go.

use serde_json::json;

use super::making::{Making, required};
use crate::api::Json;
use crate::api::status::quote;
use crate::api::validation::names::{dns1123_subdomain, port_name, port_number};
use crate::cli::{CliError, CliResult, Context, Exit};

/// Create a Service
#[derive(clap::Args)]
pub struct Service {
    #[command(subcommand)]
    kind: Option<Kind>,
}

#[derive(clap::Subcommand)]
enum Kind {
    /// Create a Service with an address of its own
    #[command(name = "clusterip")]
    ClusterIp(Box<ClusterIp>),
    /// Create a Service with a port on the machine
    #[command(name = "nodeport")]
    NodePort(Box<NodePort>),
    /// Create a Service behind a load balancer
    #[command(name = "loadbalancer")]
    LoadBalancer(Box<LoadBalancer>),
    /// Create a Service that is a name of another host
    #[command(name = "externalname")]
    ExternalName(Box<ExternalName>),
}

#[derive(clap::Args)]
struct ClusterIp {
    #[command(flatten)]
    making: Making,
    /// `PORT` or `PORT:TARGET`
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<String>,
    /// The address; `None` for a headless Service
    #[arg(long, default_value = "", hide_default_value = true)]
    clusterip: String,
}

#[derive(clap::Args)]
struct NodePort {
    #[command(flatten)]
    making: Making,
    /// `PORT` or `PORT:TARGET`
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<String>,
    /// The port on the machine
    #[arg(long, default_value_t = 0, value_parser = crate::cli::flags::integer, hide_default_value = true)]
    node_port: i64,
}

#[derive(clap::Args)]
struct LoadBalancer {
    #[command(flatten)]
    making: Making,
    /// `PORT` or `PORT:TARGET`
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<String>,
}

#[derive(clap::Args)]
struct ExternalName {
    #[command(flatten)]
    making: Making,
    /// `PORT` or `PORT:TARGET`
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<String>,
    /// The other host
    #[arg(long)]
    external_name: Option<String>,
}

impl Service {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match &self.kind {
            Some(Kind::ClusterIp(s)) => {
                let extra = if s.clusterip.is_empty() { json!({}) } else { json!({"clusterIP": s.clusterip}) };
                let headless = s.clusterip == "None";
                make(ctx, &s.making, "ClusterIP", &s.tcp, headless, 0, extra).await
            }
            Some(Kind::NodePort(s)) => make(ctx, &s.making, "NodePort", &s.tcp, false, s.node_port, json!({})).await,
            Some(Kind::LoadBalancer(s)) => make(ctx, &s.making, "LoadBalancer", &s.tcp, false, 0, json!({})).await,
            Some(Kind::ExternalName(s)) => {
                required(&[("external-name", s.external_name.is_some())])?;
                let host = s.external_name.as_deref().unwrap_or("");
                if s.making.name().is_ok() && !dns1123_subdomain(host).is_empty() {
                    return Err(CliError::message(format!("invalid service external name {host}")));
                }
                make(ctx, &s.making, "ExternalName", &s.tcp, true, 0, json!({"externalName": host})).await
            }
            None => {
                crate::cli::help(ctx, &["create", "service"]);
                Ok(Exit::Failure)
            }
        }
    }
}

async fn make(ctx: &mut Context, making: &Making, kind: &str, tcp: &[String], portless: bool, node_port: i64, extra: Json) -> CliResult {
    let name = making.name()?;
    making.check(ctx)?;
    if tcp.is_empty() && !portless {
        return Err(CliError::message("at least one tcp port specifier must be provided"));
    }
    let mut ports = Vec::new();
    for text in tcp {
        let (port, target) = parse_ports(text)?;
        ports.push(json!({"name": text.replace(':', "-"), "port": port, "targetPort": target, "protocol": "TCP", "nodePort": node_port}));
    }
    let mut metadata = making.metadata(ctx, name);
    metadata["labels"] = json!({"app": name});
    let mut spec = json!({"type": kind, "selector": {"app": name}, "ports": ports});
    for (key, value) in extra.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let tree = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
    making.make(ctx, "services", tree, &format!("failed to create {kind} service:")).await
}

/// `PORT` or `PORT:TARGET`, the target a number or a name.
fn parse_ports(text: &str) -> Result<(u16, Json), CliError> {
    let mut parts = text.split(':');
    let port = parse_port(parts.next().unwrap_or("")).map_err(CliError::message)?;
    let Some(target) = parts.next() else { return Ok((port, port.into())) };
    let (value, wrong) = match target.parse::<i64>() {
        Ok(number) => (Json::from(number), port_number(number)),
        Err(_) => (Json::from(target), port_name(target)),
    };
    if wrong.is_empty() { Ok((port, value)) } else { Err(CliError::message(wrong.join(","))) }
}

/// Go's `ParsePort` of k8s.io/utils/net, 0 allowed.
fn parse_port(text: &str) -> Result<u16, String> {
    let parsed: Result<u16, _> = text.parse();
    parsed.map_err(|error| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseUint: parsing {}: {why}", quote(text))
    })
}
