//! Nodes × tree → values. Source: k8s.io/client-go/util/jsonpath/jsonpath.go.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::parse::{Node, Slice};
use crate::api::Json;
use crate::api::go::{self, json};

/// A value found: a part of the tree, or a literal of the template.
#[derive(Clone, Debug)]
pub struct Value<'a>(Cow<'a, Json>);

impl<'a> Value<'a> {
    pub fn json(&self) -> &Json {
        &self.0
    }

    pub fn into_json(self) -> Json {
        self.0.into_owned()
    }

    fn part(json: &'a Json) -> Self {
        Value(Cow::Borrowed(json))
    }

    /// As it is printed: scalars plain, the rest as JSON.
    pub fn show(&self) -> String {
        match self.json() {
            Json::Null => "null".into(),
            tree @ (Json::Array(_) | Json::Object(_)) => json::compact(tree),
            scalar => go::display(scalar),
        }
    }

    /// Its parts: fields by name, or items.
    fn map(self, pick: impl Fn(&Json) -> Vec<&Json>) -> Vec<Value<'a>> {
        match self.0 {
            Cow::Borrowed(json) => pick(json).into_iter().map(Value::part).collect(),
            Cow::Owned(json) => pick(&json).into_iter().map(|part| Value(Cow::Owned(part.clone()))).collect(),
        }
    }
}

type Found<'a> = Result<Vec<Value<'a>>, String>;

/// What each node of a template finds in `data`.
pub fn evaluate<'a>(nodes: &'a [Node], data: &'a Json, allow_missing: bool) -> Result<Vec<Vec<Value<'a>>>, String> {
    let mut run = Run { allow_missing, results: Vec::new() };
    run.template(nodes, &Value::part(data))?;
    Ok(run.results)
}

struct Run<'a> {
    allow_missing: bool,
    results: Vec<Vec<Value<'a>>>,
}

