//! Kubernetes' protobuf, read: what clients send as `application/vnd.kubernetes.protobuf`, as the JSON tree of the same object.
//! Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf, and the types' own `Unmarshal`.

mod table;
#[cfg(test)]
mod tests;
mod wire;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::schema::Schema;
use super::{Gvk, Json, JsonMap};
use table::{Count, Field, Message, Shape, Table};
use wire::{Fields, Held};

/// What every body begins with.
const PREFIX: &[u8] = b"k8s\0";
/// Messages in messages; Kubernetes' own kinds need about fifteen.
const DEEPEST: usize = 64;

/// Why a body is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no protobuf of Kubernetes', or broken; the reason in Go's words where Go has some.
    Broken(String),
    /// Its kind has no messages that are known here.
    Unknown(Gvk),
}

/// The object in a body. The envelope says its kind; `kind` is taken where that says nothing.
pub fn decode(bytes: &[u8], kind: &Gvk) -> Result<Json, Refused> {
    let body = bytes.strip_prefix(PREFIX).ok_or_else(|| {
        Refused::Broken("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into())
    })?;
    let envelope = Envelope::read(body).map_err(Refused::Broken)?;
    let found = envelope.gvk(kind);
    let message = Schema::get().type_name(&found).and_then(|name| Table::get().named(name));
    let message = message.ok_or_else(|| Refused::Unknown(found.clone()))?;
    let mut object = JsonMap::new();
    read(message, envelope.raw, &mut object, 0).map_err(Refused::Broken)?;
    object.insert("apiVersion".into(), found.api_version().into());
    object.insert("kind".into(), found.kind.into());
    Ok(Json::Object(object))
}

/// `runtime.Unknown`: an object's kind beside its bytes.
#[derive(Default)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut envelope = Envelope::default();
        for field in Fields(bytes) {
            match field? {
                (1, Held::Bytes(kind)) => {
                    for field in Fields(kind) {
                        match field? {
                            (1, Held::Bytes(version)) => envelope.api_version = text(version)?,
                            (2, Held::Bytes(kind)) => envelope.kind = text(kind)?,
                            _ => {}
                        }
                    }
                }
                (2, Held::Bytes(raw)) => envelope.raw = raw,
                (3, Held::Bytes(encoding)) if !encoding.is_empty() => {
                    return Err(format!("unsupported content encoding {:?}", text(encoding)?));
                }
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn gvk(&self, otherwise: &Gvk) -> Gvk {
        if self.kind.is_empty() && self.api_version.is_empty() {
            return otherwise.clone();
        }
        Gvk::of(&self.api_version, &self.kind)
    }
}

/// Reads a message's fields into a map. Fields that the table does not have are left out, as Go leaves them.
fn read(message: &Message, bytes: &[u8], into: &mut JsonMap, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err("proto: nested too deeply".into());
    }
    for field in Fields(bytes) {
        let (number, held) = field?;
        let Some(field) = message.fields.get(&number) else { continue };
        take(field, held, into, depth)?;
    }
    Ok(())
}

fn take(field: &Field, held: Held<'_>, into: &mut JsonMap, depth: usize) -> Result<(), String> {
    match (field.count, held) {
        (Count::One, held) if field.name.is_empty() => {
            let (Shape::Message(place), Held::Bytes(bytes)) = (field.shape, held) else { return Err(wrong(field)) };
            read(known(place)?, bytes, into, depth + 1)
        }
        (Count::One, held) => {
            let before = into.remove(&field.name);
            let value = value(field, held, before, depth)?;
            into.insert(field.name.clone(), value);
            Ok(())
        }
        (Count::List, held) => {
            let list = into.entry(field.name.clone()).or_insert_with(|| Json::Array(Vec::new()));
            let Json::Array(list) = list else { return Err(wrong(field)) };
            match (field.shape, held) {
                // Several numbers may stand in one run.
                (Shape::Number | Shape::Truth, Held::Bytes(mut run)) => {
                    while !run.is_empty() {
                        let number = Held::Number(wire::number(&mut run)?);
                        list.push(value(field, number, None, depth)?);
                    }
                }
                (_, held) => list.push(value(field, held, None, depth)?),
            }
            Ok(())
        }
        (Count::Map, Held::Bytes(entry)) => {
            let (key, value) = map_entry(field, entry, depth)?;
            let map = into.entry(field.name.clone()).or_insert_with(|| Json::Object(JsonMap::new()));
            let Json::Object(map) = map else { return Err(wrong(field)) };
            map.insert(key, value);
            Ok(())
        }
        (Count::Map, _) => Err(wrong(field)),
    }
}

/// Key and value are the fields 1 and 2 of a message; what is not there has its zero.
fn map_entry(field: &Field, entry: &[u8], depth: usize) -> Result<(String, Json), String> {
    let (mut key, mut held) = (String::new(), None);
    for part in Fields(entry) {
        match part? {
            (1, Held::Bytes(bytes)) => key = text(bytes)?,
            (2, value) => held = Some(value),
            _ => {}
        }
    }
    let nothing = if matches!(field.shape, Shape::Number | Shape::Truth) { Held::Number(0) } else { Held::Bytes(b"") };
    Ok((key, value(field, held.unwrap_or(nothing), None, depth)?))
}

/// One value. A message that comes twice goes on where it was: `before`.
fn value(field: &Field, held: Held<'_>, before: Option<Json>, depth: usize) -> Result<Json, String> {
    match (field.shape, held) {
        (Shape::Text, Held::Bytes(bytes)) => Ok(text(bytes)?.into()),
        (Shape::Bytes, Held::Bytes(bytes)) => Ok(STANDARD.encode(bytes).into()),
        (Shape::Number, Held::Number(number)) => Ok(number.cast_signed().into()),
        (Shape::Truth, Held::Number(number)) => Ok((number != 0).into()),
        (Shape::Message(place), Held::Bytes(bytes)) => {
            let message = known(place)?;
            let mut inner = match before {
                Some(Json::Object(map)) => map,
                _ => JsonMap::new(),
            };
            match own_form(&message.name) {
                Some(form) => form(Parts::read(bytes)?),
                None => {
                    read(message, bytes, &mut inner, depth + 1)?;
                    Ok(Json::Object(inner))
                }
            }
        }
        _ => Err(wrong(field)),
    }
}

fn known(place: usize) -> Result<&'static Message, String> {
    Table::get().at(place).ok_or_else(|| "proto: a message that nobody knows".into())
}

