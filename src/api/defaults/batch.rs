//! Defaults of Job and CronJob. Source: pkg/apis/batch/v1/defaults.go.

use super::pod::fill_template;
use crate::api::Json;
use crate::api::tree::{Tree, child, default_text, default_to, items, present};

pub fn job(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    if !spec.has("completions") && !spec.has("parallelism") {
        default_to(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    let backoff = if spec.has("backoffLimitPerIndex") { i32::MAX } else { 6 };
    default_to(spec, "backoffLimit", backoff);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    default_to(spec, "podReplacementPolicy", replacement);
    default_to(spec, "manualSelector", false);
    job_parts(spec);
    let labels = spec.pointer("/template/metadata/labels").cloned();
    if let Some(labels) = labels.filter(|v| v.as_object().is_some_and(|m| !m.is_empty()))
        && let Some(metadata) = child(tree, "metadata")
        && metadata.entries("labels").is_empty()
    {
        metadata["labels"] = labels;
    }
}

pub fn cron_job(tree: &mut Json) {
    let Some(spec) = child(tree, "spec") else { return };
    default_text(spec, "concurrencyPolicy", "Allow");
    default_to(spec, "suspend", false);
    default_to(spec, "successfulJobsHistoryLimit", 3);
    default_to(spec, "failedJobsHistoryLimit", 1);
    if let Some(template) = child(spec, "jobTemplate") {
        child(template, "metadata");
        if let Some(job) = child(template, "spec") {
            job_parts(job);
        }
    }
}

/// What a Job's spec has inside a CronJob as well.
fn job_parts(spec: &mut Json) {
    if let Some(policy) = present(spec, "podFailurePolicy") {
        for rule in items(policy, "rules") {
            for pattern in items(rule, "onPodConditions") {
                default_text(pattern, "status", "True");
            }
        }
    }
    if let Some(template) = child(spec, "template") {
        fill_template(template);
    }
}
