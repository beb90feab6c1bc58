//! The functions of templates: Go's, and kubectl's `exists` and `base64decode`.
//! Source: text/template/funcs.go, k8s.io/cli-runtime/pkg/printers/template.go.

use std::cmp::Ordering;

use base64::Engine as _;

use super::evaluate::{Value, truth};
use crate::api::{Json, status::quote};
use crate::api::go;

const KNOWN: &[&str] = &[
    "and", "base64decode", "call", "eq", "exists", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not",
    "or", "print", "printf", "println", "slice", "urlquery",
];

pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

pub fn call(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    let text = |text: String| Ok(Some(Json::String(text)));
    let boolean = |b: bool| Ok(Some(Json::Bool(b)));
    match name {
        "not" => boolean(!truth(&one(name, arguments)?)),
        "len" => length(&one(name, arguments)?).map(|n| Some(Json::from(n))),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => text(print(&arguments)),
        "println" => text(arguments.iter().map(shown).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => text(printf(&arguments)?),
        "html" => text(html(&print(&arguments))),
        "js" => text(js(&print(&arguments))),
        "urlquery" => {
            let mut out = String::new();
            crate::client::encode(&print(&arguments), &mut out);
            text(out.replace("%20", "+"))
        }
        "base64decode" => {
            let encoded = shown(&one(name, arguments)?);
            let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.replace(['\n', '\r'], ""));
            let bytes = bytes.map_err(|_| format!("unable to decode string as base64: {encoded}"))?;
            text(String::from_utf8_lossy(&bytes).into_owned())
        }
        "exists" => boolean(exists(&arguments)),
        "eq" => equal(&arguments).map(|b| Some(b.into())),
        "ne" => two(&arguments).and_then(|(a, b)| same(a, b)).map(|b| Some((!b).into())),
        "lt" | "le" | "gt" | "ge" => two(&arguments).and_then(|(a, b)| compare(a, b)).map(|order| {
            let holds = match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            };
            Some(holds.into())
        }),
        _ => Err("value is not a function".into()),
    }
}

fn one(name: &str, mut arguments: Vec<Value>) -> Result<Value, String> {
    if arguments.len() != 1 {
        return Err(format!("wrong number of args for {name}: want 1 got {}", arguments.len()));
    }
    Ok(arguments.pop().flatten())
}

fn two(arguments: &[Value]) -> Result<(&Value, &Value), String> {
    match arguments {
        [a, b] => Ok((a, b)),
        _ => Err(format!("wrong number of args: want 2 got {}", arguments.len())),
    }
}

pub fn go_type(json: &Json) -> &'static str {
    if json.is_null() { "interface {}" } else { go::type_name(json) }
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Some(Json::String(text)) => Ok(text.len()),
        Some(Json::Array(items)) => Ok(items.len()),
        Some(Json::Object(map)) => Ok(map.len()),
        None | Some(Json::Null) => Err("len of nil pointer".into()),
        Some(other) => Err(format!("len of type {}", go_type(other))),
    }
}

fn index(arguments: Vec<Value>) -> Result<Value, String> {
    let mut arguments = arguments.into_iter();
    let mut at = arguments.next().ok_or("wrong number of args for index: want at least 1 got 0")?;
    for key in arguments {
        at = match (at, key) {
            (None | Some(Json::Null), _) => return Err("index of untyped nil".into()),
            (Some(Json::Object(map)), Some(Json::String(key))) => map.get(&key).cloned(),
            (Some(Json::Object(_)), key) => {
                return Err(format!("value has type {}; should be string", key.as_ref().map_or("nil", go_type)));
            }
            (Some(Json::Array(items)), Some(Json::Number(n))) => {
                let found = n.as_u64().and_then(|n| usize::try_from(n).ok()).and_then(|n| items.get(n).cloned());
                Some(found.ok_or_else(|| format!("index out of range: {n}"))?)
            }
            (Some(Json::String(text)), Some(Json::Number(n))) => {
                let byte = n.as_u64().and_then(|n| usize::try_from(n).ok()).and_then(|n| text.as_bytes().get(n).copied());
                Some(byte.ok_or_else(|| format!("index out of range: {n}"))?.into())
            }
            (Some(Json::Array(_) | Json::String(_)), key) => {
                return Err(format!("cannot index slice/array with type {}", key.as_ref().map_or("nil", go_type)));
            }
            (Some(other), _) => return Err(format!("can't index item of type {}", go_type(&other))),
        };
    }
    Ok(at)
}

