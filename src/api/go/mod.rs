//! How Go prints values in messages and tables and writes JSON: what Kubernetes and kubectl show is written that way.

pub mod json;

use super::{Json, JsonMap};
use super::status::quote;

/// A value as `%v` prints it: maps as `map[a:1 b:2]` with sorted keys, lists as `[x y]`.
pub fn display(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".into(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => number(n),
        Json::String(text) => text.clone(),
        Json::Array(items) => list(items, display),
        Json::Object(map) => entries(map, display),
    }
}

/// A value as `%s` prints it, which is for texts alone: other values tell their type as well.
pub fn text(value: &Json) -> String {
    match value {
        Json::Null => "%!s(<nil>)".into(),
        Json::Bool(_) | Json::Number(_) => format!("%!s({}={})", type_name(value), display(value)),
        Json::String(text) => text.clone(),
        Json::Array(items) => list(items, text),
        Json::Object(map) => entries(map, text),
    }
}

/// `[x y]`, each as `one` prints it.
fn list(items: &[Json], one: fn(&Json) -> String) -> String {
    format!("[{}]", items.iter().map(one).collect::<Vec<_>>().join(" "))
}

/// `map[a:1 b:2]`, each value as `one` prints it.
fn entries(map: &JsonMap, one: fn(&Json) -> String) -> String {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(k, _)| *k);
    let entries: Vec<_> = entries.into_iter().map(|(k, v)| format!("{k}:{}", one(v))).collect();
    format!("map[{}]", entries.join(" "))
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
    n.as_f64().filter(|_| n.is_f64()).map_or_else(|| n.to_string(), float)
}

/// A float64 as `%v` prints it, and `strconv.FormatFloat(f, 'g', -1, 64)`: an exponent below 1e-4 and from 1e21 on.
pub fn float(value: f64) -> String {
    shortest(value, 1e-4)
}

/// The shortest digits, with an exponent below `least` and from 21 digits on.
fn shortest(value: f64, least: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (least..1e21).contains(&size) {
        return value.to_string();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{digits}e{sign}{exponent:0>2}")
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
        assert_eq!((float(0.25), float(-0.0)), ("0.25".into(), "-0".into()));
        assert_eq!(text(&json!({"a": ["x", 5, null], "b": true})), "map[a:[x %!s(int64=5) %!s(<nil>)] b:%!s(bool=true)]");
        assert_eq!(syntax(&json!({"a": ["x"]})), r#"map[string]interface {}{"a":[]interface {}{"x"}}"#);
    }
}
