//! `wl autoscale`: an autoscaler for a workload. It is kept, but nothing scales by it here.
//! Source: k8s.io/kubectl/pkg/cmd/autoscale/autoscale.go.

use serde_json::json;

use super::change::{DryRun, DryRunFlag, Teller, start};
use super::create::{last_applied, required, typed};
use super::input::Files;
use super::print::flags::PrintFlags;
use super::resources::Info;
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::Json;
use crate::api::quantity::Quantity;
use crate::client::Ask;

/// Make an autoscaler for a workload (kept, without effect on one machine)
#[derive(clap::Args)]
pub struct Autoscale {
    #[arg(value_name = "TYPE NAME | TYPE/NAME", add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The fewest pods
    #[arg(long, default_value_t = -1, value_parser = super::flags::integer32, hide_default_value = true)]
    min: i32,
    /// The most pods
    #[arg(long, value_parser = super::flags::integer32)]
    max: Option<i32>,
    /// Target use of CPU: `80%`, `500m`
    #[arg(long, default_value = "", hide_default_value = true)]
    cpu: String,
    /// Target use of memory: `60%`, `200Mi`
    #[arg(long, default_value = "", hide_default_value = true)]
    memory: String,
    /// Deprecated: use --cpu
    #[arg(long, default_value_t = -1, value_parser = super::flags::integer32, hide = true)]
    cpu_percent: i32,
    /// The autoscaler's name
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Keep the object in its annotation, for a later client-side apply
    #[arg(long)]
    save_config: bool,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-autoscale", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    print: PrintFlags,
}

impl Autoscale {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.cpu_percent != -1 {
            ctx.err.line(
                "Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format (e.g., '70%' \
                 for utilization or '500m' for milliCPU).",
            );
        }
        required(&[("max", self.max.is_some())])?;
        let dry_run = self.dry_run.mode(ctx)?;
        let mut teller = Teller::new(ctx, &self.print, dry_run)?;
        let spec = self.spec()?;
        let found = start(ctx, &self.args, &self.files, dry_run).await?;
        let mut errors = found.errors;
        if found.infos.is_empty() && errors.is_empty() {
            return Err(CliError::message("no objects passed to autoscale"));
        }
        for info in &found.infos {
            let done = if dry_run == DryRun::Client { "created" } else { "autoscaled" };
            match self.one(ctx, info, &spec, dry_run).await {
                Ok(scaler) => errors.extend(teller.tell(ctx, &scaler, done).err()),
                Err(error) => errors.push(error),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    /// What the flags say, without the workload.
    fn spec(&self) -> Result<Json, CliError> {
        let max = self.max.unwrap_or(-1);
        if max < 1 {
            return Err(CliError::message(format!("--max=MAXPODS is required and must be at least 1, max: {max}")));
        }
        if max < self.min {
            return Err(CliError::message(format!(
                "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {}",
                self.min
            )));
        }
        if self.cpu_percent > 0 && !self.cpu.is_empty() {
            return Err(CliError::message("--cpu-percent and --cpu are mutually exclusive"));
        }
        let mut metrics = Vec::new();
        if self.cpu_percent > 0 {
            metrics.push(metric("cpu", json!({"type": "Utilization", "averageUtilization": self.cpu_percent})));
        }
        for (name, text, unit) in [("cpu", &self.cpu, "m"), ("memory", &self.memory, "Mi")] {
            if !text.is_empty() {
                metrics.push(metric(name, target(name, text.trim(), unit)?));
            }
        }
        let mut spec = json!({"maxReplicas": max, "metrics": metrics});
        if self.min > 0 {
            spec["minReplicas"] = self.min.into();
        }
        Ok(spec)
    }

    async fn one(&self, ctx: &mut Context, info: &Info, spec: &Json, dry_run: DryRun) -> Result<Json, CliError> {
        if !info.found.subresources.iter().any(|s| s == "scale") {
            return Err(CliError::message(format!(
                "cannot autoscale a {}: could not find scale subresource for {}/{}, Resource={} in discovery information",
                info.found.kind, info.found.group, info.found.version, info.found.resource
            )));
        }
        let mut spec = spec.clone();
        spec["scaleTargetRef"] =
            json!({"apiVersion": info.found.api_version(), "kind": info.found.kind, "name": info.name});
        let name = if self.name.is_empty() { &info.name } else { &self.name };
        let mut metadata = json!({"name": name});
        if let Some(namespace) = ctx.flags.namespace.as_deref().filter(|n| !n.is_empty()) {
            metadata["namespace"] = namespace.into();
        }
        let kind = "HorizontalPodAutoscaler";
        let mut scaler = typed(json!({"apiVersion": "autoscaling/v2", "kind": kind, "metadata": metadata, "spec": spec}))?;
        if dry_run == DryRun::Client {
            return Ok(scaler);
        }
        if self.save_config {
            scaler = last_applied(scaler);
        }
        let client = ctx.client().await?;
        let namespace = crate::client::segment(ctx.namespace());
        let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers");
        let ask = Ask::new(http::Method::POST, path).query("fieldManager", self.field_manager.as_str());
        let answer = client.send(dry_run.ask(ask.json(&scaler))).await?;
        ctx.warn_all(&answer.warnings);
        Ok(answer.json()?)
    }
}

fn metric(name: &str, target: Json) -> Json {
    json!({"type": "Resource", "resource": {"name": name, "target": target}})
}

/// `70%`, a bare number in the resource's usual unit, or a quantity.
fn target(name: &str, text: &str, unit: &str) -> Result<Json, CliError> {
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.parse::<i32>() {
            Ok(percent) if percent >= 0 => Ok(json!({"type": "Utilization", "averageUtilization": percent})),
            _ => Err(CliError::message(format!("invalid percentage value: {percent}"))),
        };
    }
    let with_unit = if text.parse::<f64>().is_ok() { format!("{text}{unit}") } else { text.to_owned() };
    let quantity = Quantity::parse(&with_unit)
        .map_err(|_| CliError::message(format!("invalid resource {name} value: {text}")))?;
    Ok(json!({"type": "AverageValue", "averageValue": quantity.to_string()}))
}
