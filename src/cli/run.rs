//! `wl run`: one pod with one container. Source: k8s.io/kubectl/pkg/cmd/run/run.go.

use std::collections::BTreeMap;

use serde_json::json;

use super::change::overrides::Overrides;
use super::change::{DryRun, DryRunFlag, Teller, pairs};
use super::create::{last_applied, typed};
use super::print::flags::PrintFlags;
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::api::status::quote;
use crate::api::validation::names::env_name;
use crate::client::Ask;
use crate::podman::ImageName;

/// Run a pod of one image
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl run web --image=nginx --port=80 --expose\n  wl run once --image=busybox --restart=Never -- echo hello")]
pub struct Run {
    #[arg(value_name = "NAME [ARGUMENT…]")]
    names: Vec<String>,
    /// What stands behind `--`.
    #[arg(last = true, value_name = "ARGUMENT")]
    rest: Vec<String>,
    /// The image
    #[arg(long)]
    image: Option<String>,
    /// Always, IfNotPresent or Never
    #[arg(long, default_value = "", hide_default_value = true)]
    image_pull_policy: String,
    /// Always, OnFailure or Never
    #[arg(long, default_value = "Always")]
    restart: String,
    /// `KEY=VALUE`; may be repeated
    #[arg(long)]
    env: Vec<String>,
    /// The port that the container listens on
    #[arg(long, default_value = "", hide_default_value = true)]
    port: String,
    /// `KEY=VALUE,…`
    #[arg(short, long, default_value = "", hide_default_value = true)]
    labels: String,
    /// `KEY=VALUE`; may be repeated
    #[arg(long)]
    annotations: Vec<String>,
    /// The arguments are the command, not the arguments of the image's command
    #[arg(long)]
    command: bool,
    /// Make a Service for the port too
    #[arg(long)]
    expose: bool,
    /// Run the container privileged
    #[arg(long)]
    privileged: bool,
    /// Keep the container's standard input open, and attach to it
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    tty: bool,
    /// Attach to the container
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = super::flags::boolean_value)]
    attach: Option<bool>,
    /// Delete the pod after it has ended
    #[arg(long)]
    rm: bool,
    /// Leave standard input open after the first attached one has ended
    #[arg(long)]
    leave_stdin_open: bool,
    #[command(flatten)]
    overrides: Overrides,
    /// Keep the object in its annotation, for a later client-side apply
    #[arg(long)]
    save_config: bool,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-run", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    print: PrintFlags,
}

