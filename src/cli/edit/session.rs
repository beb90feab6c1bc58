//! One editing: the file with its head, what came back, and once more where the server refused.

use std::path::PathBuf;

use serde_json::json;

use super::editor;
use crate::api::Json;
use crate::cli::print::flags::PrintFlags;
use crate::api::go::json;
use crate::cli::print::yaml;
use crate::cli::resources::Info;
use crate::cli::{CliError, Context, Exit};
use crate::client::ClientError;
use crate::manifest;

const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n# and an empty file will abort \
                    the edit. If an error occurs while saving this file will be\n# reopened with the relevant failures.\n#\n";

/// What came of opening the editor.
pub enum Edited {
    /// The user changed nothing, or saved an empty file; has been told.
    Nothing,
    /// The file cannot be read; the editor opens again and says why.
    Again,
    Objects(Vec<Json>),
}

/// Why the editor opens again.
struct Reason {
    head: String,
    others: Vec<String>,
}

pub struct Session {
    as_json: bool,
    reasons: Vec<Reason>,
    /// What was saved last, where something was wrong with it.
    wrong: Option<String>,
    file: Option<PathBuf>,
    again: bool,
    retry: bool,
    gone: bool,
}

impl Session {
    pub fn new(print: &PrintFlags) -> Self {
        Session {
            as_json: print.output == "json",
            reasons: Vec::new(),
            wrong: None,
            file: None,
            again: false,
            retry: false,
            gone: false,
        }
    }

    /// Opens the objects in the editor, or what was wrong the last time.
    pub fn edit(&mut self, ctx: &mut Context, infos: &[Info]) -> Result<Edited, CliError> {
        let original = self.text_of(infos);
        let body = self.wrong.as_deref().map_or_else(|| original.clone(), without_head);
        let text = format!("{}{body}", self.head());
        let extension = if self.as_json { ".json" } else { ".yaml" };
        let (file, edited) = editor::open(ctx, &text, extension).inspect_err(|_| self.preserve(ctx))?;
        if self.wrong.as_deref().is_some_and(|wrong| bare(wrong) == bare(&edited)) {
            self.keep(file);
            self.preserve(ctx);
            return Err(CliError::message("Edit cancelled, no valid changes were saved."));
        }
        self.keep(file);
        if bare(&original) == bare(&edited) {
            self.forget();
            ctx.err.line("Edit cancelled, no changes made.");
            return Ok(Edited::Nothing);
        }
        if edited.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            self.forget();
            ctx.err.line("Edit cancelled, saved file was empty.");
            return Ok(Edited::Nothing);
        }
        self.reasons.clear();
        let parsed = manifest::parse("edited-file", edited.as_bytes());
        self.wrong = Some(edited);
        if let Some(problem) = parsed.problems.first() {
            let head = format!("The edited file had a syntax error: {}: {}", problem.place(), problem.message());
            self.reasons.push(Reason { head, others: Vec::new() });
            return Ok(Edited::Again);
        }
        Ok(Edited::Objects(parsed.documents.iter().map(manifest::Document::json).collect()))
    }

    fn text_of(&self, infos: &[Info]) -> String {
        let tree = match infos {
            [one] => one.object.clone(),
            many => {
                let items: Vec<&Json> = many.iter().map(|i| &i.object).collect();
                json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
            }
        };
        if self.as_json { json::pretty(&tree, "    ") + "\n" } else { yaml::to_yaml(&tree) }
    }

    fn head(&self) -> String {
        if self.as_json {
            // JSON has no comments.
            return String::new();
        }
        let mut head = HEAD.to_owned();
        let commented = |text: &str| text.replace('\n', "\n# ");
        for reason in &self.reasons {
            let colon = if reason.others.is_empty() { "" } else { ":" };
            head.push_str(&format!("# {}{colon}\n", commented(&reason.head)));
            for other in &reason.others {
                head.push_str(&format!("# * {}\n", commented(other)));
            }
            head.push_str("#\n");
        }
        head
    }

    /// Notes what the server said to an object; answers with what to tell.
    pub fn refused(&mut self, info: &Info, error: &ClientError) -> String {
        let (resource, name) = (info.found.qualified(), &info.name);
        match error.status() {
            Some(status) if status.reason == "Invalid" => {
                let causes = status.details.as_ref().and_then(|d| d.get("causes")).and_then(Json::as_array);
                let text = |cause: &Json, key: &str| cause.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
                let one = |c: &Json| format!("{}: {}", text(c, "field"), text(c, "message"));
                let head = format!("{resource} \"{name}\" was not valid");
                self.reasons.push(Reason { head, others: causes.into_iter().flatten().map(one).collect() });
                self.again = true;
                format!("error: {resource} \"{name}\" is invalid")
            }
            Some(status) if status.reason == "NotFound" => {
                self.gone = true;
                format!("error: {resource} \"{name}\" could not be found on the server")
            }
            _ => {
                self.retry = true;
                format!("error: {resource} \"{name}\" could not be patched: {error}")
            }
        }
    }

    /// Whether nothing is left to do; an error where the edits could not be used, with the way back to them.
    pub fn is_over(&mut self, ctx: &mut Context) -> Result<bool, CliError> {
        let file = self.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
        if self.retry {
            ctx.err.line(&format!("You can run `wl replace -f {file}` to try this update again."));
            return Err(CliError::Silent(Exit::Failure));
        }
        if self.gone {
            ctx.err.line(&format!("The edits you made on deleted resources have been saved to \"{file}\""));
            return Err(CliError::Silent(Exit::Failure));
        }
        if !std::mem::take(&mut self.again) {
            self.forget();
            return Ok(true);
        }
        Ok(false)
    }

    fn keep(&mut self, file: PathBuf) {
        self.forget();
        self.file = Some(file);
    }

    /// Takes the file away.
    pub fn forget(&mut self) {
        if let Some(file) = self.file.take() {
            editor::forget(&file);
        }
    }

    /// Says where the edits are.
    pub fn preserve(&self, ctx: &mut Context) {
        if let Some(file) = self.file.as_ref().filter(|f| f.exists()) {
            ctx.err.line(&format!("A copy of your changes has been stored to \"{}\"", file.display()));
        }
    }
}

/// A text without its comments and blank lines.
fn bare(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// A text without the comments at its beginning.
fn without_head(text: &str) -> String {
    let lines: Vec<&str> = text.lines().skip_while(|line| line.starts_with('#')).collect();
    lines.join("\n") + "\n"
}
