//! A Job's policies: what failures mean, what success means, when a Pod is replaced.
//! Source: pkg/apis/batch/validation/validation.go.

use std::collections::BTreeSet;

use super::field::{self, Errors, Path};
use super::{names, rules};
use crate::api::{Json, go_time, status::quote, tree::Tree};

const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_PATTERNS: usize = 20;
const MAX_SUCCEEDED_INDEXES: usize = 64 * 1024;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];

/// As Go's `%q` prints a list of texts.
fn choices(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|v| quote(v)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn one_of(path: &Path, value: &str, allowed: &[&str]) -> Errors {
    if value.is_empty() {
        vec![field::required(path, &choices(allowed))]
    } else if allowed.contains(&value) {
        Errors::new()
    } else {
        vec![field::not_supported(path, value, allowed)]
    }
}

pub fn replacement(spec: &Json, path: &Path) -> Errors {
    let Some(policy) = spec.opt_text("podReplacementPolicy") else { return Errors::new() };
    let allowed: &[&str] =
        if spec.has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if allowed.contains(&policy) { Errors::new() } else { vec![field::not_supported(path, policy, allowed)] }
}

pub fn failure(spec: &Json, path: &Path) -> Errors {
    let path = path.child("rules");
    let list = spec.field("podFailurePolicy").list("rules");
    let mut errors = Errors::new();
    if list.len() > MAX_RULES {
        errors.push(field::too_many(&path, list.len(), MAX_RULES));
    }
    let pod = spec.field("template").field("spec");
    let containers: BTreeSet<&str> =
        ["containers", "initContainers"].iter().flat_map(|name| pod.list(name)).map(|c| c.text("name")).collect();
    for (i, rule) in list.iter().enumerate() {
        errors.extend(failure_rule(spec, rule, &path.index(i), &containers));
    }
    errors
}

fn failure_rule(spec: &Json, rule: &Json, path: &Path, containers: &BTreeSet<&str>) -> Errors {
    let action_path = path.child("action");
    let mut errors = match rule.text("action") {
        "FailIndex" if !spec.has("backoffLimitPerIndex") => {
            vec![field::invalid(&action_path, "FailIndex", "requires the backoffLimitPerIndex to be set")]
        }
        action => one_of(&action_path, action, ACTIONS),
    };
    let patterns = rule.list("onPodConditions");
    if rule.has("onExitCodes") {
        errors.extend(exit_codes(rule.field("onExitCodes"), &path.child("onExitCodes"), containers));
    }
    errors.extend(pod_conditions(patterns, &path.child("onPodConditions")));
    match (rule.has("onExitCodes"), !patterns.is_empty()) {
        (true, true) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(rules::invalid_unshown(path, detail));
        }
        (false, false) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(rules::invalid_unshown(path, detail));
        }
        _ => {}
    }
    errors
}

fn pod_conditions(patterns: &[Json], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if patterns.len() > MAX_PATTERNS {
        errors.push(field::too_many(path, patterns.len(), MAX_PATTERNS));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let path = path.index(i);
        let kind = pattern.text("type");
        errors.extend(rules::each(&path.child("type"), kind, names::qualified_name(kind)));
        errors.extend(one_of(&path.child("status"), pattern.text("status"), STATUSES));
    }
    errors
}

fn exit_codes(codes: &Json, path: &Path, containers: &BTreeSet<&str>) -> Errors {
    let operator = codes.text("operator");
    let mut errors = one_of(&path.child("operator"), operator, OPERATORS);
    if let Some(name) = codes.opt_text("containerName").filter(|name| !containers.contains(name)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(field::invalid(&path.child("containerName"), name, detail));
    }
    let (values, path) = (codes.list("values"), path.child("values"));
    if values.is_empty() {
        let shown = if codes.has("values") { Json::Array(Vec::new()) } else { Json::Null };
        errors.push(field::invalid(&path, shown, "at least one value is required"));
    } else if values.len() > MAX_EXIT_CODES {
        errors.push(field::too_many(&path, values.len(), MAX_EXIT_CODES));
    }
    let numbers: Vec<i64> = values.iter().map(|v| v.as_i64().unwrap_or(0)).collect();
    let mut seen = BTreeSet::new();
    for (i, number) in numbers.iter().enumerate() {
        if operator == "In" && *number == 0 {
            errors.push(field::invalid(&path.index(i), 0, "must not be 0 for the In operator"));
        }
        if !seen.insert(*number) {
            errors.push(field::duplicate(&path.index(i), *number));
        }
    }
    if !numbers.is_sorted() {
        errors.push(field::invalid(&path, numbers, "must be ordered"));
    }
    errors
}

