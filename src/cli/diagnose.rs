//! Turns what an API server says of an object into diagnostics at the manifest's lines.

use crate::api::decode::{self, Decoded, Fault};
use crate::api::schema::Schema;
use crate::api::{Gvk, Json, Status};
use crate::manifest::{Document, Problem};

/// All that a refusal says, each at its field. Always at least one.
pub fn refusal(document: &Document, status: &Status) -> Vec<Problem> {
    let unknown = unknown_fields(document, &status.message);
    if !unknown.is_empty() {
        return unknown;
    }
    let causes = status.details.as_ref().and_then(|d| d.get("causes")).and_then(Json::as_array);
    let text = |cause: &Json, key: &str| cause.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let located: Vec<Problem> = causes
        .into_iter()
        .flatten()
        .filter(|cause| !text(cause, "field").is_empty())
        .map(|cause| field_problem(document, &text(cause, "field"), &text(cause, "message"), &text(cause, "reason")))
        .collect();
    if !located.is_empty() {
        return located;
    }
    vec![whole(document, &status.message)]
}

/// What strict decoding found: `unknown field "a.b"`, `duplicate field "a.b"`.
pub fn strict(document: &Document, texts: &[String]) -> Vec<Problem> {
    texts
        .iter()
        .map(|text| match unknown_path(text) {
            Some(path) => unknown_field(document, path),
            None => whole(document, text),
        })
        .collect()
}

/// Reads a document's tree as its kind: the tree as the server would have it, what strict decoding finds, and as problems all
/// that does not fit.
pub fn decode(document: &Document, gvk: &Gvk, tree: Json) -> (Decoded, Vec<Problem>) {
    let (decoded, faults) = decode::check(gvk, tree);
    let problem = |fault: Fault| {
        let path = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
        let problem = document.problem_at(&fault.path, format!("{path}{}", fault.text), "this value");
        if fault.help.is_empty() { problem } else { problem.help(fault.help) }
    };
    (decoded, faults.into_iter().map(problem).collect())
}

/// The path of `unknown field "a.b"`.
pub fn unknown_path(text: &str) -> Option<&str> {
    text.strip_prefix("unknown field ").map(|path| path.trim_matches('"'))
}

/// A problem about the object as a whole, pointed at its first line.
pub fn whole(document: &Document, message: &str) -> Problem {
    let at = if message.contains("apiVersion") { "apiVersion" } else { "kind" };
    document.problem_at(at, message, "this object")
}

fn field_problem(document: &Document, path: &str, message: &str, reason: &str) -> Problem {
    let (label, message) = match reason {
        "FieldValueRequired" => ("missing here", format!("{path}: {message}")),
        "FieldManagerConflict" => ("somebody else's field", format!("{path}: {message}")),
        _ => ("this value", format!("{path}: {message}")),
    };
    document.problem_at(path, message, label)
}

/// The unknown fields that a 400 of strict decoding names.
fn unknown_fields(document: &Document, message: &str) -> Vec<Problem> {
    let Some((_, list)) = message.split_once("strict decoding error: ") else { return Vec::new() };
    let texts: Vec<String> = list.split("\", ").map(|part| format!("{}\"", part.trim_end_matches('"'))).collect();
    strict(document, &texts)
}

