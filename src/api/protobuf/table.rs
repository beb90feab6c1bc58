//! The messages of Kubernetes' kinds as data, read once from what is embedded.
//!
//! `schema/protobuf.deflate` holds numbers, shapes and names of fields, from the `generated.proto` files of k8s.io/api and
//! k8s.io/apimachinery (Apache-2.0); `schema/protobuf.py` makes it.

use std::collections::HashMap;
use std::sync::OnceLock;

/// All messages.
#[derive(Debug)]
pub struct Table {
    messages: Vec<Message>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
pub struct Message {
    /// `io.k8s.api.core.v1.Pod`
    pub name: String,
    /// By number.
    pub fields: HashMap<u64, Field>,
}

#[derive(Debug)]
pub struct Field {
    /// In JSON; empty where the message's fields stand in its owner.
    pub name: String,
    pub count: Count,
    pub shape: Shape,
}

/// How often a field may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    One,
    List,
    /// Of texts to values.
    Map,
}

/// What one value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Text,
    Number,
    Truth,
    Bytes,
    /// By its place in the table.
    Message(usize),
}

impl Table {
    /// The embedded table, unpacked at the first call.
    pub fn get() -> &'static Table {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| {
            let packed = include_bytes!("../schema/protobuf.deflate");
            let bytes = miniz_oxide::inflate::decompress_to_vec(packed).unwrap_or_default();
            let text = String::from_utf8(bytes).unwrap_or_default();
            let messages: Vec<Message> = text.split("\n\n").filter_map(message).collect();
            let by_name = messages.iter().enumerate().map(|(at, message)| (message.name.clone(), at)).collect();
            Table { messages, by_name }
        })
    }

    /// By the OpenAPI name of its type.
    pub fn named(&self, name: &str) -> Option<&Message> {
        self.at(*self.by_name.get(name)?)
    }

    pub fn at(&self, place: usize) -> Option<&Message> {
        self.messages.get(place)
    }
}

fn message(text: &str) -> Option<Message> {
    let mut lines = text.lines();
    let name = lines.next()?.to_owned();
    Some(Message { name, fields: lines.filter_map(field).collect() })
}

fn field(line: &str) -> Option<(u64, Field)> {
    let mut parts = line.splitn(3, ' ');
    let number = parts.next()?.parse().ok()?;
    let shape = parts.next()?;
    let (count, shape) = match shape.split_at_checked(1)? {
        ("*", shape) => (Count::List, shape),
        ("{", shape) => (Count::Map, shape),
        _ => (Count::One, shape),
    };
    let shape = match shape.split_at_checked(1)? {
        ("s", _) => Shape::Text,
        ("i", _) => Shape::Number,
        ("b", _) => Shape::Truth,
        ("y", _) => Shape::Bytes,
        (_, place) => Shape::Message(place.parse().ok()?),
    };
    Some((number, Field { name: parts.next().unwrap_or("").to_owned(), count, shape }))
}
