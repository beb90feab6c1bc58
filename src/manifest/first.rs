//! The first document of a text alone, as sigs.k8s.io/yaml reads request bodies.

use std::collections::HashSet;

use super::compose::compose;
use super::problem::Source;
use super::{MAX_BYTES, decode};
use super::tree::{Node, Value};
use crate::api::Json;
use crate::api::status::quote;

/// The first document of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct First {
    /// Null where there is none.
    pub tree: Json,
    /// What only a strict reader refuses: `line 6: key "a" already set in map`.
    pub duplicates: Vec<String>,
}

/// Reads the first document. `Err`: what is wrong with it, in this reader's words.
pub fn first_document(bytes: &[u8]) -> Result<First, String> {
    if bytes.len() > MAX_BYTES {
        return Err("document is too large".into());
    }
    let text = decode(bytes).map_err(|_| "invalid leading UTF-8 octet".to_owned())?;
    let source = Source::new("", &text);
    let composed = compose(&source);
    match composed.documents.into_iter().next() {
        Some(document) => {
            let line = |(key, line): (String, usize)| format!("line {line}: key {} already set in map", quote(&key));
            let duplicates = duplicates(&document.root, &source).into_iter().map(line).collect();
            Ok(First { tree: document.root.json(), duplicates })
        }
        None => match composed.problems.first() {
            Some(problem) => Err(problem.message().to_owned()),
            None => Ok(First { tree: Json::Null, duplicates: Vec::new() }),
        },
    }
}

/// Keys that a map has twice, and the line of the second.
fn duplicates(node: &Node, source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    collect(node, source, &mut found);
    found
}

fn collect(node: &Node, source: &Source, found: &mut Vec<(String, usize)>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|i| collect(i, source, found)),
        Value::Map(entries) => {
            let mut seen = HashSet::with_capacity(entries.len());
            for (key, value) in entries {
                if !seen.insert(key.text.as_str()) {
                    found.push((key.text.clone(), source.position(key.span.start).0));
                }
                collect(value, source, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_first_document_counts() {
        let first = first_document(b"a: yes\n1: x\n---\nb: [").unwrap();
        assert_eq!(first.tree, json!({"a": true, "1": "x"}));
        assert_eq!(first_document(b"").unwrap().tree, json!(null));
        assert!(first_document(b"a: [\n").is_err());
    }

    #[test]
    fn keys_given_twice_are_named_with_their_line() {
        let first = first_document(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n").unwrap();
        assert_eq!(first.tree, json!({"a": 3, "b": {"c": 2}}));
        assert_eq!(first.duplicates, [r#"line 4: key "c" already set in map"#, r#"line 5: key "a" already set in map"#]);
    }
}
