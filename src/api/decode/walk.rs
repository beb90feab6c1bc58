//! One pass over a value with the types at hand. Source of the rules: sigs.k8s.io/json, Go's encoding/json.

use std::collections::HashSet;

use base64::Engine as _;

use crate::api::quantity::Quantity;
use crate::api::{Json, JsonMap, status::quote};

use super::go::{Field, Kind, Slot, Struct, Types};
use super::json::Value;
use super::{Decoded, Fault, time};

/// After so many strict errors no more are kept.
const STRICT_MAX: usize = 100;

/// Decodes `value` as the type `name`.
pub(super) fn decode(name: &str, value: Value) -> Result<Decoded, String> {
    let types = Types::get();
    let Some(index) = types.index_of(name) else { return Ok(Decoded { tree: value.into_json(), strict: Vec::new() }) };
    let mut walk = Walk::new(types);
    let tree = walk.root(index, value)?;
    match walk.saved {
        Some(error) => Err(error),
        None => Ok(Decoded { tree, strict: walk.strict }),
    }
}

/// The same for a manifest: every fault, each at its place.
pub(super) fn check(name: &str, value: Value) -> (Decoded, Vec<Fault>) {
    let types = Types::get();
    let Some(index) = types.index_of(name) else {
        return (Decoded { tree: value.into_json(), strict: Vec::new() }, Vec::new());
    };
    let mut walk = Walk::new(types);
    walk.faults = Some(Vec::new());
    let tree = walk.root(index, value).unwrap_or_else(|text| {
        walk.fault(text, "");
        Json::Null
    });
    (Decoded { tree, strict: walk.strict }, walk.faults.unwrap_or_default())
}

struct Walk {
    types: &'static Types,
    strict: Vec<String>,
    seen: HashSet<String>,
    /// The first type error; decoding goes on after it, for an error that ends it counts more.
    saved: Option<String>,
    /// All that does not fit, where nothing may end the walk.
    faults: Option<Vec<Fault>>,
    /// `spec.containers[0].image`
    path: String,
    /// `spec`, `containers`, `image`
    fields: Vec<&'static str>,
    /// Go's name of the struct whose field is being read.
    parent: &'static str,
}

impl Walk {
    fn new(types: &'static Types) -> Self {
        Walk {
            types,
            strict: Vec::new(),
            seen: HashSet::new(),
            saved: None,
            faults: None,
            path: String::new(),
            fields: Vec::new(),
            parent: "",
        }
    }

    fn root(&mut self, index: usize, value: Value) -> Result<Json, String> {
        let of = &self.types.structs[index];
        match value {
            Value::Object(members) => self.object(of, members),
            Value::Null => self.object(of, Vec::new()),
            other => Err(format!("json: cannot unmarshal {} into Go value of type v1.{}", other.sort(), of.go)),
        }
    }

    fn fault(&mut self, text: String, help: &'static str) {
        let path = self.path.clone();
        if let Some(faults) = self.faults.as_mut().filter(|faults| faults.len() < STRICT_MAX) {
            faults.push(Fault { path, text, help });
        }
    }

    /// An error that ends the walk, unless all are wanted.
    fn fatal(&mut self, error: String) -> Result<Option<Json>, String> {
        if self.faults.is_none() {
            return Err(error);
        }
        self.fault(error, "");
        Ok(None)
    }

    /// The same where the value is of another sort than the field.
    fn fatal_type(&mut self, sort: &str, go: &str) -> Result<Option<Json>, String> {
        if self.faults.is_none() {
            return Err(self.type_error(sort, go));
        }
        Ok(self.mismatch(sort, go))
    }

    fn note(&mut self, what: &str, name: &str) {
        if self.strict.len() >= STRICT_MAX {
            return;
        }
        let dot = if self.path.is_empty() { "" } else { "." };
        let error = format!("{what} field {}", quote(&format!("{}{dot}{name}", self.path)));
        if self.seen.insert(error.clone()) {
            self.strict.push(error);
        }
    }

