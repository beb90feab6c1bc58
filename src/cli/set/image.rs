//! `wl set image`. Source: k8s.io/kubectl/pkg/cmd/set/set_image.go.

use super::containers::{pod_spec, select};
use super::{Which, Words};
use crate::api::status::quote;
use crate::cli::change::{DryRun, pairs};
use crate::cli::{CliError, CliResult, Context};

const WORDS: Words =
    Words { done: "image updated", failed: "failed to patch image update to pod template:", quiet: true };

/// Set the images of containers: CONTAINER=IMAGE, or *=IMAGE
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl set image deploy/web nginx=nginx:1.27")]
pub struct Image {
    #[command(flatten)]
    which: Which,
    /// Only objects with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
}

impl Image {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.which.dry_run(ctx)?;
        self.which.teller(ctx, dry_run)?;
        let (names, words) = pairs::split(&self.which.args, "image")?;
        let images = pairs::parse(&words, "image", false)?.set;
        let infos = self.which.find(ctx, &names, &self.selector, dry_run).await?;
        let mut wrong = Vec::new();
        if self.which.all && !self.selector.is_empty() {
            wrong.push(CliError::message("cannot set --all and --selector at the same time"));
        }
        if images.is_empty() {
            wrong.push(CliError::message("at least one image update is required"));
        } else if images.len() > 1 && images.contains_key("*") {
            wrong.push(CliError::message(
                "all containers are already specified by *, but saw more than one container_name=container_image pairs",
            ));
        }
        if self.which.local && dry_run == DryRun::Server {
            wrong.push(CliError::message("cannot specify --local and --dry-run=server - did you mean --dry-run=client?"));
        }
        if let Some(error) = CliError::many(wrong) {
            return Err(error);
        }
        self.which
            .change(ctx, &infos, dry_run, &WORDS, |info, tree, errors| {
                let spec = pod_spec(info, tree)?;
                for (name, image) in &images {
                    // Only a star alone stands for any container here.
                    let mut containers = select(spec, name);
                    containers.retain(|c| name == "*" || c["name"].as_str() == Some(name));
                    if containers.is_empty() {
                        errors.push(CliError::message(format!("error: unable to find container named {}", quote(name))));
                    }
                    for container in &mut containers {
                        container["image"] = image.as_str().into();
                    }
                }
                Ok(())
            })
            .await
    }
}
