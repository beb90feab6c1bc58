//! What is wrong with an input, and where: a diagnostic that shows the line.

use std::fmt;
use std::sync::{Arc, OnceLock};

use miette::{Diagnostic, LabeledSpan, MietteError, MietteSpanContents, NamedSource, SourceCode, SourceSpan, SpanContents};

use super::tree::Span;

/// Lines that are longer are shown in part: a value of a megabyte says no more than its beginning.
const LONG_LINE: usize = 500;
/// What is shown of a long line before and behind the place, and of the place itself.
const AROUND: usize = 60;

/// An input's name and text, shared by all that points into it.
#[derive(Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<NamedSource<String>>,
    /// Where each line begins; filled with the first question.
    lines: Arc<OnceLock<Vec<usize>>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        let named = NamedSource::new(name, text.to_owned()).with_language("yaml");
        Source { name: name.into(), text: Arc::new(named), lines: Arc::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        self.text.inner()
    }

    /// Line and column (both from 1, the column in characters) of a byte.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let (text, at) = (self.text(), self.boundary(at));
        let begins = || std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
        let lines: &Vec<usize> = self.lines.get_or_init(begins);
        let line = lines.partition_point(|begin| *begin <= at);
        (line, text[lines[line - 1]..at].chars().count() + 1)
    }

    /// The nearest place, not after `at`, where a character begins.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text().len());
        while !self.text().is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let whole = self.text.read_span(span, lines_before, lines_after)?;
        if whole.data().split(|b| *b == b'\n').all(|line| line.len() <= LONG_LINE) {
            return Ok(whole);
        }
        let text = self.text();
        let at = self.boundary(span.offset());
        let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[at..].find('\n').map_or(text.len(), |i| at + i);
        let start = self.boundary(at.saturating_sub(AROUND)).max(line_start);
        let end = self.boundary(at.saturating_add(span.len().min(AROUND)).saturating_add(AROUND)).min(line_end);
        let (line, column) = self.position(start);
        let part = MietteSpanContents::new_named(
            self.name().to_owned(),
            &text.as_bytes()[start..end],
            (start, end - start).into(),
            line - 1,
            column - 1,
            1,
        );
        Ok(Box::new(part.with_language("yaml")))
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
        if self.labels.is_empty() { None } else { Some(&self.source) }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().map(|(span, text)| {
            let text = (!text.is_empty()).then(|| text.clone());
            let end = self.source.boundary(span.start.saturating_add(span.len().min(AROUND)));
            LabeledSpan::new(text, span.start, end.saturating_sub(span.start))
        })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Counted from the beginning of the text, at every byte and behind its end.
        #[test]
        fn lines_and_columns_are_counted_from_one(text in "[a\u{e9}\n]{0,40}", at in 0..50_usize) {
            let source = Source::new("a.yaml", &text);
            let before: String = text.char_indices().take_while(|(i, c)| i + c.len_utf8() <= at).map(|(_, c)| c).collect();
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            prop_assert_eq!(source.position(at), (before.matches('\n').count() + 1, column));
        }
    }
}
