//! `wl set subject`. Source: k8s.io/kubectl/pkg/cmd/set/set_subject.go.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Which, Words};
use crate::api::Json;
use crate::cli::change::DryRun;
use crate::cli::{CliError, CliResult, Context};

const WORDS: Words = Words { done: "subjects updated", failed: "failed to patch subjects to rolebinding:", quiet: true };
const GROUP: &str = "rbac.authorization.k8s.io";

/// Add users, groups and ServiceAccounts to role bindings
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl set subject rolebinding/read --user=bob")]
pub struct Subject {
    #[command(flatten)]
    which: Which,
    /// Only objects with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Users; may be repeated
    #[arg(long)]
    user: Vec<String>,
    /// Groups; may be repeated
    #[arg(long)]
    group: Vec<String>,
    /// ServiceAccounts, `NAMESPACE:NAME`; may be repeated
    #[arg(long)]
    serviceaccount: Vec<String>,
}

impl Subject {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.which.dry_run(ctx)?;
        self.which.teller(ctx, dry_run)?;
        let infos = self.which.find(ctx, &self.which.args, &self.selector, dry_run).await?;
        let fail = |text: &str| Err(CliError::message(text));
        if self.which.local && dry_run == DryRun::Server {
            return fail("cannot specify --local and --dry-run=server - did you mean --dry-run=client?");
        }
        if self.which.all && !self.selector.is_empty() {
            return fail("cannot set --all and --selector at the same time");
        }
        if self.user.is_empty() && self.group.is_empty() && self.serviceaccount.is_empty() {
            return fail("you must specify at least one value of user, group or serviceaccount");
        }
        for account in &self.serviceaccount {
            let [namespace, name] = account.split(':').collect::<Vec<_>>()[..] else {
                return fail("serviceaccount must be <namespace>:<name>");
            };
            if name.is_empty() {
                return fail("serviceaccount must be <namespace>:<name>");
            }
            if namespace.is_empty() && infos.iter().any(|info| info.found.kind == "ClusterRoleBinding") {
                return fail("serviceaccount must be <namespace>:<name>, namespace must be specified");
            }
        }
        let subjects = self.subjects(ctx.namespace());
        self.which
            .change(ctx, &infos, dry_run, &WORDS, |info, tree, _| {
                if info.found.group != GROUP || !matches!(info.found.kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
                    return Err("setting subjects is only supported for RoleBinding/ClusterRoleBinding".into());
                }
                let mut all = tree.get("subjects").and_then(Json::as_array).cloned().unwrap_or_default();
                let new: Vec<Json> = subjects.iter().filter(|s| !all.contains(s)).cloned().collect();
                if !new.is_empty() {
                    all.extend(new);
                    tree["subjects"] = all.into();
                }
                Ok(())
            })
            .await
    }

    fn subjects(&self, own_namespace: &str) -> Vec<Json> {
        let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        let of = |kind: &str, name: String| json!({"kind": kind, "apiGroup": GROUP, "name": name});
        let mut all: Vec<Json> = sorted(&self.user).into_iter().map(|name| of("User", name)).collect();
        all.extend(sorted(&self.group).into_iter().map(|name| of("Group", name)));
        for account in sorted(&self.serviceaccount) {
            let (namespace, name) = account.split_once(':').unwrap_or(("", &account));
            let namespace = if namespace.is_empty() { own_namespace } else { namespace };
            all.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
        }
        all
    }
}
