//! What may stand in a Job's status, and how it may change.
//! Source: pkg/apis/batch/validation/validation.go, pkg/registry/batch/job/strategy.go (which rules hold when).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::field::{self, Errors, Path};
use super::job_policies::{count_indexes, overlap};
use super::rules::{self, not_negative_at};
use super::meta;
use crate::api::tree::Tree;
use crate::api::{Json, Object};

fn is_true(status: &Json, kind: &str) -> bool {
    status.list("conditions").iter().any(|c| c.text("type") == kind && c.text("status") == "True")
}

fn is_finished(status: &Json) -> bool {
    is_true(status, "Complete") || is_true(status, "Failed")
}

/// The old status, the new one and the spec, with what changed between the two.
struct Change<'a> {
    spec: &'a Json,
    new: &'a Json,
    old: &'a Json,
    path: Path,
}

impl Change<'_> {
    fn changed(&self, name: &str) -> bool {
        self.new.field(name) != self.old.field(name)
    }

    fn flipped(&self, kind: &str) -> bool {
        is_true(self.new, kind) != is_true(self.old, kind)
    }

    fn finish_changed(&self) -> bool {
        is_finished(self.new) != is_finished(self.old)
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.new.text(name).parse().ok()
    }

    fn conditions(&self, detail: &str) -> Errors {
        vec![rules::invalid_unshown(&self.path.child("conditions"), detail)]
    }
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let change = Change {
        spec: new.json().field("spec"),
        new: new.json().field("status"),
        old: old.json().field("status"),
        path: Path::new("status"),
    };
    errors.extend(counters(&change));
    errors.extend(condition_pairs(&change));
    errors.extend(times(&change));
    errors.extend(criteria(&change));
    errors.extend(finished(&change));
    errors.extend(indexes(&change));
    errors.extend(pods(&change));
    errors.extend(success_criteria(&change));
    errors.extend(transitions(&change));
    errors
}

fn counters(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.extend(not_negative_at(c.new, &c.path, name));
    }
    let uncounted = c.new.field("uncountedTerminatedPods");
    let path = c.path.child("uncountedTerminatedPods");
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        for (i, uid) in uncounted.texts(list).into_iter().enumerate() {
            let path = path.child(list).index(i);
            if uid.is_empty() {
                errors.push(field::invalid(&path, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(field::duplicate(&path, uid));
            }
        }
    }
    errors
}

fn condition_pairs(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    let (complete, failed) = (is_true(c.new, "Complete"), is_true(c.new, "Failed"));
    let completing = c.flipped("Complete");
    if (completing || c.flipped("Failed")) && complete && failed {
        errors.extend(c.conditions("cannot set Complete=True and Failed=true conditions"));
    }
    if (completing || c.flipped("FailureTarget")) && complete && is_true(c.new, "FailureTarget") {
        errors.extend(c.conditions("cannot set Complete=True and FailureTarget=true conditions"));
    }
    errors
}

fn times(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    let (path, complete) = (c.path.child("completionTime"), is_true(c.new, "Complete"));
    let moved = c.changed("completionTime") || c.flipped("Complete");
    if moved && c.new.has("completionTime") && !complete {
        let detail = "cannot set completionTime when there is no Complete=True condition";
        errors.push(field::invalid(&path, c.new.text("completionTime"), detail));
    }
    if moved && !c.new.has("completionTime") && complete {
        errors.push(field::required(&path, "completionTime is required for Complete jobs"));
    }
    if (c.changed("startTime") || c.changed("completionTime"))
        && let (Some(start), Some(end)) = (c.time("startTime"), c.time("completionTime"))
        && end < start
    {
        errors.push(field::invalid(&path, c.new.text("completionTime"), "must be equal to or after `startTime`"));
    }
    errors
}

