//! The plan as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::json;

use crate::api::Json;
use crate::manifest::to_yaml;

use super::changes::FieldChange;
use super::fork::Rest;
use super::readers::Reader;
use super::summary::{ASSUMPTIONS, ObjectPlan, Plan, Verdict};

/// Version of the JSON form; raised when a field changes its meaning.
const JSON_VERSION: u32 = 1;

/// Where the second column begins.
const COLUMN: usize = 28;

/// The plan for a person. `command` is how the same objects are applied (`-f k8s/`).
pub fn text(plan: &Plan, command: &str) -> String {
    let mut out = String::new();
    let unchanged = plan.objects.iter().filter(|o| o.verdict == Verdict::Unchanged).count();
    for object in plan.objects.iter().filter(|o| o.verdict != Verdict::Unchanged) {
        object_lines(&mut out, object);
    }
    if unchanged > 0 {
        let _ = writeln!(out, "  = {unchanged} unchanged");
    }
    if !plan.warnings.is_empty() {
        out.push_str("\nWarnings\n");
        for (place, warning) in &plan.warnings {
            let _ = writeln!(out, "  {place}  {}", safe(warning));
        }
    }
    if plan.changes_anything() {
        out.push('\n');
        if plan.objects.iter().any(|o| !o.moves.steps.is_empty()) {
            let _ = writeln!(out, "Assumed: {}.", ASSUMPTIONS.join("; "));
        }
        if plan.rest == Rest::Endless {
            out.push_str("The simulation did not come to rest: something is made and removed over and over.\n");
        }
        let _ = writeln!(out, "{}   plan {}", counts(plan), plan.id);
        let _ = writeln!(out, "Apply exactly this:  wl apply {command} --plan {}", plan.id);
    } else {
        out.push_str("\nNothing to change.\n");
    }
    out
}

impl Plan {
    /// Whether an apply would change anything.
    pub fn changes_anything(&self) -> bool {
        self.objects.iter().any(|o| o.verdict != Verdict::Unchanged)
    }

    /// The refused objects: such a plan cannot be applied.
    pub fn refused(&self) -> impl Iterator<Item = (&ObjectPlan, &crate::api::Status)> {
        self.objects.iter().filter_map(|o| match &o.verdict {
            Verdict::Refused(status) => Some((o, status)),
            _ => None,
        })
    }
}

fn object_lines(out: &mut String, object: &ObjectPlan) {
    let sign = match object.verdict {
        Verdict::Create => "  +",
        Verdict::Change => "  ~",
        Verdict::Replace => "-/+",
        Verdict::Delete => "  -",
        Verdict::Unchanged => "  =",
        Verdict::Refused(_) => "  ×",
    };
    let _ = writeln!(out, "{}", columns(&format!("{sign} {}", safe(&object.name)), &headline(object)));
    let rolls = object.moves.rolled() > 0;
    for change in &object.changes {
        let line = columns(&format!("      {}", safe(change.short_path())), &values(change));
        let effect = effect(object, change, rolls);
        let _ = writeln!(out, "{}", if effect.is_empty() { line } else { format!("{line:<70} {effect}") }.trim_end());
    }
    for (title, text) in &object.notes {
        let _ = writeln!(out, "{}", columns(&format!("      {}", safe(title)), &safe(text)));
    }
    for (pod, reason) in &object.moves.stuck {
        let _ = writeln!(out, "      ! pod/{} will not start: {}", safe(pod), safe(reason));
    }
}

