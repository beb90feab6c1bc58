//! What a command fails with, and how it is told: kubectl's prefixes.
//! Source: k8s.io/kubectl/pkg/cmd/util/helpers.go (`checkErr`, `StandardErrorMessage`).

use super::{Context, Exit};
use crate::api::{Status, status::quote};
use crate::client::ClientError;

/// Why a command failed.
#[derive(Debug)]
pub enum CliError {
    /// `wl`'s own words; printed behind `error: `.
    Message(String),
    /// The server went away; printed as a message.
    Lost(String),
    /// The server's refusal.
    Status(Box<Status>),
    /// Wrong arguments; printed with the way to the command's help.
    Usage(String),
    /// Printed as it is.
    Verbatim(String),
    /// Several, each on its line.
    Many(Vec<CliError>),
    /// Everything has been said.
    Silent(Exit),
}

impl CliError {
    pub fn message(text: impl Into<String>) -> Self {
        CliError::Message(text.into())
    }

    /// What kubectl says of a kind that the server does not have.
    pub fn no_resource_type(name: &str) -> Self {
        CliError::message(format!("the server doesn't have a resource type {}", quote(name)))
    }

    /// The same where a command asks for the kind alone: told without a prefix.
    /// Source: k8s.io/kubectl/pkg/cmd/util/helpers.go (`NoResourceMatchError`).
    pub fn no_resource_match(name: &str) -> Self {
        let (resource, place) = match name.split_once('.') {
            Some((resource, group)) => (resource, format!(" in group {}", quote(group))),
            None => (name, String::new()),
        };
        CliError::Verbatim(format!("the server doesn't have a resource type {}{place}", quote(resource)))
    }

    /// Several errors as one; one alone stays what it is.
    pub fn many(mut errors: Vec<CliError>) -> Option<Self> {
        match errors.len() {
            0 => None,
            1 => errors.pop(),
            _ => Some(CliError::Many(errors)),
        }
    }

    /// The server's refusal, if that is what it is.
    pub fn status(&self) -> Option<&Status> {
        match self {
            CliError::Status(status) => Some(status),
            CliError::Message(_)
            | CliError::Lost(_)
            | CliError::Usage(_)
            | CliError::Verbatim(_)
            | CliError::Many(_)
            | CliError::Silent(_) => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|s| s.reason == "NotFound")
    }

    /// Says where it happened, as `AddSourceToErr` does: `error when creating "web.yaml": …`.
    pub fn at(self, verb: &str, source: &str) -> Self {
        let text = |inner: &str| format!("error when {verb} {}: {inner}", quote(source));
        match self {
            CliError::Status(mut status) => {
                status.message = text(&status.message);
                CliError::Status(status)
            }
            CliError::Message(inner) => CliError::Message(text(&inner)),
            other => other,
        }
    }

    /// Prints it to stderr; returns the exit code.
    pub fn report(&self, ctx: &mut Context) -> Exit {
        let text = match self {
            CliError::Silent(exit) => return *exit,
            CliError::Usage(message) => {
                format!("error: {message}\nSee '{} -h' for help and examples", ctx.command_path)
            }
            CliError::Status(status) if status.reason == "Invalid" => invalid(status),
            other => other.line(),
        };
        if text.ends_with("\n") { ctx.err.text(&text) } else { ctx.err.line(&text) }
        Exit::Failure
    }

    fn line(&self) -> String {
        match self {
            CliError::Message(message) if message.starts_with("error: ") => message.clone(),
            CliError::Message(message) | CliError::Lost(message) | CliError::Usage(message) => format!("error: {message}"),
            CliError::Verbatim(text) => text.clone(),
            CliError::Status(status) if status.reason == "Unauthorized" => {
                format!("error: You must be logged in to the server ({})", status.message)
            }
            CliError::Status(status) if status.reason.is_empty() => format!("Error from server: {}", status.message),
            CliError::Status(status) => format!("Error from server ({}): {}", status.reason, status.message),
            CliError::Many(errors) => errors.iter().map(CliError::part).collect::<Vec<_>>().join("\n"),
            CliError::Silent(_) => String::new(),
        }
    }

    /// As one of several: there kubectl gives its own words no prefix.
    fn part(&self) -> String {
        match self {
            CliError::Message(message) | CliError::Lost(message) => message.clone(),
            other => other.line(),
        }
    }

    /// The text alone, without any prefix.
    pub fn text(&self) -> String {
        match self {
            CliError::Message(text) | CliError::Lost(text) | CliError::Usage(text) | CliError::Verbatim(text) => text.clone(),
            CliError::Status(status) => status.message.clone(),
            CliError::Many(errors) => errors.iter().map(CliError::text).collect::<Vec<_>>().join(", "),
            CliError::Silent(_) => String::new(),
        }
    }
}

/// `The Pod "x" is invalid: …`, one cause on the line or several as a list.
fn invalid(status: &Status) -> String {
    let Some(details) = &status.details else {
        return if status.message.is_empty() {
            "The request is invalid".into()
        } else {
            format!("The request is invalid: {}", status.message)
        };
    };
    let text = |key: &str| details.get(key).and_then(|v| v.as_str()).unwrap_or("");
    let causes = details.get("causes").and_then(|c| c.as_array()).map_or(&[][..], Vec::as_slice);
    let head = if !text("kind").is_empty() || !text("name").is_empty() {
        format!("The {} {} is invalid", text("kind"), quote(text("name")))
    } else if !status.message.is_empty() && causes.is_empty() {
        format!("The request is invalid: {}", status.message)
    } else {
        "The request is invalid".into()
    };
    let mut lines: Vec<String> = Vec::new();
    for cause in causes {
        let part = |key: &str| cause.get(key).and_then(|v| v.as_str()).unwrap_or("");
        let line = format!("{}: {}", part("field"), part("message"));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    match lines.as_slice() {
        [] => head,
        [one] => format!("{head}: {one}\n"),
        _ => format!("{head}: \n{}", lines.iter().map(|l| format!("* {l}\n")).collect::<String>()),
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        CliError::Status(Box::new(status))
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Status { status, .. } => CliError::Status(status),
            lost @ (ClientError::Connect(_) | ClientError::Broken(_)) => CliError::Lost(lost.to_string()),
            other => CliError::Message(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Cause;

    #[test]
    fn invalid_objects_list_their_causes() {
        let cause = |field: &str| Cause { reason: "FieldValueRequired".into(), message: "Required value".into(), field: field.into() };
        let one = Status::invalid("", "Pod", "x", &[cause("spec.a")]);
        assert_eq!(invalid(&one), "The Pod \"x\" is invalid: spec.a: Required value\n");
        let two = Status::invalid("", "Pod", "x", &[cause("spec.a"), cause("spec.b")]);
        assert_eq!(invalid(&two), "The Pod \"x\" is invalid: \n* spec.a: Required value\n* spec.b: Required value\n");
    }

    #[test]
    fn one_of_several_keeps_the_servers_prefix_only() {
        let many = CliError::Many(vec![CliError::message("a"), Status::bad_request("b").into()]);
        assert_eq!(many.line(), "a\nError from server (BadRequest): b");
    }
}
