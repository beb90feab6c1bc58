//! Numbers and values as Go's `fmt` and `strconv` write them.

use crate::api::{Json, status::quote};

/// `strconv.FormatFloat(f, 'g', -1, 64)`.
pub fn yaml_float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".into();
    }
    shortest(value, -4, 21)
}

/// As `encoding/json` writes a float64.
pub fn json_float(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-6 || value.abs() >= 1e21) {
        return shortest(value, -6, 21).replace("e-0", "e-");
    }
    format!("{value}")
}

/// As `%v` prints a float64: exponent from 21 digits on.
pub fn v_float(value: f64) -> String {
    shortest(value, -4, 21)
}

fn shortest(value: f64, least: i32, most: i32) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < least || exponent >= most {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// `%v` of a decoded tree: `map[a:1 b:[x y]]`.
pub fn v(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".into(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) if n.is_f64() => v_float(n.as_f64().unwrap_or(0.0)),
        Json::Number(n) => n.to_string(),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(v).collect::<Vec<_>>().join(" ")),
        Json::Object(map) => {
            format!("map[{}]", map.iter().map(|(k, value)| format!("{k}:{}", v(value))).collect::<Vec<_>>().join(" "))
        }
    }
}

/// `%#v` of a decoded tree: `map[string]interface {}{"a":1}`.
pub fn sharp_v(value: &Json) -> String {
    match value {
        Json::Null => "interface {}(nil)".into(),
        Json::String(text) => quote(text),
        Json::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(sharp_v).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{}:{}", quote(k), sharp_v(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        Json::Bool(_) | Json::Number(_) => v(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_look_as_go_prints_them() {
        assert_eq!(v(&json!({"b": [1, "x", null], "a": 1.5})), "map[a:1.5 b:[1 x <nil>]]");
        assert_eq!(sharp_v(&json!({"a": [1, null]})), "map[string]interface {}{\"a\":[]interface {}{1, interface {}(nil)}}");
        assert_eq!(yaml_float(1e21), "1e+21");
        assert_eq!(json_float(1e-7), "1e-7");
        assert_eq!(yaml_float(0.25), "0.25");
    }
}
