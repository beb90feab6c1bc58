//! A folder of manifests and its apply set: what `up` and `down` are about.

use std::path::PathBuf;

use super::input::Files;
use super::prune::{ApplySet, PruneFlags};
use super::{CliError, Context};
use crate::client::Client;

/// The longest name of a set; longer names of folders are cut.
const LONGEST: usize = 63;

/// Which folder.
#[derive(clap::Args, Clone, Debug)]
pub struct Project {
    /// The folder with the manifests
    #[arg(default_value = ".", value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: String,
    /// The name of its apply set; the folder's own if not given
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// With all folders below it
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Project {
    /// The folder, whatever way leads to it.
    pub fn folder(&self, ctx: &Context) -> Result<PathBuf, CliError> {
        let path = ctx.path(&self.dir);
        let fail = |e: std::io::Error| CliError::message(format!("{}: {e}", self.dir));
        let path = path.canonicalize().map_err(fail)?;
        if path.is_dir() { Ok(path) } else { Err(CliError::message(format!("{} is no folder", self.dir))) }
    }

    pub fn files(&self) -> Files {
        Files { filename: vec![self.dir.clone()], recursive: self.recursive, ..Files::default() }
    }

    /// The set's name: what was asked for, or what the folder's name becomes as a name of the API.
    pub fn set_name(&self, ctx: &Context) -> Result<String, CliError> {
        if !self.name.is_empty() {
            return Ok(self.name.clone());
        }
        let folder = self.folder(ctx)?;
        let name = folder.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
        let name: String = name.chars().map(plain).take(LONGEST).collect();
        let name = name.trim_matches(['-', '.']).to_owned();
        if name.is_empty() {
            return Err(CliError::message(format!("{} gives no name for an apply set: choose one with --name", folder.display())));
        }
        Ok(name)
    }

    /// Pruning by this folder's set.
    pub fn prune(&self, ctx: &Context) -> Result<PruneFlags, CliError> {
        Ok(PruneFlags {
            prune: true,
            applyset: self.set_name(ctx)?,
            folder: Some(self.folder(ctx)?.display().to_string()),
            ..PruneFlags::default()
        })
    }

    /// The set as the server knows it.
    pub async fn set(&self, ctx: &Context, client: &Client) -> Result<ApplySet, CliError> {
        let discovery = client.discovery().await?;
        let mut set = ApplySet::open(client, &discovery, &self.set_name(ctx)?, ctx.namespace()).await?;
        set.claim(&self.folder(ctx)?.display().to_string())?;
        Ok(set)
    }
}