fn columns(left: &str, right: &str) -> String {
    if right.is_empty() {
        return left.to_owned();
    }
    format!("{left:<COLUMN$}  {right}")
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// What happens to the object in a few words.
pub fn headline(object: &ObjectPlan) -> String {
    let moves = &object.moves;
    let pods = match (moves.created(), moves.deleted()) {
        (0, 0) => String::new(),
        (made, 0) => format!("starts {}", plural(made, "pod")),
        (0, gone) => format!("ends {}", plural(gone, "pod")),
        (made, gone) if object.verdict == Verdict::Replace => {
            format!("ends {}, starts {}", plural(gone, "pod"), plural(made, "pod"))
        }
        (made, gone) => {
            let missing = if moves.missing == 0 { ", no downtime" } else { "" };
            let mut text = format!(
                "rolls {} ({} extra, {} missing){missing}",
                plural(made.min(gone), "pod"),
                moves.extra,
                moves.missing
            );
            if made > gone {
                let _ = write!(text, ", starts {} more", made - gone);
            } else if gone > made {
                let _ = write!(text, ", ends {} more", gone - made);
            }
            text
        }
    };
    match &object.verdict {
        Verdict::Refused(status) => safe(&status.message),
        Verdict::Replace if pods.is_empty() => "replaced".into(),
        Verdict::Replace => format!("replaced, {pods}"),
        Verdict::Delete if pods.is_empty() => "no longer in the files".into(),
        Verdict::Delete => format!("no longer in the files, {pods}"),
        Verdict::Change if !object.readers.is_empty() => read(&object.readers),
        Verdict::Create | Verdict::Change | Verdict::Unchanged => pods,
    }
}

/// Who reads it, and what a change means to them.
fn read(readers: &[Reader]) -> String {
    let part = |is_in: &dyn Fn(&Reader) -> bool| {
        readers.iter().filter(|r| is_in(r)).map(|r| safe(&r.name)).collect::<Vec<_>>().join(", ")
    };
    let rolled: usize = readers.iter().map(|r| r.rolled).sum();
    let parts = [
        (part(&|r| !r.ways.fixed), "files change in place".to_owned()),
        (part(&|r| r.ways.fixed && r.rolled > 0), format!("rolls {}", plural(rolled, "pod"))),
        (part(&|r| r.ways.fixed && r.rolled == 0 && r.ways.rolls), "nothing that it reads changes".to_owned()),
        (part(&|r| r.ways.fixed && r.rolled == 0 && !r.ways.rolls), "seen at the next restart of its containers".to_owned()),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, effect)| format!("by {names} → {effect}"))
        .collect();
    format!("used {}", told.join("; "))
}

/// What can be changed in a Job and a StatefulSet that are there.
/// Source: pkg/apis/batch/validation, pkg/apis/apps/validation.
fn is_mutable(kind: &str, path: &str) -> bool {
    let mutable: &[&str] = match kind {
        "Job" => &["parallelism", "suspend", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"],
        "StatefulSet" => &[
            "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
        ],
        _ => return false,
    };
    path.strip_prefix("spec.").is_none_or(|field| mutable.iter().any(|name| field.starts_with(name)))
}

fn effect(object: &ObjectPlan, change: &FieldChange, rolls: bool) -> &'static str {
    if object.verdict == Verdict::Replace {
        return if is_mutable(&object.gvk.kind, &change.path) { "" } else { "forces replacement" };
    }
    let template = change.path.starts_with("spec.template") || change.path.starts_with("spec.jobTemplate");
    if template && rolls {
        "rolls pods"
    } else if template && object.gvk.kind == "CronJob" {
        "from the next run on"
    } else if change.path.starts_with("spec.") && !template {
        "in place"
    } else {
        ""
    }
}

/// Old and new value on one line.
pub fn values(change: &FieldChange) -> String {
    if change.sensitive {
        return match (&change.before, &change.after) {
            (None, _) => "(sensitive, added)".into(),
            (_, None) => "(sensitive, removed)".into(),
            _ => "(sensitive, changed)".into(),
        };
    }
    match (&change.before, &change.after) {
        (Some(Json::String(a)), Some(Json::String(b))) if a.contains('\n') || b.contains('\n') => {
            format!("{} changed  (wl diff shows them)", plural(changed_lines(a, b), "line"))
        }
        (Some(a), Some(b)) => format!("{} → {}", short(a), short(b)),
        (None, Some(b)) => format!("added: {}", short(b)),
        (Some(a), None) => format!("removed: {}", short(a)),
        (None, None) => String::new(),
    }
}

fn changed_lines(before: &str, after: &str) -> usize {
    let diff = similar::TextDiff::from_lines(before, after);
    let (mut gone, mut new) = (0, 0);
    for change in diff.iter_all_changes() {
        match change.tag() {
            similar::ChangeTag::Delete => gone += 1,
            similar::ChangeTag::Insert => new += 1,
            similar::ChangeTag::Equal => {}
        }
    }
    gone.max(new)
}

fn short(value: &Json) -> String {
    let text = match value {
        Json::String(text) => safe(text),
        Json::Object(_) | Json::Array(_) => value.to_string(),
        other => to_yaml(other).trim_end().to_owned(),
    };
    if text.chars().count() <= 60 { text } else { text.chars().take(57).collect::<String>() + "..." }
}

