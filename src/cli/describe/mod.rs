//! `wl describe`: one object in words, with what belongs to it.
//! Source: k8s.io/kubectl/pkg/cmd/describe/describe.go, k8s.io/kubectl/pkg/describe/describe.go.

pub mod access;
mod certificate;
mod config;
mod containers;
mod document;
mod environment;
mod events;
mod generic;
mod jobs;
mod network;
mod node;
mod pod;
mod related;
mod scaling;
mod service;
mod storage;
mod volumes;
mod workloads;

use std::sync::Arc;

use super::input::Files;
use super::resources::{Info, Selection, items};
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::{Gvk, Json};
use crate::client::Client;
use document::Document;
use related::{Asker, Related};

/// Show objects in words: their state, what belongs to them, and their events
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl describe pod web\n  wl describe deploy/web\n  wl describe pods -l app=web\n  wl describe pods web-    # all whose names begin so")]
pub struct Describe {
    /// TYPE[,TYPE…] [NAME… or start of a name], or TYPE/NAME …
    #[arg(add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Only objects with these labels: `a=b,c!=d,e in (f,g),!h`
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// With the objects' events (without it: for one object only)
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_parser = super::flags::boolean_value, value_name = "BOOL")]
    show_events: Option<bool>,
    /// How many objects one answer holds at most
    #[arg(long, default_value_t = 500, value_parser = super::flags::integer, hide_default_value = true)]
    chunk_size: i64,
}

/// Writes one kind of object.
type Describer = fn(&mut Document, &Json, &Related);

/// The describer of a kind; what has none is shown field by field.
fn describer(group: &str, kind: &str) -> Describer {
    match (group, kind) {
        ("", "Pod") => pod::pod,
        ("", "ReplicationController") => workloads::replication_controller,
        ("apps", "ReplicaSet") => workloads::replica_set,
        ("apps", "Deployment") => workloads::deployment,
        ("apps", "StatefulSet") => workloads::stateful_set,
        ("apps", "DaemonSet") => workloads::daemon_set,
        ("batch", "Job") => jobs::job,
        ("batch", "CronJob") => jobs::cron_job,
        ("", "Service") => service::service,
        ("", "Endpoints") => service::endpoints,
        ("discovery.k8s.io", "EndpointSlice") => service::endpoint_slice,
        ("networking.k8s.io", "Ingress") => network::ingress,
        ("networking.k8s.io", "IngressClass") => network::ingress_class,
        ("networking.k8s.io", "NetworkPolicy") => network::network_policy,
        ("networking.k8s.io", "ServiceCIDR") => network::service_cidr,
        ("networking.k8s.io", "IPAddress") => network::ip_address,
        ("", "ConfigMap") => config::config_map,
        ("", "Secret") => config::secret,
        ("", "ServiceAccount") => config::service_account,
        ("", "LimitRange") => config::limit_range,
        ("", "ResourceQuota") => config::resource_quota,
        ("", "Namespace") => config::namespace,
        ("", "Node") => node::node,
        ("", "PersistentVolume") => storage::volume,
        ("", "PersistentVolumeClaim") => storage::claim,
        ("storage.k8s.io", "StorageClass") => storage::storage_class,
        ("storage.k8s.io", "VolumeAttributesClass") => storage::attributes_class,
        ("storage.k8s.io", "CSINode") => storage::csi_node,
        ("autoscaling", "HorizontalPodAutoscaler") => scaling::autoscaler,
        ("policy", "PodDisruptionBudget") => scaling::budget,
        ("scheduling.k8s.io", "PriorityClass") => scaling::priority_class,
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => access::role,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => access::binding,
        ("certificates.k8s.io", "CertificateSigningRequest") => certificate::request,
        _ => generic::generic,
    }
}

impl Describe {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.args.is_empty() && self.files.is_empty() {
            return Err(CliError::message(
                "You must specify the type of resource to describe. Use \"wl api-resources\" for a complete list of \
                 supported resources.",
            ));
        }
        let found = self.selection(&self.args).fetch(ctx).await?;
        let infos = items(found.infos);
        let several = infos.len() > 1 || !found.errors.is_empty();
        let show_events = self.show_events.unwrap_or(!several);
        if let [_, prefix] = self.args.as_slice()
            && let [error] = found.errors.as_slice()
            && error.is_not_found()
        {
            return self.matching(ctx, prefix, show_events, found.errors).await;
        }
        let mut errors = found.errors;
        let mut written = false;
        for info in &infos {
            match self.describe(ctx, info, show_events).await {
                Ok(text) => {
                    let gap = if std::mem::replace(&mut written, true) { "\n\n" } else { "" };
                    ctx.out.text(&format!("{gap}{text}"));
                }
                Err(error) if errors.iter().any(|e| e.text() == error.text()) => {}
                Err(error) => errors.push(error),
            }
        }
        if infos.is_empty() && errors.is_empty() {
            let place = if self.all_namespaces { String::new() } else { format!(" in {} namespace.", ctx.namespace()) };
            ctx.err.line(&format!("No resources found{place}"));
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    fn selection(&self, args: &[String]) -> Selection {
        Selection {
            args: args.to_vec(),
            files: self.files.clone(),
            labels: (!self.selector.is_empty()).then(|| self.selector.clone()),
            all_namespaces: self.all_namespaces,
            type_alone: true,
            chunk: self.chunk_size,
            ..Selection::default()
        }
    }

    /// Where no object has the name: those whose names begin so, or the error.
    async fn matching(&self, ctx: &mut Context, prefix: &str, show_events: bool, errors: Vec<CliError>) -> CliResult {
        let all = Selection { labels: None, all_namespaces: false, ..self.selection(&self.args[..1]) };
        let found = all.fetch(ctx).await?;
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        let mut none = true;
        for info in items(found.infos).iter().filter(|info| info.name.starts_with(prefix)) {
            none = false;
            let text = self.describe(ctx, info, show_events).await?;
            ctx.out.line(&text);
        }
        CliError::many(errors).filter(|_| none).map_or(Ok(Exit::Success), Err)
    }

    async fn describe(&self, ctx: &mut Context, info: &Info, show_events: bool) -> Result<String, CliError> {
        let client = ctx.client().await?;
        let info = &in_the_version_shown(&client, info).await?;
        let asker = Asker { client: &client, show_events, chunk: self.chunk_size };
        let related = asker.related(info).await?;
        let mut doc = Document::new(ctx.now(), ctx.time_zone());
        describer(&info.found.group, &info.found.kind)(&mut doc, &info.object, &related);
        Ok(doc.finish())
    }
}

/// Autoscalers are described in version 2: version 1 cannot say all of them.
async fn in_the_version_shown(client: &Client, info: &Info) -> Result<Info, CliError> {
    let mut info = info.clone();
    if info.found.group == "autoscaling" && info.found.version == "v1" {
        let second = Gvk { group: "autoscaling".into(), version: "v2".into(), kind: info.found.kind.clone() };
        if let Some(found) = client.discovery().await?.of_gvk(&second) {
            info.found = Arc::clone(found);
            info.object = client.get(&info.path()).await?;
        }
    }
    Ok(info)
}

/// A template of pods in words, with its tabs. `cause` becomes an annotation of it.
pub fn pod_template(ctx: &Context, template: &Json) -> String {
    let mut doc = Document::new(ctx.now(), ctx.time_zone());
    pod::template(&mut doc, template);
    doc.finish_unaligned()
}
