//! `wl expose`: a Service for what is there already. Source: k8s.io/kubectl/pkg/cmd/expose/expose.go.

use std::collections::BTreeMap;

use serde_json::json;

use super::change::overrides::Overrides;
use super::change::{DryRun, DryRunFlag, Teller, start};
use super::create::{last_applied, typed};
use super::input::Files;
use super::print::flags::PrintFlags;
use super::resources::Info;
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::Json;
use crate::api::status::quote;
use crate::client::Ask;

/// The longest name that a Service may have.
const NAME_MAX: usize = 63;

/// Make a Service for a workload, a pod or another Service
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl expose deploy/web --port=80 --target-port=8080")]
pub struct Expose {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The Service's port
    #[arg(long, default_value = "", hide_default_value = true)]
    port: String,
    /// Number or name of the container's port
    #[arg(long, default_value = "", hide_default_value = true)]
    target_port: String,
    /// TCP, UDP or SCTP
    #[arg(long, default_value = "", hide_default_value = true)]
    protocol: String,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName
    #[arg(long = "type", default_value = "", hide_default_value = true)]
    kind: String,
    /// The Service's name
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Labels of the pods
    #[arg(long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Labels of the Service
    #[arg(short, long, default_value = "", hide_default_value = true)]
    labels: String,
    /// The Service's address; `None` for a headless one
    #[arg(long, default_value = "", hide_default_value = true)]
    cluster_ip: String,
    /// One more address
    #[arg(long, default_value = "", hide_default_value = true)]
    external_ip: String,
    /// Address of the load balancer
    #[arg(long, default_value = "", hide_default_value = true)]
    load_balancer_ip: String,
    /// None or ClientIP
    #[arg(long, default_value = "", hide_default_value = true)]
    session_affinity: String,
    #[command(flatten)]
    overrides: Overrides,
    /// Keep the object in its annotation, for a later client-side apply
    #[arg(long)]
    save_config: bool,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-expose", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    print: PrintFlags,
}

impl Expose {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.dry_run.mode(ctx)?;
        let mut teller = Teller::new(ctx, &self.print, dry_run)?;
        let found = start(ctx, &self.args, &self.files, dry_run).await?;
        let mut errors = found.errors;
        for info in &found.infos {
            match self.one(ctx, info, dry_run).await {
                Ok(service) => errors.extend(teller.tell(ctx, &service, "exposed").err()),
                Err(error) => errors.push(error),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    async fn one(&self, ctx: &mut Context, info: &Info, dry_run: DryRun) -> Result<Json, CliError> {
        let exposed = Exposed::of(info)?;
        let mut service = self.overrides.apply(typed(self.service(info, &exposed)?)?)?;
        if dry_run == DryRun::Client {
            if let Some(namespace) = ctx.flags.namespace.as_deref().filter(|n| !n.is_empty()) {
                service["metadata"]["namespace"] = namespace.into();
            }
            return Ok(service);
        }
        if self.save_config {
            service = last_applied(service);
        }
        let client = ctx.client().await?;
        let path = format!("/api/v1/namespaces/{}/services", crate::client::segment(ctx.namespace()));
        let ask = Ask::new(http::Method::POST, path).query("fieldManager", self.field_manager.as_str());
        let answer = client.send(dry_run.ask(ask.json(&service))).await?;
        ctx.warn_all(&answer.warnings);
        Ok(answer.json()?)
    }

    fn service(&self, info: &Info, exposed: &Exposed) -> Result<Json, CliError> {
        let selector = match parse_labels(&self.selector)? {
            Some(selector) => selector,
            None => exposed.selector().map_err(|e| {
                CliError::message(format!("couldn't retrieve selectors via --selector flag or introspection: {e}"))
            })?,
        };
        if selector.is_empty() {
            return Err(CliError::message("selector must be specified"));
        }
        let labels = match parse_labels(&self.labels)? {
            Some(labels) => labels,
            None => texts(info.object.pointer("/metadata/labels")),
        };
        let short: String = info.name.chars().take(NAME_MAX).collect();
        let name = if self.name.is_empty() { short } else { self.name.clone() };
        let mut spec = json!({"selector": selector, "ports": self.ports(exposed)?});
        let mut set = |key: &str, value: Json, given: bool| {
            if given {
                spec[key] = value;
            }
        };
        set("externalIPs", json!([self.external_ip]), !self.external_ip.is_empty());
        set("type", self.kind.as_str().into(), !self.kind.is_empty());
        let balanced = self.kind == "LoadBalancer" && !self.load_balancer_ip.is_empty();
        set("loadBalancerIP", self.load_balancer_ip.as_str().into(), balanced);
        set("clusterIP", self.cluster_ip.as_str().into(), !self.cluster_ip.is_empty());
        match self.session_affinity.as_str() {
            "" => {}
            "None" | "ClientIP" => set("sessionAffinity", self.session_affinity.as_str().into(), true),
            other => return Err(CliError::message(format!("unknown session affinity: {other}"))),
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
        }))
    }

