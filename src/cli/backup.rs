//! `wl backup`: writes a consistent copy of everything that the API holds into one file.

use std::path::PathBuf;

use super::context::with_causes;
use super::{CliError, CliResult, Context, Exit};
use crate::engine::watch;

/// Write a copy of all objects into a file, Secrets included
///
/// It may be made while a watch runs. `wl restore` reads it. What is in volumes is not in it.
#[derive(clap::Args)]
pub struct Backup {
    /// The file to write; only you can read it
    file: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let (dir, to) = (ctx.state_dir(), ctx.path(&self.file));
        watch::backup(&dir, &to, self.force).map_err(|e| CliError::message(with_causes(&e)))?;
        ctx.out.line(&format!("Wrote {}. It holds all objects, Secrets included.", to.display()));
        Ok(Exit::Success)
    }
}
