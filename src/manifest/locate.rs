//! From a field path as the API writes it (`spec.containers[0].image`) to the place in the text.

use super::tree::{Node, Span, Value};

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The key of the last step that the text has; empty at the root.
    pub key: Span,
    /// Its value.
    pub value: Span,
    /// Whether the text has the whole path; otherwise this is the deepest step that it has.
    pub whole: bool,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'p> {
    /// `.name`; what follows may belong to the key (`data.app.ini`), so the rest is kept.
    Field { name: &'p str, rest: &'p str },
    /// `[0]`, `[app.ini]`, `[name="web"]`.
    Bracket(&'p str),
}

/// Follows `path` from `root` as far as the text goes.
pub fn locate(root: &Node, path: &str) -> Located {
    let mut at = Located { key: root.span.start..root.span.start, value: root.span.clone(), whole: true };
    let mut node = root;
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        let (step, after) = next_step(rest);
        match follow(node, &step, after) {
            Some((key, value, left)) => {
                at = Located { key, value: value.span.clone(), whole: true };
                node = value;
                rest = left.trim_start_matches('.');
            }
            None => {
                at.whole = false;
                return at;
            }
        }
    }
    at
}

fn next_step(path: &str) -> (Step<'_>, &str) {
    if let Some(inner) = path.strip_prefix('[') {
        let end = bracket_end(inner);
        return (Step::Bracket(&inner[..end]), inner.get(end + 1..).unwrap_or(""));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    (Step::Field { name: &path[..end], rest: path }, &path[end..])
}

/// The closing bracket, quoted text skipped.
fn bracket_end(inner: &str) -> usize {
    let mut quoted = false;
    for (at, c) in inner.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ']' if !quoted => return at,
            _ => {}
        }
    }
    inner.len()
}

fn follow<'n, 'p>(node: &'n Node, step: &Step<'p>, after: &'p str) -> Option<(Span, &'n Node, &'p str)> {
    match (step, &node.value) {
        (Step::Field { name, rest }, Value::Map(entries)) => {
            if let Some((key, value)) = node.entry(name) {
                return Some((key.span.clone(), value, after));
            }
            // A key with dots in it, written without brackets: take the longest that fits.
            let fits = entries.iter().filter(|(key, _)| {
                rest.strip_prefix(key.text.as_str()).is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']))
            });
            let (key, value) = fits.max_by_key(|(key, _)| key.text.len())?;
            Some((key.span.clone(), value, &rest[key.text.len()..]))
        }
        (Step::Bracket(inner), Value::Map(_)) => {
            let (key, value) = node.entry(inner.trim_matches('"'))?;
            Some((key.span.clone(), value, after))
        }
        (Step::Bracket(inner), Value::List(items)) => {
            let item = match inner.parse::<usize>() {
                Ok(index) => items.get(index)?,
                Err(_) => items.iter().find(|item| has_keys(item, inner))?,
            };
            Some((item.span.clone(), item, after))
        }
        _ => None,
    }
}

/// Whether an item carries all of `name="web",protocol="TCP"` (or is the set's value `="x"`).
fn has_keys(item: &Node, keys: &str) -> bool {
    keys.split(',').all(|pair| {
        let Some((key, value)) = pair.split_once('=') else { return false };
        let value = value.trim_matches('"');
        let found = if key.is_empty() { Some(item) } else { item.get(key.trim()) };
        match found.map(|n| &n.value) {
            Some(Value::String(text)) => text == value,
            Some(Value::Int(i)) => i.to_string() == value,
            Some(Value::Bool(b)) => b.to_string() == value,
            _ => false,
        }
    })
}
