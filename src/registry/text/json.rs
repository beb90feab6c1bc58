//! JSON as Go's encoding/json reads it: its error texts, and which keys come twice.

use std::collections::HashMap;

use super::Text;
use crate::api::{Json, JsonMap};

/// Deeper nesting is refused (encoding/json: maxNestingDepth).
const DEPTH: usize = 10_000;
/// What this reader's recursion can bear; Kubernetes' own types nest far less.
const OWN_DEPTH: usize = 512;

/// A reader of one document.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: String,
    duplicates: Vec<(usize, String)>,
    order: HashMap<String, usize>,
}

type Read<T> = Result<T, String>;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0, path: String::new(), duplicates: Vec::new(), order: HashMap::new() }
    }

    /// Reads all of it.
    pub fn document(mut self) -> Read<Text> {
        self.space();
        let tree = self.value(0)?;
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.unexpected("after top-level value"));
        }
        Ok(Text { tree, duplicates: self.duplicates, order: self.order, yaml: None })
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Go's word for a byte that does not belong.
    fn unexpected(&self, context: &str) -> String {
        match self.bytes.get(self.at) {
            None => "unexpected end of JSON input".into(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(b'"') => format!("invalid character '\"' {context}"),
            Some(b'\\') => format!("invalid character '\\\\' {context}"),
            Some(b'\n') => format!("invalid character '\\n' {context}"),
            Some(b'\r') => format!("invalid character '\\r' {context}"),
            Some(b'\t') => format!("invalid character '\\t' {context}"),
            Some(c) if *c < 0x20 || *c == 0x7f => format!("invalid character '\\x{c:02x}' {context}"),
            Some(c @ (0x80..=0xa0 | 0xad)) => format!("invalid character '\\u00{c:02x}' {context}"),
            Some(c) => format!("invalid character '{}' {context}", char::from(*c)),
        }
    }

    fn value(&mut self, depth: usize) -> Read<Json> {
        if depth > OWN_DEPTH {
            return Err(format!("exceeded max depth of {DEPTH}"));
        }
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'n') => self.literal("null", Json::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str, value: Json) -> Read<Json> {
        for expected in word.bytes() {
            if self.bytes.get(self.at) != Some(&expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Read<Json> {
        let mut map = JsonMap::new();
        self.at += 1;
        self.space();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Json::Object(map));
        }
        loop {
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let start = self.at;
            let key = self.string()?;
            self.space();
            if self.bytes.get(self.at) != Some(&b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            self.space();
            let length = self.enter(&key, start, map.contains_key(&key));
            let value = self.value(depth + 1)?;
            self.path.truncate(length);
            map.insert(key, value);
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("after object key:value pair")),
            }
            self.space();
        }
        self.at += 1;
        Ok(Json::Object(map))
    }

    /// Goes one field deeper; returns the length to cut the path back to.
    fn enter(&mut self, key: &str, start: usize, twice: bool) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        if twice {
            self.duplicates.push((start, format!("duplicate field {}", crate::api::status::quote(&self.path))));
        } else {
            self.order.insert(self.path.clone(), start);
        }
        length
    }

    fn array(&mut self, depth: usize) -> Read<Json> {
        let mut list = Vec::new();
        self.at += 1;
        self.space();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Json::Array(list));
        }
        loop {
            let length = self.path.len();
            self.path.push_str(&format!("[{}]", list.len()));
            let value = self.value(depth + 1)?;
            self.path.truncate(length);
            list.push(value);
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("after array element")),
            }
            self.space();
        }
        self.at += 1;
        Ok(Json::Array(list))
    }

    fn string(&mut self) -> Read<String> {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.unexpected("")),
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut out)?,
                Some(c) if *c < 0x20 => return Err(self.unexpected("in string literal")),
                Some(c) => {
                    out.push(*c);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Read<()> {
        self.at += 1;
        let plain = match self.bytes.get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(out),
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        out.extend(plain.encode_utf8(&mut [0; 4]).bytes());
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Read<()> {
        self.at += 1;
        let first = self.hex4()?;
        let mut found = char::from_u32(first);
        if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                found = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            } else {
                self.at = back;
            }
        }
        out.extend(found.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]).bytes());
        Ok(())
    }

    fn hex4(&mut self) -> Read<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.bytes.get(self.at).and_then(|c| char::from(*c).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Read<Json> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else if self.digits() == 0 {
            return Err(self.unexpected("in numeric literal"));
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or("0");
        Ok(serde_json::from_str(text).unwrap_or(Json::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_json;

    fn error(text: &str) -> String {
        read_json(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn says_what_go_says() {
        assert_eq!(error(""), "unexpected end of JSON input");
        assert_eq!(error("{\"a\":"), "unexpected end of JSON input");
        assert_eq!(error("hello"), "invalid character 'h' looking for beginning of value");
        assert_eq!(error("{\"a\" 1}"), "invalid character '1' after object key");
        assert_eq!(error("{\"a\":1 2}"), "invalid character '2' after object key:value pair");
        assert_eq!(error("[1 2]"), "invalid character '2' after array element");
        assert_eq!(error("{a:1}"), "invalid character 'a' looking for beginning of object key string");
        assert_eq!(error("{} {}"), "invalid character '{' after top-level value");
        assert_eq!(error("tru "), "invalid character ' ' in literal true (expecting 'e')");
    }

    #[test]
    fn names_keys_that_come_twice_by_path() {
        let text = read_json(br#"{"a":{"b":1,"b":2},"l":[{"c":1,"c":2}]}"#).unwrap();
        let found: Vec<String> = text.in_order(Vec::new());
        assert_eq!(found, ["duplicate field \"a.b\"", "duplicate field \"l[0].c\""]);
        assert_eq!(text.tree["a"]["b"], 2);
    }

    #[test]
    fn reads_surrogate_pairs() {
        assert_eq!(read_json(br#""\ud83d\ude00\u00e9""#).unwrap().tree, "\u{1f600}\u{e9}");
    }
}
