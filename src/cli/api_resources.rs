//! `wl api-resources`: what kinds there are. Source: k8s.io/kubectl/pkg/cmd/apiresources.

use std::sync::Arc;

use serde_json::json;

use super::print::table::{Align, render};
use super::{CliError, CliResult, Context, Exit};
use crate::client::Found;

/// Print the kinds of objects that the server knows
#[derive(clap::Args)]
pub struct ApiResources {
    /// Only resources of this API group
    #[arg(long)]
    api_group: Option<String>,
    /// Only namespaced resources, or with `=false` only those that are not
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_parser = super::flags::boolean_value)]
    namespaced: Option<bool>,
    /// Only resources with all these verbs
    #[arg(long, value_delimiter = ',')]
    verbs: Vec<String>,
    /// Only resources of all these categories
    #[arg(long, value_delimiter = ',')]
    categories: Vec<String>,
    /// Without the head line
    #[arg(long)]
    no_headers: bool,
    /// json, kyaml, name, wide or yaml
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
    /// `name` or `kind`
    #[arg(long, default_value = "", hide_default_value = true)]
    sort_by: String,
    #[arg(hide = true)]
    extra: Vec<String>,
}

impl ApiResources {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if !self.extra.is_empty() {
            return Err(CliError::Usage(format!("unexpected arguments: [{}]", self.extra.join(" "))));
        }
        if !matches!(self.output.as_str(), "" | "json" | "kyaml" | "name" | "wide" | "yaml") {
            return Err(CliError::message(format!(
                "unable to match a printer suitable for the output format \"{}\", allowed formats are: \
                 json,kyaml,name,wide,yaml",
                self.output
            )));
        }
        if !matches!(self.sort_by.as_str(), "" | "name" | "kind") {
            return Err(CliError::message("--sort-by accepts only name or kind"));
        }
        let discovery = ctx.client().await?.discovery().await?;
        let mut found: Vec<Arc<Found>> = discovery.preferred().filter(|r| self.wants(r)).cloned().collect();
        match self.sort_by.as_str() {
            "name" => found.sort_by(|a, b| a.resource.cmp(&b.resource)),
            "kind" => found.sort_by(|a, b| a.kind.cmp(&b.kind)),
            _ => found.sort_by(|a, b| (&a.group, &a.resource).cmp(&(&b.group, &b.resource))),
        }
        match self.output.as_str() {
            "name" => found.iter().for_each(|r| ctx.out.line(&r.qualified())),
            "json" => ctx.out.line(&crate::api::go::json::pretty(&listed(&found), "    ")),
            "yaml" => ctx.out.text(&super::print::yaml::to_yaml(&listed(&found))),
            "kyaml" => ctx.out.text(&super::print::kyaml::to_kyaml(&listed(&found))),
            wide => self.table(ctx, &found, wide == "wide"),
        }
        Ok(Exit::Success)
    }

    fn wants(&self, found: &Found) -> bool {
        self.api_group.as_ref().is_none_or(|g| *g == found.group)
            && self.namespaced.is_none_or(|n| n == found.namespaced)
            && !found.verbs.is_empty()
            && self.verbs.iter().all(|v| found.supports(v))
            && self.categories.iter().all(|c| found.categories.contains(c))
    }

    fn table(&self, ctx: &mut Context, found: &[Arc<Found>], wide: bool) {
        let mut rows: Vec<Vec<String>> = Vec::new();
        if !self.no_headers {
            let mut head = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
            if wide {
                head.extend(["VERBS", "CATEGORIES"]);
            }
            rows.push(head.into_iter().map(str::to_owned).collect());
        }
        for r in found {
            let mut row = vec![
                r.resource.clone(),
                r.short_names.join(","),
                r.api_version(),
                r.namespaced.to_string(),
                r.kind.clone(),
            ];
            if wide {
                row.extend([r.verbs.join(","), r.categories.join(",")]);
            }
            rows.push(row);
        }
        ctx.out.text(&render(&rows, Align::LastColumnOpen));
    }
}

/// As `metav1.APIResourceList`.
fn listed(found: &[Arc<Found>]) -> serde_json::Value {
    let resources: Vec<_> = found
        .iter()
        .map(|r| {
            let mut one = json!({
                "name": r.resource, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind,
                "version": r.version, "verbs": r.verbs,
            });
            if !r.group.is_empty() {
                one["group"] = json!(r.group);
            }
            if !r.short_names.is_empty() {
                one["shortNames"] = json!(r.short_names);
            }
            if !r.categories.is_empty() {
                one["categories"] = json!(r.categories);
            }
            one
        })
        .collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "", "resources": resources})
}
