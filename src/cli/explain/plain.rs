//! `explain` in plain text, from OpenAPI v3. Source: k8s.io/kubectl/pkg/explain/v2/templates/plaintext.tmpl.

use std::collections::HashSet;

use super::Question;
use super::wrap::{indent, wrap};
use crate::api::Json;
use crate::api::tree::Tree;
use crate::api::go;

/// So many values of an enumeration are listed beside a field.
const ENUM: usize = 4;

/// The explanation. An error may come with what stands before it.
pub fn explain(question: &Question) -> (String, Result<(), String>) {
    let gvk = &question.gvk;
    let group = if gvk.group.is_empty() { String::new() } else { format!("GROUP:      {}\n", gvk.group) };
    let head = format!("{group}KIND:       {}\nVERSION:    {}\n\n", gvk.kind, gvk.version);
    let Some(schema) = question.schema() else {
        let why = format!("GVK map[group:{} kind:{} version:{}] not found in OpenAPI schema", gvk.group, gvk.kind, gvk.version);
        return (head, Err(why));
    };
    match at_path(question, schema, &question.path, &HashSet::new()) {
        Some(text) => (format!("{head}{text}\n"), Ok(())),
        None => {
            let field = question.path.last().map_or("", String::as_str);
            (head, Err(format!("field \"{field}\" does not exist")))
        }
    }
}

/// A schema's own properties, or those of what it refers to.
fn resolved<'q>(question: &'q Question, schema: &'q Json) -> &'q Json {
    match schema.text("$ref") {
        "" => schema,
        reference => Some(question.resolve(reference)).filter(|s| !s.is_null()).unwrap_or(schema),
    }
}

/// The schema of a map's values, where it has one.
fn values(schema: &Json) -> Option<&Json> {
    Some(schema.field("additionalProperties")).filter(|values| values.is_object())
}

/// What stands at the end of a path; `None` where it leads nowhere. `seen`: references on the way to the next field.
fn at_path(question: &Question, schema: &Json, path: &[String], seen: &HashSet<String>) -> Option<String> {
    let reference = schema.text("$ref");
    let here = resolved(question, schema);
    let Some(field) = path.first() else { return Some(described(question, here)) };
    if !reference.is_empty() && seen.contains(reference) {
        return None;
    }
    let mut seen = seen.clone();
    seen.insert(reference.to_owned());
    let next = here.field("properties").field(field);
    if !next.is_null() {
        let mut text = String::new();
        if path.len() == 1 {
            text = format!("FIELD: {field} <{}>\n{}\n\n", type_of(question, next), long_enum(next));
        }
        return at_path(question, next, &path[1..], &HashSet::new()).map(|rest| text + &rest);
    }
    if here.has("items") {
        return at_path(question, here.field("items"), path, &seen);
    }
    if let Some(values) = values(here) {
        return at_path(question, values, path, &seen);
    }
    here.list("allOf").iter().find_map(|part| at_path(question, part, path, &seen))
}

fn described(question: &Question, schema: &Json) -> String {
    let description = description(question, schema);
    let description = if description.is_empty() { "<empty>".to_owned() } else { description };
    let mut text = format!("DESCRIPTION:\n{}\n", indent(4, &wrap(76, &description)));
    let external = external(schema, 0);
    if !external.is_empty() {
        text.push('\n');
        text.push_str(&external);
    }
    let fields = fields(question, schema, 1, &HashSet::new());
    if !fields.is_empty() {
        text.push_str("FIELDS:\n");
        text.push_str(&fields);
    }
    text
}

/// The description, and those of what a schema is made of.
fn description(question: &Question, schema: &Json) -> String {
    let here = resolved(question, schema);
    let mut text = String::new();
    if !here.text("description").is_empty() {
        text = format!("{}\n", here.text("description"));
    }
    for part in here.list("allOf").iter().chain(Some(here.field("items")).filter(|i| !i.is_null())).chain(values(here)) {
        text.push_str(&description(question, part));
    }
    text
}

fn external(schema: &Json, level: usize) -> String {
    let documents = schema.field("externalDocs");
    if documents.is_null() {
        return String::new();
    }
    let mut text = format!("{}\n", indent(level, "EXTERNAL DOCS:"));
    if !documents.text("description").is_empty() {
        text.push_str(&format!("{}\n", indent(level + 4, &wrap(76 - level, documents.text("description")))));
    }
    if !documents.text("url").is_empty() {
        text.push_str(&format!("{}\n", indent(level + 4, &format!("URL: {}", documents.text("url")))));
    }
    text
}

