//! `wl taint`: marks that keep pods away from nodes. Source: k8s.io/kubectl/pkg/cmd/taint.

use serde_json::json;

use super::change::{DryRun, DryRunFlag, STRATEGIC, Teller};
use super::create::typed;
use super::print::flags::PrintFlags;
use super::resources::{Info, Selection, items};
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::Json;
use crate::api::status::quote;
use crate::api::validation::names::{label_value, qualified_name};
use crate::apply::two_way_strategic_patch;

/// Set taints of nodes (KEY=VALUE:EFFECT), or remove them (KEY:EFFECT-, KEY-)
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl taint nodes node-1 dedicated=web:NoSchedule\n  wl taint nodes node-1 dedicated-")]
pub struct Taint {
    #[arg(value_name = "node NAME KEY=VALUE:EFFECT…", add = complete::resources())]
    args: Vec<String>,
    /// All nodes
    #[arg(long)]
    all: bool,
    /// Only nodes with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Replace taints that are there
    #[arg(long)]
    overwrite: bool,
    /// Unknown and doubled fields: strict, warn or ignore
    #[arg(long, num_args = 0..=1, default_value = "strict", default_missing_value = "strict", require_equals = true, hide_default_value = true)]
    validate: String,
    /// Who manages the fields
    #[arg(long, default_value = "kubectl-taint", hide_default_value = true)]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    print: PrintFlags,
}

/// A taint as it is typed; without effect it means all of its key.
#[derive(Clone, Debug, PartialEq)]
struct Mark {
    key: String,
    value: String,
    effect: String,
}

impl Taint {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.dry_run.mode(ctx)?;
        super::declare::Validate::parse(&self.validate).map_err(CliError::message)?;
        let (names, words) = self.split()?;
        let (add, remove) = parse(&words).map_err(CliError::Usage)?;
        let mut teller = Teller::new(ctx, &self.print, DryRun::None)?;
        dry_run.client(ctx).await?;
        self.check(ctx, &names, &add, &remove).await?;
        let mut args = vec!["node".to_owned()];
        if !self.all && self.selector.is_empty() {
            args.extend_from_slice(&names[1..]);
        }
        let labels = (!self.selector.is_empty()).then(|| self.selector.clone());
        let selection = Selection { args, labels, all: self.all, chunk: 500, ..Selection::default() };
        let found = selection.fetch(ctx).await?;
        let mut errors = found.errors;
        for info in items(found.infos) {
            match self.one(ctx, &info, &add, &remove, dry_run).await {
                Ok((object, done)) => errors.extend(teller.tell(ctx, &object, done).err()),
                Err(error) => errors.push(error),
            }
        }
        CliError::many(errors).map_or(Ok(Exit::Success), Err)
    }

    /// `node` and names first, then taints.
    fn split(&self) -> Result<(Vec<String>, Vec<String>), CliError> {
        let is_taint = |word: &String| word.contains(['=', ':']) || word.ends_with('-');
        let first = self.args.iter().position(is_taint).unwrap_or(self.args.len());
        let (names, words) = self.args.split_at(first);
        if let Some(late) = words.iter().find(|w| !is_taint(w)) {
            return Err(CliError::message(format!("all resources must be specified before taint changes: {late}")));
        }
        if names.is_empty() {
            return Err(CliError::message("one or more resources must be specified as <resource> <name>"));
        }
        if words.is_empty() {
            return Err(CliError::message("at least one taint update is required"));
        }
        Ok((names.to_vec(), words.to_vec()))
    }

    async fn check(&self, ctx: &mut Context, names: &[String], add: &[Mark], remove: &[Mark]) -> Result<(), CliError> {
        let fail = |text: String| Err(CliError::message(text));
        let kind = names[0].to_lowercase();
        let found = super::resources::mapped(ctx, std::slice::from_ref(&kind)).await?;
        if found.iter().any(|f| f.kind != "Node") {
            return fail(format!("invalid resource type {kind}, only node types are supported"));
        }
        let clash = |a: &Mark, r: &Mark| a.key == r.key && (r.effect.is_empty() || a.effect == r.effect);
        let pairs = add.iter().flat_map(|a| remove.iter().filter(move |r| clash(a, r)));
        let both: Vec<String> = pairs.map(|r| format!("{}={}", r.key, r.effect)).collect();
        if !both.is_empty() {
            return fail(format!(
                "can not both modify and remove the following taint(s) in the same command: {}",
                both.join(", ")
            ));
        }
        if self.all && !self.selector.is_empty() {
            return fail("setting 'all' parameter with a non empty selector is prohibited".into());
        }
        if !self.all && self.selector.is_empty() && names.len() < 2 {
            return fail("at least one resource name must be specified since 'all' parameter is not set".into());
        }
        Ok(())
    }

    async fn one(
        &self,
        ctx: &mut Context,
        info: &Info,
        add: &[Mark],
        remove: &[Mark],
        dry_run: DryRun,
    ) -> Result<(Json, &'static str), CliError> {
        let old = typed(info.object.clone())?;
        let taints = old.pointer("/spec/taints").and_then(Json::as_array).cloned().unwrap_or_default();
        if !self.overwrite {
            let there: Vec<&str> = add
                .iter()
                .flat_map(|mark| taints.iter().filter(|t| mark.is(t)).map(|_| mark.key.as_str()))
                .collect();
            if !there.is_empty() {
                return Err(CliError::message(format!(
                    "node {} already has {} taint(s) with same effect(s) and --overwrite is false",
                    info.name,
                    there.join(",")
                )));
            }
        }
        let (taints, done) = reorganize(&taints, add, remove, self.overwrite)?;
        let mut new = old.clone();
        match new.get_mut("spec").and_then(Json::as_object_mut) {
            Some(spec) if taints.is_empty() => drop(spec.remove("taints")),
            _ => new["spec"]["taints"] = taints.into(),
        }
        if dry_run == DryRun::Client {
            return Ok((new, done));
        }
        let patch = two_way_strategic_patch(&info.found.gvk(), &old, &new);
        let patch = patch.map_err(|e| CliError::message(e.to_string()))?;
        let client = ctx.client().await?;
        let object = super::change::patch(ctx, &client, info, dry_run, &self.field_manager, (STRATEGIC, &patch)).await?;
        Ok((object, done))
    }
}