pub fn success(spec: &Json, path: &Path) -> Errors {
    let policy = spec.field("successPolicy");
    if spec.text("completionMode") != "Indexed" {
        return vec![rules::invalid_struct(path, "SuccessPolicy", policy, "requires indexed completion mode")];
    }
    let (list, path) = (policy.list("rules"), path.child("rules"));
    let mut errors = Errors::new();
    if list.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(field::required(&path, detail));
    }
    if list.len() > MAX_RULES {
        errors.push(field::too_many(&path, list.len(), MAX_RULES));
    }
    let completions = spec.int("completions");
    for (i, rule) in list.iter().enumerate() {
        errors.extend(success_rule(rule, completions, &path.index(i)));
    }
    errors
}

fn success_rule(rule: &Json, completions: i64, path: &Path) -> Errors {
    let (indexes, count) = (rule.opt_text("succeededIndexes"), rule.opt_int("succeededCount"));
    let mut errors = Errors::new();
    if indexes.is_none() && count.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(field::required(path, detail));
    }
    let mut total = 0;
    if let Some(indexes) = indexes {
        let path = path.child("succeededIndexes");
        if indexes.len() > MAX_SUCCEEDED_INDEXES {
            errors.push(field::too_long(&path, MAX_SUCCEEDED_INDEXES as i64));
        }
        match count_indexes(indexes, completions) {
            Ok(found) => total = found,
            Err(error) => {
                let detail = format!("error parsing succeededIndexes: {error}");
                errors.push(field::invalid(&path, indexes, &detail));
            }
        }
    }
    if let Some(count) = count {
        let path = path.child("succeededCount");
        errors.extend(rules::not_negative(&path, count));
        if count > completions {
            let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.push(field::invalid(&path, count, &detail));
        }
        if indexes.is_some() && count > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.push(field::invalid(&path, count, &detail));
        }
    }
    errors
}

/// How many indexes a list like `0,2-4` holds; the lists rise and stay below `completions`.
pub fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let mut last: Option<i64> = None;
    let mut total = 0;
    for part in text.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        let rule = "violates the requirement that an index interval can have at most two parts separated by '-'";
        return Err(format!("the fragment {} {rule}", quote(text)));
    }
    let index = |part: &str| {
        let number =
            go_time::atoi(part).map_err(|_| format!("cannot convert string to integer for index: {}", quote(part)))?;
        if number >= completions { Err(format!("too large index: {}", quote(part))) } else { Ok(number) }
    };
    let first = index(parts[0])?;
    let Some(end) = parts.get(1) else { return Ok((first, first)) };
    let end = index(end)?;
    if first >= end {
        return Err(format!("non-increasing order, previous: {first}, current: {end}"));
    }
    Ok((first, end))
}

/// The first index that both lists hold; parts that cannot be read are passed over.
pub fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    if completed.is_empty() || failed.is_empty() {
        return None;
    }
    let (completed, failed) = (read(completed), read(failed));
    let (mut c, mut f) = (0, 0);
    while let (Some(done), Some(lost)) = (completed.get(c), failed.get(f)) {
        if done.0 <= lost.1 && lost.0 <= done.1 {
            return Some(done.0.max(lost.0));
        }
        if done.0 <= lost.0 { c += 1 } else { f += 1 }
    }
    None
}