    fn ports(&self, exposed: &Exposed) -> Result<Vec<Json>, CliError> {
        let own = exposed.ports();
        let wanted: Vec<String> = if !self.port.is_empty() {
            self.port.split(',').map(str::to_owned).collect()
        } else if own.is_empty() && self.cluster_ip != "None" {
            return Err(CliError::message("couldn't find port via --port flag or introspection"));
        } else {
            own
        };
        let protocols = exposed.protocols();
        let mut ports = Vec::new();
        for (at, text) in wanted.iter().enumerate() {
            let port: i32 = text.parse().map_err(|_| {
                CliError::message(format!("strconv.Atoi: parsing {}: invalid syntax", quote(text)))
            })?;
            let target = if self.target_port.is_empty() { port.into() } else { super::create::int_or_text(&self.target_port) };
            let name = if wanted.len() > 1 { format!("port-{}", at + 1) } else { String::new() };
            let of_port = protocols.get(text).map_or(&[][..], Vec::as_slice);
            let one = |name: &str, protocol: &str| json!({"name": name, "port": port, "protocol": protocol, "targetPort": target});
            match (self.protocol.as_str(), of_port) {
                ("", []) => ports.push(one(&name, "TCP")),
                ("", [protocol]) => ports.push(one(&name, protocol)),
                ("", several) => {
                    for protocol in several {
                        ports.push(one(&format!("port-{}-{}", at + 1, protocol.to_lowercase()), protocol));
                    }
                }
                (protocol, _) => ports.push(one(&name, protocol)),
            }
        }
        Ok(ports)
    }
}

/// What a Service is made for.
struct Exposed<'a> {
    object: &'a Json,
    kind: &'static str,
}

impl<'a> Exposed<'a> {
    /// Source: k8s.io/kubectl/pkg/polymorphichelpers/canbeexposed.go.
    fn of(info: &'a Info) -> Result<Self, CliError> {
        let kind = match (info.found.group.as_str(), info.found.kind.as_str()) {
            ("", "ReplicationController") => "ReplicationController",
            ("", "Service") => "Service",
            ("", "Pod") => "Pod",
            ("apps", "Deployment") => "Deployment",
            ("apps", "ReplicaSet") => "ReplicaSet",
            ("", kind) => return Err(CliError::message(format!("cannot expose a {kind}"))),
            (group, kind) => return Err(CliError::message(format!("cannot expose a {kind}.{group}"))),
        };
        Ok(Exposed { object: &info.object, kind })
    }

    /// Source: k8s.io/kubectl/pkg/polymorphichelpers/mapbasedselectorforobject.go.
    fn selector(&self) -> Result<BTreeMap<String, String>, String> {
        let found = match self.kind {
            "Pod" => self.object.pointer("/metadata/labels"),
            "Deployment" | "ReplicaSet" => self.object.pointer("/spec/selector/matchLabels"),
            _ => self.object.pointer("/spec/selector"),
        };
        let labels = texts(found);
        match self.kind {
            "Pod" if labels.is_empty() => Err("the pod has no labels and cannot be exposed".into()),
            "Service" if found.is_none() => Err("the service has no pod selector set".into()),
            "Deployment" if labels.is_empty() => Err("invalid deployment: no selectors, therefore cannot be exposed".into()),
            "ReplicaSet" if labels.is_empty() => Err("invalid replicaset: no selectors, therefore cannot be exposed".into()),
            _ => match self.object.pointer("/spec/selector/matchExpressions").and_then(Json::as_array) {
                Some(all) if !all.is_empty() && matches!(self.kind, "Deployment" | "ReplicaSet") => {
                    let one = |e: &Json| {
                        let part = |key: &str| crate::api::go::display(e.get(key).unwrap_or(&json!([])));
                        format!("{{Key:{} Operator:{} Values:{}}}", part("key"), part("operator"), part("values"))
                    };
                    let all: Vec<String> = all.iter().map(one).collect();
                    Err(format!("couldn't convert expressions - \"[{}]\" to map-based selector format", all.join(" ")))
                }
                _ => Ok(labels),
            },
        }
    }

    /// Ports as numbers, with their protocols, in order.
    fn all_ports(&self) -> Vec<(String, String)> {
        let (lists, key): (Vec<&Json>, &str) = if self.kind == "Service" {
            (self.object.pointer("/spec/ports").into_iter().collect(), "port")
        } else {
            let spec = if self.kind == "Pod" { "/spec/containers" } else { "/spec/template/spec/containers" };
            let containers = self.object.pointer(spec).and_then(Json::as_array);
            (containers.into_iter().flatten().filter_map(|c| c.get("ports")).collect(), "containerPort")
        };
        lists
            .into_iter()
            .filter_map(Json::as_array)
            .flatten()
            .map(|port| {
                let number = port.get(key).and_then(Json::as_i64).unwrap_or(0);
                (number.to_string(), port.get("protocol").and_then(Json::as_str).unwrap_or("TCP").to_owned())
            })
            .collect()
    }

    fn ports(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (port, _) in self.all_ports() {
            if !all.contains(&port) {
                all.push(port);
            }
        }
        all
    }

    fn protocols(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (port, protocol) in self.all_ports() {
            all.entry(port).or_default().push(protocol);
        }
        all
    }
}

fn texts(map: Option<&Json>) -> BTreeMap<String, String> {
    let pairs = map.and_then(Json::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// `a=b,c=d`; nothing where the text is empty. Source: expose.go, `parseLabels`.
pub fn parse_labels(text: &str) -> Result<Option<BTreeMap<String, String>>, CliError> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut labels = BTreeMap::new();
    for part in text.split(',') {
        let [key, value] = part.split('=').collect::<Vec<_>>()[..] else {
            return Err(CliError::message(format!("unexpected label spec: {part}")));
        };
        if key.is_empty() {
            return Err(CliError::message("unexpected empty label key"));
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(Some(labels))
}
