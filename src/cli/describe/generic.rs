//! Kinds without a description of their own: the object as it is, field by field.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`genericDescriber`, `smartLabelFor`), github.com/fatih/camelcase.

use super::Related;
use super::document::Document;
use super::events::events;
use crate::api::{Json, JsonMap};
use crate::api::go;

/// Shown above already, or noise.
const SKIPPED: [&str; 5] =
    [".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"];
/// Written with capitals.
const ACRONYMS: [&str; 4] = ["API", "URL", "UID", "GUID"];

pub fn generic(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    if let Some(map) = object.as_object() {
        content(doc, 0, map, "");
    }
    events(doc, related.events());
}

fn content(doc: &mut Document, level: usize, map: &JsonMap, path: &str) {
    for (field, value) in map {
        let path = format!("{path}.{field}");
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        let label = label(field);
        match value {
            Json::Object(inner) => {
                doc.line(level, &format!("{label}:"));
                content(doc, level + 1, inner, &path);
            }
            Json::Array(items) => {
                doc.line(level, &format!("{label}:"));
                for item in items {
                    match item {
                        Json::Object(inner) => content(doc, level + 1, inner, &path),
                        item => doc.line(level + 1, &go::display(item)),
                    }
                }
            }
            value => doc.field(level, &label, go::display(value)),
        }
    }
}

/// `creationTimestamp` → `Creation Timestamp`; what has other signs than letters and dashes stays.
fn label(field: &str) -> String {
    if field.chars().any(|c| !c.is_alphabetic() && c != '-') {
        return field.to_owned();
    }
    let words = merged(split(field));
    let spell = |word: &String| {
        if ACRONYMS.contains(&word.to_uppercase().as_str()) {
            return word.to_uppercase();
        }
        if word.to_lowercase() != *word {
            return word.clone();
        }
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
    };
    words.iter().map(spell).collect::<Vec<_>>().join(" ")
}

/// Runs of one class of letter; the last capital of a run belongs to the small letters behind it.
fn split(field: &str) -> Vec<String> {
    let class = |c: char| match c {
        c if c.is_lowercase() => 1,
        c if c.is_uppercase() => 2,
        _ => 4,
    };
    let mut runs: Vec<String> = Vec::new();
    let mut last = 0;
    for c in field.chars() {
        match runs.last_mut() {
            Some(run) if class(c) == last => run.push(c),
            _ => runs.push(c.to_string()),
        }
        last = class(c);
    }
    for i in 1..runs.len() {
        let upper = |run: &String| run.chars().next().is_some_and(char::is_uppercase);
        if upper(&runs[i - 1])
            && runs[i].chars().next().is_some_and(char::is_lowercase)
            && let Some(capital) = runs[i - 1].pop()
        {
            runs[i].insert(0, capital);
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// A word of two capitals or more takes in the next one if that begins with a capital.
fn merged(words: Vec<String>) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = words.into_iter().peekable();
    while let Some(word) = rest.next() {
        let capitals = word.len() >= 2 && !word.chars().any(|c| c.is_alphabetic() && !c.is_uppercase());
        match rest.next_if(|next| capitals && next.chars().next().is_some_and(char::is_uppercase)) {
            Some(next) => out.push(word + &next),
            None => out.push(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words_of_field_names() {
        for (field, expected) in [
            ("creationTimestamp", "Creation Timestamp"),
            ("apiVersion", "API Version"),
            ("uid", "UID"),
            ("openAPIV3Schema", "openAPIV3Schema"),
            ("x-kubernetes-preserve-unknown-fields", "X - Kubernetes - Preserve - Unknown - Fields"),
            ("podCIDRs", "Pod CIDRs"),
            ("caBundle", "Ca Bundle"),
            ("serverAddressByClientCIDRs", "Server Address By Client CIDRs"),
            ("clusterIP", "Cluster IP"),
            ("app.ini", "app.ini"),
        ] {
            assert_eq!(label(field), expected, "{field}");
        }
    }
}
