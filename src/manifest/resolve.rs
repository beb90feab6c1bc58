//! What a scalar is, by goyaml's rules (YAML 1.1 as sigs.k8s.io/yaml reads it).
//! Source: go.yaml.in/yaml/v2/resolve.go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tree::Value;

/// The tag of a scalar, without the core schema's prefix; `None` where there is no tag or one that
/// goyaml does not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarTag {
    None,
    Str,
    Int,
    Float,
    Bool,
    Null,
    Binary,
    /// An application's own (`!Ref`): the text stays text.
    Other,
}

impl ScalarTag {
    pub fn of_core(suffix: &str) -> Self {
        match suffix {
            "str" | "timestamp" => ScalarTag::Str,
            "int" => ScalarTag::Int,
            "float" => ScalarTag::Float,
            "bool" => ScalarTag::Bool,
            "null" => ScalarTag::Null,
            "binary" => ScalarTag::Binary,
            _ => ScalarTag::Other,
        }
    }
}

/// The value of a scalar. `Err`: why the text does not fit its tag.
pub fn resolve(text: &str, plain: bool, tag: ScalarTag) -> Result<Value, String> {
    let misfit = |kind: &str| Err(format!("cannot decode {text:?} as a {kind}"));
    match tag {
        ScalarTag::Str | ScalarTag::Other => Ok(Value::String(text.to_owned())),
        ScalarTag::None if !plain => Ok(Value::String(text.to_owned())),
        ScalarTag::None if is_not_finite(text) => Err(format!("JSON has no number {text}")),
        ScalarTag::None => Ok(plain_value(text)),
        ScalarTag::Null => match plain_value(text) {
            Value::Null => Ok(Value::Null),
            _ => misfit("null"),
        },
        ScalarTag::Bool => match plain_value(text) {
            value @ Value::Bool(_) => Ok(value),
            _ => misfit("bool"),
        },
        ScalarTag::Int => match plain_value(text) {
            value @ (Value::Int(_) | Value::Uint(_)) => Ok(value),
            _ => misfit("int"),
        },
        ScalarTag::Float => match plain_value(text) {
            #[expect(clippy::cast_precision_loss, reason = "what `!!float 3` asks for")]
            Value::Int(i) => Ok(Value::Float(i as f64)),
            value @ Value::Float(_) => Ok(value),
            _ => misfit("float"),
        },
        ScalarTag::Binary => {
            let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let bytes = STANDARD.decode(compact).map_err(|_| "!!binary value contains invalid base64 data".to_owned())?;
            String::from_utf8(bytes).map(Value::String).map_err(|_| "!!binary value is no UTF-8 text".to_owned())
        }
    }
}

/// What goyaml reads as infinite or as no number, which JSON cannot carry.
fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(text, ".nan" | ".NaN" | ".NAN") || matches!(unsigned, ".inf" | ".Inf" | ".INF")
}

fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let first = text.as_bytes()[0];
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return Value::String(text.to_owned());
    }
    number(text).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    if let Some(value) = integer(&plain) {
        return Some(value);
    }
    if !is_yaml_float(&plain) {
        return None;
    }
    plain.parse().ok().filter(|f: &f64| f.is_finite()).map(Value::Float)
}

/// Go's `ParseInt(text, 0, 64)`, then `ParseUint`: `0x`, `0o`, `0b` and a leading `0` for octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        let value = 0i128 - i128::from(magnitude);
        return i64::try_from(value).ok().map(Value::Int);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(Value::Int(value)),
        Err(_) if text.starts_with('+') => None,
        Err(_) => Some(Value::Uint(magnitude)),
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_yaml_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_ok && exponent_ok
}

/// The text that a scalar key counts as; `None` for what cannot be a key of JSON.
pub fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Int(i) => Some(i.to_string()),
        Value::Uint(u) => Some(u.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Float(f) => Some(f.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}
