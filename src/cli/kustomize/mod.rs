//! Kustomizations: the objects of a folder, changed as its `kustomization.yaml` says. Plain local ones: what needs programs
//! or the network is refused, with the way to do it.
//! Source: sigs.k8s.io/kustomize/api (internal/target, internal/builtins, internal/konfig/builtinpluginconsts).

mod fields;
mod file;
mod generate;
mod images;
mod labels;
mod names;
mod order;
mod patch;
mod replace;

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
    let mut resources = Vec::new();
    let keeps_order = folder(ctx, &root, 0, Part::Whole, &mut resources)?.keeps_order;
    for resource in resources.iter_mut().filter(|r| r.hash) {
        let hash = generate::hash(&resource.tree);
        resource.remember();
        let name = format!("{}-{hash}", resource.name());
        resource.tree["metadata"]["name"] = name.into();
    }
    names::follow(&mut resources);
    resources.retain(|r| r.text("/metadata/annotations/config.kubernetes.io~1local-config") != "true");
    if !keeps_order {
        order::sort(&mut resources);
    }
    Ok(resources.into_iter().map(|r| r.tree).collect())
}

/// What a folder is to another one that names it.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Whole,
    /// It goes on with what is there already.
    Component,
}

/// Adds the resources of a folder, and changes all as it says; names are not yet followed.
fn folder(ctx: &mut Context, root: &Path, depth: usize, part: Part, resources: &mut Vec<Resource>) -> Result<Kustomization, CliError> {
    if depth > DEEPEST {
        return Err(CliError::message(format!("{}: kustomizations in kustomizations without end", root.display())));
    }
    let kustomization = Kustomization::read(ctx, root)?;
    match (part, kustomization.is_component) {
        (Part::Whole, true) if depth > 0 => {
            return Err(CliError::message(format!("expected kind != 'Component' for path '{}'", root.display())));
        }
        (Part::Component, false) => {
            let why = format!("expected kind 'Component' for path '{}' but got 'Kustomization'", root.display());
            return Err(CliError::message(format!("accumulating components: accumulateDirectory: \"{why}\"")));
        }
        _ => {}
    }
    for path in &kustomization.resources {
        for resource in load(ctx, root, path, depth)? {
            let same = |r: &Resource| is_same(r, &resource);
            if resources.iter().any(same) {
                let why = format!("may not add resource with an already registered id: {}", patch::id_of(&resource.object()));
                let file = cleaned(&root.join(path));
                let no_folder = format!("must build at directory: '{}': file is not directory", file.display());
                return Err(neither(&format!("merging resources from '{path}': {why}"), &no_folder));
            }
            resources.push(resource);
        }
    }
    for path in &kustomization.components {
        let full = root.join(path).canonicalize();
        let full = full.map_err(|e| CliError::message(format!("accumulating components: {path}: {}", super::print::flags::go_error(&e))))?;
        folder(ctx, &full, depth + 1, Part::Component, resources)?;
    }
    generate::add(root, &kustomization, resources)?;
    for text in &kustomization.strategic {
        patch::strategic_of_text(root, text, resources)?;
    }
    for entry in &kustomization.patches {
        patch::apply(root, entry, resources)?;
    }
    if !kustomization.namespace.is_empty() {
        fields::set_namespace(resources, &kustomization.namespace)?;
    }
    fields::rename(resources, &kustomization.prefix, &kustomization.suffix);
    for label in &kustomization.labels {
        labels::add(resources, label);
    }
    labels::annotate(resources, &kustomization.annotations);
    for entry in &kustomization.json_patches {
        patch::apply(root, entry, resources)?;
    }
    for replica in &kustomization.replicas {
        fields::set_replicas(resources, replica)?;
    }
    for image in &kustomization.images {
        images::set(resources, image);
    }
    replace::apply(root, &kustomization.replacements, resources)?;
    Ok(kustomization)
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
        let mut below = Vec::new();
        let added = folder(ctx, &full, depth + 1, Part::Whole, &mut below);
        return match added {
            Ok(_) => Ok(below),
            Err(CliError::Message(why)) => {
                let no_file = format!("accumulating resources from '{path}': '{}' must resolve to a file", full.display());
                Err(neither(&no_file, &why))
            }
            Err(other) => Err(other),
        };
    }
    let fail = |why: String| CliError::message(format!("accumulating resources: accumulating resources from '{path}': {why}"));
    let bytes = std::fs::read(&full).map_err(|e| {
        let full = cleaned(&full);
        let why = format!("evalsymlink failure on '{0}' : lstat {0}: {1}", full.display(), super::print::flags::go_error(&e));
        let no_folder = format!("must build at directory: not a valid directory: {why}");
        neither(&format!("accumulating resources from '{path}': {why}"), &no_folder)
    })?;
    let parsed = manifest::parse(path, &bytes);
    if let Some(problem) = parsed.problems.first() {
        return Err(fail(problem.to_string()));
    }
    Ok(parsed.documents.iter().map(|document| Resource::new(document.json())).collect())
}

/// What is wrong with an entry of `resources` as a file, and as a folder.
/// Source: `accumulateResources` in sigs.k8s.io/kustomize/api/internal/target/kusttarget.go.
fn neither(as_file: &str, as_folder: &str) -> CliError {
    CliError::message(format!("accumulating resources: accumulation err='{as_file}': {as_folder}"))
}

/// A path without `.` and `..`, as Go's `filepath.Join` makes it.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

/// What these kustomizations cannot do.
pub(super) fn unsupported(what: &str) -> CliError {
    CliError::message(format!("{what} is more than wl builds: run 'kustomize build DIR' and give its output to -f -"))
}
