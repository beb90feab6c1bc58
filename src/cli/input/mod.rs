//! Manifests as commands get them: `-f` with files, folders, URLs and standard input.

mod fetch;
mod target;

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{CliError, Context};
use crate::manifest::{self, Document, Problem};

pub use target::{Target, Unresolved, resolve};

/// `-f` and what belongs to it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Files {
    /// A file, a folder, a URL, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub filename: Vec<String>,
    /// Folders with all the folders in them
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Manifests {
    pub documents: Vec<Document>,
    pub problems: Vec<Problem>,
}

impl Files {
    pub fn is_empty(&self) -> bool {
        self.filename.is_empty()
    }

    /// Reads all of them. `Err` where something cannot be read at all; what is wrong inside is in `problems`.
    pub async fn read(&self, ctx: &mut Context) -> Result<Manifests, CliError> {
        let mut read = Manifests::default();
        for name in self.filename.iter().flat_map(|f| f.split(',')) {
            if name == "-" {
                let mut bytes = Vec::new();
                let limit = manifest::MAX_BYTES as u64 + 1;
                (&mut ctx.stdin).take(limit).read_to_end(&mut bytes).map_err(|e| CliError::message(format!("STDIN: {e}")))?;
                add(&mut read, "STDIN", &bytes);
            } else if name.starts_with("http://") || name.starts_with("https://") {
                let bytes = fetch::fetch(name).await?;
                add(&mut read, name, &bytes);
            } else {
                for path in self.files(&ctx.path(name), name)? {
                    let shown = shown(&path, &ctx.cwd);
                    let bytes = std::fs::read(&path).map_err(|e| cannot_read(&shown, &e))?;
                    add(&mut read, &shown, &bytes);
                }
            }
        }
        Ok(read)
    }

    /// The files that a path stands for: itself, or a folder's manifests in order of name.
    /// Source: k8s.io/cli-runtime/pkg/resource/visitor.go, `ExpandPathsToFileVisitors`.
    fn files(&self, path: &Path, name: &str) -> Result<Vec<PathBuf>, CliError> {
        let about = std::fs::metadata(path).map_err(|e| cannot_read(name, &e))?;
        if !about.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let mut found = Vec::new();
        self.walk(path, name, &mut found)?;
        Ok(found)
    }

    fn walk(&self, folder: &Path, name: &str, found: &mut Vec<PathBuf>) -> Result<(), CliError> {
        let entries = std::fs::read_dir(folder).map_err(|e| cannot_read(name, &e))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            // A folder is entered, a link to one is not: links could lead in circles.
            let about = std::fs::symlink_metadata(&path).map_err(|e| cannot_read(name, &e))?;
            if about.is_dir() {
                if self.recursive {
                    self.walk(&path, name, found)?;
                }
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json") {
                found.push(path);
            }
        }
        Ok(())
    }
}

fn add(read: &mut Manifests, name: &str, bytes: &[u8]) {
    let parsed = manifest::parse(name, bytes);
    read.documents.extend(parsed.documents);
    read.problems.extend(parsed.problems);
}

fn shown(path: &Path, cwd: &Path) -> String {
    path.strip_prefix(cwd).unwrap_or(path).display().to_string()
}

fn cannot_read(name: &str, error: &std::io::Error) -> CliError {
    match error.kind() {
        std::io::ErrorKind::NotFound => CliError::message(format!("the path {:?} does not exist", name)),
        _ => CliError::message(format!("the path {name:?} cannot be accessed: {error}")),
    }
}
