//! `wl wait`: until a condition is met. Source: k8s.io/kubectl/pkg/cmd/wait.

use std::time::Duration;

use tokio::time::Instant;

use super::input::Files;
use crate::api::go;
use super::print::jsonpath::JsonPath;
use super::resources::{Info, Selection, Targets, items};
use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::client::Client;
use crate::engine::clock;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Wait until objects meet a condition
#[derive(clap::Args)]
pub struct Wait {
    #[arg(value_name = "TYPE NAME… | TYPE/NAME…", add = super::complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// create, delete, condition=NAME[=VALUE] or jsonpath='{PATH}'[=VALUE]
    #[arg(long = "for", default_value = "", hide_default_value = true, value_name = "CONDITION")]
    condition: String,
    /// How long to wait for all of them together (negative: a week)
    #[arg(long, default_value = "30s", value_parser = super::flags::signed_duration)]
    timeout: jiff::SignedDuration,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only objects with these fields
    #[arg(long)]
    field_selector: Option<String>,
    /// All objects of the types
    #[arg(long)]
    all: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    print: super::print::flags::PrintFlags,
}

enum Goal {
    Create,
    Delete,
    Condition { name: String, value: String },
    Path { path: Box<JsonPath>, value: Option<String> },
}

impl Wait {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.args.is_empty() && self.files.is_empty() {
            return Err(CliError::message(
                "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   \
                 '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
            ));
        }
        let goal = goal(&self.condition)?;
        let format = self.print.format(&ctx.cwd, super::print::flags::Offer::Change)?;
        let limit = if self.timeout.is_negative() { Duration::from_secs(7 * 86400) } else { self.timeout.unsigned_abs() };
        let end = Instant::now() + limit;
        let client = ctx.client().await?;
        let is_alone = matches!(self.selection().targets(ctx).await?, Targets::Lists(_));
        if is_alone && !self.all && self.selector.is_none() && self.field_selector.is_none() {
            return Err(CliError::message("resource(s) were provided, but no name was specified"));
        }
        let mut errors = Vec::new();
        let infos = loop {
            let found = self.selection().fetch(ctx).await?;
            let missing = found.errors.iter().any(CliError::is_not_found);
            if matches!(goal, Goal::Create) && missing {
                if Instant::now() >= end {
                    return Err(CliError::message("timed out waiting for the condition"));
                }
                clock::sleep(LOOK).await;
                continue;
            }
            errors.extend(found.errors.into_iter().filter(|e| !(matches!(goal, Goal::Delete) && e.is_not_found())));
            break items(found.infos);
        };
        if infos.is_empty() && errors.is_empty() && !matches!(goal, Goal::Delete) {
            return Err(CliError::message("no matching resources found"));
        }
        for info in &infos {
            match until(&client, info, &goal, (!limit.is_zero()).then_some(end)).await {
                Ok(object) => match &format {
                    Some(format) => {
                        let (text, result) = format.render(&object, true);
                        ctx.out.text(&text);
                        result?;
                    }
                    None => ctx.out.line(&format!("{} condition met", info.shown())),
                },
                Err(error) => errors.push(error),
            }
        }
        match CliError::many(errors) {
            Some(error) => Err(error),
            None => Ok(Exit::Success),
        }
    }

    fn selection(&self) -> Selection {
        Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            labels: self.selector.clone(),
            fields: self.field_selector.clone(),
            all_namespaces: self.all_namespaces,
            all: self.all,
            type_alone: true,
            chunk: 500,
            ..Selection::default()
        }
    }
}

fn goal(text: &str) -> Result<Goal, CliError> {
    let lower = text.to_lowercase();
    if lower == "delete" {
        return Ok(Goal::Delete);
    }
    if lower == "create" {
        return Ok(Goal::Create);
    }
    if let Some(rest) = text.strip_prefix("condition=") {
        let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
        return Ok(Goal::Condition { name: name.to_owned(), value: value.to_owned() });
    }
    if let Some(rest) = text.strip_prefix("jsonpath=") {
        return path_goal(rest);
    }
    let shown = if text.is_empty() { "[]".to_owned() } else { quote(text) };
    Err(CliError::message(format!("unrecognized condition: {shown}")))
}

