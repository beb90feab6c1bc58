//! `wl up`: applies a folder as one set, builds its images where asked to, and shows its logs.

mod build;
mod follow;

use std::time::Duration;

use super::apply::Apply;
use super::project::Project;
use super::wait::Style;
use super::{CliResult, Context, Exit};
use crate::engine::watch::WatchFlags;

/// Apply a folder: what it held before and no longer holds is deleted; then print all logs until Ctrl-C
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl up\n  wl up k8s/ --build -d")]
pub struct Up {
    #[command(flatten)]
    project: Project,
    /// Apply and wait, print no logs
    #[arg(short, long)]
    detach: bool,
    /// Build the images whose Containerfiles stand in the folder: NAME/Containerfile for an image NAME
    #[arg(long)]
    build: bool,
    /// Delete and make again what cannot be changed in place
    #[arg(long)]
    replace: bool,
    /// How long to wait at most until all has settled (0: for ever)
    #[arg(long, default_value = "15m", value_parser = super::flags::timeout)]
    timeout: Duration,
    /// How to tell progress
    #[arg(long, value_enum, default_value_t)]
    progress: Style,
    #[command(flatten)]
    watch: WatchFlags,
}

impl Up {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let folder = self.project.folder(ctx)?;
        let images = build::images(ctx, &folder, &self.project.files(), self.build).await?;
        let prune = self.project.prune(ctx)?;
        let apply = Apply::of_folder(self.project.files(), prune, images)
            .with(self.replace, self.timeout, self.progress, self.watch.clone());
        let exit = apply.run(ctx).await?;
        if exit != Exit::Success || self.detach {
            return Ok(exit);
        }
        let client = ctx.client().await?;
        let set = self.project.set(ctx, &client).await?;
        follow::follow(ctx, &client, &set).await?;
        Ok(Exit::Success)
    }
}