    fn type_error(&self, sort: &str, go: &str) -> String {
        if self.fields.is_empty() {
            return format!("json: cannot unmarshal {sort} into Go value of type {go}");
        }
        format!("json: cannot unmarshal {sort} into Go struct field {}.{} of type {go}", self.parent, self.fields.join("."))
    }

    /// Keeps the error and takes the zero value instead.
    fn mismatch(&mut self, sort: &str, go: &str) -> Option<Json> {
        if self.faults.is_some() {
            let text = format!("expected {}, found {}", plain_type(go), plain_sort(sort));
            self.fault(text, way_out(sort, go));
            return None;
        }
        if self.saved.is_none() {
            self.saved = Some(self.type_error(sort, go));
        }
        None
    }

    fn object(&mut self, of: &'static Struct, members: Vec<(String, Value)>) -> Result<Json, String> {
        let mut out = JsonMap::new();
        let mut given: HashSet<&'static str> = HashSet::with_capacity(members.len());
        let length = self.path.len();
        let parent = self.parent;
        for (name, value) in members {
            let Some(field) = of.fields.get(&name) else {
                self.note("unknown", &name);
                continue;
            };
            if !given.insert(&field.name) {
                self.note("duplicate", &name);
            }
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            self.fields.push(&field.name);
            self.parent = &of.go;
            self.member(field, value, &mut out)?;
            self.parent = parent;
            self.fields.pop();
            self.path.truncate(length);
        }
        for name in &of.always {
            if !out.contains_key(name) {
                let zero = self.zero_field(&of.fields[name]);
                out.insert(name.clone(), zero);
            }
        }
        Ok(Json::Object(out))
    }

    fn member(&mut self, field: &'static Field, value: Value, out: &mut JsonMap) -> Result<(), String> {
        // Null sets a pointer, a list or a map back to nothing, and leaves anything else as it was.
        if matches!(value, Value::Null) {
            if field.pointer || matches!(field.slot.kind, Kind::List(_) | Kind::Map(_) | Kind::Bytes) {
                out.remove(&field.name);
            }
            return Ok(());
        }
        let Some(tree) = self.slot(&field.slot, value)? else { return Ok(()) };
        if !field.pointer && is_dropped(field, &tree) {
            out.remove(&field.name);
            return Ok(());
        }
        match (out.get_mut(&field.name), tree) {
            // A struct or map given twice is decoded into twice.
            (Some(Json::Object(old)), Json::Object(new)) => old.extend(new),
            (_, tree) => {
                out.insert(field.name.clone(), tree);
            }
        }
        Ok(())
    }