fn path_goal(text: &str) -> Result<Goal, CliError> {
    const SHAPE: &str = "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'";
    // The value stands behind the last `=` that is outside of braces and brackets.
    let mut depth = 0i32;
    let mut at = None;
    for (i, c) in text.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            '=' if depth == 0 && at.is_none() => at = Some(i),
            _ => {}
        }
    }
    let (path, value) = match at {
        Some(i) => (&text[..i], Some(text[i + 1..].trim_matches(['\'', '"']).to_owned())),
        None => (text, None),
    };
    if value.as_deref() == Some("") {
        return Err(CliError::message("jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3"));
    }
    let inner = match (path.strip_prefix('{'), path.ends_with('}')) {
        (Some(rest), true) => rest.trim_end_matches('}'),
        (None, false) => path,
        _ => return Err(CliError::message(SHAPE)),
    };
    let dotted = if inner.starts_with('.') || inner.starts_with('[') { inner.to_owned() } else { format!(".{inner}") };
    let parsed = JsonPath::parse(&format!("{{{dotted}}}")).map_err(CliError::message)?.allow_missing(true);
    Ok(Goal::Path { path: Box::new(parsed), value })
}

/// The object once it is as wished. `end`: the time for all objects together; `None`: one look at each.
async fn until(client: &Client, info: &Info, goal: &Goal, end: Option<Instant>) -> Result<Json, CliError> {
    let uid = info.object.pointer("/metadata/uid").cloned();
    let name = format!("{}/{}", info.found.resource, info.name);
    loop {
        // Whoever comes late is not even looked at, as in kubectl.
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(CliError::message(format!("timed out waiting for the condition on {name}")));
        }
        match client.get(&info.path()).await {
            Err(error) if error.is_not_found() && matches!(goal, Goal::Delete) => return Ok(info.object.clone()),
            Err(error) => return Err(error.into()),
            Ok(object) => {
                let replaced = object.pointer("/metadata/uid") != uid.as_ref();
                let met = match goal {
                    Goal::Create => true,
                    Goal::Delete => replaced,
                    Goal::Condition { name, value } => condition(&object, name, value),
                    Goal::Path { path, value } => path_met(&object, path, value.as_deref())?,
                };
                if met {
                    return Ok(object);
                }
            }
        }
        if end.is_none() {
            return Err(CliError::message(format!("condition not met for {name}")));
        }
        clock::sleep(LOOK).await;
    }
}

/// Whether the first condition of this name has the value, and is about the newest spec.
fn condition(object: &Json, name: &str, value: &str) -> bool {
    let conditions = object.field("status").list("conditions").iter();
    let mut conditions = conditions.filter(|c| c.text("type").eq_ignore_ascii_case(name) && c.field("status").is_string());
    let Some(condition) = conditions.next() else { return false };
    let generation = object.field("metadata").opt_int("generation");
    let observed = condition.opt_int("observedGeneration").or(object.field("status").opt_int("observedGeneration"));
    let is_old = generation.zip(observed).is_some_and(|(generation, observed)| observed < generation);
    !is_old && condition.text("status").eq_ignore_ascii_case(value)
}

fn path_met(object: &Json, path: &JsonPath, value: Option<&str>) -> Result<bool, CliError> {
    let found = path.values(object).map_err(CliError::message)?;
    let Some(wanted) = value else { return Ok(!found.is_empty()) };
    match found.as_slice() {
        [] => Ok(false),
        [one] => match one {
            Json::Array(_) | Json::Object(_) => {
                Err(CliError::message("jsonpath leads to a nested object or list which is not supported"))
            }
            one => Ok(go::display(one).trim() == wanted.trim()),
        },
        _ => Err(CliError::message("given jsonpath expression matches more than one value")),
    }
}
