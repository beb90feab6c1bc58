//! Whether a Job may be. Source: pkg/apis/batch/validation/validation.go, pkg/registry/batch/job/strategy.go.

use super::field::{self, Errors, Path};
use super::rules::{self, not_negative_at};
use super::{job_policies, meta, names, pod, selector, statuses};
use crate::api::status::quote;
use crate::api::tree::{Tree, remove};
use crate::api::{Json, Object};

/// Most Pods at once of an Indexed Job, and most failed indexes.
const MAX_INDEXED: i64 = 100_000;
/// Over so many completions stricter limits hold.
const SOFT_LIMIT: i64 = 100_000;
const HIGH_COMPLETIONS_LIMIT: i64 = 10_000;

const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

pub fn create(object: &Object) -> Errors {
    whole(object, None)
}

fn whole(object: &Object, old: Option<&Json>) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(generated_selector(object));
    let path = Path::new("spec");
    errors.extend(spec_with_selector(object.json().field("spec"), &path, old));
    errors.extend(indexed_host_names(object));
    errors
}

/// The Pods of an Indexed Job have host names made of the Job's name and the index.
fn indexed_host_names(object: &Object) -> Errors {
    let spec = object.json().field("spec");
    let completions = spec.int("completions");
    if spec.text("completionMode") != "Indexed" || completions <= 0 {
        return Errors::new();
    }
    let host = format!("{}-{}", object.name(), completions - 1);
    if names::dns1123_label(&host).is_empty() {
        return Errors::new();
    }
    let detail = format!("will not able to create pod with invalid DNS label: {host}");
    vec![field::invalid(&Path::new("metadata").child("name"), object.name(), &detail)]
}

/// The generated selector and labels must be there unless the client chose its own.
fn generated_selector(object: &Object) -> Errors {
    let spec = object.json().field("spec");
    if spec.flag("manualSelector") || !spec.has("selector") {
        return Errors::new();
    }
    let (uid, name) = (object.uid(), object.name());
    let mut errors = Errors::new();
    if uid.is_empty() {
        errors.push(field::required(&Path::new("metadata").child("uid"), ""));
    }
    let labels = spec.field("template").field("metadata").field("labels");
    let path = Path::new("spec").child("template").child("metadata").child("labels");
    for i in 0..2 {
        errors.extend(has_label(labels, &path, UID_LABELS[i], uid));
        errors.extend(has_label(labels, &path, NAME_LABELS[i], name));
    }
    let expected: serde_json::Map<String, Json> = UID_LABELS
        .iter()
        .map(|key| ((*key).to_owned(), Json::from(uid)))
        .chain(NAME_LABELS.iter().map(|key| ((*key).to_owned(), Json::from(name))))
        .collect();
    if let Some(selection) = rules::selects(spec.field("selector"), &Json::Object(expected))
        && !selection.everything
        && !selection.matches
    {
        let path = Path::new("spec").child("selector");
        errors.push(rules::invalid_selector(&path, spec.field("selector"), "`selector` not auto-generated"));
    }
    errors
}

fn has_label(labels: &Json, path: &Path, key: &str, expected: &str) -> Errors {
    match labels.opt_text(key) {
        None => vec![field::required(&path.key(key), &format!("must be '{expected}'"))],
        Some(value) if value != expected => {
            vec![field::invalid(&path.key(key), labels.clone(), &format!("must be '{expected}'"))]
        }
        Some(_) => Errors::new(),
    }
}

fn spec_with_selector(spec: &Json, path: &Path, old: Option<&Json>) -> Errors {
    let mut errors = self::spec(spec, path, old);
    let selector = spec.field("selector");
    if selector.is_null() {
        errors.push(field::required(&path.child("selector"), ""));
    } else {
        errors.extend(selector::label_selector(Some(selector), &path.child("selector")));
    }
    let labels = spec.field("template").field("metadata").field("labels");
    if rules::selects(selector, labels).is_some_and(|s| !s.everything && !s.matches) {
        let path = path.child("template").child("metadata").child("labels");
        errors.push(field::invalid(&path, labels.clone(), rules::SELECTOR_MISMATCH));
    }
    errors
}