    /// `None`: the zero value.
    fn slot(&mut self, slot: &'static Slot, value: Value) -> Result<Option<Json>, String> {
        Ok(match (&slot.kind, value) {
            (Kind::Any, value) => Some(value.into_json()),
            (Kind::Quantity, value) => match quantity(value) {
                Ok(quantity) => Some(quantity),
                Err(error) => self.fatal(error)?,
            },
            (Kind::Time | Kind::MicroTime | Kind::IntOrString, Value::Null) | (_, Value::Null) => None,
            (Kind::Time, value) => self.time(value, time::seconds)?,
            (Kind::MicroTime, value) => self.time(value, time::micros)?,
            (Kind::IntOrString, Value::String(text)) => Some(Json::String(text)),
            (Kind::IntOrString, Value::Number(text)) => match text.parse::<i32>() {
                Ok(number) => Some(number.into()),
                Err(_) => self.fatal_type(&format!("number {text}"), "int32")?,
            },
            (Kind::IntOrString, value) => self.fatal_type(value.sort(), "int32")?,
            (Kind::Text, Value::String(text)) => Some(Json::String(text)),
            (Kind::Bool, Value::Bool(flag)) => Some(Json::Bool(flag)),
            (Kind::Int32, Value::Number(text)) => match text.parse::<i32>() {
                Ok(number) => Some(number.into()),
                Err(_) => self.mismatch(&format!("number {text}"), &slot.go),
            },
            (Kind::Int64, Value::Number(text)) => match text.parse::<i64>() {
                Ok(number) => Some(number.into()),
                Err(_) => self.mismatch(&format!("number {text}"), &slot.go),
            },
            (Kind::Float, Value::Number(text)) => match text.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                Some(number) => Some(Json::Number(number)),
                None => self.mismatch(&format!("number {text}"), &slot.go),
            },
            (Kind::Bytes, Value::String(text)) => self.bytes(&text),
            (Kind::List(item), Value::List(items)) => Some(self.list(item, items)?),
            (Kind::Map(value), Value::Object(members)) => Some(self.map(value, members)?),
            (Kind::Struct(index), Value::Object(members)) => Some(self.object(&self.types.structs[*index], members)?),
            (_, value) => self.mismatch(value.sort(), &slot.go),
        })
    }

    fn time(&mut self, value: Value, read: fn(&str) -> Result<Option<String>, String>) -> Result<Option<Json>, String> {
        match value {
            Value::String(text) => match read(&text) {
                Ok(time) => Ok(time.map(Json::String)),
                Err(error) => self.fatal(error),
            },
            other => self.fatal_type(other.sort(), "string"),
        }
    }

    fn bytes(&mut self, text: &str) -> Option<Json> {
        match from_base64(text) {
            Ok(bytes) => Some(base64::engine::general_purpose::STANDARD.encode(bytes).into()),
            Err(at) => {
                self.fault(format!("illegal base64 data at input byte {at}"), "stringData takes plain text");
                if self.saved.is_none() {
                    self.saved = Some(format!("illegal base64 data at input byte {at}"));
                }
                None
            }
        }
    }

    fn list(&mut self, item: &'static Slot, items: Vec<Value>) -> Result<Json, String> {
        let length = self.path.len();
        let mut out = Vec::with_capacity(items.len());
        for (index, value) in items.into_iter().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            let tree = self.slot(item, value)?;
            out.push(tree.unwrap_or_else(|| self.zero(item)));
            self.path.truncate(length);
        }
        Ok(Json::Array(out))
    }

    fn map(&mut self, slot: &'static Slot, members: Vec<(String, Value)>) -> Result<Json, String> {
        let length = self.path.len();
        let mut out = JsonMap::new();
        for (name, value) in members {
            if out.contains_key(&name) {
                self.note("duplicate", &name);
            }
            self.path.push('.');
            self.path.push_str(&name);
            let tree = self.slot(slot, value)?;
            out.insert(name, tree.unwrap_or_else(|| self.zero(slot)));
            self.path.truncate(length);
        }
        Ok(Json::Object(out))
    }

    fn zero_field(&self, field: &Field) -> Json {
        if field.pointer { Json::Null } else { self.zero(&field.slot) }
    }

    /// What Go writes for a value that was never set.
    fn zero(&self, slot: &Slot) -> Json {
        match &slot.kind {
            Kind::Text => "".into(),
            Kind::Int32 | Kind::Int64 | Kind::IntOrString => 0.into(),
            Kind::Float => 0.into(),
            Kind::Bool => false.into(),
            Kind::Quantity => "0".into(),
            Kind::Bytes | Kind::Time | Kind::MicroTime | Kind::Any | Kind::List(_) | Kind::Map(_) => Json::Null,
            Kind::Struct(index) => {
                let of = &self.types.structs[*index];
                Json::Object(of.always.iter().map(|n| (n.clone(), self.zero_field(&of.fields[n]))).collect())
            }
        }
    }
}