impl<'a> Run<'a> {
    fn template(&mut self, nodes: &'a [Node], data: &Value<'a>) -> Result<(), String> {
        let mut at = 0;
        while at < nodes.len() {
            let Node::Action(parts) = &nodes[at] else {
                let found = self.walk(vec![data.clone()], &nodes[at])?;
                self.results.push(found);
                at += 1;
                continue;
            };
            match parts.first() {
                Some(Node::Identifier(word)) if word == "end" => {
                    // Pairs were matched below; an `end` here has no `range`.
                    return Err("not in range, nothing to end".into());
                }
                Some(Node::Identifier(word)) if word == "range" => {
                    let end = end_of_range(nodes, at + 1);
                    let over = self.list(vec![data.clone()], &parts[1..])?;
                    for value in over {
                        self.template(&nodes[at + 1..end], &value)?;
                    }
                    at = end + 1;
                }
                _ => {
                    let found = self.list(vec![data.clone()], parts)?;
                    self.results.push(found);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn list(&self, input: Vec<Value<'a>>, nodes: &'a [Node]) -> Found<'a> {
        nodes.iter().try_fold(input, |values, node| self.walk(values, node))
    }

    fn walk(&self, input: Vec<Value<'a>>, node: &'a Node) -> Found<'a> {
        let literal = |json: Json| Ok(vec![Value(Cow::Owned(json))]);
        match node {
            Node::Text(text) => literal(Json::from(text.as_str())),
            Node::Integer(value) => literal(Json::from(*value)),
            Node::Float(value) => literal(Json::from(*value)),
            Node::Bool(value) => literal(Json::from(*value)),
            Node::Identifier(word) => Err(format!("unrecognized identifier {word}")),
            Node::Action(nodes) => self.list(input, nodes),
            Node::Field(name) => self.field(input, name),
            Node::Slice(slice) => sliced(input, *slice),
            Node::Wildcard => Ok(input.into_iter().flat_map(|v| v.map(parts)).collect()),
            Node::Recursive => Ok(input.into_iter().flat_map(recursive).collect()),
            Node::Union(members) => {
                let mut out = Vec::new();
                for member in members {
                    out.extend(self.list(input.clone(), member)?);
                }
                Ok(out)
            }
            Node::Filter { left, operator, right } => self.filter(input, left, operator, right),
        }
    }

    fn field(&self, input: Vec<Value<'a>>, name: &str) -> Found<'a> {
        let found: Vec<Value<'a>> =
            input.into_iter().flat_map(|v| v.map(|json| json.get(name).into_iter().collect())).collect();
        if found.is_empty() && !self.allow_missing {
            return Err(format!("{name} is not found"));
        }
        Ok(found)
    }

    fn filter(&self, input: Vec<Value<'a>>, left: &'a [Node], operator: &str, right: &'a [Node]) -> Found<'a> {
        let mut out = Vec::new();
        for value in input {
            if !value.json().is_array() {
                let shown = go::display(value.json());
                return Err(format!("{shown} is not array or slice and cannot be filtered"));
            }
            for item in value.map(parts) {
                let lefts = self.list(vec![item.clone()], left);
                if operator == "exists" {
                    if lefts.is_ok_and(|l| !l.is_empty()) {
                        out.push(item);
                    }
                    continue;
                }
                let (lefts, rights) = (lefts?, self.list(vec![item.clone()], right)?);
                let (left, right) = match (&lefts[..], &rights[..]) {
                    ([], _) | (_, []) => continue,
                    ([left], [right]) => (left, right),
                    _ => return Err("can only compare one element at a time".into()),
                };
                if passes(left.json(), operator, right.json())? {
                    out.push(item);
                }
            }
        }
        Ok(out)
    }
}

/// The index of the `end` that closes a range whose body starts at `from`.
fn end_of_range(nodes: &[Node], from: usize) -> usize {
    let mut open = 1;
    for (i, node) in nodes.iter().enumerate().skip(from) {
        let Node::Action(parts) = node else { continue };
        match parts.first() {
            Some(Node::Identifier(word)) if word == "range" => open += 1,
            Some(Node::Identifier(word)) if word == "end" => open -= 1,
            _ => {}
        }
        if open == 0 {
            return i;
        }
    }
    nodes.len()
}

fn parts(json: &Json) -> Vec<&Json> {
    match json {
        Json::Array(items) => items.iter().collect(),
        Json::Object(map) => map.values().collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
    }
}

/// A value with parts, and below it the same again.
fn recursive(value: Value<'_>) -> Vec<Value<'_>> {
    let inner = value.clone().map(parts);
    if inner.is_empty() {
        return Vec::new();
    }
    std::iter::once(value).chain(inner.into_iter().flat_map(recursive)).collect()
}

fn sliced(input: Vec<Value<'_>>, slice: Slice) -> Found<'_> {
    let mut out = Vec::new();
    for value in input {
        let length = match value.json() {
            Json::Null => continue,
            Json::Array(items) => i64::try_from(items.len()).unwrap_or(i64::MAX),
            other => return Err(format!("{} is not array or slice", go::type_name(other))),
        };
        let from = slice.from.unwrap_or(0);
        let from = if from < 0 { from + length } else { from };
        let to = slice.to.unwrap_or(length);
        let to = if to < 0 || (to == 0 && slice.derived) { to + length } else { to };
        if from == to {
            return Ok(out);
        }
        let outside = |index: i64| format!("array index out of bounds: index {index}, length {length}");
        if from >= length || from < 0 {
            return Err(outside(from));
        }
        if to > length || to < 0 {
            return Err(outside(to - 1));
        }
        if from > to {
            return Err(format!("starting index {from} is greater than ending index {to}"));
        }
        let step = slice.step.unwrap_or(1);
        if step <= 0 {
            return Err("step must be > 0".into());
        }
        let as_size = |n: i64| usize::try_from(n).unwrap_or(0);
        out.extend(value.map(parts).into_iter().take(as_size(to)).skip(as_size(from)).step_by(as_size(step)));
    }
    Ok(out)
}

fn passes(left: &Json, operator: &str, right: &Json) -> Result<bool, String> {
    let order = compare(left, right);
    let ordered = || order.ok_or_else(|| "incompatible types for comparison".to_owned());
    match operator {
        "<" => Ok(ordered()? == Ordering::Less),
        "<=" => Ok(ordered()? != Ordering::Greater),
        ">" => Ok(ordered()? == Ordering::Greater),
        ">=" => Ok(ordered()? != Ordering::Less),
        "==" => Ok(ordered()? == Ordering::Equal),
        "!=" => Ok(ordered()? != Ordering::Equal),
        other => Err(format!("unrecognized filter operator {other}")),
    }
}

/// Values of one basic kind only, as Go's templates compare.
fn compare(left: &Json, right: &Json) -> Option<Ordering> {
    match (left, right) {
        (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        (Json::Number(a), Json::Number(b)) if a.is_f64() != b.is_f64() => None,
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        _ => None,
    }
}
