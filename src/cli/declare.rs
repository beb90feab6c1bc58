//! What `apply`, `plan` and `lint` share: the objects of the files, and diagnostics that point into them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::input::Files;
use super::{CliError, Context, Exit, diagnose};
use crate::api::Json;
use crate::api::status::quote;
use crate::client::{Discovery, Found};
use crate::manifest::{self, Document, Problem};

/// So many problems are shown; of more, the number is told.
const MOST_PROBLEMS: usize = 50;

/// A document and where it goes.
#[derive(Clone, Debug)]
pub struct Target {
    pub document: Document,
    pub found: Arc<Found>,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
    /// The object, its namespace filled in.
    pub tree: Json,
}

impl Target {
    /// `deployment.apps/web`, as kubectl names what it did something to.
    pub fn label(&self) -> String {
        format!("{}/{}", self.found.singular_qualified(), self.name)
    }

    pub fn path(&self) -> String {
        self.found.path(&self.namespace, &self.name)
    }
}

/// How unknown fields and duplicate keys are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validate {
    #[default]
    Strict,
    Warn,
    Ignore,
}

impl Validate {
    /// kubectl's spellings. Source: k8s.io/kubectl/pkg/cmd/util/helpers.go, `GetValidationDirective`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "strict" | "true" => Ok(Validate::Strict),
            "warn" => Ok(Validate::Warn),
            "ignore" | "false" => Ok(Validate::Ignore),
            _ => Err(format!("invalid - validate option {}; must be one of: strict (or true), warn, ignore (or false)", quote(text))),
        }
    }

    /// The value of the query parameter `fieldValidation`.
    pub fn parameter(self) -> &'static str {
        match self {
            Validate::Strict => "Strict",
            Validate::Warn => "Warn",
            Validate::Ignore => "Ignore",
        }
    }
}

/// The documents of the files, with what is wrong in them.
pub async fn documents(ctx: &mut Context, files: &Files, validate: Validate) -> Result<(Vec<Document>, Vec<Problem>), CliError> {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for input in files.read(ctx).await? {
        let parsed = manifest::parse(&input.source, &input.bytes);
        problems.extend(parsed.problems);
        for document in parsed.documents {
            match validate {
                Validate::Strict => problems.extend(document.strict.iter().cloned()),
                Validate::Warn => document.strict.iter().for_each(|p| ctx.warn(&format!("{}: {p}", p.place()))),
                Validate::Ignore => {}
            }
            documents.push(document);
        }
    }
    Ok((documents, problems))
}

/// Finds the resource of a document. `asked`: the namespace that `-n` names, if it was given.
pub fn resolve(document: &Document, discovery: &Discovery, asked: Option<&str>) -> Result<Target, Problem> {
    let mut tree = document.json();
    let text = |pointer: &str| tree.pointer(pointer).and_then(Json::as_str).unwrap_or("").to_owned();
    let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    for (field, value) in [("apiVersion", &version), ("kind", &kind)] {
        if value.is_empty() {
            return Err(document.problem_at(field, format!("{field} not set"), "in this object"));
        }
    }
    let Some(found) = discovery.of_gvk(&document.gvk()).cloned() else {
        return Err(unknown_kind(document, discovery, &kind, &version));
    };
    if name.is_empty() {
        let generated = !text("/metadata/generateName").is_empty();
        let message = if generated { "generateName cannot be applied: the object needs a name of its own" } else { "metadata.name is missing" };
        return Err(document.problem_at("metadata", message, "in this object"));
    }
    let own = text("/metadata/namespace");
    let namespace = match (found.namespaced, own.as_str(), asked) {
        (false, ..) => String::new(),
        (true, "", asked) => asked.unwrap_or("default").to_owned(),
        (true, own, Some(asked)) if own != asked => {
            let message = format!(
                "the namespace from the provided object {} does not match the namespace {}",
                quote(own),
                quote(asked)
            );
            let problem = document.problem_at("metadata.namespace", message, "this namespace");
            return Err(problem.help(format!("pass --namespace={own}, or take the namespace out of the file")));
        }
        (true, own, _) => own.to_owned(),
    };
    if found.namespaced {
        tree["metadata"]["namespace"] = Json::from(namespace.clone());
    }
    Ok(Target { document: document.clone(), found, namespace, name, tree })
}

