//! `wl set selector`. Source: k8s.io/kubectl/pkg/cmd/set/set_selector.go.

use super::{Which, Words};
use crate::api::Json;
use crate::cli::{CliError, CliResult, Context};

const WORDS: Words = Words { done: "selector updated", failed: "", quiet: false };

/// Set the selector of Services: the last argument
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl set selector svc/web app=web,tier=front")]
pub struct Selector {
    #[command(flatten)]
    which: Which,
    /// Only if the object is in this version
    #[arg(long, default_value = "", hide_default_value = true)]
    resource_version: String,
}

impl Selector {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.which.dry_run(ctx)?;
        self.which.teller(ctx, dry_run)?;
        let Some((text, names)) = self.which.args.split_last() else {
            return Err(CliError::message("one selector is required"));
        };
        let selector = crate::cli::create::selector(text)?;
        let mut infos = self.which.find(ctx, names, "", dry_run).await?;
        for info in infos.iter_mut().filter(|_| !self.resource_version.is_empty()) {
            // So that the version stands in the patch.
            if let Some(metadata) = info.object.get_mut("metadata").and_then(Json::as_object_mut) {
                metadata.remove("resourceVersion");
            }
        }
        let labels = selector.get("matchLabels").cloned().unwrap_or_default();
        let expressions = selector.get("matchExpressions").and_then(Json::as_array).is_some_and(|e| !e.is_empty());
        let mut refused = Vec::new();
        infos.retain(|info| {
            let service = info.found.group.is_empty() && info.found.kind == "Service";
            if !service {
                refused.push(CliError::message("setting a selector is only supported for Services"));
            } else if expressions {
                let shown = crate::api::go::display(&selector["matchExpressions"]);
                refused.push(CliError::message(format!("match expression {shown} not supported on this object")));
            }
            service && !expressions
        });
        if let Some(error) = CliError::many(refused) {
            return Err(error);
        }
        self.which
            .change(ctx, &infos, dry_run, &WORDS, |_, tree, _| {
                tree["spec"]["selector"] = labels.clone();
                if !self.resource_version.is_empty() {
                    tree["metadata"]["resourceVersion"] = self.resource_version.as_str().into();
                }
                Ok(())
            })
            .await
    }
}