/// The fields of a schema, and with `--recursive` theirs; a schema inside itself is not gone into again.
fn fields(question: &Question, schema: &Json, level: usize, seen: &HashSet<String>) -> String {
    let reference = schema.text("$ref");
    if !reference.is_empty() && seen.contains(reference) {
        return String::new();
    }
    let mut seen = seen.clone();
    seen.insert(reference.to_owned());
    let here = resolved(question, schema);
    let mut text = String::new();
    for (name, field) in here.entries("properties") {
        let required = here.texts("required").contains(&name);
        text.push_str(&one_field(question, name, field, required, level));
        if question.recursive && (question.depth == 0 || level < question.depth) {
            text.push_str(&fields(question, field, level + 1, &seen));
        }
    }
    for part in here.list("allOf").iter().chain(Some(here.field("items")).filter(|i| !i.is_null())).chain(values(here)) {
        text.push_str(&fields(question, part, level, &seen));
    }
    text
}

fn one_field(question: &Question, name: &str, field: &Json, required: bool, level: usize) -> String {
    let blanks = level * 2;
    let required = if required { " -required-" } else { "" };
    let kind = type_of(question, field);
    let mut text = format!("{}\t<{kind}>{required}{}\n", indent(blanks, name), short_enum(field, blanks));
    if question.recursive {
        return text;
    }
    let description = Some(field.text("description")).filter(|d| !d.is_empty()).unwrap_or("<no description>");
    text.push_str(&format!("{}\n", indent(blanks + 2, &wrap(78 - blanks, description))));
    let external = external(field, blanks + 2);
    if !external.is_empty() {
        text.push('\n');
        text.push_str(&external);
    }
    text.push('\n');
    text
}

fn shown(value: &Json) -> String {
    match value {
        Json::String(text) if text.is_empty() => "\"\"".into(),
        value => go::display(value),
    }
}

/// One line for the list of fields.
fn short_enum(field: &Json, blanks: usize) -> String {
    let all = field.list("enum");
    if all.is_empty() {
        return String::new();
    }
    let listed = all.iter().take(ENUM).map(shown).collect::<Vec<_>>().join(", ");
    let more = if all.len() > ENUM { ", ...." } else { "" };
    format!("\n{}enum: {listed}{more}", " ".repeat(blanks))
}

/// All values, one a line, for the field itself.
fn long_enum(field: &Json) -> String {
    let all = field.list("enum");
    if all.is_empty() {
        return String::new();
    }
    format!("ENUM:{}", all.iter().map(|value| format!("\n    {}", shown(value))).collect::<String>())
}

/// `string`, `[]Object`, `map[string]string`, `PodSpec`.
fn type_of(question: &Question, schema: &Json) -> String {
    if schema.has("items") {
        return format!("[]{}", type_of(question, schema.field("items")));
    }
    if let Some(values) = values(schema) {
        return format!("map[string]{}", type_of(question, values));
    }
    if let ([only], true) = (schema.list("allOf"), schema.entries("properties").is_empty()) {
        return type_of(question, only);
    }
    let reference = schema.text("$ref");
    if !reference.is_empty() {
        return match question.resolve(reference).text("type") {
            "" | "object" => reference.rsplit(['/', '.']).next().filter(|n| !n.is_empty()).unwrap_or("Object").to_owned(),
            kind => kind.to_owned(),
        };
    }
    match schema.text("type") {
        "" | "object" => "Object".into(),
        kind => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Gvk;
    use serde_json::json;

    fn question(path: &[&str], recursive: bool) -> Question {
        let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let document = json!({"components": {"schemas": {
            "x.Tree": {
                "description": "A tree.", "type": "object", "required": ["size"],
                "x-kubernetes-group-version-kind": [{"group": "x", "version": "v1", "kind": "Tree"}],
                "properties": {
                    "size": {"type": "integer", "description": "How big."},
                    "kind": {"type": "string", "enum": ["", "a", "b", "c", "d"]},
                    "children": {"type": "array", "items": {"allOf": [reference("x.Tree")]}},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
        }}});
        let path = path.iter().map(|p| (*p).to_owned()).collect();
        Question { document, gvk: Gvk { group: "x".into(), version: "v1".into(), kind: "Tree".into() }, path, recursive, depth: 0 }
    }

    #[test]
    fn fields_of_fields_end_where_a_schema_is_inside_itself() {
        let (text, result) = explain(&question(&[], true));
        let fields = "FIELDS:\n  children\t<[]Tree>\n    children\t<[]Tree>\n    kind\t<string>\n    enum: \"\", a, b, c, ....\n    \
                      labels\t<map[string]string>\n    size\t<integer> -required-\n  kind\t<string>\n  enum: \"\", a, b, c, ....\n  \
                      labels\t<map[string]string>\n  size\t<integer> -required-\n\n";
        assert!(result.is_ok() && text.ends_with(fields), "{text}");
    }

    #[test]
    fn a_path_goes_through_lists() {
        let (text, _) = explain(&question(&["children", "kind"], false));
        assert!(text.contains("FIELD: kind <string>\nENUM:\n    \"\"\n    a\n    b\n    c\n    d\n\nDESCRIPTION:\n    <empty>\n"), "{text}");
        let (head, result) = explain(&question(&["children", "nosuch"], false));
        assert_eq!(head, "GROUP:      x\nKIND:       Tree\nVERSION:    v1\n\n");
        assert_eq!(result, Err("field \"nosuch\" does not exist".into()));
    }
}