fn unknown_kind(document: &Document, discovery: &Discovery, kind: &str, version: &str) -> Problem {
    let message = format!("no matches for kind {} in version {}", quote(kind), quote(version));
    let same: Vec<String> =
        discovery.resources.iter().filter(|r| r.kind.eq_ignore_ascii_case(kind)).map(|r| r.api_version()).collect();
    if same.is_empty() {
        let problem = document.problem_at("kind", message, "unknown here");
        return problem.help("a kind of your own needs its CustomResourceDefinition first");
    }
    let problem = document.problem_at("apiVersion", message, "not this version");
    problem.help(format!("write apiVersion: {}", same.join(" or ")))
}

/// All documents as targets, Namespaces and definitions first; or all that is wrong.
pub fn targets(
    ctx: &mut Context,
    discovery: &Discovery,
    documents: &[Document],
    validate: Validate,
    problems: &mut Vec<Problem>,
) -> Vec<Target> {
    let asked = ctx.flags.namespace.clone().filter(|n| !n.is_empty());
    let mut targets = Vec::new();
    let mut seen = BTreeSet::new();
    for document in documents {
        match resolve(document, discovery, asked.as_deref()) {
            Ok(target) if !seen.insert((target.found.qualified(), target.namespace.clone(), target.name.clone())) => {
                let message = format!("{} is in the files twice", target.label());
                problems.push(document.problem_at("metadata.name", message, "again here"));
            }
            Ok(mut target) => {
                // What has fields that no type has is judged without them, so that all else is told too.
                if decode(ctx, &mut target, validate, problems) {
                    targets.push(target);
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    let late = |target: &Target| !matches!(target.found.kind.as_str(), "Namespace" | "CustomResourceDefinition");
    targets.sort_by_key(late);
    targets
}

/// Reads a target as its kind before anything is sent, and tells what is wrong at its place; answers whether it fits. Fields
/// that no type has are left out: server-side apply refuses them whatever `fieldValidation` says.
fn decode(ctx: &mut Context, target: &mut Target, validate: Validate, problems: &mut Vec<Problem>) -> bool {
    let (decoded, faults) = diagnose::decode(&target.document, &target.found.gvk(), target.tree.clone());
    let fits = faults.is_empty();
    problems.extend(faults);
    match validate {
        Validate::Strict => problems.extend(diagnose::strict(&target.document, &decoded.strict)),
        Validate::Warn => ctx.warn_all(&decoded.strict),
        Validate::Ignore => {}
    }
    for path in decoded.strict.iter().filter_map(|text| diagnose::unknown_path(text)) {
        remove(&mut target.tree, path);
    }
    fits
}

/// Takes the field at a path (`spec.containers[0].imagee`) out of a tree.
fn remove(tree: &mut Json, path: &str) {
    let Some((parents, last)) = path.rsplit_once('.') else {
        tree.as_object_mut().and_then(|map| map.remove(path));
        return;
    };
    let pointer: String = parents.split(['.', '[']).map(|step| format!("/{}", step.trim_end_matches(']'))).collect();
    tree.pointer_mut(&pointer).and_then(Json::as_object_mut).and_then(|map| map.remove(last));
}

/// Prints all problems, each with its lines, and fails. `nothing`: what was not done because of them.
pub fn fail(ctx: &mut Context, problems: &[Problem], nothing: &str) -> CliError {
    for problem in problems.iter().take(MOST_PROBLEMS) {
        let handler = miette::GraphicalReportHandler::new_themed(theme(ctx)).with_width(120);
        let mut shown = String::new();
        if handler.render_report(&mut shown, problem).is_err() {
            shown = format!("{}: {problem}\n", problem.place());
        }
        ctx.err.raw(shown.trim_start_matches('\n').as_bytes());
    }
    let count = problems.len();
    if count > MOST_PROBLEMS {
        ctx.err.line(&format!("… and {} more", count - MOST_PROBLEMS));
    }
    let noun = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
    ctx.err.line(&format!("error: {noun}; {nothing}"));
    CliError::Silent(Exit::Failure)
}

/// Colours for a person only.
fn theme(ctx: &Context) -> miette::GraphicalTheme {
    if ctx.err.is_terminal() && !ctx.env.contains_key("NO_COLOR") {
        miette::GraphicalTheme::unicode()
    } else {
        miette::GraphicalTheme::unicode_nocolor()
    }
}
