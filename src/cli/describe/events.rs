//! The table of events at the end. Source: k8s.io/kubectl/pkg/describe/describe.go (`DescribeEvents`).

use super::document::Document;
use crate::api::tree::Tree;
use crate::api::{Json, shown};
use crate::cli::print::gosort;

/// The events, oldest first; nothing where they were not asked for.
pub fn events(doc: &mut Document, events: Option<&[Json]>) {
    let Some(events) = events else { return };
    if events.is_empty() {
        return doc.field(0, "Events", "<none>");
    }
    let mut events: Vec<&Json> = events.iter().collect();
    let seen = |event: &Json| event.text("lastTimestamp").parse::<jiff::Timestamp>().ok();
    gosort::sort(&mut events, |a, b| seen(a) < seen(b));
    doc.line(0, "Events:\n  Type\tReason\tAge\tFrom\tMessage");
    doc.line(1, "----\t------\t----\t----\t-------");
    for event in events {
        let source = match event.field("source").text("component") {
            "" => event.text("reportingComponent"),
            component => component,
        };
        let message = event.text("message").trim();
        let message = match event.field("involvedObject").text("fieldPath") {
            "" => message.to_owned(),
            path => format!("{path}: {message}"),
        };
        let age = shown::event_age(event, doc.now());
        doc.line(1, &format!("{}\t{}\t{age}\t{source}\t{message}", event.text("type"), event.text("reason")));
    }
}
