//! Kubernetes' types as Go's decoder sees them: the schema's fields together with what it does not tell.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::api::schema::{Field as SchemaField, Schema};

/// What a value must be.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Int32,
    Int64,
    Bool,
    Float,
    /// Base64.
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// Any JSON, kept as it is.
    Any,
    List(Box<Slot>),
    Map(Box<Slot>),
    Struct(usize),
}

/// A place for a value, and Go's name of its type.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) go: String,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) slot: Slot,
    /// A pointer: absent is not zero.
    pub(super) pointer: bool,
    pub(super) omit_empty: bool,
    pub(super) omit_zero: bool,
}

#[derive(Debug)]
pub(super) struct Struct {
    /// `PodSpec`
    pub(super) go: String,
    pub(super) fields: HashMap<String, Field>,
    /// Names of fields that are written although nothing was given for them.
    pub(super) always: Vec<String>,
}

/// All types.
pub(super) struct Types {
    pub(super) structs: Vec<Struct>,
    by_name: HashMap<String, usize>,
}

impl Types {
    pub(super) fn get() -> &'static Types {
        static TYPES: OnceLock<Types> = OnceLock::new();
        TYPES.get_or_init(compile)
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

/// What `go_types.txt` says of one field.
#[derive(Clone, Copy, Default)]
struct Fact<'a> {
    pointer: bool,
    by_value: bool,
    keeps_empty: bool,
    omit_zero: bool,
    go: Option<&'a str>,
}

fn facts() -> HashMap<&'static str, HashMap<&'static str, Fact<'static>>> {
    let lines = include_str!("go_types.txt").lines().filter(|l| !l.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            Some((name, words.filter_map(fact).collect()))
        })
        .collect()
}

fn fact(word: &'static str) -> Option<(&'static str, Fact<'static>)> {
    let (word, go) = match word.split_once(':') {
        Some((word, go)) => (word, Some(go)),
        None => (word, None),
    };
    let name = word.trim_end_matches(['*', '=', '!', '0']);
    let flags = &word[name.len()..];
    let has = |c: char| flags.contains(c);
    (!name.is_empty()).then_some((
        name,
        Fact { pointer: has('*'), by_value: has('='), keeps_empty: has('!'), omit_zero: has('0'), go },
    ))
}

fn compile() -> Types {
    let schema = Schema::get();
    let facts = facts();
    let mut names: Vec<&String> =
        schema.types.iter().filter(|(_, t)| t.fields.is_some()).map(|(name, _)| name).collect();
    names.sort();
    let by_name: HashMap<String, usize> = names.iter().enumerate().map(|(i, n)| ((*n).clone(), i)).collect();
    let structs = names
        .iter()
        .map(|name| {
            let of_type = facts.get(name.strip_prefix("io.k8s.").unwrap_or(name));
            let fields = schema.types[*name].fields.iter().flatten();
            let fields: HashMap<String, Field> = fields
                .map(|(field, definition)| {
                    let fact = of_type.and_then(|t| t.get(field.as_str())).copied().unwrap_or_default();
                    (field.clone(), compile_field(field, definition, fact, &by_name))
                })
                .collect();
            let mut always: Vec<String> = fields.values().filter(|f| is_written_when_absent(f)).map(|f| f.name.clone()).collect();
            always.sort();
            Struct { go: name.rsplit('.').next().unwrap_or("").to_owned(), fields, always }
        })
        .collect();
    Types { structs, by_name }
}

fn compile_field(name: &str, definition: &SchemaField, fact: Fact<'_>, by_name: &HashMap<String, usize>) -> Field {
    let mut slot = slot(definition, by_name);
    let pointer = match slot.kind {
        Kind::Text | Kind::Int32 | Kind::Int64 | Kind::Bool | Kind::Float => fact.pointer,
        Kind::Bytes | Kind::List(_) | Kind::Map(_) => false,
        _ => definition.reference.is_some() && !fact.by_value,
    };
    if let Some(go) = fact.go {
        go.clone_into(&mut slot.go);
        if let (Kind::List(item), Some(go)) = (&mut slot.kind, go.strip_prefix("[]")) {
            go.clone_into(&mut item.go);
        }
    }
    Field { name: name.to_owned(), slot, pointer, omit_empty: !fact.keeps_empty, omit_zero: fact.omit_zero }
}

fn is_written_when_absent(field: &Field) -> bool {
    if field.pointer {
        return !field.omit_empty;
    }
    match field.slot.kind {
        Kind::Struct(_) | Kind::Time | Kind::MicroTime | Kind::Quantity | Kind::IntOrString => !field.omit_zero,
        _ => !field.omit_empty,
    }
}

fn slot(definition: &SchemaField, by_name: &HashMap<String, usize>) -> Slot {
    if let Some(reference) = &definition.reference {
        let mut parts = reference.rsplit('.');
        let (last, package) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let kind = match last {
            "Time" => Kind::Time,
            "MicroTime" => Kind::MicroTime,
            "Quantity" => Kind::Quantity,
            "IntOrString" => Kind::IntOrString,
            _ => by_name.get(reference).map_or(Kind::Any, |index| Kind::Struct(*index)),
        };
        return Slot { kind, go: format!("{package}.{last}") };
    }
    let plain = |kind, go: &str| Slot { kind, go: go.to_owned() };
    match (definition.kind.as_deref(), definition.format.as_deref()) {
        (Some("string"), Some("byte")) => plain(Kind::Bytes, "[]uint8"),
        (Some("string"), _) => plain(Kind::Text, "string"),
        (Some("boolean"), _) => plain(Kind::Bool, "bool"),
        (Some("integer"), Some("int32")) => plain(Kind::Int32, "int32"),
        (Some("integer"), _) => plain(Kind::Int64, "int64"),
        (Some("number"), _) => plain(Kind::Float, "float64"),
        (Some("array"), _) => {
            let item = definition.items.as_ref().map_or(Slot { kind: Kind::Any, go: String::new() }, |i| slot(i, by_name));
            let go = format!("[]{}", item.go);
            Slot { kind: Kind::List(Box::new(item)), go }
        }
        (Some("object"), _) => match &definition.values {
            Some(values) => {
                let value = slot(values, by_name);
                let go = format!("map[string]{}", value.go);
                Slot { kind: Kind::Map(Box::new(value)), go }
            }
            None => plain(Kind::Any, ""),
        },
        _ => plain(Kind::Any, ""),
    }
}
