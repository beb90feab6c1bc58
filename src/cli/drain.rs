//! `wl drain`: closes a node to new pods and ends those that are there.
//! Source: k8s.io/kubectl/pkg/cmd/drain/drain.go, k8s.io/kubectl/pkg/drain.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::change::DryRun;
use super::cordon::{Nodes, mark};
use super::resources::Info;
use super::{CliError, CliResult, Context, Exit};
use crate::api::pod::CONFIG_MIRROR;
use crate::api::selector::LabelSelector;
use crate::api::{Json, Object, status::quote};
use crate::client::{Ask, Client, segment};
use crate::engine::clock;

/// Between two tries of an eviction that a budget forbids.
const RETRY: Duration = Duration::from_secs(5);
/// Between two looks whether pods are gone.
const LOOK: Duration = Duration::from_millis(500);

/// Close a node to new pods, and end those that are there
#[derive(clap::Args)]
pub struct Drain {
    #[command(flatten)]
    nodes: Nodes,
    /// End pods without a controller too
    #[arg(long)]
    force: bool,
    /// Leave the pods of DaemonSets
    #[arg(long)]
    ignore_daemonsets: bool,
    /// End pods with emptyDir volumes too, whose data goes
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Seconds that pods get to end; the pod's own if negative
    #[arg(long, default_value_t = -1, value_parser = super::flags::integer, hide_default_value = true)]
    grace_period: i64,
    /// How long to wait at most (0: for ever)
    #[arg(long, default_value = "0s", value_parser = super::flags::duration, hide_default_value = true)]
    timeout: Duration,
    /// Only pods with these labels
    #[arg(long, default_value = "", hide_default_value = true)]
    pod_selector: String,
    /// Delete instead of evicting: budgets do not count
    #[arg(long)]
    disable_eviction: bool,
    /// Do not wait for pods that have been ending for more than so many seconds
    #[arg(long, default_value_t = 0, value_parser = super::flags::integer, hide_default_value = true)]
    skip_wait_for_delete_timeout: i64,
    /// How many objects one answer holds at most
    #[arg(long, default_value_t = 500, value_parser = super::flags::integer, hide_default_value = true)]
    chunk_size: i64,
}