/// Text without control characters, which a terminal would obey.
fn safe(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() && c != '\t' { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

fn counts(plan: &Plan) -> String {
    let count = |wanted: fn(&Verdict) -> bool| plan.objects.iter().filter(|o| wanted(&o.verdict)).count();
    let mut parts = vec![
        format!("{} to add", count(|v| *v == Verdict::Create)),
        format!("{} to change", count(|v| *v == Verdict::Change)),
    ];
    for (number, text) in [
        (count(|v| *v == Verdict::Replace), "to replace"),
        (count(|v| *v == Verdict::Delete), "to delete"),
        (count(|v| matches!(v, Verdict::Refused(_))), "refused"),
        (count(|v| *v == Verdict::Unchanged), "unchanged"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {text}"));
        }
    }
    let in_place = plan.objects.iter().filter(|o| o.verdict != Verdict::Replace);
    let rolled = in_place.map(|o| o.moves.rolled()).sum::<usize>() + rolled_beside(plan);
    let rolls = match rolled {
        0 => String::new(),
        1 => "; 1 pod rolls".into(),
        n => format!("; {n} pods roll"),
    };
    format!("Plan: {}{rolls}.", parts.join(", "))
}

/// Pods of workloads that are not in the files and roll because of what they read.
fn rolled_beside(plan: &Plan) -> usize {
    let names: BTreeSet<&str> = plan.objects.iter().map(|o| o.name.as_str()).collect();
    let readers = plan.objects.iter().flat_map(|o| &o.readers).filter(|r| !names.contains(r.name.as_str()));
    let each: BTreeMap<&str, usize> = readers.map(|r| (r.uid.as_str(), r.rolled)).collect();
    each.values().sum()
}

/// The same tree for programs.
pub fn json(plan: &Plan) -> Json {
    let objects: Vec<Json> = plan.objects.iter().map(object_json).collect();
    json!({
        "version": JSON_VERSION,
        "id": plan.id,
        "changes": plan.changes_anything(),
        "objects": objects,
        "warnings": plan.warnings.iter().map(|(place, text)| json!({"place": place, "message": text})).collect::<Vec<_>>(),
        "assumptions": ASSUMPTIONS,
        "converges": plan.rest != Rest::Endless,
    })
}

fn object_json(object: &ObjectPlan) -> Json {
    let (verdict, refusal) = match &object.verdict {
        Verdict::Create => ("create", None),
        Verdict::Change => ("change", None),
        Verdict::Replace => ("replace", None),
        Verdict::Delete => ("delete", None),
        Verdict::Unchanged => ("unchanged", None),
        Verdict::Refused(status) => ("refused", Some(status.json())),
    };
    let changes: Vec<Json> = object
        .changes
        .iter()
        .map(|c| match c.sensitive {
            true => json!({"path": c.path, "sensitive": true}),
            false => json!({"path": c.path, "before": c.before, "after": c.after}),
        })
        .collect();
    let steps: Vec<Json> = object
        .moves
        .steps
        .iter()
        .map(|step| match step {
            super::moves::Step::Create { pod } => json!({"create": pod}),
            super::moves::Step::Delete { pod } => json!({"delete": pod}),
        })
        .collect();
    let mut tree = json!({
        "apiVersion": object.gvk.api_version(), "kind": object.gvk.kind, "namespace": object.namespace,
        "name": object.name.split_once('/').map_or("", |(_, n)| n), "place": object.place, "verdict": verdict,
        "headline": headline(object), "changes": changes,
        "pods": {
            "steps": steps, "created": object.moves.created(), "deleted": object.moves.deleted(),
            "extra": object.moves.extra, "missing": object.moves.missing,
            "stuck": object.moves.stuck.iter().map(|(p, r)| json!({"pod": p, "reason": r})).collect::<Vec<_>>(),
        },
        "readers": object.readers.iter().map(|r| json!({"name": r.name, "files": r.ways.files, "fixed": r.ways.fixed, "rolled": r.rolled})).collect::<Vec<_>>(),
    });
    if !object.notes.is_empty() {
        let notes = object.notes.iter().map(|(title, text)| (title.clone(), Json::from(text.clone())));
        tree["notes"] = notes.collect::<serde_json::Map<_, _>>().into();
    }
    if let Some(refusal) = refusal {
        tree["refusal"] = refusal;
    }
    tree
}
