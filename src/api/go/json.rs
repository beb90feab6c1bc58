//! JSON as Go's `encoding/json` writes it: sorted keys, `<`, `>`, `&` escaped.

use super::Json;

/// Several lines, each level moved in by `indent`; no line feed at the end.
pub fn pretty(tree: &Json, indent: &str) -> String {
    let mut out = String::new();
    write(tree, Some(indent), 0, &mut out);
    out
}

/// One line.
pub fn compact(tree: &Json) -> String {
    let mut out = String::new();
    write(tree, None, 0, &mut out);
    out
}

fn write(tree: &Json, indent: Option<&str>, depth: usize, out: &mut String) {
    match tree {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                separate(i, indent, depth + 1, out);
                write(item, indent, depth + 1, out);
            }
            line(indent, depth, out);
            out.push(']');
        }
        Json::Object(map) if !map.is_empty() => {
            out.push('{');
            for (i, (key, value)) in map.iter().enumerate() {
                separate(i, indent, depth + 1, out);
                string(key, out);
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write(value, indent, depth + 1, out);
            }
            line(indent, depth, out);
            out.push('}');
        }
        Json::Array(_) => out.push_str("[]"),
        Json::Object(_) => out.push_str("{}"),
        Json::String(text) => string(text, out),
        Json::Number(number) if number.is_f64() => out.push_str(&float(number.as_f64().unwrap_or(0.0))),
        Json::Null | Json::Bool(_) | Json::Number(_) => out.push_str(&tree.to_string()),
    }
}

fn separate(i: usize, indent: Option<&str>, depth: usize, out: &mut String) {
    if i > 0 {
        out.push(',');
    }
    line(indent, depth, out);
}

fn line(indent: Option<&str>, depth: usize, out: &mut String) {
    if let Some(indent) = indent {
        out.push('\n');
        for _ in 0..depth {
            out.push_str(indent);
        }
    }
}

/// An exponent below 1e-6, of one digit where one is enough, and from 21 digits on.
fn float(value: f64) -> String {
    super::shortest(value, 1e-6).replace("e-0", "e-")
}

/// A quoted string.
pub fn string(text: &str, out: &mut String) {
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
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", c as u32)),
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
    fn is_written_as_go_writes_it() {
        let tree = json!({"b": [], "a": {"x": "<&>\u{1}"}, "c": [1, 2.5], "d": {}});
        assert_eq!(compact(&tree), r#"{"a":{"x":"\u003c\u0026\u003e\u0001"},"b":[],"c":[1,2.5],"d":{}}"#);
        assert_eq!(pretty(&json!({"a": [1]}), "  "), "{\n  \"a\": [\n    1\n  ]\n}");
        assert_eq!(compact(&json!([1e-7, 1e21, "\n"])), r#"[1e-7,1e+21,"\n"]"#);
    }
}
