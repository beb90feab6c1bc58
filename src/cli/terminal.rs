//! Where answers go. Text from outside never steers a terminal; who stops reading ends the command quietly.

use std::fmt::Write as _;
use std::io::{self, Write};

/// A place for output: stdout, stderr, or a buffer.
pub struct Output {
    sink: Box<dyn Write + Send>,
    terminal: bool,
    broken: bool,
}

impl Output {
    /// Output to `sink`; `terminal` tells whether a person looks at it.
    pub fn new(sink: Box<dyn Write + Send>, terminal: bool) -> Self {
        Output { sink, terminal, broken: false }
    }

    /// Whether a person looks at it: colours, progress in place and widths are for these alone.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether the reader has gone; nothing more needs to be printed.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Prints text; on a terminal control characters become visible.
    pub fn text(&mut self, text: &str) {
        if self.terminal && text.chars().any(is_steering) {
            let visible = escape(text);
            self.raw(visible.as_bytes());
        } else {
            self.raw(text.as_bytes());
        }
    }

    /// Prints text and a line feed.
    pub fn line(&mut self, text: &str) {
        self.text(text);
        self.raw(b"\n");
    }

    /// Prints bytes as they are: for what a user asked for literally, and for our own control sequences.
    pub fn raw(&mut self, bytes: &[u8]) {
        if !self.broken && self.sink.write_all(bytes).is_err() {
            self.broken = true;
        }
    }

    pub fn flush(&mut self) {
        if !self.broken && self.sink.flush().is_err() {
            self.broken = true;
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.raw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Output::flush(self);
        Ok(())
    }
}

/// Whether a character could move a cursor, change colours or a title.
fn is_steering(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// Makes control characters visible, as kubectl does (`^[`, `\r`); line feeds and tabs stay.
/// Source: k8s.io/cli-runtime/pkg/printers/terminal.go.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{1b}' => out.push_str("^["),
            '\r' => out.push_str("\\r"),
            c if is_steering(c) => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(escape("a\u{1b}[31mb\r\u{7}\n\tc"), "a^[[31mb\\r\\x07\n\tc");
    }
}