fn slice(arguments: Vec<Value>) -> Result<Value, String> {
    let mut bounds = Vec::new();
    for bound in arguments.iter().skip(1) {
        let n = bound.as_ref().and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        bounds.push(n.ok_or("cannot index slice/array with this")?);
    }
    let from = bounds.first().copied().unwrap_or(0);
    match arguments.into_iter().next().flatten() {
        Some(Json::String(text)) => {
            let to = bounds.get(1).copied().unwrap_or(text.len());
            let part = text.get(from..to).ok_or_else(|| format!("index out of range: {to}"))?;
            Ok(Some(part.into()))
        }
        Some(Json::Array(items)) => {
            let to = bounds.get(1).copied().unwrap_or(items.len());
            let part = items.get(from..to).ok_or_else(|| format!("index out of range: {to}"))?;
            Ok(Some(Json::Array(part.to_vec())))
        }
        None | Some(Json::Null) => Err("slice of untyped nil".into()),
        Some(other) => Err(format!("can't slice item of type {}", go_type(&other))),
    }
}

fn shown(value: &Value) -> String {
    value.as_ref().map_or_else(|| "<nil>".into(), go::display)
}

/// `fmt.Sprint`: blanks between two operands that are both no strings.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    let is_text = |v: &Value| matches!(v, Some(Json::String(_)));
    for (i, argument) in arguments.iter().enumerate() {
        if i > 0 && !is_text(argument) && !is_text(&arguments[i - 1]) {
            out.push(' ');
        }
        out.push_str(&shown(argument));
    }
    out
}

