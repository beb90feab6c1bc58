//! JSON values after each other, which YAML does not know as documents.

use serde_json::Deserializer;

use crate::api::Json;

use super::compose::{Composed, ComposedDocument};
use super::problem::Source;
use super::tree::{MapKey, Node, Span, Value};

/// Composes a stream of JSON objects; `None` if the text is none. Fields are located by their object only.
pub fn compose(source: &Source) -> Option<Composed> {
    let text = source.text();
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut composed = Composed::default();
    let mut stream = Deserializer::from_str(text).into_iter::<Json>();
    loop {
        let start = stream.byte_offset();
        match stream.next() {
            None => return Some(composed),
            Some(Err(_)) => return None,
            Some(Ok(tree)) => {
                let skipped = text[start..].len() - text[start..].trim_start().len();
                let span = start + skipped..stream.byte_offset();
                composed.documents.push(ComposedDocument { root: node(tree, &span), strict: Vec::new() });
            }
        }
    }
}

fn node(tree: Json, span: &Span) -> Node {
    let value = match tree {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(u)) => Value::Uint(u),
            (None, None) => Value::Float(n.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::List(items.into_iter().map(|item| node(item, span)).collect()),
        Json::Object(map) => {
            let entry = |(text, value)| (MapKey { text, span: span.clone() }, node(value, span));
            Value::Map(map.into_iter().map(entry).collect())
        }
    };
    Node { value, span: span.clone() }
}