/// A Job's spec, also inside a CronJob; without what the selector must be.
pub fn spec(spec: &Json, path: &Path, old: Option<&Json>) -> Errors {
    let mut errors = Errors::new();
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for name in counts {
        errors.extend(not_negative_at(spec, path, name));
    }
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        errors.push(field::required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    if let Some(manager) = spec.opt_text("managedBy") {
        errors.extend(rules::domain_prefixed_path(&path.child("managedBy"), manager));
        if manager.len() > 63 {
            errors.push(field::too_long(&path.child("managedBy"), 63));
        }
    }
    errors.extend(completion_mode(spec, path));
    if spec.has("podFailurePolicy") {
        errors.extend(job_policies::failure(spec, &path.child("podFailurePolicy")));
    }
    if spec.has("successPolicy") {
        errors.extend(job_policies::success(spec, &path.child("successPolicy")));
    }
    errors.extend(job_policies::replacement(spec, &path.child("podReplacementPolicy")));
    let old_template = old.map(|old| old.field("template"));
    errors.extend(pod::template(spec.field("template"), &path.child("template"), old_template));
    errors.extend(restart_policy(spec, &path.child("template").child("spec").child("restartPolicy")));
    errors
}

fn completion_mode(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mode = spec.opt_text("completionMode");
    if let Some(mode) = mode.filter(|mode| !matches!(*mode, "NonIndexed" | "Indexed")) {
        errors.push(field::not_supported(&path.child("completionMode"), mode, &["NonIndexed", "Indexed"]));
    }
    if mode == Some("Indexed") {
        errors.extend(indexed(spec, path));
    }
    if mode.is_none_or(|mode| mode == "NonIndexed") {
        for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(value) = spec.opt_int(name) {
                errors.push(field::invalid(&path.child(name), value, "requires indexed completion mode"));
            }
        }
    }
    errors
}

