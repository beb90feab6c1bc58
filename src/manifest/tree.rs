//! A YAML tree in which every key and value knows where it stands.

use std::ops::Range;

use crate::api::{Json, JsonMap};

/// Bytes of the input.
pub type Span = Range<usize>;

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<(MapKey, Node)>),
}

/// A key as it counts (always text) and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct MapKey {
    pub text: String,
    pub span: Span,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    pub fn entry(&self, key: &str) -> Option<(&MapKey, &Node)> {
        match &self.value {
            // The last of equal keys counts, as in goyaml when it is not strict.
            Value::Map(entries) => entries.iter().rev().find(|(k, _)| k.text == key).map(|(k, n)| (k, n)),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// How many nodes it has, itself included.
    pub fn count(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|(_, n)| 1 + n.count()).sum::<usize>(),
            _ => 1,
        }
    }

    /// How deep it is: 1 for a scalar.
    pub fn depth(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|(_, n)| n.depth()).max().unwrap_or(0),
            _ => 1,
        }
    }

    /// The tree without places. Floats that JSON (as Go writes it) spells as integers become integers.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => Json::from(*i),
            Value::Uint(u) => Json::from(*u),
            Value::Float(f) => float(*f),
            Value::String(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => {
                let map: JsonMap = entries.iter().map(|(k, n)| (k.text.clone(), n.json())).collect();
                Json::Object(map)
            }
        }
    }
}

/// 2^53: up to here every integral float is that integer and no other.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn float(f: f64) -> Json {
    if f.fract() == 0.0 && f.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53")]
        let whole = f as i64;
        return Json::from(whole);
    }
    Json::from(f)
}
