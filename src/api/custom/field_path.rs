//! Paths to fields in a schema: `.spec.color`, `.spec['odd name']`.
//! Source: …/apiserver/schema/cel/validation.go (ValidFieldPath).

use super::of_values;
use crate::api::Json;
use crate::api::tree::Tree;

/// The path as messages write it, and the schema that it leads to. `brackets`: names may stand in them.
pub(crate) fn resolve<'a>(schema: &'a Json, text: &str, brackets: bool) -> Result<(String, &'a Json), String> {
    let mut tokens = tokens(text).into_iter();
    let mut at = (String::new(), schema);
    while let Some(token) = tokens.next() {
        match token {
            "[" if !brackets => return Err("array notation is not allowed".into()),
            "[" => {
                let quoted = tokens.next().ok_or("unexpected end of JSON path")?;
                let inside = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let inside = inside.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                at = step(at, &unescaped(inside)?)?;
                match tokens.next() {
                    Some("]") => {}
                    Some(other) => return Err(format!("expected ] but got {other}")),
                    None => return Err("unexpected end of JSON path".into()),
                }
            }
            "." => at = step(at, tokens.next().ok_or("unexpected end of JSON path")?)?,
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok(at)
}

/// The delimiters, and what stands between them; quoted names whole.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = if rest.starts_with(['.', '[', ']']) {
            1
        } else if let Some(inside) = rest.strip_prefix('\'') {
            let closing = inside.char_indices().find(|(i, c)| *c == '\'' && !inside[..*i].ends_with('\\'));
            closing.map_or(rest.len(), |(i, _)| i + 2)
        } else {
            rest.find(['.', '[', ']']).unwrap_or(rest.len())
        };
        found.push(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

fn step<'a>((path, schema): (String, &'a Json), name: &str) -> Result<(String, &'a Json), String> {
    let unknown = || "does not refer to a valid field".to_owned();
    if schema.entries("properties").is_empty() {
        let values = of_values(schema).ok_or_else(unknown)?;
        return Ok((format!("{path}[{name}]"), values));
    }
    let inner = schema.field("properties").get(name).ok_or_else(unknown)?;
    Ok((if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }, inner))
}

/// A quoted name without its backslashes.
fn unescaped(text: &str) -> Result<String, String> {
    let mut name = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        name.push(match c {
            '\\' => rest.next().ok_or("invalid string literal: unterminated escape sequence")?,
            c => c,
        });
    }
    Ok(name)
}