fn wrong(field: &Field) -> String {
    format!("proto: wrong wireType for field {}", field.name)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "proto: string field contains invalid UTF-8".into())
}

/// The fields of a message whose type writes its JSON itself.
#[derive(Default)]
struct Parts<'a> {
    numbers: [u64; 4],
    bytes: [Option<&'a [u8]>; 4],
    /// All runs of field 1.
    runs: Vec<&'a [u8]>,
    is_empty: bool,
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut parts = Parts { is_empty: bytes.is_empty(), ..Parts::default() };
        for field in Fields(bytes) {
            let (number, held) = field?;
            let Some(at) = usize::try_from(number).ok().filter(|at| *at < parts.numbers.len()) else { continue };
            match held {
                Held::Number(value) => parts.numbers[at] = value,
                Held::Bytes(run) => {
                    parts.bytes[at] = Some(run);
                    if at == 1 {
                        parts.runs.push(run);
                    }
                }
                Held::Fixed => {}
            }
        }
        Ok(parts)
    }

    fn text(&self, at: usize) -> Result<String, String> {
        text(self.bytes[at].unwrap_or(b""))
    }

    /// Seconds and nanoseconds; `None`: no time at all.
    fn time(&self) -> Option<Timestamp> {
        let nanos = i32::try_from(self.numbers[2]).unwrap_or(0);
        Timestamp::new(self.numbers[1].cast_signed(), nanos).ok().filter(|_| !self.is_empty)
    }
}

type Form = fn(Parts<'_>) -> Result<Json, String>;

/// How types that write their JSON themselves write it.
fn own_form(name: &str) -> Option<Form> {
    let form: Form = match name.rsplit('.').next().unwrap_or(name) {
        "Quantity" => |parts| Ok(parts.text(1)?.into()),
        // Times are of whole seconds, whatever is sent: the JSON form has no more.
        "Time" => |parts| Ok(parts.time().map_or(Json::Null, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into())),
        "MicroTime" => |parts| Ok(parts.time().map_or(Json::Null, |at| at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string().into())),
        "IntOrString" => |parts| match parts.numbers[1] {
            #[expect(clippy::cast_possible_truncation, reason = "an int32 on the wire")]
            0 => Ok((parts.numbers[2] as i32).into()),
            _ => Ok(parts.text(3)?.into()),
        },
        "RawExtension" | "FieldsV1" => |parts| match parts.bytes[1].unwrap_or(b"") {
            b"" => Ok(Json::Null),
            raw => serde_json::from_slice(raw).map_err(|why| why.to_string()),
        },
        "ExtraValue" => |parts| parts.runs.iter().map(|run| text(run).map(Json::from)).collect(),
        _ => return None,
    };
    Some(form)
}
