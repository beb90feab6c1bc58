//! Reads JSON text as Go's encoding/json does, keeping what the decoder needs and a plain tree loses: the
//! order of members, members given twice, and the spelling of numbers. Errors are worded as Go words them.

use crate::api::{Json, JsonMap, status::quote};

/// How deep values may be nested.
const DEPTH_MAX: usize = 500;

/// A JSON value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As it was spelled.
    Number(Box<str>),
    String(String),
    List(Vec<Value>),
    /// In order, names not made unique.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// A plain tree; of members given twice the last counts.
    pub fn into_json(self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(flag),
            Value::Number(text) => number(&text),
            Value::String(text) => Json::String(text),
            Value::List(items) => items.into_iter().map(Value::into_json).collect(),
            Value::Object(members) => {
                Json::Object(members.into_iter().map(|(k, v)| (k, v.into_json())).collect::<JsonMap>())
            }
        }
    }

    /// The member `name`, the last of them.
    #[cfg(any(test, feature = "internals"))]
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// What Go's messages call this sort of value.
    pub fn sort(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::List(_) => "array",
            Value::Object(_) => "object",
        }
    }
}

impl From<Json> for Value {
    fn from(tree: Json) -> Self {
        match tree {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => Value::Number(number.to_string().into()),
            Json::String(text) => Value::String(text),
            Json::Array(items) => Value::List(items.into_iter().map(Value::from).collect()),
            Json::Object(members) => Value::Object(members.into_iter().map(|(k, v)| (k, v.into())).collect()),
        }
    }
}

fn number(text: &str) -> Json {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.into();
    }
    if let Ok(whole) = text.parse::<u64>() {
        return whole.into();
    }
    text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map_or(Json::Null, Json::Number)
}

/// Reads one value and nothing after it.
pub fn read(text: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    reader.blank();
    let value = reader.value(0)?;
    reader.blank();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.invalid("after top-level value")),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The error about the byte at hand, or about the end of the text.
    fn invalid(&self, context: &str) -> String {
        let Some(byte) = self.peek() else { return "unexpected end of JSON input".into() };
        let shown = match byte {
            b'\'' => "'\\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            _ => {
                let quoted = quote(&char::from(byte).to_string());
                format!("'{}'", quoted.trim_matches('"'))
            }
        };
        format!("invalid character {shown} {context}")
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err("exceeded max depth".into());
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b't') => self.literal("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.literal("null").map(|()| Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.invalid("looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.invalid(&format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut members = Vec::new();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(self.invalid("looking for beginning of object key string"));
            }
            let name = self.string()?;
            self.blank();
            if self.peek() != Some(b':') {
                return Err(self.invalid("after object key"));
            }
            self.at += 1;
            self.blank();
            members.push((name, self.value(depth + 1)?));
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(members));
                }
                _ => return Err(self.invalid("after object key:value pair")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.blank();
            items.push(self.value(depth + 1)?);
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.invalid("after array element")),
            }
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ if self.digits() => {}
            _ => return Err(self.invalid("in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                return Err(self.invalid("after decimal point in numeric literal"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.digits() {
                return Err(self.invalid("in exponent of numeric literal"));
            }
        }
        Ok(Value::Number(String::from_utf8_lossy(&self.text[start..self.at]).into()))
    }

    /// A string, its quotes included; bytes that are no UTF-8 become U+FFFD.
    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            bytes.extend_from_slice(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(String::from_utf8(bytes)
                        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()));
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(self.invalid("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        self.at += 1;
        let plain = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.invalid("in string escape code")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// Behind `\u`; two of them may make one character, a lone half becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 1;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hex(&mut self) -> Result<u32, String> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            let Some(digit) = digit else { return Err(self.invalid("in \\u hexadecimal character escape")) };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_doubles_and_spellings_are_kept() {
        let value = read(br#"{"b": 1.0, "a": 1e3, "b": "\ud83d\ude00\u0000"}"#).unwrap();
        let Value::Object(members) = value else { panic!("no object") };
        assert_eq!(members[0], ("b".into(), Value::Number("1.0".into())));
        assert_eq!(members[2].1, Value::String("😀\0".into()));
    }

    #[test]
    fn syntax_errors_are_worded_as_go_words_them() {
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":1,", "unexpected end of JSON input"),
            ("hello", "invalid character 'h' looking for beginning of value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("tru3", "invalid character '3' in literal true (expecting 'e')"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err(), expected, "{text}");
        }
        assert_eq!(read("[".repeat(100_000).as_bytes()).unwrap_err(), "exceeded max depth");
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&bytes);
        }

        #[test]
        fn what_serde_reads_is_read_alike(text in "[\\[\\]{}:,\"a1.e \\\\u0-9-]{0,24}") {
            // Of -0 serde makes a float.
            let tree = serde_json::from_str::<Json>(&text).ok().filter(|_| !text.contains("-0"));
            if let Some(tree) = tree {
                prop_assert_eq!(read(text.as_bytes()).map(Value::into_json), Ok(tree));
            }
        }
    }
}