fn unknown_field(document: &Document, path: &str) -> Problem {
    let gvk = document.gvk();
    let place = Schema::get().place(&gvk, path);
    let owner = place.as_ref().map_or("", |p| p.owner);
    let message = match short_type(owner) {
        "" => format!("{path} is no field of {}", gvk.kind),
        kind => format!("{path} is no field of {} {kind}", article(kind)),
    };
    let span = document.key_span_of(path);
    let problem = Problem::new(document.source(), message);
    let name = place.as_ref().map_or("", |p| p.name);
    match suggestion(&gvk, owner, name) {
        Some(Suggestion::Here(field)) => problem.label(span, format!("did you mean {field}?")),
        Some(Suggestion::Elsewhere(place)) => {
            problem.label(span, "not here").help(format!("{name} is a field of {place}"))
        }
        None => problem.label(span, "not in the schema"),
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// `io.k8s.api.core.v1.Container` → `Container`.
fn short_type(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or("")
}

enum Suggestion {
    /// A field of the same type with nearly this name.
    Here(String),
    /// A type on the way from the kind's root that has a field of exactly this name.
    Elsewhere(String),
}

/// How alike two names must be to be taken for a slip: Jaro-Winkler, 1 is equal.
const ALIKE: f64 = 0.88;

fn suggestion(gvk: &Gvk, owner: &str, name: &str) -> Option<Suggestion> {
    let schema = Schema::get();
    let fields = schema.type_named(owner)?.fields.as_ref()?;
    let near = fields
        .keys()
        .map(|field| (strsim::jaro_winkler(&field.to_lowercase(), &name.to_lowercase()), field))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, field)) = near {
        return Some(Suggestion::Here(field.clone()));
    }
    let places = [
        ("PodSpec", "io.k8s.api.core.v1.PodSpec"),
        ("Container", "io.k8s.api.core.v1.Container"),
        ("PodTemplateSpec", "io.k8s.api.core.v1.PodTemplateSpec"),
        ("ObjectMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        ("SecurityContext", "io.k8s.api.core.v1.SecurityContext"),
    ];
    let own = schema.type_name(gvk).and_then(|n| Some((n, schema.type_named(n)?.fields.as_ref()?.get("spec")?)));
    if let Some((_, spec)) = own {
        let reference = spec.reference.as_deref().unwrap_or("");
        if reference != owner && has_field(schema, reference, name) {
            return Some(Suggestion::Elsewhere(format!("{} ({}.spec)", short_type(reference), gvk.kind)));
        }
    }
    let found = places.iter().find(|(_, full)| *full != owner && has_field(schema, full, name));
    found.map(|(short, _)| Suggestion::Elsewhere((*short).to_owned()))
}

fn has_field(schema: &Schema, kind: &str, name: &str) -> bool {
    schema.type_named(kind).and_then(|t| t.fields.as_ref()).is_some_and(|f| f.contains_key(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::parse;

    const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: -1
  template:
    spec:
      containers:
      - name: web
        imagePullPolciy: Always
        hostNetwork: true
";

    fn document() -> Document {
        parse("web.yaml", MANIFEST.as_bytes()).documents.remove(0)
    }

    #[test]
    fn unknown_fields_come_with_their_line_and_a_suggestion() {
        let text = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \
            \"spec.template.spec.containers[0].hostNetwork\", unknown field \"spec.template.spec.containers[0].imagePullPolciy\"";
        let found = refusal(&document(), &Status::bad_request(text));
        let seen: Vec<(String, String)> = found.iter().map(|p| (p.place(), p.message().to_owned())).collect();
        let path = "spec.template.spec.containers[0]";
        assert_eq!(
            seen,
            [
                ("web.yaml:12:9".into(), format!("{path}.hostNetwork is no field of a Container")),
                ("web.yaml:11:9".into(), format!("{path}.imagePullPolciy is no field of a Container")),
            ]
        );
        let shown = format!("{:?}", miette::Report::new(found[1].clone()));
        assert!(shown.contains("did you mean imagePullPolicy?"), "{shown}");
    }

    #[test]
    fn causes_are_pointed_at_by_their_field() {
        let status = Status::new(422, "Invalid", "…").with_details(json!({"causes": [
            {"field": "spec.replicas", "reason": "FieldValueInvalid", "message": "Invalid value: -1: must be greater than or equal to 0"},
            {"field": "spec.selector", "reason": "FieldValueRequired", "message": "Required value"},
        ]}));
        let found = refusal(&document(), &status);
        assert_eq!(found[0].place(), "web.yaml:6:13");
        assert_eq!(found[1].message(), "spec.selector: Required value");
        assert_eq!(found[1].place(), "web.yaml:5:1");
    }
}
