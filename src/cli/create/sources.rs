//! Keys and values of ConfigMaps and Secrets: from literals, files, folders and files of environment variables.
//! Source: k8s.io/kubectl/pkg/util/util.go, k8s.io/kubectl/pkg/cmd/util/env_file.go.

use std::path::Path;

use crate::api::status::quote;
use crate::api::validation::names::env_name;
use crate::cli::print::flags::go_error;
use crate::cli::{CliError, Context};

/// Where the values come from.
#[derive(clap::Args)]
pub struct Sources {
    /// A file whose name becomes the key, `KEY=FILE`, or a directory of such files
    #[arg(long, value_delimiter = ',', value_hint = clap::ValueHint::AnyPath)]
    pub from_file: Vec<String>,
    /// `KEY=VALUE`
    #[arg(long)]
    pub from_literal: Vec<String>,
    /// A file of lines `KEY=VALUE`
    #[arg(long, value_delimiter = ',', value_hint = clap::ValueHint::FilePath)]
    pub from_env_file: Vec<String>,
}

type Pairs = Vec<(String, Vec<u8>)>;

impl Sources {
    pub fn check(&self) -> Result<(), CliError> {
        let others = !self.from_file.is_empty() || !self.from_literal.is_empty();
        if others && !self.from_env_file.is_empty() {
            return Err(CliError::message("from-env-file cannot be combined with from-file or from-literal"));
        }
        Ok(())
    }

    /// The pairs of the literals.
    pub fn literals(&self) -> Result<Pairs, CliError> {
        let one = |text: &String| match text.split_once('=').filter(|(key, _)| !key.is_empty()) {
            Some((key, value)) => Ok((key.to_owned(), value.as_bytes().to_vec())),
            None => Err(CliError::message(format!("invalid literal source {text}, expected key=value"))),
        };
        self.from_literal.iter().map(one).collect()
    }

    /// The pairs of the environment files. `what`: `config` or `secret`, for messages.
    pub fn env_files(&self, ctx: &Context, what: &str) -> Result<Pairs, CliError> {
        let mut pairs = Vec::new();
        for file in &self.from_env_file {
            let path = ctx.path(file);
            let meta = path.metadata().map_err(|e| reading(file, &e))?;
            if meta.is_dir() {
                return Err(CliError::message(format!("env {what} file cannot be a directory")));
            }
            let bytes = std::fs::read(&path).map_err(|e| open(file, &e))?;
            for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
                pairs.extend(env_line(ctx, line, file, number)?);
            }
        }
        Ok(pairs)
    }
}

/// The pairs of files and folders.
pub fn files(ctx: &Context, sources: &[String]) -> Result<Pairs, CliError> {
    let mut pairs = Vec::new();
    for source in sources {
        let (key, file) = file_source(source)?;
        let path = ctx.path(file);
        let meta = path.metadata().map_err(|e| reading(file, &e))?;
        if !meta.is_dir() {
            pairs.push((key.to_owned(), std::fs::read(&path).map_err(|e| open(file, &e))?));
            continue;
        }
        if source.contains('=') {
            return Err(CliError::message("cannot give a key name for a directory path"));
        }
        let listing = |e: std::io::Error| CliError::message(format!("error listing files in {file}: {}", go_error(&e)));
        let mut entries = std::fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(listing)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_type().is_ok_and(|t| t.is_file()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                let shown = Path::new(file).join(&name);
                let bytes = std::fs::read(entry.path()).map_err(|e| open(&shown.to_string_lossy(), &e))?;
                pairs.push((name, bytes));
            }
        }
    }
    Ok(pairs)
}

/// `FILE` or `KEY=FILE`.
fn file_source(source: &str) -> Result<(&str, &str), CliError> {
    match source.split('=').collect::<Vec<_>>()[..] {
        [file] => Ok((file.trim_end_matches('/').rsplit('/').next().unwrap_or(file), file)),
        ["", file] => Err(CliError::message(format!("key name for file path {file} missing"))),
        [key, ""] => Err(CliError::message(format!("file path for key name {key} missing"))),
        [key, file] => Ok((key, file)),
        _ => Err(CliError::message("key names or file paths cannot contain '='")),
    }
}

/// A line of an environment file; a key alone takes its value from the environment.
fn env_line(ctx: &Context, line: &[u8], file: &str, number: usize) -> Result<Option<(String, Vec<u8>)>, CliError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Ok(text) = std::str::from_utf8(line) else {
        let text = format!("env file {file} contains invalid utf8 bytes at line {}", number + 1);
        return Err(CliError::message(text));
    };
    let text = if number == 0 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text }.trim_start();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
    let wrong = env_name(key);
    if !wrong.is_empty() {
        return Err(CliError::message(format!("{} is not a valid key name: {}", quote(key), wrong.join(";"))));
    }
    let value = value.map(str::to_owned).or_else(|| ctx.env.get(key).cloned()).unwrap_or_default();
    Ok(Some((key.to_owned(), value.into_bytes())))
}

fn reading(file: &str, error: &std::io::Error) -> CliError {
    CliError::message(format!("error reading {file}: {}", go_error(error)))
}

fn open(file: &str, error: &std::io::Error) -> CliError {
    CliError::message(format!("open {file}: {}", go_error(error)))
}

/// The suffix of a name with a hash of what it names. Source: k8s.io/kubectl/pkg/util/hash/hash.go.
pub fn name_hash(encoded: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(encoded.as_bytes());
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    // Without vowels no words come out.
    hex.chars()
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            c => c,
        })
        .collect()
}
