//! `-f`: files, folders, URLs of this machine, standard input; read, parsed and placed.
//! Source: k8s.io/cli-runtime/pkg/resource/builder.go, visitor.go.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::print::flags::go_error;
use super::{CliError, Context};
use crate::api::{Object, status::quote};
use crate::client::{Discovery, Found};
use crate::client::url;
use crate::manifest;

/// Which files.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Files {
    /// File, directory, URL or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub filename: Vec<String>,
    /// Directory with a kustomization
    #[arg(short = 'k', long, default_value = "", hide_default_value = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub kustomize: String,
    /// Directories with all that is below them
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// An object of an input.
#[derive(Clone, Debug)]
pub struct Item {
    pub object: Object,
    /// The file as the user named it, or `STDIN`.
    pub source: String,
}

/// The bytes of one input.
#[derive(Debug)]
pub struct Input {
    pub source: String,
    pub bytes: Vec<u8>,
}

impl Files {
    pub fn is_empty(&self) -> bool {
        self.filename.is_empty() && self.kustomize.is_empty()
    }

    /// The names, with commas taken apart as pflag's string slices do.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.filename.iter().flat_map(|f| f.split(','))
    }

    /// Whether every path is there.
    pub fn check(&self, ctx: &Context) -> Result<(), CliError> {
        if !self.kustomize.is_empty() && !self.filename.is_empty() {
            return Err(CliError::message("only one of -f or -k can be specified"));
        }
        for name in self.names().filter(|n| !url::is_url(n) && *n != "-") {
            if !ctx.path(name).exists() {
                return Err(CliError::message(format!("the path {} does not exist", quote(name))));
            }
        }
        Ok(())
    }

    /// The bytes of every input, in order; folders in the order of their names.
    pub async fn read(&self, ctx: &mut Context) -> Result<Vec<Input>, CliError> {
        self.check(ctx)?;
        let mut inputs = Vec::new();
        if !self.kustomize.is_empty() {
            let objects = super::kustomize::build(ctx, &self.kustomize)?;
            let texts: Vec<String> = objects.iter().map(super::print::yaml::to_yaml).collect();
            inputs.push(Input { source: self.kustomize.clone(), bytes: texts.join("---\n").into_bytes() });
        }
        for name in self.names().map(str::to_owned).collect::<Vec<_>>() {
            if name == "-" {
                inputs.push(Input { source: "STDIN".into(), bytes: read_stdin(ctx)? });
            } else if url::is_url(&name) {
                inputs.push(Input { bytes: url::get(&name).await.map_err(|e| CliError::message(e.to_string()))?, source: name });
            } else {
                self.read_path(ctx, &name, &mut inputs)?;
            }
        }
        Ok(inputs)
    }

    fn read_path(&self, ctx: &Context, name: &str, inputs: &mut Vec<Input>) -> Result<(), CliError> {
        let path = ctx.path(name);
        if !path.is_dir() {
            inputs.push(Input { source: name.into(), bytes: read_file(&path, name)? });
            return Ok(());
        }
        let mut files = Vec::new();
        walk(&path, Path::new(name), self.recursive, 0, &mut files)?;
        if files.is_empty() {
            return Err(CliError::message(format!(
                "error reading [{name}]: recognized file extensions are [.json .yaml .yml]"
            )));
        }
        for (path, shown) in files {
            let shown = shown.to_string_lossy().into_owned();
            inputs.push(Input { bytes: read_file(&path, &shown)?, source: shown });
        }
        Ok(())
    }

    /// The objects of every input. A document that cannot be read is an error, told as kubectl tells it.
    pub async fn objects(&self, ctx: &mut Context) -> Result<Vec<Item>, CliError> {
        let mut items = Vec::new();
        for input in self.read(ctx).await? {
            let parsed = manifest::parse(&input.source, &input.bytes);
            if let Some(problem) = parsed.problems.first() {
                if validates(ctx) && problem.message() == manifest::NO_MAP {
                    return Err(invalid(&input.source, "invalid object to validate"));
                }
                return Err(CliError::message(format!("error parsing {}: {}", input.source, in_goyamls_words(problem))));
            }
            items.extend(parsed.documents.into_iter().map(|document| Item {
                object: document.object(),
                source: input.source.clone(),
            }));
        }
        Ok(items)
    }
}

/// Whether kubectl looks at objects of files itself before this command sends them.
fn validates(ctx: &Context) -> bool {
    matches!(ctx.command_path.as_str(), "wl apply" | "wl create" | "wl replace")
}