/// `fmt.Sprintf` with the verbs that trees can need.
fn printf(arguments: &[Value]) -> Result<String, String> {
    let Some((Some(Json::String(format)), rest)) = arguments.split_first() else {
        return Err("wrong type for value; expected string".into());
    };
    let mut rest = rest.iter();
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = String::new();
        while let Some(c) = chars.next_if(|c| matches!(c, '-' | '+' | '#' | ' ' | '0')) {
            flags.push(c);
        }
        let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut text = String::new();
            while let Some(c) = chars.next_if(char::is_ascii_digit) {
                text.push(c);
            }
            text.parse::<usize>().ok().map(|n| n.min(10_000))
        };
        let width = digits(&mut chars).unwrap_or(0);
        let precision = chars.next_if_eq(&'.').map(|_| digits(&mut chars).unwrap_or(0));
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match rest.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => pad(&verb_text(verb, &flags, precision, value), width, &flags, &mut out),
            },
        }
    }
    let extra: Vec<String> =
        rest.map(|v| format!("{}={}", v.as_ref().map_or("<nil>", go_type), shown(v))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

fn pad(text: &str, width: usize, flags: &str, out: &mut String) {
    let missing = width.saturating_sub(text.chars().count());
    if flags.contains('-') {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if flags.contains('0') {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text),
        };
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

fn verb_text(verb: char, flags: &str, precision: Option<usize>, value: &Value) -> String {
    let wrong = || format!("%!{verb}({}={})", value.as_ref().map_or("<nil>", go_type), shown(value));
    match (verb, value) {
        ('v', Some(json)) if flags.contains('#') => go::syntax(json),
        ('v', value) => shown(value),
        ('T', value) => value.as_ref().map_or("<nil>", go_type).into(),
        ('s', Some(Json::String(text))) => match precision {
            Some(n) => text.chars().take(n).collect(),
            None => text.clone(),
        },
        ('q', Some(Json::String(text))) => quote(text),
        ('s', Some(json @ (Json::Array(_) | Json::Object(_)))) => go::display(json),
        ('t', Some(Json::Bool(b))) => b.to_string(),
        ('d', Some(Json::Number(n))) if !n.is_f64() => {
            if flags.contains('+') && n.as_i64().is_some_and(|n| n >= 0) { format!("+{n}") } else { n.to_string() }
        }
        ('x', Some(Json::Number(n))) if n.as_i64().is_some() => format!("{:x}", n.as_i64().unwrap_or(0)),
        ('X', Some(Json::Number(n))) if n.as_i64().is_some() => format!("{:X}", n.as_i64().unwrap_or(0)),
        ('o', Some(Json::Number(n))) if n.as_i64().is_some() => format!("{:o}", n.as_i64().unwrap_or(0)),
        ('b', Some(Json::Number(n))) if n.as_i64().is_some() => format!("{:b}", n.as_i64().unwrap_or(0)),
        ('c', Some(Json::Number(n))) if n.as_u64().is_some() => {
            n.as_u64().and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32).map_or_else(wrong, String::from)
        }
        ('x', Some(Json::String(text))) => text.bytes().map(|b| format!("{b:02x}")).collect(),
        ('f', Some(Json::Number(n))) if n.is_f64() => format!("{:.*}", precision.unwrap_or(6), n.as_f64().unwrap_or(0.0)),
        ('g', Some(Json::Number(n))) if n.is_f64() => go::float(n.as_f64().unwrap_or(0.0)),
        ('e', Some(Json::Number(n))) if n.is_f64() => {
            let text = format!("{:.*e}", precision.unwrap_or(6), n.as_f64().unwrap_or(0.0));
            match text.split_once('e') {
                Some((digits, exponent)) => {
                    let exponent: i32 = exponent.parse().unwrap_or(0);
                    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
                }
                None => text,
            }
        }
        _ => wrong(),
    }
}

fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' | '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// kubectl's: whether `index` would find something, without its errors.
fn exists(arguments: &[Value]) -> bool {
    let Some((first, path)) = arguments.split_first() else { return false };
    let mut at = first.as_ref();
    for key in path {
        at = match (at, key) {
            (Some(Json::Object(map)), Some(Json::String(key))) => map.get(key),
            (Some(Json::Array(items)), Some(Json::Number(n))) => {
                n.as_u64().and_then(|n| usize::try_from(n).ok()).and_then(|n| items.get(n))
            }
            _ => None,
        };
    }
    at.is_some_and(|v| !v.is_null())
}

fn equal(arguments: &[Value]) -> Result<bool, String> {
    let Some((first, others)) = arguments.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".into());
    };
    for other in others {
        if same(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (None | Some(Json::Null), None | Some(Json::Null)) => Ok(true),
        (None | Some(Json::Null), _) | (_, None | Some(Json::Null)) => Ok(false),
        (Some(Json::Array(_) | Json::Object(_)), _) | (_, Some(Json::Array(_) | Json::Object(_))) => {
            Err("non-comparable type".into())
        }
        _ => compare(a, b).map(|order| order == Ordering::Equal),
    }
}

fn compare(a: &Value, b: &Value) -> Result<Ordering, String> {
    let incompatible = || "incompatible types for comparison".to_owned();
    match (a, b) {
        (Some(Json::String(a)), Some(Json::String(b))) => Ok(a.cmp(b)),
        (Some(Json::Bool(a)), Some(Json::Bool(b))) => Ok(a.cmp(b)),
        (Some(Json::Number(a)), Some(Json::Number(b))) if a.is_f64() == b.is_f64() => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)).ok_or_else(incompatible),
        },
        (None | Some(Json::Null), _) | (_, None | Some(Json::Null)) => Err("invalid type for comparison".into()),
        _ => Err(incompatible()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printf_pads_and_names_what_is_wrong() {
        let check = |format: &str, values: Vec<Json>, expected: &str| {
            let mut arguments = vec![Some(Json::from(format))];
            arguments.extend(values.into_iter().map(Some));
            assert_eq!(printf(&arguments).unwrap(), expected, "{format}");
        };
        check("%-5s|%5s|", vec!["a".into(), "b".into()], "a    |    b|");
        check("%03d %x", vec![7.into(), 255.into()], "007 ff");
        check("%.2f %d", vec![1.5.into(), "x".into()], "1.50 %!d(string=x)");
        check("%s", vec![], "%!s(MISSING)");
        check("100%%", vec![1.into()], "100%%!(EXTRA int64=1)");
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(html("<a&\"'>"), "&lt;a&amp;&#34;&#39;&gt;");
    }
}