impl Run {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        super::create::required(&[("image", self.image.is_some())])?;
        let dry_run = self.dry_run.mode(ctx)?;
        let mut teller = Teller::new(ctx, &self.print, dry_run)?;
        let Some(name) = self.names.first() else {
            return Err(CliError::Usage("NAME is required for run".into()));
        };
        self.check(dry_run)?;
        let labels = self.labels()?;
        let pod = self.overrides.apply(typed(self.pod(name, &labels)?)?)?;
        let pod = self.make(ctx, "pods", pod, dry_run).await?;
        let mut errors = Vec::new();
        if self.expose {
            match self.make(ctx, "services", typed(self.service(name, &labels)?)?, dry_run).await {
                Ok(service) => {
                    teller.tell(ctx, &service, "created")?;
                    if self.print.output == "yaml" {
                        ctx.out.line("---");
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        errors.extend(teller.tell(ctx, &pod, "created").err());
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    fn attaches(&self) -> bool {
        self.attach.unwrap_or(self.stdin)
    }

    fn check(&self, dry_run: DryRun) -> Result<(), CliError> {
        let usage = |text: &str| Err(CliError::Usage(text.into()));
        let image = self.image.as_deref().unwrap_or("");
        if image.is_empty() {
            return Err(CliError::message("--image is required"));
        }
        if ImageName::parse(image).is_err() {
            return Err(CliError::message(format!("Invalid image name {}: invalid reference format", quote(image))));
        }
        if self.tty && !self.stdin {
            return usage("-i/--stdin is required for containers with -t/--tty=true");
        }
        if self.expose && self.port.is_empty() {
            return usage("--port must be set when exposing a service");
        }
        if !matches!(self.restart.as_str(), "" | "Always" | "OnFailure" | "Never") {
            return usage(&format!("invalid restart policy: {}", self.restart));
        }
        if !self.attaches() && self.rm {
            return usage("--rm should only be used for attached containers");
        }
        if self.attaches() && dry_run != DryRun::None {
            return usage("--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)");
        }
        if !matches!(self.image_pull_policy.as_str(), "" | "Always" | "IfNotPresent" | "Never") {
            return usage(&format!("invalid image pull policy: {}", self.image_pull_policy));
        }
        if self.attaches() {
            return Err(CliError::message(
                "wl run does not attach: start the pod without -i, --stdin and --attach, and follow it with wl logs -f",
            ));
        }
        Ok(())
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, CliError> {
        super::expose::parse_labels(&self.labels).map(|labels| labels.unwrap_or_default())
    }

    /// Source: k8s.io/kubectl/pkg/generate/versioned/run.go, `BasicPod`.
    fn pod(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<Json, CliError> {
        let arguments: Vec<&String> = self.names[1..].iter().chain(&self.rest).collect();
        let mut container = json!({"name": name, "image": self.image, "env": self.env()?});
        if !arguments.is_empty() {
            container[if self.command { "command" } else { "args" }] = json!(arguments);
        }
        if !self.image_pull_policy.is_empty() {
            container["imagePullPolicy"] = self.image_pull_policy.as_str().into();
        }
        if self.privileged {
            container["securityContext"] = json!({"privileged": true});
        }
        if !self.port.is_empty() {
            container["ports"] = json!([{"containerPort": self.port()?}]);
        }
        let annotations = pairs::parse(&self.annotations, "annotations", false)?.set;
        let own = BTreeMap::from([("run".to_owned(), name.to_owned())]);
        let labels = if labels.is_empty() { &own } else { labels };
        let restart = if self.restart.is_empty() { "Always" } else { &self.restart };
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "annotations": annotations},
            "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": restart},
        }))
    }

    fn port(&self) -> Result<i32, CliError> {
        let parsed: Result<i32, _> = self.port.parse();
        parsed.map_err(|_| CliError::message(format!("strconv.Atoi: parsing {}: invalid syntax", quote(&self.port))))
    }

    fn env(&self) -> Result<Vec<Json>, CliError> {
        let one = |text: &String| match text.split_once('=').filter(|(name, _)| env_name(name).is_empty()) {
            Some((name, value)) => Ok(json!({"name": name, "value": value})),
            None => Err(CliError::message(format!("invalid env: {text}"))),
        };
        self.env.iter().map(one).collect()
    }

    fn service(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<Json, CliError> {
        let own = BTreeMap::from([("run".to_owned(), name.to_owned())]);
        let selector = if labels.is_empty() { &own } else { labels };
        let port = self.port()?;
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": labels},
            "spec": {"selector": selector, "ports": [{"port": port, "protocol": "TCP", "targetPort": port}]},
        }))
    }

    async fn make(&self, ctx: &mut Context, resource: &str, mut tree: Json, dry_run: DryRun) -> Result<Json, CliError> {
        if let Some(namespace) = ctx.flags.namespace.as_deref().filter(|n| !n.is_empty()) {
            tree["metadata"]["namespace"] = namespace.into();
        }
        if dry_run == DryRun::Client {
            return Ok(tree);
        }
        if self.save_config {
            tree = last_applied(tree);
        }
        let client = dry_run.client(ctx).await?;
        let path = format!("/api/v1/namespaces/{}/{resource}", crate::client::segment(ctx.namespace()));
        let ask = Ask::new(http::Method::POST, path).query("fieldManager", self.field_manager.as_str());
        let answer = client.send(dry_run.ask(ask.json(&tree))).await?;
        ctx.warn_all(&answer.warnings);
        Ok(answer.json()?)
    }
}
