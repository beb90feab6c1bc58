//! Parser events → trees: anchors, aliases (bounded), merge keys, duplicate keys, one tree per document.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::problem::{Problem, Source};
use super::resolve::{ScalarTag, key_text, resolve};
use super::tree::{MapKey, Node, Span, Value};

/// The deepest tree taken. JSON readers on the way stop at 128.
const MAX_DEPTH: usize = 120;

/// What `!!` stands for.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// Up to so many nodes nearly all may come from aliases; Source: go.yaml.in/yaml/v2/decode.go.
const ALIAS_FREE_NODES: f64 = 400_000.0;
/// From so many nodes on only a tenth may.
const ALIAS_TIGHT_NODES: f64 = 4_000_000.0;

#[derive(Default)]
pub struct Composed {
    pub documents: Vec<ComposedDocument>,
    pub problems: Vec<Problem>,
}

pub struct ComposedDocument {
    pub root: Node,
    /// What only strict reading refuses: duplicate keys.
    pub strict: Vec<Problem>,
}

/// Composes all documents of a source; behind a broken one it goes on with the next.
pub fn compose(source: &Source) -> Composed {
    let mut parser = Parser::new_from_str(source.text());
    let mut composed = Composed::default();
    let mut document = Builder::new(source);
    loop {
        let failed = match parser.next_event() {
            None => break,
            Some(Ok((event, span))) => match document.event(event, span.byte_range().unwrap_or(0..0)) {
                Ok(Step::More) => false,
                Ok(Step::Document) => {
                    let done = std::mem::replace(&mut document, Builder::new(source));
                    composed.documents.extend(done.finish());
                    false
                }
                Ok(Step::End) => break,
                Err(problem) => {
                    composed.problems.push(*problem);
                    true
                }
            },
            Some(Err(error)) => {
                composed.problems.push(scan_problem(source, &error));
                true
            }
        };
        if failed {
            document = Builder::new(source);
            match parser.proceed_next_document() {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
    }
    composed
}

fn scan_problem(source: &Source, error: &granit_parser::ScanError) -> Problem {
    let text = source.text();
    let mut at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    while at > 0 && (at == text.len() || !text.is_char_boundary(at)) {
        at -= 1;
    }
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    let problem = Problem::new(source, format!("this is no YAML: {}", error.info())).label(at..end, "here");
    if text[..end].lines().next_back().is_some_and(|line| line.trim_start_matches(' ').starts_with('\t')) {
        return problem.help("indent with spaces; YAML forbids tabs there");
    }
    problem
}

enum Step {
    More,
    Document,
    End,
}

type Refusal = Box<Problem>;

/// A collection that is still open.
enum Open {
    List { items: Vec<Node>, start: usize, anchor: usize },
    Map { entries: Vec<(MapKey, Node)>, merges: Vec<Node>, key: Option<Key>, start: usize, anchor: usize },
}

enum Key {
    Plain(MapKey),
    Merge,
}

struct Anchored {
    node: Node,
    count: usize,
    depth: usize,
}

struct Builder<'s> {
    source: &'s Source,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    strict: Vec<Problem>,
    nodes: usize,
    alias_nodes: usize,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source) -> Self {
        Builder {
            source,
            stack: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            strict: Vec::new(),
            nodes: 0,
            alias_nodes: 0,
        }
    }

    fn finish(self) -> Option<ComposedDocument> {
        self.root.map(|root| ComposedDocument { root, strict: self.strict })
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<Step, Refusal> {
        match event {
            Event::StreamEnd => return Ok(Step::End),
            Event::DocumentEnd => return Ok(Step::Document),
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span)?,
            Event::SequenceStart(_, anchor, _) => {
                self.deeper(&span)?;
                self.stack.push(Open::List { items: Vec::new(), start: span.start, anchor });
            }
            Event::MappingStart(_, anchor, _) => {
                self.deeper(&span)?;
                let (entries, merges) = (Vec::new(), Vec::new());
                self.stack.push(Open::Map { entries, merges, key: None, start: span.start, anchor });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(id) => self.alias(id, span)?,
            _ => {}
        }
        Ok(Step::More)
    }

    fn refuse(&self, span: Span, message: impl Into<String>, label: &str) -> Refusal {
        Box::new(Problem::new(self.source, message).label(span, label))
    }

    fn deeper(&mut self, span: &Span) -> Result<(), Refusal> {
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("the document is nested deeper than {MAX_DEPTH} levels");
            return Err(self.refuse(span.clone(), message, "this level is too deep"));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Refusal> {
        let plain = style == ScalarStyle::Plain;
        let tag = match tag {
            None => ScalarTag::None,
            Some(tag) => {
                let suffix = tag.suffix_in_namespace(YAML_TAGS);
                suffix.map_or(ScalarTag::Other, |suffix| ScalarTag::of_core(&suffix))
            }
        };
        if plain && text == "<<" && tag == ScalarTag::None && self.expects_key() {
            if let Some(Open::Map { key, .. }) = self.stack.last_mut() {
                *key = Some(Key::Merge);
            }
            return Ok(());
        }
        let value = resolve(text, plain, tag).map_err(|why| self.refuse(span.clone(), why, "this value"))?;
        self.node(Node { value, span }, anchor)
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open::Map { key: None, .. }))
    }

    fn close(&mut self, span: Span) -> Result<(), Refusal> {
        match self.stack.pop() {
            Some(Open::List { items, start, anchor }) => {
                let end = items.last().map_or(span.end, |n| n.span.end.max(span.end));
                self.node(Node { value: Value::List(items), span: start..end }, anchor)
            }
            Some(Open::Map { mut entries, merges, start, anchor, .. }) => {
                let end = entries.last().map_or(span.end, |(_, n)| n.span.end.max(span.end));
                self.duplicates(&entries);
                for merge in merges {
                    self.merge(&mut entries, merge)?;
                }
                self.node(Node { value: Value::Map(entries), span: start..end }, anchor)
            }
            None => Ok(()),
        }
    }

    fn duplicates(&mut self, entries: &[(MapKey, Node)]) {
        let mut first: HashMap<&str, &MapKey> = HashMap::with_capacity(entries.len());
        for (key, _) in entries {
            let Some(before) = first.insert(&key.text, key) else { continue };
            self.strict.push(
                Problem::new(self.source, format!("key {:?} is given twice", key.text))
                    .label(key.span.clone(), "again here")
                    .label(before.span.clone(), "first here")
                    .help("keep one of them"),
            );
        }
    }

    /// Adds what `<<` names; keys of the mapping itself and of earlier merges win.
    fn merge(&self, entries: &mut Vec<(MapKey, Node)>, merge: Node) -> Result<(), Refusal> {
        let sources = match merge.value {
            Value::List(items) => items,
            value => vec![Node { value, span: merge.span }],
        };
        let mut known: HashSet<String> = entries.iter().map(|(k, _)| k.text.clone()).collect();
        for source in sources {
            let Value::Map(merged) = source.value else {
                let message = "map merge requires a map or a list of maps as the value";
                return Err(self.refuse(source.span, message, "not a map"));
            };
            entries.extend(merged.into_iter().filter(|(key, _)| known.insert(key.text.clone())));
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Refusal> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(self.refuse(span, "an anchor contains itself", "this alias"));
        };
        if self.stack.len() + anchored.depth > MAX_DEPTH {
            let message = format!("the document is nested deeper than {MAX_DEPTH} levels");
            return Err(self.refuse(span, message, "by this alias"));
        }
        self.nodes += anchored.count;
        self.alias_nodes += anchored.count;
        if self.excessive() {
            return Err(self.refuse(span, "document contains excessive aliasing", "this alias is one too many"));
        }
        let node = anchored.node.clone();
        self.place(node)
    }

    /// Source: go.yaml.in/yaml/v2/decode.go, `allowedAliasRatio`.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn excessive(&self) -> bool {
        let (nodes, aliased) = (self.nodes as f64, self.alias_nodes as f64);
        let over = ((nodes - ALIAS_FREE_NODES) / (ALIAS_TIGHT_NODES - ALIAS_FREE_NODES)).clamp(0.0, 1.0);
        let allowed = 0.99 - 0.89 * over;
        self.alias_nodes > 100 && self.nodes > 1000 && aliased / nodes > allowed
    }

    fn node(&mut self, node: Node, anchor: usize) -> Result<(), Refusal> {
        self.nodes += 1;
        if anchor != 0 {
            let (count, depth) = (node.count(), node.depth());
            self.anchors.insert(anchor, Anchored { node: node.clone(), count, depth });
        }
        self.place(node)
    }

    fn place(&mut self, node: Node) -> Result<(), Refusal> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, merges, key, .. }) => match key.take() {
                Some(Key::Plain(k)) => entries.push((k, node)),
                Some(Key::Merge) => merges.push(node),
                None => match key_text(&node.value) {
                    Some(text) => *key = Some(Key::Plain(MapKey { text, span: node.span })),
                    None => return Err(self.refuse(node.span, "this cannot be a key", "a key is text or a number")),
                },
            },
        }
        Ok(())
    }
}
