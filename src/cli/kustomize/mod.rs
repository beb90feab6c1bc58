//! Kustomizations: the objects of a folder, changed as its `kustomization.yaml` says. Plain local ones: what needs programs,
//! the network or another object's fields is refused, with the way to do it.
//! Source: sigs.k8s.io/kustomize/api (internal/target, internal/builtins, internal/konfig/builtinpluginconsts).

mod fields;
mod file;
mod generate;
mod images;
mod labels;
mod names;
mod order;
mod patch;

use std::path::{Path, PathBuf};

use super::{CliError, CliResult, Context, Exit};
use crate::api::{Json, Object};
use crate::manifest;
use file::Kustomization;

/// Folders in folders deeper than this are a loop.
const DEEPEST: usize = 32;

/// Print the objects of a kustomization
#[derive(clap::Args)]
pub struct Kustomize {
    /// The folder with kustomization.yaml
    #[arg(default_value = ".", value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: String,
}

impl Kustomize {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let objects = build(ctx, &self.dir)?;
        let texts: Vec<String> = objects.iter().map(super::print::yaml::to_yaml).collect();
        ctx.out.text(&texts.join("---\n"));
        Ok(Exit::Success)
    }
}

/// An object on its way, and what it was called before.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub tree: Json,
    /// Namespaces and names it had, the first one first.
    pub before: Vec<(String, String)>,
    /// Whether its name is to end in a hash of what is in it.
    pub hash: bool,
}

impl Resource {
    fn new(tree: Json) -> Self {
        Resource { tree, before: Vec::new(), hash: false }
    }

    fn text(&self, pointer: &str) -> &str {
        self.tree.pointer(pointer).and_then(Json::as_str).unwrap_or("")
    }

    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    pub fn object(&self) -> Object {
        Object::new(self.tree.clone())
    }

    /// Keeps what it is called now, before that changes.
    pub fn remember(&mut self) {
        let now = (self.namespace().to_owned(), self.name().to_owned());
        if self.before.last() != Some(&now) {
            self.before.push(now);
        }
    }

    /// Whether it is, or once was, called so.
    pub fn was_called(&self, name: &str) -> bool {
        self.name() == name || self.before.iter().any(|(_, before)| before == name)
    }

    /// What it was called in its file.
    pub fn first_name(&self) -> &str {
        self.before.first().map_or(self.name(), |(_, name)| name)
    }

    pub fn first_namespace(&self) -> &str {
        self.before.first().map_or(self.namespace(), |(namespace, _)| namespace)
    }
}

/// The objects of the kustomization in a folder, in the order in which they can be made.
pub fn build(ctx: &mut Context, dir: &str) -> Result<Vec<Json>, CliError> {
    let path = ctx.path(dir);
    let root = path.canonicalize().map_err(|e| {
        let why = super::print::flags::go_error(&e);
        CliError::message(format!(
            "must build at directory: not a valid directory: evalsymlink failure on '{dir}' : lstat {}: {why}",
            path.display()
        ))
    })?;
    if !root.is_dir() {
        return Err(CliError::message(format!("must build at directory: '{dir}': file is not directory")));
    }
    let mut resources = folder(ctx, &root, 0)?;
    for resource in resources.iter_mut().filter(|r| r.hash) {
        let hash = generate::hash(&resource.tree);
        resource.remember();
        let name = format!("{}-{hash}", resource.name());
        resource.tree["metadata"]["name"] = name.into();
    }
    names::follow(&mut resources);
    resources.retain(|r| r.text("/metadata/annotations/config.kubernetes.io~1local-config") != "true");
    order::sort(&mut resources);
    Ok(resources.into_iter().map(|r| r.tree).collect())
}

/// The resources of a folder after its own changes, names not yet followed.
fn folder(ctx: &mut Context, root: &Path, depth: usize) -> Result<Vec<Resource>, CliError> {
    if depth > DEEPEST {
        return Err(CliError::message(format!("{}: kustomizations in kustomizations without end", root.display())));
    }
    let kustomization = Kustomization::read(ctx, root)?;
    let mut resources: Vec<Resource> = Vec::new();
    for path in &kustomization.resources {
        for resource in load(ctx, root, path, depth)? {
            let same = |r: &Resource| is_same(r, &resource);
            if resources.iter().any(same) {
                let (kind, name) = (resource.object().kind().to_owned(), resource.name());
                return Err(CliError::message(format!(
                    "accumulating resources: may not add resource with an already registered id: {kind} {name}"
                )));
            }
            resources.push(resource);
        }
    }
    generate::add(root, &kustomization, &mut resources)?;
    for text in &kustomization.strategic {
        patch::strategic_of_text(root, text, &mut resources)?;
    }
    for entry in &kustomization.patches {
        patch::apply(root, entry, &mut resources)?;
    }
    if !kustomization.namespace.is_empty() {
        fields::set_namespace(&mut resources, &kustomization.namespace)?;
    }
    fields::rename(&mut resources, &kustomization.prefix, &kustomization.suffix);
    for label in &kustomization.labels {
        labels::add(&mut resources, label);
    }
    labels::annotate(&mut resources, &kustomization.annotations);
    for entry in &kustomization.json_patches {
        patch::apply(root, entry, &mut resources)?;
    }
    for replica in &kustomization.replicas {
        fields::set_replicas(&mut resources, replica)?;
    }
    for image in &kustomization.images {
        images::set(&mut resources, image);
    }
    Ok(resources)
}

fn is_same(a: &Resource, b: &Resource) -> bool {
    let (x, y) = (a.object(), b.object());
    x.gvk() == y.gvk() && a.name() == b.name() && a.namespace() == b.namespace()
}

/// The resources of a file, or of a folder with a kustomization of its own.
fn load(ctx: &mut Context, root: &Path, path: &str, depth: usize) -> Result<Vec<Resource>, CliError> {
    if path.contains("://") || path.starts_with("github.com/") || path.contains("?ref=") {
        return Err(unsupported(&format!("the remote resource '{path}'")));
    }
    let full: PathBuf = root.join(path);
    if full.is_dir() {
        let full = full.canonicalize().map_err(|e| CliError::message(format!("{}: {e}", full.display())))?;
        return folder(ctx, &full, depth + 1);
    }
    let fail = |why: String| CliError::message(format!("accumulating resources: accumulating resources from '{path}': {why}"));
    let bytes = std::fs::read(&full)
        .map_err(|e| fail(format!("open {}: {}", full.display(), super::print::flags::go_error(&e))))?;
    let parsed = manifest::parse(path, &bytes);
    if let Some(problem) = parsed.problems.first() {
        return Err(fail(problem.to_string()));
    }
    Ok(parsed.documents.iter().map(|document| Resource::new(document.json())).collect())
}

/// What these kustomizations cannot do.
pub(super) fn unsupported(what: &str) -> CliError {
    CliError::message(format!("{what} is more than wl builds: run 'kustomize build DIR' and give its output to -f -"))
}