/// Source: k8s.io/kubectl/pkg/validation/schema.go, k8s.io/cli-runtime/pkg/resource/visitor.go.
fn invalid(source: &str, why: &str) -> CliError {
    CliError::message(format!(
        "error validating {}: error validating data: {why}; if you choose to ignore these errors, turn validation off with \
         --validate=false",
        quote(source)
    ))
}

/// An object that does not say what it is.
fn nameless(ctx: &Context, item: &Item) -> Option<CliError> {
    let gvk = item.object.gvk();
    let missing = [("apiVersion", gvk.api_version().is_empty()), ("kind", gvk.kind.is_empty())];
    let missing: Vec<String> = missing.iter().filter(|(_, is)| *is).map(|(field, _)| format!("{field} not set")).collect();
    match missing.as_slice() {
        [] => None,
        [one] if validates(ctx) => Some(invalid(&item.source, one)),
        all if validates(ctx) => Some(invalid(&item.source, &format!("[{}]", all.join(", ")))),
        _ if gvk.kind.is_empty() => {
            let object = crate::api::go::json::compact(item.object.json());
            Some(CliError::message(format!("unable to decode {}: Object 'Kind' is missing in '{object}'", quote(&item.source))))
        }
        _ => None,
    }
}

/// What is wrong with a document, where it is no YAML as sigs.k8s.io/yaml says it.
fn in_goyamls_words(problem: &manifest::Problem) -> String {
    let place = problem.place();
    let line = place.rsplit(':').nth(1).filter(|line| line.bytes().all(|b| b.is_ascii_digit()));
    match (problem.message().strip_prefix("this is no YAML: "), line) {
        (Some(why), Some(line)) => format!("error converting YAML to JSON: yaml: line {line}: {why}"),
        _ => problem.to_string(),
    }
}

/// The resource and namespace of an object of a file.
pub fn place(ctx: &Context, discovery: &Discovery, item: &Item) -> Result<(Arc<Found>, String), CliError> {
    if let Some(error) = nameless(ctx, item) {
        return Err(error);
    }
    let gvk = item.object.gvk();
    let (name, source) = (item.object.name(), &item.source);
    let Some(found) = discovery.of_gvk(&gvk) else {
        let text = format!(
            "resource mapping not found for name: {} namespace: {} from {}: no matches for kind {} in version {}\nensure \
             CRDs are installed first",
            quote(name),
            quote(item.object.namespace()),
            quote(source),
            quote(&gvk.kind),
            quote(&gvk.api_version())
        );
        return Err(CliError::Message(text));
    };
    if !found.namespaced {
        return Ok((found.clone(), String::new()));
    }
    let own = item.object.namespace();
    if let Some(asked) = ctx.flags.namespace.as_deref().filter(|asked| !own.is_empty() && *asked != own) {
        return Err(CliError::message(format!(
            "the namespace from the provided object {} does not match the namespace {}. You must pass '--namespace={own}' \
             to perform this operation.",
            quote(own),
            quote(asked)
        )));
    }
    let namespace = if own.is_empty() { ctx.namespace() } else { own };
    Ok((found.clone(), namespace.to_owned()))
}

fn read_stdin(ctx: &mut Context) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let limit = manifest::MAX_BYTES as u64 + 1;
    let read = ctx.stdin.by_ref().take(limit).read_to_end(&mut bytes);
    read.map_err(|e| CliError::message(format!("reading standard input: {}", go_error(&e))))?;
    Ok(bytes)
}

fn read_file(path: &Path, shown: &str) -> Result<Vec<u8>, CliError> {
    let fail = |e: std::io::Error| CliError::message(format!("open {shown}: {}", go_error(&e)));
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(manifest::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Folders deeper than this are a loop or a mistake.
const DEEPEST: usize = 64;

/// The manifests of a folder, in the order of their names, as `filepath.Walk`.
fn walk(
    dir: &Path,
    shown: &Path,
    recursive: bool,
    depth: usize,
    files: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), CliError> {
    let fail = |e: std::io::Error| CliError::message(format!("open {}: {}", shown.display(), go_error(&e)));
    let mut entries: Vec<_> = std::fs::read_dir(dir).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, shown) = (entry.path(), shown.join(entry.file_name()));
        if path.is_dir() {
            if recursive && depth < DEEPEST {
                walk(&path, &shown, true, depth + 1, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "json" || e == "yaml" || e == "yml") {
            files.push((path, shown));
        }
    }
    Ok(())
}
