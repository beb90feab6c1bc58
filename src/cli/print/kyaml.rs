//! KYAML: YAML in flow style with quotes and commas everywhere, so that indentation means nothing.
//! Source: KEP-5295.

use crate::api::go::{self, json};
use crate::api::Json;

/// KYAML text of a tree, with its document head.
pub fn to_kyaml(tree: &Json) -> String {
    let mut out = String::from("---\n");
    write(tree, 0, &mut out);
    out.push('\n');
    out
}

fn write(tree: &Json, depth: usize, out: &mut String) {
    match tree {
        Json::Object(map) if map.is_empty() => out.push_str("{}"),
        Json::Array(items) if items.is_empty() => out.push_str("[]"),
        Json::Object(map) => {
            out.push_str("{\n");
            for (key, value) in map {
                indent(depth + 1, out);
                write_key(key, out);
                out.push_str(": ");
                write(value, depth + 1, out);
                out.push_str(",\n");
            }
            indent(depth, out);
            out.push('}');
        }
        Json::Array(items) if items.iter().all(|i| i.is_object() || i.is_array()) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(item, depth, out);
            }
            out.push(']');
        }
        Json::Array(items) => {
            out.push_str("[\n");
            for item in items {
                indent(depth + 1, out);
                write(item, depth + 1, out);
                out.push_str(",\n");
            }
            indent(depth, out);
            out.push(']');
        }
        Json::String(text) => quoted(text, out),
        Json::Number(number) if number.is_f64() => out.push_str(&go::float(number.as_f64().unwrap_or(0.0))),
        Json::Null | Json::Bool(_) | Json::Number(_) => out.push_str(&tree.to_string()),
    }
}

fn indent(depth: usize, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// JSON's escapes are YAML's too; `<` and the like need none here.
fn quoted(text: &str, out: &mut String) {
    let mut escaped = String::new();
    json::string(text, &mut escaped);
    out.push_str(&escaped.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&"));
}

/// Keys stay bare where nothing could read them as something else.
fn write_key(key: &str, out: &mut String) {
    const AMBIGUOUS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];
    let simple = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !AMBIGUOUS.contains(&key.to_ascii_lowercase().as_str());
    if simple { out.push_str(key) } else { quoted(key, out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn braces_hug_in_lists_of_objects() {
        let tree = json!({"a": [{"b": "x"}, {"c": 1}], "no": ["y"]});
        let expected = "---\n{\n  a: [{\n    b: \"x\",\n  }, {\n    c: 1,\n  }],\n  \"no\": [\n    \"y\",\n  ],\n}\n";
        assert_eq!(to_kyaml(&tree), expected);
    }
}
