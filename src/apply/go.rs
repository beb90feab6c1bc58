//! How Go prints values in messages and writes JSON, where an answer of the API shows it.

use std::fmt::Write;

use crate::api::Json;
use crate::api::status::quote;

/// A value as `%v` prints it: maps as `map[a:1 b:2]` with sorted keys, lists as `[x y]`.
pub fn display(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".into(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => number(n),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(display).collect::<Vec<_>>().join(" ")),
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(k, _)| *k);
            let entries: Vec<_> = entries.into_iter().map(|(k, v)| format!("{k}:{}", display(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// A value as `%#v` prints it.
pub fn syntax(value: &Json) -> String {
    match value {
        Json::Null => "interface {}(nil)".into(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => number(n),
        Json::String(text) => quote(text),
        Json::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(syntax).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(k, _)| *k);
            let entries: Vec<_> = entries.into_iter().map(|(k, v)| format!("{}:{}", quote(k), syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
    }
}

/// Name of a value's type as `%T` prints it.
pub fn type_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

/// Name of a value's kind as `reflect.Kind` prints it.
pub fn kind_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "invalid",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "slice",
        Json::Object(_) => "map",
    }
}

fn number(n: &serde_json::Number) -> String {
    let Some(float) = n.as_f64().filter(|_| n.is_f64()) else { return n.to_string() };
    // `%v` of a float is `%g` with the shortest digits and an exponent from 21 on.
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        format!("{digits}e{sign}{exponent:0>2}")
    } else {
        float.to_string()
    }
}

/// JSON text as `encoding/json` writes it: sorted keys, `<`, `>`, `&`, U+2028 and U+2029 escaped.
pub fn json(value: &Json) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

fn write_json(value: &Json, out: &mut String) {
    match value {
        Json::String(text) => write_text(text, out),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(k, _)| *k);
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_json(item, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_print_as_go_prints_them() {
        let value = json!({"name": "a", "image": "x", "n": [1, 2.5, null, true]});
        assert_eq!(display(&value), "map[image:x n:[1 2.5 <nil> true] name:a]");
        assert_eq!(display(&json!(1e21)), "1e+21");
        assert_eq!(display(&json!(0.00001)), "1e-05");
        assert_eq!(syntax(&json!({"a": ["x"]})), r#"map[string]interface {}{"a":[]interface {}{"x"}}"#);
    }

    #[test]
    fn json_text_escapes_what_go_escapes() {
        assert_eq!(json(&json!({"b": "<&>\n\u{1}", "a": 1})), r#"{"a":1,"b":"\u003c\u0026\u003e\n\u0001"}"#);
    }
}
