//! `wl run`: one pod with one container. Source: k8s.io/kubectl/pkg/cmd/run/run.go.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::change::deletion::Deletion;
use super::change::overrides::Overrides;
use super::change::{DryRun, DryRunFlag, Teller, pairs};
use super::create::{last_applied, typed};
use super::print::flags::PrintFlags;
use super::resources::Selection;
use super::session::fresh::{Fresh, LOOK, Met};
use super::session::{self, Ended};
use super::{CliError, CliResult, Context, Exit};
use crate::api::{Json, Object};
use crate::api::status::quote;
use crate::api::validation::names::env_name;
use crate::client::{Ask, Client};
use crate::engine::clock;
use crate::podman::ImageName;

/// Run a pod of one image
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl run web --image=nginx --port=80 --expose\n  wl run once --image=busybox --restart=Never -- echo hello\n  wl run shell -it --rm --image=busybox --restart=Never -- sh")]
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
    /// How long the container may take until it runs, when attaching to it
    #[arg(long, default_value = "1m", value_parser = super::flags::duration, hide_default_value = true)]
    pod_running_timeout: Duration,
    /// Print only what the container prints
    #[arg(short, long)]
    quiet: bool,
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
        if self.attaches() {
            let pod = Object::new(pod);
            let met = self.attend(ctx, &pod).await;
            let stays = matches!(met, Ok(None));
            if self.rm && !stays {
                errors.extend(self.remove(ctx, pod.name()).await.err());
            }
            return match (met, CliError::many(errors)) {
                (Err(error), _) | (Ok(_), Some(error)) => Err(error),
                (Ok(exit), None) => Ok(exit.unwrap_or(Exit::Success)),
            };
        }
        errors.extend(teller.tell(ctx, &pod, "created").err());
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    /// Attaches to the pod's container, to its end, and says how that was; nothing where the user left it running.
    async fn attend(&self, ctx: &mut Context, pod: &Object) -> Result<Option<Exit>, CliError> {
        let client = ctx.client_to_change().await?;
        let container = pod.str_at("/spec/containers/0/name").unwrap_or("");
        let patience = Some(self.pod_running_timeout);
        let fresh = Fresh { pod, container, stdin: self.stdin, tty: self.tty, quiet: self.quiet, patience };
        match fresh.meet(ctx, &client).await? {
            Met::Attached(Ended::Detached) => {
                if self.rm && !self.quiet {
                    ctx.err.line(&format!("pod {} stays, as you left it running", quote(pod.name())));
                }
                return Ok(None);
            }
            Met::Followed(ended) | Met::Attached(ended) if matches!(ended, Ended::Signal(_) | Ended::BrokenPipe) => {
                return session::report(ctx, &ended).map(Some);
            }
            Met::Logged | Met::Followed(_) | Met::Attached(_) => {}
        }
        let policy = pod.str_at("/spec/restartPolicy").unwrap_or("Always");
        if self.leave_stdin_open || !matches!(policy, "Never" | "OnFailure") {
            return Ok(Some(Exit::Success));
        }
        self.how_it_ended(ctx, &client, &fresh, policy == "OnFailure").await.map(Some)
    }

    /// Waits for the pod's end; one that is started again after a failure ends only well.
    async fn how_it_ended(&self, ctx: &mut Context, client: &Client, fresh: &Fresh<'_>, only_well: bool) -> CliResult {
        let begun = tokio::time::Instant::now();
        loop {
            let (pod, status) = fresh.status(client).await?;
            let shown = format!("{}/{}", pod.namespace(), pod.name());
            match pod.str_at("/status/phase") {
                Some("Succeeded") => return Ok(Exit::Success),
                Some("Failed") if !only_well => {
                    let ended = status.and_then(|s| s.pointer("/state/terminated").cloned()).unwrap_or_default();
                    let code = ended["exitCode"].as_i64().filter(|code| *code != 0);
                    let Some(code) = code else {
                        return Err(CliError::message(format!("pod {shown} failed with unknown exit code")));
                    };
                    let text = |key: &str| ended[key].as_str().unwrap_or("").to_owned();
                    ctx.err.line(format!("pod {shown} terminated ({})\n{}", text("reason"), text("message")).trim_end());
                    return Ok(Exit::Of(u8::try_from(code).unwrap_or(u8::MAX)));
                }
                _ if begun.elapsed() >= self.pod_running_timeout => {
                    return Err(CliError::message("timed out waiting for the condition"));
                }
                _ => clock::sleep(LOOK).await,
            }
        }
    }

    /// Takes away what was made.
    async fn remove(&self, ctx: &mut Context, name: &str) -> Result<(), CliError> {
        let client = ctx.client_to_change().await?;
        let deletion = Deletion { policy: "Background", grace: -1, dry_run: DryRun::None, names: false };
        let kinds = if self.expose { ["pods", "services"].as_slice() } else { &["pods"] };
        for kind in kinds {
            let selection = Selection { args: vec![format!("{kind}/{name}")], ..Selection::default() };
            let gone = async {
                let info = session::pod::object(ctx, &selection).await?;
                deletion.send(&client, &info).await?;
                if !self.quiet {
                    deletion.tell(ctx, &info);
                }
                Ok(())
            };
            match gone.await {
                Err(CliError::Status(status)) if status.code == 404 => {}
                other => other?,
            }
        }
        Ok(())
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
        Ok(())
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, CliError> {
        super::expose::parse_labels(&self.labels).map(|labels| labels.unwrap_or_default())
    }

    /// Source: k8s.io/kubectl/pkg/generate/versioned/run.go, `BasicPod`.
    fn pod(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<Json, CliError> {
        let arguments: Vec<&String> = self.names[1..].iter().chain(&self.rest).collect();
        let mut container = json!({"name": name, "image": self.image, "env": self.env()?});
        if self.stdin {
            container["stdin"] = true.into();
            container["stdinOnce"] = (!self.leave_stdin_open).into();
        }
        if self.tty {
            container["tty"] = true.into();
        }
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