fn criteria(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    if c.flipped("Failed") && !is_true(c.new, "FailureTarget") {
        errors.extend(c.conditions("cannot set Failed=True condition without the FailureTarget=true condition"));
    }
    if c.flipped("Complete") && !is_true(c.new, "SuccessCriteriaMet") {
        errors.extend(c.conditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition"));
    }
    errors
}

fn finished(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    if !is_finished(c.new) {
        return errors;
    }
    let newly = c.finish_changed();
    let active = c.new.int("active");
    if (newly || c.changed("active")) && active > 0 {
        errors.push(field::invalid(&c.path.child("active"), active, "active>0 is invalid for finished job"));
    }
    if (newly || c.changed("startTime")) && !c.new.has("startTime") {
        errors.push(field::required(&c.path.child("startTime"), "startTime is required for finished job"));
    }
    let uncounted = c.new.field("uncountedTerminatedPods");
    let left = uncounted.list("succeeded").len() + uncounted.list("failed").len();
    if (newly || c.changed("uncountedTerminatedPods")) && left > 0 {
        let path = c.path.child("uncountedTerminatedPods");
        let detail = "must be empty for finished job";
        errors.push(rules::invalid_struct(&path, "UncountedTerminatedPods", uncounted, detail));
    }
    errors
}

fn indexes(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    let (completed, failed) = (c.new.text("completedIndexes"), c.new.opt_text("failedIndexes"));
    let (completed_path, failed_path) = (c.path.child("completedIndexes"), c.path.child("failedIndexes"));
    let completions = c.spec.opt_int("completions");
    let per_index = c.spec.has("backoffLimitPerIndex");
    if c.changed("completedIndexes")
        && let Some(Err(error)) = completions.map(|all| count_indexes(completed, all))
    {
        let detail = format!("error parsing completedIndexes: {error}");
        errors.push(field::invalid(&completed_path, completed, &detail));
    }
    if c.changed("failedIndexes")
        && per_index
        && let (Some(all), Some(failed)) = (completions, failed)
        && let Err(error) = count_indexes(failed, all)
    {
        errors.push(field::invalid(&failed_path, failed, &format!("error parsing failedIndexes: {error}")));
    }
    if c.changed("completedIndexes") && !completed.is_empty() && c.spec.text("completionMode") != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(field::invalid(&completed_path, completed, detail));
    }
    if c.changed("failedIndexes")
        && !per_index
        && let Some(failed) = failed
    {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(field::invalid(&failed_path, failed, detail));
    }
    if (c.changed("completedIndexes") || c.changed("failedIndexes"))
        && let (Some(all), Some(failed)) = (completions, failed)
        && let Some(index) = overlap(completed, failed, all)
    {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(field::invalid(&failed_path, failed, &detail));
    }
    errors
}

fn pods(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    let terminating = c.new.int("terminating");
    if (c.finish_changed() || c.changed("terminating")) && terminating > 0 && is_finished(c.new) {
        let detail = "terminating>0 is invalid for finished job";
        errors.push(field::invalid(&c.path.child("terminating"), terminating, detail));
    }
    let ready = c.new.int("ready");
    if (c.changed("ready") || c.changed("active")) && ready > c.new.int("active") {
        errors.push(field::invalid(&c.path.child("ready"), ready, "cannot set more ready pods than active"));
    }
    errors
}

fn success_criteria(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    let met = is_true(c.new, "SuccessCriteriaMet");
    if met && is_true(c.new, "Failed") {
        errors.extend(c.conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions"));
    }
    if met && is_true(c.new, "FailureTarget") {
        errors.extend(c.conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"));
    }
    if c.spec.has("successPolicy") && !met && is_true(c.new, "Complete") {
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        errors.extend(c.conditions(detail));
    }
    errors
}

fn transitions(c: &Change<'_>) -> Errors {
    let mut errors = Errors::new();
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(c.old, kind) && !is_true(c.new, kind) {
            errors.extend(c.conditions(&format!("cannot disable the terminal {kind}=True condition")));
        }
    }
    // An Indexed Job with as many Pods at once as completions can be scaled down.
    let scales = c.spec.text("completionMode") == "Indexed" && c.spec.field("completions") == c.spec.field("parallelism");
    for name in ["failed", "succeeded"] {
        if c.new.int(name) < c.old.int(name) && !(scales && name == "succeeded") {
            let detail = format!("cannot decrease the {name} counter");
            errors.push(field::invalid(&c.path.child(name), c.new.int(name), &detail));
        }
    }
    if c.new.has("completionTime") && c.old.has("completionTime") && c.changed("completionTime") {
        let path = c.path.child("completionTime");
        errors.push(field::invalid(&path, c.new.text("completionTime"), rules::IMMUTABLE));
    }
    // A Job that is resumed begins anew.
    let resumes = is_true(c.old, "Suspended") && !is_true(c.new, "Suspended");
    if c.old.has("startTime") && c.changed("startTime") && !c.spec.flag("suspend") && !resumes {
        let detail = "field is immutable for unsuspended job once set";
        errors.push(field::invalid(&c.path.child("startTime"), c.new.field("startTime").clone(), detail));
    }
    if is_true(c.old, "SuccessCriteriaMet") && !is_true(c.new, "SuccessCriteriaMet") {
        errors.extend(c.conditions("cannot disable the SuccessCriteriaMet=True condition"));
    }
    if is_true(c.old, "Complete") && !is_true(c.old, "SuccessCriteriaMet") && is_true(c.new, "SuccessCriteriaMet") {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.extend(c.conditions(detail));
    }
    errors
}
