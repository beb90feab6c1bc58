//! Whether an Event may be, written through core/v1 or through events.k8s.io.
//! Source: pkg/apis/core/validation/events.go. Both groups have the fields of core/v1 in the messages.

use super::field::{self, Errors, Path};
use super::{meta, names, rules};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const MAX_TEXT: usize = 128;
const MAX_NOTE: usize = 1024;
const NAMESPACE: &str = "does not match event.namespace";

/// An Event under the names that core/v1 has for its fields.
struct View<'a> {
    tree: &'a Json,
    /// Whether the request came through core/v1.
    core: bool,
}

impl<'a> View<'a> {
    fn of(object: &'a Object) -> Self {
        View { tree: object.json(), core: object.api_version() == "v1" }
    }

    /// The field that core/v1 calls `name`.
    fn field(&self, name: &str) -> &'a Json {
        let own = match (self.core, name) {
            (true, "reportingController") => "reportingComponent",
            (false, "involvedObject") => "regarding",
            (false, "message") => "note",
            (false, "firstTimestamp") => "deprecatedFirstTimestamp",
            (false, "lastTimestamp") => "deprecatedLastTimestamp",
            (false, "count") => "deprecatedCount",
            (false, "source") => "deprecatedSource",
            _ => name,
        };
        self.tree.field(own)
    }

    fn text(&self, name: &str) -> &'a str {
        self.field(name).as_str().unwrap_or("")
    }
}

pub fn create(object: &Object) -> Errors {
    let event = View::of(object);
    let mut errors = legacy(object, &event);
    if event.core {
        return errors;
    }
    errors.extend(meta::create(object, true, names::name_is_subdomain));
    errors.extend(series(&event));
    if event.text("eventTime").is_empty() {
        errors.push(field::required(&Path::new("eventTime"), ""));
    }
    let kind = event.text("type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(field::invalid(&Path::new("type"), "", &format!("has invalid value: {kind}")));
    }
    let source = event.field("source");
    let unset = [
        ("firstTimestamp", event.field("firstTimestamp").is_null()),
        ("lastTimestamp", event.field("lastTimestamp").is_null()),
        ("count", event.field("count").as_i64().unwrap_or(0) == 0),
        ("source", source.text("component").is_empty() && source.text("host").is_empty()),
    ];
    for (name, _) in unset.into_iter().filter(|(_, unset)| !unset) {
        errors.push(field::invalid(&Path::new(name), "", "needs to be unset"));
    }
    errors
}

fn series(event: &View<'_>) -> Errors {
    let series = event.field("series");
    let mut errors = Errors::new();
    if series.is_null() {
        return errors;
    }
    if series.int("count") < 2 {
        errors.push(field::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if series.text("lastObservedTime").is_empty() {
        errors.push(field::required(&Path::new("series.lastObservedTime"), ""));
    }
    errors
}

fn legacy(object: &Object, event: &View<'_>) -> Errors {
    let namespace = object.namespace();
    let about = event.field("involvedObject").text("namespace");
    let timed = !event.text("eventTime").is_empty();
    let fits = match (timed, about.is_empty()) {
        (false, true) => matches!(namespace, "" | "default"),
        (false, false) => namespace == about,
        (true, true) => matches!(namespace, "default" | "kube-system"),
        (true, false) => true,
    };
    let mut errors = Errors::new();
    if !fits {
        errors.push(field::invalid(&Path::new("involvedObject").child("namespace"), about, NAMESPACE));
    }
    if timed {
        errors.extend(reported(event));
    }
    errors.extend(rules::each(&Path::new("namespace"), namespace, names::dns1123_subdomain(namespace)));
    errors
}

fn reported(event: &View<'_>) -> Errors {
    let mut errors = Errors::new();
    let controller = event.text("reportingController");
    let path = Path::new(if event.core { "reportingComponent" } else { "reportingController" });
    if controller.is_empty() {
        errors.push(field::required(&path, ""));
    }
    errors.extend(rules::each(&path, controller, names::qualified_name(controller)));
    for name in ["reportingInstance", "action", "reason"] {
        let (text, path) = (event.text(name), Path::new(name));
        if text.is_empty() {
            errors.push(field::required(&path, ""));
        }
        if text.len() > MAX_TEXT {
            errors.push(field::invalid(&path, "", &format!("can have at most {MAX_TEXT} characters")));
        }
    }
    if event.text("message").len() > MAX_NOTE {
        let detail = format!("can have at most {MAX_NOTE} characters");
        errors.push(field::invalid(&Path::new("message"), "", &detail));
    }
    errors
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let (event, before) = (View::of(new), View::of(old));
    let mut errors = legacy(new, &event);
    if event.core {
        return errors;
    }
    errors.extend(meta::update(new, old));
    if event.field("series") != before.field("series") {
        errors.extend(series(&event));
    }
    let fixed = [
        ("involvedObject", "ObjectReference"),
        ("reason", ""),
        ("message", ""),
        ("source", "EventSource"),
        ("firstTimestamp", ""),
        ("lastTimestamp", ""),
        ("count", ""),
        ("reason", ""),
        ("type", ""),
        ("eventTime", ""),
        ("action", ""),
        ("related", "ObjectReference"),
        ("reportingController", ""),
        ("reportingInstance", ""),
    ];
    for (name, kind) in fixed {
        let (new, old) = (zero(event.field(name), name), zero(before.field(name), name));
        errors.extend(rules::immutable(&Path::new(name), kind, &new, &old));
    }
    errors
}

/// An absent value as Go has it.
fn zero(value: &Json, name: &str) -> Json {
    match (value, name) {
        (Json::Null, "count") => 0.into(),
        (Json::Null, "reason" | "message" | "type" | "action" | "reportingController" | "reportingInstance") => {
            "".into()
        }
        (value, _) => value.clone(),
    }
}
