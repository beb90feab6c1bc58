//! `metav1.Status`: how the API says no, and the constructors that Kubernetes has for each no.
//! Source: k8s.io/apimachinery/pkg/api/errors/errors.go.

use serde_json::json;

use super::{GroupResource, Json};

/// A refusal (or a plain success) as the API answers it. Displays as its message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub code: u16,
    /// `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, `BadRequest` …
    pub reason: String,
    pub message: String,
    pub details: Option<Json>,
    /// Texts for `Warning` headers that come with the refusal.
    pub warnings: Vec<String>,
}

/// One reason among several, with the field it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired` …
    pub reason: String,
    pub message: String,
    /// Path of the field: `spec.template.spec.containers[0].name`.
    pub field: String,
}

impl Status {
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Status { code, reason: reason.into(), message: message.into(), details: None, warnings: Vec::new() }
    }

    pub fn with_details(mut self, details: Json) -> Self {
        self.details = Some(details);
        self
    }

    fn about(resource: &GroupResource, name: &str) -> Json {
        let mut details = json!({"name": name, "kind": resource.resource.as_ref()});
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group.as_ref());
        }
        details
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Status::new(404, "NotFound", format!("{resource} {} not found", quote(name)))
            .with_details(Status::about(resource, name))
    }

    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Status::new(409, "AlreadyExists", format!("{resource} {} already exists", quote(name)))
            .with_details(Status::about(resource, name))
    }

    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", quote(name));
        Status::new(409, "Conflict", message).with_details(Status::about(resource, name))
    }

    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {} is forbidden: {why}", quote(name))
        };
        Status::new(403, "Forbidden", message).with_details(Status::about(resource, name))
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Status::new(400, "BadRequest", message)
    }

    pub fn internal(message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        Status::new(500, "InternalError", format!("Internal error occurred: {message}"))
            .with_details(json!({"causes": [{"message": message}]}))
    }

    /// 422: the object is not valid. `group` and `kind` are the kind's, not the resource's.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let texts: Vec<String> = causes
            .iter()
            .map(|c| if c.field.is_empty() { c.message.clone() } else { format!("{}: {}", c.field, c.message) })
            .collect();
        let distinct = dedup(&texts);
        let text = match distinct.as_slice() {
            [one] => (*one).to_owned(),
            _ => format!("[{}]", distinct.join(", ")),
        };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut details = json!({"name": name, "kind": kind});
        if !group.is_empty() {
            details["group"] = json!(group);
        }
        details["causes"] = causes.iter().map(Cause::json).collect();
        Status::new(422, "Invalid", format!("{qualified} {} is invalid: {text}", quote(name))).with_details(details)
    }

    /// The body of the answer.
    pub fn json(&self) -> Json {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if self.reason.is_empty()
            && let Some(map) = body.as_object_mut()
        {
            map.remove("reason");
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }

    /// Reads an answer's body back; `None` if it is no Status.
    pub fn from_json(body: &Json) -> Option<Self> {
        if body.get("kind")?.as_str()? != "Status" {
            return None;
        }
        let text = |key: &str| body.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
        Some(Status {
            code: u16::try_from(body.get("code").and_then(Json::as_u64).unwrap_or(500)).unwrap_or(500),
            reason: text("reason"),
            message: text("message"),
            details: body.get("details").cloned(),
            warnings: Vec::new(),
        })
    }
}

impl Cause {
    pub fn json(&self) -> Json {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// Kubernetes' aggregate errors name equal texts once.
fn dedup(texts: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.iter().filter(|t| seen.insert(t.as_str())).cloned().collect()
}

/// Text in quotes as Go's `%q` writes it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
