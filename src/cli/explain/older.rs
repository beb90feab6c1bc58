//! `explain -o plaintext-openapiv2`: the layout of before. Source: k8s.io/kubectl/pkg/explain/model_printer.go,
//! fields_printer.go, recursive_fields_printer.go, typename.go.

use super::Question;
use super::wrap::rewrap;
use crate::api::Json;
use crate::api::tree::Tree;

const WIDTH: usize = 80;

/// What a schema is, in the words of the older documents.
enum Shape<'q> {
    Kind(&'q Json),
    List(&'q Json),
    /// The schema of the values, if they have one.
    Map(Option<&'q Json>),
    Reference(&'q str),
    Primitive(&'q str),
    Anything,
}

fn shape<'q>(question: &'q Question, schema: &'q Json) -> Shape<'q> {
    let one = match schema.list("allOf") {
        [only] => only,
        _ => schema,
    };
    if !one.text("$ref").is_empty() {
        return match question.resolve(one.text("$ref")) {
            // Types that are either, such as quantities, were texts.
            either if either.has("oneOf") => Shape::Primitive("string"),
            _ => Shape::Reference(one.text("$ref")),
        };
    }
    match schema.text("type") {
        "object" | "" if !schema.entries("properties").is_empty() => Shape::Kind(schema),
        "object" => Shape::Map(Some(schema.field("additionalProperties")).filter(|v| v.is_object())),
        "array" => Shape::List(schema.field("items")),
        "" if schema.has("oneOf") => Shape::Primitive("string"),
        "" => Shape::Anything,
        primitive => Shape::Primitive(primitive),
    }
}

fn type_name(question: &Question, schema: &Json) -> String {
    match shape(question, schema) {
        Shape::Kind(_) => "Object".into(),
        Shape::List(items) => format!("[]{}", type_name(question, items)),
        Shape::Map(values) => format!("map[string]{}", values.map_or_else(String::new, |v| type_name(question, v))),
        Shape::Reference(reference) => type_name(question, question.resolve(reference)),
        Shape::Primitive(name) => name.to_owned(),
        Shape::Anything => String::new(),
    }
}

/// The explanation.
pub fn explain(question: &Question) -> (String, Result<(), String>) {
    let gvk = &question.gvk;
    let Some(schema) = question.schema() else {
        let why = format!("couldn't find resource for \"{}/{}, Kind={}\"", gvk.group, gvk.version, gvk.kind);
        return (String::new(), Err(why));
    };
    let mut schema = schema;
    for field in &question.path {
        match step(question, schema, field) {
            Ok(Some(next)) => schema = next,
            // A path goes no further than a primitive.
            Ok(None) => break,
            Err(why) => return (String::new(), Err(why)),
        }
    }
    (model(question, schema), Ok(()))
}

/// The schema of a field, looked for behind lists, maps and references.
fn step<'q>(question: &'q Question, schema: &'q Json, field: &str) -> Result<Option<&'q Json>, String> {
    match shape(question, schema) {
        Shape::Kind(kind) => match kind.field("properties").field(field) {
            Json::Null => Err(format!("field \"{field}\" does not exist")),
            next => Ok(Some(next)),
        },
        Shape::List(inner) | Shape::Map(Some(inner)) => step(question, inner, field),
        Shape::Reference(reference) => step(question, question.resolve(reference), field),
        Shape::Map(None) | Shape::Primitive(_) | Shape::Anything => Ok(None),
    }
}

fn model(question: &Question, schema: &Json) -> String {
    let gvk = &question.gvk;
    let mut text = format!("KIND:     {}\nVERSION:  {}\n\n", gvk.kind, gvk.api_version());
    let name = question.path.last().map_or("", String::as_str);
    let kind = type_name(question, schema);
    // Down to what is behind lists, maps and references, with what each says of itself.
    let (mut at, mut said) = (schema, vec![schema.text("description")]);
    let behind = loop {
        at = match shape(question, at) {
            Shape::List(inner) | Shape::Map(Some(inner)) => inner,
            Shape::Reference(reference) => question.resolve(reference),
            other => break other,
        };
        said.push(at.text("description"));
    };
    match &behind {
        Shape::Kind(_) if !name.is_empty() => text.push_str(&format!("RESOURCE: {name} <{kind}>\n\n")),
        Shape::Primitive(_) => text.push_str(&format!("FIELD:    {name} <{kind}>\n\n")),
        _ => {}
    }
    text.push_str("DESCRIPTION:\n");
    let mut empty = true;
    for (i, description) in said.iter().enumerate().filter(|(_, d)| !d.is_empty()) {
        empty = false;
        if i > 0 {
            text.push('\n');
        }
        write(&mut text, 5, &rewrap(WIDTH - 5, description));
    }
    if empty {
        text.push_str("     <empty>\n");
    }
    if let Shape::Kind(kind) = behind {
        text.push_str("\nFIELDS:\n");
        if question.recursive {
            recursive(question, kind, 3, 1, &mut Vec::new(), &mut text);
        } else {
            fields(question, kind, &mut text);
        }
    }
    text
}

fn write(text: &mut String, indent: usize, lines: &[String]) {
    for line in lines {
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(line);
        text.push('\n');
    }
}

fn fields(question: &Question, kind: &Json, text: &mut String) {
    for (name, field) in kind.entries("properties") {
        let required = if kind.texts("required").contains(&name) { " -required-" } else { "" };
        text.push_str(&format!("   {name}\t<{}>{required}\n", type_name(question, field)));
        write(text, 5, &rewrap(WIDTH - 5, field.text("description")));
        text.push('\n');
    }
}

/// The names of all fields; a reference inside itself is not gone into again.
fn recursive<'q>(question: &'q Question, schema: &'q Json, indent: usize, depth: usize, seen: &mut Vec<&'q str>, text: &mut String) {
    match shape(question, schema) {
        Shape::Kind(kind) => {
            for (name, field) in kind.entries("properties") {
                text.push_str(&format!("{}{name}\t<{}>\n", " ".repeat(indent), type_name(question, field)));
                if question.depth == 0 || depth < question.depth {
                    recursive(question, field, indent + 3, depth + 1, seen, text);
                }
            }
        }
        Shape::List(inner) | Shape::Map(Some(inner)) => recursive(question, inner, indent, depth, seen, text),
        Shape::Reference(reference) if !seen.contains(&reference) => {
            seen.push(reference);
            recursive(question, question.resolve(reference), indent, depth, seen, text);
            seen.pop();
        }
        Shape::Reference(_) | Shape::Map(None) | Shape::Primitive(_) | Shape::Anything => {}
    }
}
