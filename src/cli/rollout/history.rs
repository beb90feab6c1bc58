//! `wl rollout history`. Source: k8s.io/kubectl/pkg/polymorphichelpers/history.go.

use std::collections::BTreeMap;

use super::Which;
use crate::api::{Json, Object};
use crate::cli::resources::Info;
use crate::cli::{CliError, CliResult, Context, Exit, describe};
use crate::cli::print::flags::{Format, Offer};
use crate::client::{Ask, Client};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

#[derive(clap::Args)]
pub struct History {
    #[command(flatten)]
    which: Which,
    /// The whole template of this revision
    #[arg(long, default_value_t = 0, value_parser = crate::cli::flags::integer, hide_default_value = true)]
    revision: i64,
    #[command(flatten)]
    print: crate::cli::print::flags::PrintFlags,
}

/// One revision: what holds it (a ReplicaSet, a ControllerRevision), and its pod template.
pub(super) struct Revision {
    pub holder: Json,
    pub template: Json,
    pub cause: String,
}

impl History {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let format = self.print.format(&ctx.cwd, Offer::Change)?;
        let (infos, mut errors) = self.which.find(ctx).await?;
        let client = ctx.client().await?;
        for info in &infos {
            errors.extend(self.tell(ctx, &client, info, format.as_ref()).await.err());
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    async fn tell(&self, ctx: &mut Context, client: &Client, info: &Info, format: Option<&Format>) -> Result<(), CliError> {
        let revisions = revisions(client, info).await?;
        if let Some(format) = format {
            let chosen = revisions.iter().filter(|(n, _)| self.revision == 0 || **n == self.revision);
            let holders: Vec<Json> = chosen.map(|(_, r)| r.holder.clone()).collect();
            if holders.is_empty() {
                return Err(CliError::message("unable to find the specified revision"));
            }
            for holder in holders {
                let (text, result) = format.render(&holder, true);
                ctx.out.text(&text);
                result?;
            }
            return Ok(());
        }
        let text = match self.revision {
            0 => table(&revisions),
            number => {
                let revision = revisions.get(&number);
                let revision = revision.ok_or_else(|| CliError::message("unable to find the specified revision"))?;
                let shown = describe::pod_template(ctx, &with_cause(&revision.template, &revision.cause));
                format!("with revision #{number}\n{shown}\n")
            }
        };
        ctx.out.text(&format!("{} {text}", info.shown()));
        Ok(())
    }
}

fn table(revisions: &BTreeMap<i64, Revision>) -> String {
    if revisions.is_empty() {
        return "\nNo rollout history found.\n".into();
    }
    let mut text = format!("\n{:<8}  CHANGE-CAUSE\n", "REVISION");
    for (number, revision) in revisions {
        let cause = if revision.cause.is_empty() { "<none>" } else { &revision.cause };
        text.push_str(&format!("{number:<8}  {cause}\n"));
    }
    text.push('\n');
    text
}

/// The template with the cause of the change among its annotations.
fn with_cause(template: &Json, cause: &str) -> Json {
    let mut template = template.clone();
    if !cause.is_empty() {
        template["metadata"]["annotations"][CHANGE_CAUSE] = cause.into();
    }
    template
}

fn annotation(object: &Json, name: &str) -> String {
    Object::new(object.clone()).annotation(name).unwrap_or("").to_owned()
}

/// The revisions of a workload by number.
pub(super) async fn revisions(client: &Client, info: &Info) -> Result<BTreeMap<i64, Revision>, CliError> {
    let owner = info.object();
    match (info.found.group.as_str(), info.found.kind.as_str()) {
        ("apps", "Deployment") => {
            let sets = owned(client, info, &owner, "replicasets").await?;
            let numbered = sets.into_iter().filter_map(|set| {
                let number = annotation(&set, REVISION).parse().ok()?;
                let template = set.pointer("/spec/template").cloned().unwrap_or(Json::Null);
                let cause = annotation(&set, CHANGE_CAUSE);
                Some((number, Revision { holder: set, template, cause }))
            });
            Ok(numbered.collect())
        }
        ("apps", "DaemonSet" | "StatefulSet") => {
            let held = owned(client, info, &owner, "controllerrevisions").await?;
            let numbered = held.into_iter().filter_map(|revision| {
                let number = revision.get("revision")?.as_i64()?;
                let template = revision.pointer("/data/spec/template").cloned().unwrap_or(Json::Null);
                let cause = annotation(&revision, CHANGE_CAUSE);
                Some((number, Revision { holder: revision, template, cause }))
            });
            Ok(numbered.collect())
        }
        _ => Err(CliError::message(format!("no history viewer has been implemented for {:?}", super::group_kind(info)))),
    }
}

/// What the workload controls of a resource of its group.
async fn owned(client: &Client, info: &Info, owner: &Object, resource: &str) -> Result<Vec<Json>, CliError> {
    let selector = crate::api::selector::LabelSelector::of(owner.at("/spec/selector")).map_err(CliError::message)?;
    let path = format!("/apis/apps/v1/namespaces/{}/{resource}", info.namespace);
    let mut list = client.send(Ask::get(path).query("labelSelector", selector.to_string())).await?.json()?;
    let Json::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
    let kind = if resource == "replicasets" { "ReplicaSet" } else { "ControllerRevision" };
    let mine = items.into_iter().filter(|item| Object::new(item.clone()).controller_uid() == Some(owner.uid()));
    Ok(mine
        .map(|mut item| {
            item["apiVersion"] = "apps/v1".into();
            item["kind"] = kind.into();
            item
        })
        .collect())
}