impl Mark {
    /// Whether it is a node's taint, by key and effect.
    fn is(&self, taint: &Json) -> bool {
        let text = |key: &str| taint.get(key).and_then(Json::as_str).unwrap_or("");
        text("key") == self.key && text("effect") == self.effect
    }

    fn json(&self) -> Json {
        let mut taint = json!({"key": self.key, "effect": self.effect});
        if !self.value.is_empty() {
            taint["value"] = self.value.as_str().into();
        }
        taint
    }

    fn shown(&self) -> String {
        let Mark { key, value, effect } = self;
        match (value.is_empty(), effect.is_empty()) {
            (true, true) => key.clone(),
            (true, false) => format!("{key}:{effect}"),
            (false, true) => format!("{key}={value}:"),
            (false, false) => format!("{key}={value}:{effect}"),
        }
    }
}

/// The taints afterwards, and what was done. Source: utils.go, `reorganizeTaints`.
fn reorganize(old: &[Json], add: &[Mark], remove: &[Mark], overwrite: bool) -> Result<(Vec<Json>, &'static str), CliError> {
    let mut taints: Vec<Json> = add.iter().map(Mark::json).collect();
    taints.extend(old.iter().filter(|t| !add.iter().any(|mark| mark.is(t))).cloned());
    let added = taints.len() != old.len();
    let (mut removed, mut missing) = (false, Vec::new());
    for mark in remove {
        let before = taints.len();
        taints.retain(|t| if mark.effect.is_empty() { t["key"].as_str() != Some(&mark.key) } else { !mark.is(t) });
        removed = taints.len() != before;
        if !removed {
            missing.push(CliError::message(format!("taint {} not found", quote(&mark.shown()))));
        }
    }
    if let Some(error) = CliError::many(missing) {
        return Err(error);
    }
    let done = match (added, removed) {
        _ if overwrite => "modified",
        (true, true) => "modified",
        (true, false) => "tainted",
        (false, _) => "untainted",
    };
    Ok((taints, done))
}

fn parse(words: &[String]) -> Result<(Vec<Mark>, Vec<Mark>), String> {
    let (mut add, mut remove): (Vec<Mark>, Vec<Mark>) = (Vec::new(), Vec::new());
    for word in words {
        if let Some(text) = word.strip_suffix('-') {
            let mark = parse_one(text)?;
            remove.push(Mark { value: String::new(), ..mark });
            continue;
        }
        let mark = parse_one(word)?;
        if mark.effect.is_empty() {
            return Err(format!("invalid taint spec: {word}"));
        }
        if add.iter().any(|other| other.key == mark.key && other.effect == mark.effect) {
            let Mark { key, value, effect } = mark;
            return Err(format!("duplicated taints with the same key and effect: {{{key} {value} {effect} <nil>}}"));
        }
        add.push(mark);
    }
    Ok((add, remove))
}

/// `KEY=VALUE:EFFECT`, `KEY:EFFECT` or `KEY`.
fn parse_one(text: &str) -> Result<Mark, String> {
    let wrong = || format!("invalid taint spec: {text}");
    let (key, value, effect) = match text.split(':').collect::<Vec<_>>()[..] {
        [key] => (key, "", ""),
        [pair, effect] => {
            if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
                return Err(format!("invalid taint effect: {effect}, unsupported taint effect"));
            }
            match pair.split('=').collect::<Vec<_>>()[..] {
                [key] => (key, "", effect),
                [key, value] => (key, value, effect),
                _ => return Err(wrong()),
            }
        }
        _ => return Err(wrong()),
    };
    for errors in [label_value(value), qualified_name(key)] {
        if !errors.is_empty() {
            return Err(format!("{}, {}", wrong(), errors.join("; ")));
        }
    }
    Ok(Mark { key: key.into(), value: value.into(), effect: effect.into() })
}