/// A type in the words of manifests.
fn plain_type(go: &str) -> String {
    match go {
        "int32" | "int64" => "a whole number".into(),
        "float64" => "a number".into(),
        "string" => "a string".into(),
        "bool" => "true or false".into(),
        _ if go.starts_with("[]uint8") => "base64 text".into(),
        _ if go.starts_with("[]") => "a list".into(),
        _ if go.starts_with("map[") => "a map".into(),
        _ => format!("a map ({})", go.rsplit('.').next().unwrap_or(go)),
    }
}

fn plain_sort(sort: &str) -> String {
    match sort {
        "string" => "a string".into(),
        "bool" => "a boolean".into(),
        "array" => "a list".into(),
        "object" => "a map".into(),
        "number" => "a number".into(),
        sort => format!("the {sort}"),
    }
}

fn way_out(sort: &str, go: &str) -> &'static str {
    match (sort, go) {
        ("string", "int32" | "int64" | "bool") => "write it without quotes",
        ("bool" | "number", "string") => "put it in quotes",
        (_, "string") if sort.starts_with("number") => "put it in quotes",
        ("array" | "string" | "number" | "bool", _) if go.starts_with("map[") => "write `key: value` lines",
        ("object" | "string" | "number" | "bool", _) if go.starts_with("[]") => "begin each item with `- `",
        _ => "",
    }
}

/// Whether `omitempty` drops a value that was given.
fn is_dropped(field: &Field, tree: &Json) -> bool {
    let is_empty = match tree {
        Json::Null => true,
        Json::Bool(flag) => !flag,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
    };
    match field.slot.kind {
        Kind::Struct(_) | Kind::IntOrString | Kind::Quantity | Kind::Any => false,
        Kind::Time | Kind::MicroTime => is_empty && field.omit_zero,
        _ => is_empty && field.omit_empty,
    }
}

/// Read from the raw JSON text, so a number counts as one that stands in quotes.
fn quantity(value: Value) -> Result<Json, String> {
    let parsed = match &value {
        Value::Null => return Ok("0".into()),
        Value::String(text) => Quantity::parse(text.trim()),
        Value::Number(text) => Quantity::parse(text),
        Value::Bool(_) | Value::List(_) | Value::Object(_) => Err(crate::api::quantity::FORMAT_ERROR.to_owned()),
    };
    parsed.map(|q| q.to_string().into())
}

/// Standard base64 with padding, as Go reads it: line breaks are skipped, spare bits of the last letter do not matter.
/// `Err`: the byte of the text at which Go says it went wrong (encoding/base64: decodeQuantum).
fn from_base64(text: &str) -> Result<Vec<u8>, usize> {
    let letters: Vec<(usize, u8)> = text.bytes().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).collect();
    let mut out = Vec::with_capacity(letters.len() / 4 * 3);
    let mut at = 0;
    while at < letters.len() {
        let mut bits = 0u32;
        let mut count = 0;
        while count < 4 {
            let Some((place, letter)) = letters.get(at).copied() else {
                // The text ends within a group of four.
                return Err(letters.get(at - count).map_or(text.len(), |(place, _)| *place));
            };
            at += 1;
            if letter == b'=' {
                end_of_base64(&letters[at..], count, place, text.len())?;
                at = letters.len();
                break;
            }
            bits = bits << 6 | base64_value(letter).ok_or(place)?;
            count += 1;
        }
        let bytes = (bits << (6 * (4 - count))).to_be_bytes();
        out.extend(&bytes[1..count.max(1)]);
    }
    Ok(out)
}

fn base64_value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

/// What may come after the first `=`, which stood at `place` behind `count` letters of a group.
fn end_of_base64(rest: &[(usize, u8)], count: usize, place: usize, end: usize) -> Result<(), usize> {
    let rest = match (count, rest) {
        (0 | 1, _) => return Err(place),
        (2, []) => return Err(end),
        (2, [(_, b'='), rest @ ..]) => rest,
        (2, [(next, _), ..]) => return Err(next - 1),
        (_, rest) => rest,
    };
    rest.first().map_or(Ok(()), |(garbage, _)| Err(*garbage))
}
