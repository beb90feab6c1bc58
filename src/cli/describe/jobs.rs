//! What runs to an end. Source: k8s.io/kubectl/pkg/describe/describe.go (`describeJob`, `describeCronJob`).

use jiff::Timestamp;

use super::Related;
use super::document::{Document, flag, or_none, or_unset, plain};
use super::events::events;
use super::pod::template;
use crate::api::selector::LabelSelector;
use crate::api::tree::Tree;
use crate::api::{Json, shown};

/// The list of completed indexes is cut behind the first whole part after so many signs.
const INDEXES: usize = 50;

fn selector(selector: &Json) -> String {
    LabelSelector::of(Some(selector)).map_or_else(|e| format!("Failed to get selector: {e}"), |s| s.to_string())
}

fn optional(doc: &mut Document, title: &str, value: &Json) {
    doc.some_field(0, title, &plain(value));
}

pub fn job(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.namespace(object);
    doc.field(0, "Selector", selector(spec.field("selector")));
    doc.marks(object);
    doc.controlled_by(object);
    optional(doc, "Parallelism", spec.field("parallelism"));
    doc.field(0, "Completions", or_unset(spec.field("completions")));
    optional(doc, "Completion Mode", spec.field("completionMode"));
    optional(doc, "Suspend", spec.field("suspend"));
    optional(doc, "Backoff Limit", spec.field("backoffLimit"));
    optional(doc, "TTL Seconds After Finished", spec.field("ttlSecondsAfterFinished"));
    let (start, end) = (status.text("startTime"), status.text("completionTime"));
    if !start.is_empty() {
        doc.field(0, "Start Time", doc.date(start));
    }
    if !end.is_empty() {
        doc.field(0, "Completed At", doc.date(end));
    }
    if let (Ok(start), Ok(end)) = (start.parse::<Timestamp>(), end.parse::<Timestamp>()) {
        doc.field(0, "Duration", shown::human(end.duration_since(start)));
    }
    if let Some(deadline) = spec.opt_int("activeDeadlineSeconds") {
        doc.field(0, "Active Deadline Seconds", format!("{deadline}s"));
    }
    let ready = status.opt_int("ready").map_or_else(String::new, |ready| format!(" ({ready} Ready)"));
    let (active, succeeded, failed) = (status.int("active"), status.int("succeeded"), status.int("failed"));
    doc.field(0, "Pods Statuses", format!("{active} Active{ready} / {succeeded} Succeeded / {failed} Failed"));
    if spec.text("completionMode") == "Indexed" {
        doc.field(0, "Completed Indexes", indexes(status.text("completedIndexes")));
    }
    template(doc, spec.field("template"));
    events(doc, related.events());
}

fn indexes(all: &str) -> String {
    if all.is_empty() {
        return "<none>".into();
    }
    match all.get(INDEXES..).and_then(|rest| rest.find(',')) {
        Some(comma) => format!("{}...", &all[..=INDEXES + comma]),
        None => all.to_owned(),
    }
}

pub fn cron_job(doc: &mut Document, object: &Json, related: &Related) {
    let (spec, status) = (object.field("spec"), object.field("status"));
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    doc.field(0, "Schedule", spec.text("schedule"));
    doc.field(0, "Concurrency Policy", spec.text("concurrencyPolicy"));
    doc.field(0, "Suspend", flag(spec.field("suspend")));
    doc.field(0, "Time Zone", or_unset(spec.field("timeZone")));
    doc.field(0, "Successful Job History Limit", or_unset(spec.field("successfulJobsHistoryLimit")));
    doc.field(0, "Failed Job History Limit", or_unset(spec.field("failedJobsHistoryLimit")));
    let deadline = spec.opt_int("startingDeadlineSeconds").map_or("<unset>".into(), |s| format!("{s}s"));
    doc.field(0, "Starting Deadline Seconds", deadline);
    job_template(doc, spec.field("jobTemplate").field("spec"));
    let last = match status.text("lastScheduleTime") {
        "" => "<unset>".to_owned(),
        time => doc.date(time),
    };
    doc.field(0, "Last Schedule Time", last);
    let active = status.list("active").iter().map(|job| job.text("name")).collect::<Vec<_>>().join(", ");
    doc.field(0, "Active Jobs", or_none(&active));
    events(doc, related.events());
}

fn job_template(doc: &mut Document, spec: &Json) {
    let shown = if spec.has("selector") { selector(spec.field("selector")) } else { "<unset>".into() };
    doc.field(0, "Selector", shown);
    doc.field(0, "Parallelism", or_unset(spec.field("parallelism")));
    doc.field(0, "Completions", or_unset(spec.field("completions")));
    if let Some(deadline) = spec.opt_int("activeDeadlineSeconds") {
        doc.field(0, "Active Deadline Seconds", format!("{deadline}s"));
    }
    template(doc, spec.field("template"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_indexes_are_cut_at_a_comma() {
        let all = (0..40).map(|i| (i * 2).to_string()).collect::<Vec<_>>().join(",");
        let cut = indexes(&all);
        assert!(cut.ends_with(",...") && cut.len() > INDEXES && all.starts_with(cut.trim_end_matches("...")));
        assert_eq!(indexes("0-3,5"), "0-3,5");
        assert_eq!(indexes(""), "<none>");
    }
}
