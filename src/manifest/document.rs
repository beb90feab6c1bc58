//! One object of an input: its tree, and the way from its fields back to the text.

use std::sync::Arc;

use crate::api::{Gvk, Json, Object};

use super::Parsed;
use super::locate::locate;
use super::problem::{Problem, Source};
use super::tree::{Node, Span, Value};

/// What is wrong with a document that is a list or a scalar.
pub const NO_MAP: &str = "a manifest is a map with apiVersion and kind";

/// One object as a manifest has it.
#[derive(Clone, Debug)]
pub struct Document {
    source: Source,
    root: Arc<Node>,
    /// Which item of which lists (`items[2]`); empty where the document is the object itself.
    path: Vec<usize>,
    /// What only strict reading refuses: duplicate keys.
    pub strict: Vec<Problem>,
}

impl Document {
    /// Adds the objects of one composed document to `parsed`: `List`s are taken apart, empty documents left out.
    pub(super) fn collect(
        source: &Source,
        root: Arc<Node>,
        strict: Vec<Problem>,
        parsed: &mut Parsed,
    ) {
        if root.value == Value::Null {
            return;
        }
        let document = Document { source: source.clone(), root, path: Vec::new(), strict };
        document.expand(parsed);
    }

    fn expand(self, parsed: &mut Parsed) {
        let node = self.node();
        if !matches!(node.value, Value::Map(_)) {
            let problem = Problem::new(&self.source, NO_MAP)
                .label(head(&self.source, &node.span), "this is none");
            parsed.problems.push(problem);
            return;
        }
        let kind = node.get("kind").and_then(Node::as_str).unwrap_or("");
        let count = match node.get("items").and_then(Node::as_list) {
            Some(items) if kind.ends_with("List") => items.len(),
            _ => {
                parsed.documents.push(self);
                return;
            }
        };
        for item in 0..count {
            let mut path = self.path.clone();
            path.push(item);
            let strict = if item == 0 { self.strict.clone() } else { Vec::new() };
            Document { path, strict, ..self.clone() }.expand(parsed);
        }
    }

    fn node(&self) -> &Node {
        let mut node = self.root.as_ref();
        for item in &self.path {
            node = node.get("items").and_then(Node::as_list).and_then(|l| l.get(*item)).unwrap_or(node);
        }
        node
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The object as a JSON tree.
    pub fn json(&self) -> Json {
        self.node().json()
    }

    pub fn object(&self) -> Object {
        Object::new(self.json())
    }

    pub fn gvk(&self) -> Gvk {
        let text = |key: &str| self.node().get(key).and_then(Node::as_str).unwrap_or("");
        Gvk::of(text("apiVersion"), text("kind"))
    }

    /// A problem at a field, by the path the API names it with. Where the text lacks the field, the deepest
    /// part that it has is pointed at.
    pub fn problem_at(&self, path: &str, message: impl Into<String>, label: &str) -> Problem {
        let span = self.span_of(path);
        Problem::new(&self.source, message).label(span, label)
    }

    /// Where a field stands: its value when that is on one line, else its key.
    pub fn span_of(&self, path: &str) -> Span {
        let found = locate(self.node(), path);
        let text = self.source.text();
        let one_line = text.get(found.value.clone()).is_some_and(|t| !t.trim_end().contains('\n'));
        if found.whole && one_line && !found.value.is_empty() {
            trimmed(text, found.value)
        } else if found.key.is_empty() {
            head(&self.source, &found.value)
        } else {
            head(&self.source, &found.key)
        }
    }

    /// Where a field's key stands: for fields that should not be there at all.
    pub fn key_span_of(&self, path: &str) -> Span {
        let found = locate(self.node(), path);
        if found.key.is_empty() { head(&self.source, &found.value) } else { head(&self.source, &found.key) }
    }

    /// `web.yaml:17:11` of a field.
    pub fn place_of(&self, path: &str) -> String {
        let (line, column) = self.source.position(self.span_of(path).start);
        format!("{}:{line}:{column}", self.source.name())
    }
}

fn trimmed(text: &str, span: Span) -> Span {
    let kept = text[span.clone()].trim_end().len();
    span.start..span.start + kept
}

/// The first line of a span.
fn head(source: &Source, span: &Span) -> Span {
    let text = source.text().get(span.clone()).unwrap_or("");
    let line = text.lines().next().unwrap_or("").trim_end();
    span.start..span.start + line.len()
}