/// What is to become of a pod.
#[derive(Debug, PartialEq)]
enum Fate {
    End,
    /// Ends, with a warning.
    EndWarned(&'static str),
    Stay,
    StayWarned(&'static str),
    /// Forbids the drain.
    Refused(String),
}

impl Drain {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.nodes.dry_run.mode(ctx)?;
        if LabelSelector::parse(&self.pod_selector).is_err() {
            return Err(CliError::message("--pod-selector=<pod_selector> must be a valid label selector"));
        }
        let nodes = self.nodes.find(ctx, "drain", dry_run).await?;
        mark(ctx, &nodes, true, dry_run).await?;
        let (mut fatal, mut remaining) = (Vec::new(), Vec::new());
        for node in &nodes {
            match self.one(ctx, node, dry_run).await {
                Ok(()) => ctx.out.line(&format!("{} drained{}", node.shown(), dry_run.suffix())),
                Err(error) => {
                    let (name, why) = (quote(&node.name), all_in_one(&error));
                    ctx.err.line(&format!("error: unable to drain node {name} due to error: {why}, continuing command..."));
                    remaining.push(node.name.clone());
                    fatal.push(error);
                }
            }
        }
        if fatal.is_empty() {
            return Ok(Exit::Success);
        }
        ctx.err.line("There are pending nodes to be drained:");
        for name in remaining {
            ctx.err.line(&format!(" {name}"));
        }
        Err(CliError::Many(fatal))
    }

    async fn one(&self, ctx: &mut Context, node: &Info, dry_run: DryRun) -> Result<(), CliError> {
        let client = ctx.client().await?;
        let (pods, warnings) = self.pods(ctx, &client, &node.name).await?;
        if !warnings.is_empty() {
            ctx.warn(&warnings);
        }
        if dry_run == DryRun::Client {
            for pod in &pods {
                ctx.out.line(&format!("evicting pod {}/{} (dry run)", pod.namespace(), pod.name()));
            }
            return Ok(());
        }
        let outcome = self.end(ctx, &client, &pods, dry_run).await;
        if let Err(error) = &outcome
            && let Ok((pending, _)) = self.pods(ctx, &client, &node.name).await
            && !pending.is_empty()
        {
            let why = all_in_one(error);
            ctx.err.line(&format!("There are pending pods in node {} when an error occurred: {why}", quote(&node.name)));
            for pod in pending {
                ctx.err.line(&format!("pod/{}", pod.name()));
            }
        }
        outcome
    }

    /// The node's pods that are to end, and what to warn of.
    async fn pods(&self, ctx: &Context, client: &Client, node: &str) -> Result<(Vec<Object>, String), CliError> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut ask = Ask::get("/api/v1/pods").query("fieldSelector", format!("spec.nodeName={node}"));
            for (key, value) in [("labelSelector", &self.pod_selector), ("continue", &next)] {
                if !value.is_empty() {
                    ask = ask.query(key, value.as_str());
                }
            }
            if self.chunk_size > 0 {
                ask = ask.query("limit", self.chunk_size.to_string());
            }
            let list = client.send(ask).await?.json()?;
            all.extend(list.get("items").and_then(Json::as_array).into_iter().flatten().cloned().map(Object::new));
            next = list.pointer("/metadata/continue").and_then(Json::as_str).unwrap_or("").to_owned();
            if next.is_empty() {
                break;
            }
        }
        let mut pods = Vec::new();
        let mut warned: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in all {
            let name = format!("{}/{}", pod.namespace(), pod.name());
            match self.fate(ctx.now(), client, &pod).await? {
                Fate::End => pods.push(pod),
                Fate::EndWarned(why) => {
                    warned.entry(why).or_default().push(name);
                    pods.push(pod);
                }
                Fate::Stay => {}
                Fate::StayWarned(why) => warned.entry(why).or_default().push(name),
                Fate::Refused(why) => refused.entry(why).or_default().push(name),
            }
        }
        let errors: Vec<CliError> = refused
            .into_iter()
            .map(|(why, names)| CliError::message(format!("cannot delete {why}: {}", names.join(", "))))
            .collect();
        if !errors.is_empty() {
            return Err(CliError::Many(errors));
        }
        let warnings: Vec<String> = warned.into_iter().map(|(why, names)| format!("{why}: {}", names.join(", "))).collect();
        Ok((pods, warnings.join("; ")))
    }

    /// Source: k8s.io/kubectl/pkg/drain/filters.go. The last of the rules there takes back what earlier ones warn of.
    async fn fate(&self, now: Timestamp, client: &Client, pod: &Object) -> Result<Fate, CliError> {
        if self.skips(now, pod) || pod.annotation(CONFIG_MIRROR).is_some() {
            return Ok(Fate::Stay);
        }
        if matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed")) {
            return Ok(Fate::End);
        }
        let controller = pod.controller_ref();
        if let Some(owner) = controller.filter(|c| c["kind"] == "DaemonSet" && c["apiVersion"] == "apps/v1") {
            let name = owner["name"].as_str().unwrap_or("");
            let path = format!("/apis/apps/v1/namespaces/{}/daemonsets/{}", segment(pod.namespace()), segment(name));
            match client.get(&path).await {
                Err(error) if error.is_not_found() && self.force => {}
                Err(error) => return Ok(Fate::Refused(error.to_string())),
                Ok(_) if !self.ignore_daemonsets => {
                    return Ok(Fate::Refused("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".into()));
                }
                Ok(_) => return Ok(Fate::StayWarned("ignoring DaemonSet-managed Pods")),
            }
        }
        let volumes = pod.at("/spec/volumes").and_then(Json::as_array);
        let has_local = volumes.into_iter().flatten().any(|v| v.get("emptyDir").is_some());
        if has_local && !self.delete_emptydir_data {
            return Ok(Fate::Refused("Pods with local storage (use --delete-emptydir-data to override)".into()));
        }
        Ok(match (controller, self.force) {
            (Some(_), _) => Fate::End,
            (None, true) => Fate::EndWarned("deleting Pods that declare no controller"),
            (None, false) => Fate::Refused("Pods that declare no controller (use --force to override)".into()),
        })
    }

    /// Whether a pod has been ending for so long that it is not waited for.
    fn skips(&self, now: Timestamp, pod: &Object) -> bool {
        self.skip_wait_for_delete_timeout > 0
            && pod.deletion_timestamp().is_some_and(|at| now.duration_since(at).as_secs() > self.skip_wait_for_delete_timeout)
    }

    /// Evicts pods, or deletes them where the server has no eviction, and waits until they are gone.
    async fn end(&self, ctx: &mut Context, client: &Client, pods: &[Object], dry_run: DryRun) -> Result<(), CliError> {
        let discovery = client.discovery().await?;
        let pod = discovery.resources.iter().find(|r| r.group.is_empty() && r.resource == "pods");
        let evicts = !self.disable_eviction && pod.is_some_and(|r| r.subresources.iter().any(|s| s == "eviction"));
        let begun = tokio::time::Instant::now();
        let mut pending: Vec<&Object> = pods.iter().collect();
        while !pending.is_empty() {
            let mut refused = Vec::new();
            for pod in pending {
                let (namespace, name) = (pod.namespace(), pod.name());
                if evicts {
                    ctx.out.line(&format!("evicting pod {namespace}/{name}{}", dry_run.suffix()));
                }
                if self.is_over(begun) {
                    return Err(self.out_of_time(pod, evicts));
                }
                match client.send(self.request(pod, evicts, dry_run)).await {
                    Err(error) if error.is_not_found() => {}
                    Err(error) if evicts && error.status().is_some_and(|s| s.code == 429) => {
                        let text = format!("error when evicting pods/{} -n {}", quote(name), quote(namespace));
                        ctx.err.line(&format!("{text} (will retry after 5s): {error}"));
                        refused.push(pod);
                    }
                    Err(error) if evicts => {
                        let text = format!("error when evicting pods/{} -n {}: {error}", quote(name), quote(namespace));
                        return Err(CliError::message(text));
                    }
                    other => drop(other?),
                }
            }
            pending = refused;
            if !pending.is_empty() {
                ctx.out.flush();
                clock::sleep(RETRY).await;
            }
        }
        if dry_run == DryRun::Server { Ok(()) } else { self.wait(ctx, client, pods, evicts, begun).await }
    }

    fn request(&self, pod: &Object, evicts: bool, dry_run: DryRun) -> Ask {
        let mut options = json!({});
        if self.grace_period >= 0 {
            options["gracePeriodSeconds"] = self.grace_period.into();
        }
        if dry_run == DryRun::Server {
            options["dryRun"] = json!(["All"]);
        }
        let path = format!("/api/v1/namespaces/{}/pods/{}", segment(pod.namespace()), segment(pod.name()));
        if !evicts {
            options["apiVersion"] = "v1".into();
            options["kind"] = "DeleteOptions".into();
            return dry_run.ask(Ask::new(http::Method::DELETE, path)).json(&options);
        }
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name(), "namespace": pod.namespace()},
            "deleteOptions": options,
        });
        dry_run.ask(Ask::new(http::Method::POST, format!("{path}/eviction"))).json(&eviction)
    }

    async fn wait(
        &self,
        ctx: &mut Context,
        client: &Client,
        pods: &[Object],
        evicts: bool,
        begun: tokio::time::Instant,
    ) -> Result<(), CliError> {
        let mut pending: Vec<&Object> = pods.iter().collect();
        loop {
            let mut there = Vec::new();
            for pod in pending {
                let path = format!("/api/v1/namespaces/{}/pods/{}", segment(pod.namespace()), segment(pod.name()));
                match client.get(&path).await.map(Object::new) {
                    Ok(now) if now.uid() == pod.uid() && self.skips(ctx.now(), &now) => {
                        let seconds = self.skip_wait_for_delete_timeout;
                        let name = quote(pod.name());
                        ctx.out.line(&format!("pod {name} has DeletionTimestamp older than {seconds} seconds, skipping"));
                    }
                    Ok(now) if now.uid() == pod.uid() => there.push(pod),
                    Err(error) if !error.is_not_found() => return Err(error.into()),
                    _ => ctx.out.line(&format!("pod/{} {}", pod.name(), if evicts { "evicted" } else { "deleted" })),
                }
            }
            let Some(first) = there.first() else { return Ok(()) };
            if self.is_over(begun) {
                return Err(self.out_of_time(first, evicts));
            }
            pending = there;
            ctx.out.flush();
            clock::sleep(LOOK).await;
        }
    }

    fn is_over(&self, begun: tokio::time::Instant) -> bool {
        !self.timeout.is_zero() && begun.elapsed() >= self.timeout
    }

    fn out_of_time(&self, pod: &Object, evicts: bool) -> CliError {
        let (name, namespace) = (quote(pod.name()), quote(pod.namespace()));
        let doing = if evicts { "evicting" } else { "deleting" };
        let seconds = self.timeout.as_secs_f64();
        CliError::message(format!("error when {doing} pods/{name} -n {namespace}: global timeout reached: {seconds}s"))
    }
}

/// Several errors in one line, as Go's aggregates print themselves.
fn all_in_one(error: &CliError) -> String {
    match error {
        CliError::Many(errors) if errors.len() > 1 => format!("[{}]", error.text()),
        _ => error.text(),
    }
}
