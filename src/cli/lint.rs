//! `wl lint`: what is wrong in the files, without a server.

use super::declare::{self, Validate};
use super::diagnose;
use super::input::Files;
use super::{CliError, CliResult, Context, Exit};
use crate::api::schema::Schema;
use crate::api::support::{Verdict, findings};
use crate::api::{Object, Status, defaults, validation};
use crate::manifest::{Document, Problem};

/// Check manifests without a server: syntax, fields, values, and what has no effect on one machine
#[derive(clap::Args)]
pub struct Lint {
    #[command(flatten)]
    files: Files,
    /// Take what has no effect here for an error
    #[arg(long)]
    strict: bool,
}

impl Lint {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.files.is_empty() {
            return Err(CliError::message("must specify -f"));
        }
        let (documents, mut problems) = declare::documents(ctx, &self.files, Validate::Strict).await?;
        let mut warned = 0;
        for document in &documents {
            problems.extend(check(document));
            for (path, text, refused) in effects(document) {
                if refused || self.strict {
                    problems.push(document.problem_at(&path, text, "this field"));
                } else {
                    warned += 1;
                    ctx.err.line(&format!("Warning: {}: {text}", document.place_of(&path)));
                }
            }
        }
        if !problems.is_empty() {
            return Err(declare::fail(ctx, &problems, "the files cannot be applied"));
        }
        let warnings = if warned == 1 { "1 warning".into() } else { format!("{warned} warnings") };
        ctx.out.line(&format!("{} objects are right, {warnings}", documents.len()));
        Ok(Exit::Success)
    }
}

/// All that the API would refuse of a document, with defaults filled in as it would.
fn check(document: &Document) -> Vec<Problem> {
    let gvk = document.gvk();
    for (field, value) in [("apiVersion", gvk.api_version()), ("kind", gvk.kind.clone())] {
        if value.is_empty() {
            return vec![document.problem_at(field, format!("{field} not set"), "in this object")];
        }
    }
    // A kind of somebody's own cannot be judged without its definition.
    if Schema::get().type_of(&gvk).is_none() {
        return Vec::new();
    }
    let (decoded, mut problems) = diagnose::decode(document, &gvk, document.json());
    let fits = problems.is_empty();
    problems.extend(diagnose::strict(document, &decoded.strict));
    if !fits {
        return problems;
    }
    let mut tree = decoded.tree;
    let namespaced = Schema::get().resource_of(&gvk).is_some_and(|r| r.namespaced);
    if namespaced && tree.pointer("/metadata/namespace").is_none() && tree["metadata"].is_object() {
        tree["metadata"]["namespace"] = "default".into();
    }
    defaults::fill(&gvk, &mut tree);
    let object = Object::new(tree);
    let errors = validation::create(&gvk, &object);
    if !errors.is_empty() {
        let status = Status::invalid(&gvk.group, &gvk.kind, object.name(), &errors);
        problems.extend(diagnose::refusal(document, &status));
    }
    problems
}

/// Fields that do not do here what they do on a cluster: path, sentence, whether they are refused.
fn effects(document: &Document) -> Vec<(String, String, bool)> {
    findings(&document.gvk(), &document.json())
        .into_iter()
        .filter_map(|finding| {
            let (word, refused) = match finding.entry.verdict {
                Verdict::Runs => return None,
                Verdict::Approximated => ("works differently here", false),
                Verdict::Ignored => ("has no effect here", false),
                Verdict::Refused => ("is refused here", true),
            };
            Some((finding.path.clone(), format!("{} {word}: {}", finding.path, finding.entry.reason), refused))
        })
        .collect()
}
