//! Text ⇄ objects: reads manifests as Kubernetes reads them, and keeps for each field where it stands.
//!
//! [`parse`] takes bytes, so reading files, folders, standard input and URLs is the caller's. It goes on
//! behind a broken document, so that one run finds what is wrong in all of them.

mod compose;
mod document;
mod emit;
mod first;
mod json_stream;
mod locate;
mod problem;
mod resolve;
mod tree;

pub use document::{Document, NO_MAP};
pub use emit::to_yaml;
pub use first::first_document;
pub use problem::{Problem, Source};

use std::sync::Arc;

/// The largest input taken, in bytes. An API object is limited to about 3 MiB by the API server; this
/// bounds a whole stream of them.
pub const MAX_BYTES: usize = 256 * 1024 * 1024;

/// What an input holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Every readable document that is not empty, with `List`s taken apart, in order.
    pub documents: Vec<Document>,
    /// What could not be read. Where this is not empty, nothing of the input should be used.
    pub problems: Vec<Problem>,
}

/// Reads YAML (a stream of documents) or JSON (one value or several after each other).
/// `name` is what messages call the input: a path, a URL, `STDIN`.
pub fn parse(name: &str, bytes: &[u8]) -> Parsed {
    if bytes.len() > MAX_BYTES {
        let source = Source::new(name, "");
        let problem = Problem::new(&source, format!("{name} is larger than {} MiB", MAX_BYTES / 1024 / 1024))
            .help("split it into several files");
        return Parsed { documents: Vec::new(), problems: vec![problem] };
    }
    let text = match decode(bytes) {
        Ok(text) => text,
        Err(at) => {
            let lossy = String::from_utf8_lossy(bytes);
            let source = Source::new(name, &lossy);
            let at = at.min(lossy.len().saturating_sub(1));
            let problem = Problem::new(&source, "this is no UTF-8 text")
                .label(at..at + 1, "invalid byte")
                .help("save the file as UTF-8");
            return Parsed { documents: Vec::new(), problems: vec![problem] };
        }
    };
    let source = Source::new(name, &text);
    let mut composed = compose::compose(&source);
    if !composed.problems.is_empty() {
        composed = json_stream::compose(&source).unwrap_or(composed);
    }
    let mut parsed = Parsed { documents: Vec::new(), problems: composed.problems };
    for composed in composed.documents {
        Document::collect(&source, Arc::new(composed.root), composed.strict, &mut parsed);
    }
    parsed
}

/// UTF-8, with or without a byte order mark, or UTF-16 with one (as goyaml). `Err`: offset of the bad byte.
fn decode(bytes: &[u8]) -> Result<String, usize> {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks(2).map(|pair| unit([pair[0], *pair.get(1).unwrap_or(&0)]));
        char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| 0)
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| e.valid_up_to())
        }
    }
}

#[cfg(test)]
mod tests;
