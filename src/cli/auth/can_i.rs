//! `wl auth can-i`. Source: k8s.io/kubectl/pkg/cmd/auth/cani.go.

use http::Method;
use serde_json::json;

use crate::api::Json;
use crate::api::tree::Tree;
use crate::cli::describe::access;
use crate::cli::print::table::{Align, render};
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::{Ask, Found};

const VERBS: [&str; 16] = [
    "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use", "bind", "impersonate", "*",
    "approve", "sign", "escalate", "attest",
];
const PATH_VERBS: [&str; 8] = ["get", "put", "post", "head", "options", "delete", "patch", "*"];
/// Resources that no server lists.
const UNLISTED: [&str; 2] = ["users", "groups"];

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl auth can-i create pods\n  wl auth can-i list deploy.apps/web -n team\n  wl auth can-i get /metrics\n  wl auth can-i --list --as=system:serviceaccount:default:builder")]
pub struct CanI {
    /// VERB, and TYPE, TYPE/NAME or /PATH
    args: Vec<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Say it by the exit code only
    #[arg(short, long)]
    quiet: bool,
    /// A part of the resource: log, scale
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    /// All that is allowed
    #[arg(long)]
    list: bool,
    /// With --list: without the head line
    #[arg(long)]
    no_headers: bool,
}

/// What is to be done.
enum Deed {
    Path(String),
    Resource { group: String, resource: String, name: String },
}

impl CanI {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.list {
            return self.rules(ctx).await;
        }
        let [verb, object] = self.args.as_slice() else {
            return Err(CliError::message(
                "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'wl auth can-i -h' for help \
                 and examples.",
            ));
        };
        let deed = self.deed(ctx, verb, object).await?;
        if self.no_headers {
            return Err(CliError::message("--no-headers cannot be set without --list specified"));
        }
        let spec = match &deed {
            Deed::Path(path) => json!({"nonResourceAttributes": {"verb": verb, "path": path}}),
            Deed::Resource { group, resource, name } => json!({"resourceAttributes": {
                "namespace": self.namespace(ctx), "verb": verb, "group": group, "resource": resource,
                "subresource": self.subresource, "name": name,
            }}),
        };
        let status = ask(ctx, "SelfSubjectAccessReview", "selfsubjectaccessreviews", spec).await?;
        let allowed = status.flag("allowed");
        let mut answer = if allowed { "yes".to_owned() } else { "no".to_owned() };
        for why in ["reason", "evaluationError"] {
            if !allowed && !status.text(why).is_empty() {
                answer.push_str(&format!(" - {}", status.text(why)));
            }
        }
        if !self.quiet {
            ctx.out.line(&answer);
        }
        Ok(if allowed { Exit::Success } else { Exit::Failure })
    }

    fn namespace(&self, ctx: &Context) -> String {
        if self.all_namespaces { String::new() } else { ctx.namespace().to_owned() }
    }

    /// What the arguments mean. What is odd about them is warned of.
    async fn deed(&self, ctx: &mut Context, verb: &str, object: &str) -> Result<Deed, CliError> {
        if object.starts_with('/') {
            if !self.subresource.is_empty() {
                return Err(CliError::message("--subresource can not be used with NonResourceURL"));
            }
            if !PATH_VERBS.contains(&verb) {
                ctx.warn(&format!("verb '{verb}' is not a known verb\n"));
            }
            return Ok(Deed::Path(object.to_owned()));
        }
        let (kind, name) = object.split_once('/').unwrap_or((object, ""));
        let found = if kind == "*" { None } else { self.find(ctx, kind).await? };
        if !self.all_namespaces {
            if let Some(found) = found.as_ref().filter(|found| !found.namespaced) {
                let group = if found.group.is_empty() { String::new() } else { format!(" in group '{}'", found.group) };
                ctx.warn(&format!("resource '{}' is not namespace scoped{group}\n", found.resource));
            }
            if !VERBS.contains(&verb) {
                ctx.warn(&format!("verb '{verb}' is not a known verb\n"));
            }
        }
        let (group, resource) = found.map_or((String::new(), kind.to_owned()), |f| (f.group, f.resource));
        Ok(Deed::Resource { group, resource, name: name.to_owned() })
    }

    async fn find(&self, ctx: &mut Context, kind: &str) -> Result<Option<Found>, CliError> {
        let lower = kind.to_lowercase();
        let discovery = ctx.client().await?.discovery().await?;
        let found = discovery.lookup(&lower).map(|lookup| (*lookup.found).clone());
        if found.is_none() && !UNLISTED.contains(&lower.as_str()) {
            let text = match lower.split_once('.') {
                Some((resource, group)) => format!("the server doesn't have a resource type '{resource}' in group '{group}'\n"),
                None => format!("the server doesn't have a resource type '{lower}'\n"),
            };
            ctx.warn(&text);
        }
        Ok(found)
    }

    async fn rules(&self, ctx: &mut Context) -> CliResult {
        if !self.args.is_empty() {
            return Err(CliError::message("list option must be specified with no arguments"));
        }
        if self.quiet || self.all_namespaces || !self.subresource.is_empty() {
            return Err(CliError::message(
                "list option can't be specified with neither quiet, all-namespaces nor subresource options",
            ));
        }
        let spec = json!({"namespace": ctx.namespace()});
        let status = ask(ctx, "SelfSubjectRulesReview", "selfsubjectrulesreviews", spec).await?;
        if status.flag("incomplete") {
            ctx.warn(&format!("the list may be incomplete: {}", status.text("evaluationError")));
        }
        let heads = ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec();
        let mut rows = if self.no_headers { Vec::new() } else { vec![heads] };
        let all = status.list("resourceRules").iter().chain(status.list("nonResourceRules"));
        rows.extend(access::rows(all).into_iter().map(Vec::from));
        ctx.out.text(&render(&rows, Align::LastColumnOpen));
        Ok(Exit::Success)
    }
}

/// The status of a review.
async fn ask(ctx: &mut Context, kind: &str, resource: &str, spec: Json) -> Result<Json, CliError> {
    let client = ctx.client().await?;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
    let path = format!("/apis/authorization.k8s.io/v1/{resource}");
    let mut answer = client.send(Ask::new(Method::POST, path).json(&review)).await?.json()?;
    Ok(answer["status"].take())
}
