//! What is wrong with an input, and where: a diagnostic that shows the line.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::tree::Span;

/// An input's name and text, shared by all that points into it.
#[derive(Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<NamedSource<String>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        let named = NamedSource::new(name, text.to_owned()).with_language("yaml");
        Source { name: name.into(), text: Arc::new(named) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        self.text.inner()
    }

    /// Line and column (both from 1, the column in characters) of a byte.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let text = self.text();
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// One thing wrong, at places of the text.
#[derive(Clone, Debug)]
pub struct Problem {
    message: String,
    help: Option<String>,
    source: Source,
    labels: Vec<(Span, String)>,
}

impl Problem {
    pub fn new(source: &Source, message: impl Into<String>) -> Self {
        Problem { message: message.into(), help: None, source: source.clone(), labels: Vec::new() }
    }

    /// Points at `span`; the first label is the main one.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// `web.yaml:17:11`, or the name alone where nothing is pointed at.
    pub fn place(&self) -> String {
        match self.labels.first() {
            Some((span, _)) => {
                let (line, column) = self.source.position(span.start);
                format!("{}:{line}:{column}", self.source.name())
            }
            None => self.source.name().to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        if self.labels.is_empty() { None } else { Some(self.source.text.as_ref()) }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().map(|(span, text)| {
            let text = (!text.is_empty()).then(|| text.clone());
            LabeledSpan::new(text, span.start, span.len())
        })))
    }
}