fn indexed(spec: &Json, path: &Path) -> Errors {
    let completions = spec.opt_int("completions");
    let (parallelism, max_failed) = (spec.opt_int("parallelism"), spec.opt_int("maxFailedIndexes"));
    let (parallelism_path, max_failed_path) = (path.child("parallelism"), path.child("maxFailedIndexes"));
    let mut errors = Errors::new();
    if completions.is_none() {
        errors.push(field::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    if let Some(value) = parallelism.filter(|value| *value > MAX_INDEXED) {
        let detail = format!("must be less than or equal to {MAX_INDEXED} when completion mode is Indexed");
        errors.push(field::invalid(&parallelism_path, value, &detail));
    }
    if let (Some(completions), Some(value)) = (completions, max_failed)
        && value > completions
    {
        errors.push(field::invalid(&max_failed_path, value, "must be less than or equal to completions"));
    }
    if let Some(value) = max_failed.filter(|value| *value > MAX_INDEXED) {
        let detail = format!("must be less than or equal to {MAX_INDEXED}");
        errors.push(field::invalid(&max_failed_path, value, &detail));
    }
    if completions.is_some_and(|c| c > SOFT_LIMIT) && spec.has("backoffLimitPerIndex") {
        if max_failed.is_none() {
            let detail = format!("must be specified when completions is above {SOFT_LIMIT}");
            errors.push(field::required(&max_failed_path, &detail));
        }
        let detail = format!(
            "must be less than or equal to {HIGH_COMPLETIONS_LIMIT} when completions are above {SOFT_LIMIT} and used \
             with backoff limit per index"
        );
        for (value, path) in [(parallelism, &parallelism_path), (max_failed, &max_failed_path)] {
            if let Some(value) = value.filter(|value| *value > HIGH_COMPLETIONS_LIMIT) {
                errors.push(field::invalid(path, value, &detail));
            }
        }
    }
    errors
}

fn restart_policy(spec: &Json, path: &Path) -> Errors {
    match spec.field("template").field("spec").text("restartPolicy") {
        "" | "Always" => vec![field::required(path, r#"valid values: "OnFailure", "Never""#)],
        "Never" => Errors::new(),
        "OnFailure" if spec.has("podFailurePolicy") => {
            let detail = format!("only {} is supported when podFailurePolicy is specified", quote("Never"));
            vec![field::invalid(path, "OnFailure", &detail)]
        }
        "OnFailure" => Errors::new(),
        other => vec![field::not_supported(path, other, &["OnFailure", "Never"])],
    }
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let path = Path::new("spec");
    let (spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    let mut errors = whole(new, Some(old_spec));
    errors.extend(meta::update(new, old));
    errors.extend(spec_with_selector(spec, &path, Some(old_spec)));
    errors.extend(completions_update(spec, old_spec, &path.child("completions")));
    let unchanged = |name: &str, kind: &str| {
        rules::immutable(&path.child(name), kind, spec.field(name), old_spec.field(name))
    };
    errors.extend(unchanged("selector", "LabelSelector"));
    errors.extend(template_update(new, old, &path.child("template")));
    errors.extend(unchanged("completionMode", ""));
    errors.extend(unchanged("podFailurePolicy", "PodFailurePolicy"));
    errors.extend(unchanged("backoffLimitPerIndex", ""));
    errors.extend(unchanged("managedBy", ""));
    errors.extend(unchanged("successPolicy", "SuccessPolicy"));
    errors
}

/// Completions of an Indexed Job may change together with its parallelism.
fn completions_update(spec: &Json, old: &Json, path: &Path) -> Errors {
    let (new, old) = (spec.field("completions"), old.field("completions"));
    if spec.text("completionMode") != "Indexed" {
        return rules::immutable(path, "", new, old);
    }
    if new == old || new.is_null() || new == spec.field("parallelism") {
        return Errors::new();
    }
    vec![field::invalid(path, new.clone(), "can only be modified in tandem with spec.parallelism")]
}

/// Whether scheduling directives and resources may change: the Job is suspended, none of its Pods is left, and
/// it has not started or is marked as suspended.
fn is_mutable(old: &Object) -> bool {
    let status = old.json().field("status");
    let marked = status.list("conditions").iter().any(|c| c.text("type") == "Suspended" && c.text("status") == "True");
    let suspended = old.json().field("spec").flag("suspend");
    suspended && status.int("active") == 0 && (marked || !status.has("startTime"))
}

fn template_update(new: &Object, old: &Object, path: &Path) -> Errors {
    let template = new.json().field("spec").field("template");
    let mut expected = old.json().field("spec").field("template").clone();
    if !is_mutable(old) {
        return rules::immutable(path, "PodTemplateSpec", template, &expected);
    }
    take_scheduling(&mut expected, template);
    take_resources(&mut expected, template);
    rules::immutable(&path.child("spec"), "PodSpec", template.field("spec"), expected.field("spec"))
}

/// Takes over into `old` the resources of the containers of the same place and name.
fn take_resources(old: &mut Json, new: &Json) {
    let Some(spec) = crate::api::tree::child(old, "spec") else { return };
    for list in ["containers", "initContainers"] {
        let containers = new.field("spec").list(list);
        for (old, new) in crate::api::tree::items(spec, list).zip(containers) {
            if old.text("name") == new.text("name") {
                take(Some(old), "resources", new.field("resources"));
            }
        }
    }
}

/// Takes over into `old` what may change while a Job is suspended.
fn take_scheduling(old: &mut Json, new: &Json) {
    for name in ["annotations", "labels"] {
        take(crate::api::tree::child(old, "metadata"), name, new.field("metadata").field(name));
    }
    let new = new.field("spec");
    for name in ["nodeSelector", "tolerations", "schedulingGates"] {
        take(crate::api::tree::child(old, "spec"), name, new.field(name));
    }
    let Some(spec) = crate::api::tree::child(old, "spec") else { return };
    match (new.has("affinity"), spec.has("affinity")) {
        (false, true) => {
            remove(&mut spec["affinity"], "nodeAffinity");
            if spec["affinity"].as_object().is_some_and(serde_json::Map::is_empty) {
                remove(spec, "affinity");
            }
        }
        (true, _) => {
            let node = new.field("affinity").field("nodeAffinity");
            take(crate::api::tree::child(spec, "affinity"), "nodeAffinity", node);
        }
        (false, false) => {}
    }
}

fn take(target: Option<&mut Json>, name: &str, value: &Json) {
    let Some(target) = target else { return };
    if value.is_null() {
        remove(target, name);
    } else {
        target[name] = value.clone();
    }
}

/// Odd names and templates, and limits that do not hold at the size of the Job.
pub fn warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(statuses::pod_name_warning(new.name()));
    }
    if old.is_none_or(|old| old.generation() != new.generation()) {
        warnings.extend(spec_warnings(new.json().field("spec"), &Path::new("spec")));
    }
    warnings
}

/// Warnings about a Job's spec. Source: pkg/api/job/warnings.go.
pub fn spec_warnings(spec: &Json, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    if spec.text("completionMode") == "Indexed" {
        let (completions, parallelism) = (spec.int("completions"), spec.int("parallelism"));
        if completions > SOFT_LIMIT && parallelism > HIGH_COMPLETIONS_LIMIT {
            warnings.push(format!(
                "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
                 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
            ));
        }
    }
    warnings.extend(pod::warnings::of_template(&path.child("template"), spec.field("template")));
    warnings
}
