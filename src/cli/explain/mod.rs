//! `wl explain`: what a kind's fields mean, as the server documents them.
//! Source: k8s.io/kubectl/pkg/cmd/explain, k8s.io/kubectl/pkg/explain.

mod older;
mod plain;
mod wrap;

use std::sync::Arc;

use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::tree::Tree;
use crate::api::{Gvk, Json};
use crate::client::{Discovery, Found};

/// Explain the fields of a kind
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl explain pods\n  wl explain deploy.spec.strategy\n  wl explain cronjob --recursive")]
pub struct Explain {
    /// TYPE[.FIELD…]
    #[arg(add = complete::types())]
    args: Vec<String>,
    /// The fields of fields too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Of this version: GROUP/VERSION
    #[arg(long, default_value = "", hide_default_value = true)]
    api_version: String,
    /// plaintext or plaintext-openapiv2
    #[arg(short, long, default_value = "plaintext", hide_default_value = true)]
    output: String,
    /// With --recursive: how many levels (0: all)
    #[arg(long, default_value_t = 0, value_parser = super::flags::integer, hide_default_value = true)]
    max_depth: i64,
}

/// What is to be explained, and how far.
pub struct Question {
    /// The server's document of the group and version.
    pub document: Json,
    pub gvk: Gvk,
    pub path: Vec<String>,
    pub recursive: bool,
    /// 0: no bound.
    pub depth: usize,
}

impl Question {
    /// What a reference leads to; null where it leads nowhere.
    pub fn resolve(&self, reference: &str) -> &Json {
        reference.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer)).unwrap_or(&Json::Null)
    }

    /// The schema of the kind.
    pub fn schema(&self) -> Option<&Json> {
        let schemas = self.document.field("components").field("schemas").as_object()?;
        schemas.values().find(|schema| {
            let names = schema.list("x-kubernetes-group-version-kind").iter();
            names.map(|n| (n.text("group"), n.text("version"), n.text("kind"))).any(|n| n == self.names())
        })
    }

    fn names(&self) -> (&str, &str, &str) {
        (&self.gvk.group, &self.gvk.version, &self.gvk.kind)
    }
}

impl Explain {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let argument = self.check()?;
        let client = ctx.client().await?;
        let discovery = client.discovery().await?;
        let (found, path) = self.find(&discovery, argument)?;
        let (group, version) = match self.api_version.rsplit_once('/') {
            _ if self.api_version.is_empty() => (found.group.as_str(), found.version.as_str()),
            Some((group, version)) => (group, version),
            None => ("", self.api_version.as_str()),
        };
        let gvr = format!("{group}/{version}, Resource={}", found.resource);
        let place = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        let index = client.get("/openapi/v3").await?;
        if !index.field("paths").has(&place) {
            return Err(CliError::message(format!("couldn't find resource for \"{gvr}\"")));
        }
        let document = client.get(&format!("/openapi/v3/{place}")).await?;
        let same = |r: &&Arc<Found>| r.resource == found.resource && r.group == group && r.version == version;
        let Some(meant) = discovery.resources.iter().find(same) else {
            return Err(CliError::message(format!("GVR ({gvr}) not found in OpenAPI schema")));
        };
        let question = Question {
            document,
            gvk: meant.gvk(),
            path,
            recursive: self.recursive,
            depth: usize::try_from(self.max_depth).unwrap_or(0),
        };
        let (text, result) = match self.output.as_str() {
            "plaintext" => plain::explain(&question),
            "plaintext-openapiv2" => older::explain(&question),
            other => return Err(CliError::message(format!("unrecognized format: {other}"))),
        };
        ctx.out.text(&text);
        result.map_err(CliError::message)?;
        Ok(Exit::Success)
    }

    fn check(&self) -> Result<&str, CliError> {
        let [argument] = self.args.as_slice() else {
            return Err(CliError::message(match self.args.len() {
                0 => {
                    "You must specify the type of resource to explain. Use \"wl api-resources\" for a complete list of \
                     supported resources."
                }
                _ => "We accept only this format: explain RESOURCE",
            }));
        };
        if self.max_depth > 0 && !self.recursive {
            return Err(CliError::message("--max-depth requires --recursive"));
        }
        if self.max_depth < 0 {
            return Err(CliError::message("--max-depth must be non-negative"));
        }
        Ok(argument)
    }

    /// The resource, and the path to the field. A group may stand behind the resource's name, where no version is
    /// asked for. Source: k8s.io/kubectl/pkg/explain/explain.go (`SplitAndParseResourceRequestWithMatchingPrefix`).
    fn find(&self, discovery: &Discovery, argument: &str) -> Result<(Arc<Found>, Vec<String>), CliError> {
        let argument = argument.strip_suffix('.').unwrap_or(argument);
        let (name, fields) = argument.split_once('.').unwrap_or((argument, ""));
        let known = discovery.lookup(name).ok_or_else(|| CliError::no_resource_match(name))?.found;
        let whole = |found: &&Arc<Found>| found.resource == known.resource && argument.starts_with(&found.qualified());
        if let Some(found) = discovery.preferred().find(whole).filter(|_| self.api_version.is_empty()) {
            let fields = &argument[found.qualified().len()..];
            return Ok((found.clone(), field_path(fields.strip_prefix('.').unwrap_or(fields))?));
        }
        Ok((known, field_path(fields)?))
    }
}

fn field_path(fields: &str) -> Result<Vec<String>, CliError> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    if fields.contains(['[', ']', '*', '(', ')', '\'', '"']) || fields.split('.').any(str::is_empty) {
        return Err(CliError::message("invalid jsonpath syntax, all nodes must be field nodes"));
    }
    Ok(fields.split('.').map(str::to_owned).collect())
}
