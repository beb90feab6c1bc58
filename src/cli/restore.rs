//! `wl restore`: puts a backup in the place of what the API holds.

use std::path::PathBuf;

use super::context::with_causes;
use super::{CliError, CliResult, Context, Exit};
use crate::engine::watch;

/// Put the objects of a backup in the place of those that are there, which are kept aside
///
/// No watch may run. Pods that the backup does not know are left alone and reported.
#[derive(clap::Args)]
pub struct Restore {
    /// The file that `wl backup` wrote
    file: PathBuf,
}

impl Restore {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let (dir, from) = (ctx.state_dir(), ctx.path(&self.file));
        let failed = |e: &watch::WatchError| CliError::message(with_causes(e));
        let restored = watch::restore(&dir, &from).map_err(|e| failed(&e))?;
        ctx.out.line(&format!("Restored {} objects into {}.", restored.objects, dir.display()));
        if let Some(aside) = restored.aside {
            ctx.out.line(&format!("What was there before is in {}.", aside.display()));
        }
        match watch::unknown_pods(&dir).await {
            Ok(unknown) => unknown.iter().for_each(|text| ctx.err.line(text)),
            Err(error) => ctx.warn(&format!("Podman could not be asked for pods that the backup does not know: {}", with_causes(&error))),
        }
        ctx.out.line("The next command that changes something starts the watch, which makes Podman follow.");
        Ok(Exit::Success)
    }
}
