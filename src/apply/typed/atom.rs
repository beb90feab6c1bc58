//! What a place of an object may hold: a scalar, a list or a map, and how lists and maps are owned.

use std::collections::BTreeMap;

use crate::api::schema::{Field, Schema, Type};
use crate::api::{Gvk, Json};

/// The type of a place in a tree.
#[derive(Clone, Copy, Debug)]
pub enum TypeRef<'s> {
    /// A named type of the schema.
    Named(&'s str, &'s Type),
    /// A field, an item or a value as the schema declares it.
    Field(&'s Field),
    /// Whatever the value is: maps are owned key by key, lists whole (custom resources, raw extensions).
    Deduced,
    /// Whatever the value is, owned whole.
    Atomic,
}

/// Sorts of scalars that structured-merge-diff tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarKind {
    Text,
    Number,
    Boolean,
    /// Any of them: quantities, times, `IntOrString`.
    Any,
}

#[derive(Clone, Copy, Debug)]
pub struct List<'s> {
    pub item: TypeRef<'s>,
    pub atomic: bool,
    /// Of an associative list of maps; empty: a set of scalars.
    pub keys: &'s [String],
}

#[derive(Clone, Copy, Debug)]
pub struct Map<'s> {
    pub fields: Option<&'s BTreeMap<String, Field>>,
    /// Type of the values whose key is no field; `None`: there are no other keys.
    pub values: Option<TypeRef<'s>>,
    pub atomic: bool,
}

impl<'s> Map<'s> {
    pub fn field(&self, name: &str) -> Option<&'s Field> {
        self.fields?.get(name)
    }

    /// Type of the value at a key.
    pub fn at(&self, key: &str) -> Option<TypeRef<'s>> {
        self.field(key).map(TypeRef::Field).or(self.values)
    }
}

/// The possible shapes of a place. More than one is set only where the type is deduced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Atom<'s> {
    pub scalar: Option<ScalarKind>,
    pub list: Option<List<'s>>,
    pub map: Option<Map<'s>>,
}

impl<'s> Atom<'s> {
    fn scalar(kind: ScalarKind) -> Self {
        Atom { scalar: Some(kind), ..Atom::default() }
    }

    /// Narrowed to the shape of `value`; a value that fits no shape, and null, narrow nothing.
    pub fn narrowed(self, value: Option<&Json>) -> Self {
        match value {
            Some(Json::String(_) | Json::Number(_) | Json::Bool(_)) if self.scalar.is_some() => {
                Atom { scalar: self.scalar, ..Atom::default() }
            }
            Some(Json::Array(_)) if self.list.is_some() => Atom { list: self.list, ..Atom::default() },
            Some(Json::Object(_)) if self.map.is_some() => Atom { map: self.map, ..Atom::default() },
            _ => self,
        }
    }

    /// Whether both have the same shapes; used on narrowings of one atom.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.scalar.is_some() == other.scalar.is_some()
            && self.list.is_some() == other.list.is_some()
            && self.map.is_some() == other.map.is_some()
    }
}

impl<'s> TypeRef<'s> {
    /// The type of a kind; kinds that the schema does not know are deduced.
    pub fn of_kind(gvk: &Gvk) -> TypeRef<'static> {
        let schema = Schema::get();
        match schema.type_name(gvk).and_then(|name| Some((name, schema.type_named(name)?))) {
            Some((name, kind)) => TypeRef::Named(name, kind),
            None => TypeRef::Deduced,
        }
    }

    /// The field of a named type, if this is one.
    pub fn field(&self, name: &str) -> Option<&'s Field> {
        self.resolve().map?.field(name)
    }

    pub fn resolve(self) -> Atom<'s> {
        match self {
            TypeRef::Named(name, kind) => named(name, kind),
            TypeRef::Field(field) => of_field(field),
            TypeRef::Deduced => Atom {
                scalar: Some(ScalarKind::Any),
                list: Some(List { item: TypeRef::Atomic, atomic: true, keys: &[] }),
                map: Some(Map { fields: None, values: Some(TypeRef::Deduced), atomic: false }),
            },
            TypeRef::Atomic => Atom {
                scalar: Some(ScalarKind::Any),
                list: Some(List { item: TypeRef::Atomic, atomic: true, keys: &[] }),
                map: Some(Map { fields: None, values: Some(TypeRef::Atomic), atomic: true }),
            },
        }
    }

    /// Whether it is a map of deduced values; its fields are never moved between shapes.
    pub fn is_deduced_map(&self) -> bool {
        matches!(self.resolve().map, Some(Map { fields: None, values: Some(TypeRef::Deduced), .. }))
    }
}

/// Named scalars are untyped: quantities, times and `IntOrString` may be texts or numbers.
fn named<'s>(name: &'s str, kind: &'s Type) -> Atom<'s> {
    if let Some(fields) = &kind.fields {
        let atomic = kind.map_type.as_deref() == Some("atomic");
        let values = kind.open.then_some(TypeRef::Deduced);
        return Atom { map: Some(Map { fields: Some(fields), values, atomic }), ..Atom::default() };
    }
    match name.rsplit('.').next().unwrap_or(name) {
        "Quantity" | "IntOrString" | "Time" | "MicroTime" => return Atom::scalar(ScalarKind::Any),
        _ => {}
    }
    match kind.kind.as_deref() {
        Some("object") => Atom {
            map: Some(Map { fields: None, values: Some(TypeRef::Deduced), atomic: false }),
            ..Atom::default()
        },
        Some("string") => Atom::scalar(ScalarKind::Text),
        Some("integer" | "number") => Atom::scalar(ScalarKind::Number),
        Some("boolean") => Atom::scalar(ScalarKind::Boolean),
        _ => TypeRef::Deduced.resolve(),
    }
}

/// The sort of a text whose format structured-merge-diff does not know.
pub(super) const ANY_SCALAR: &str = "scalar";

fn map_of(field: &Field) -> Map<'_> {
    let values = field.values.as_deref().map(TypeRef::Field);
    let values = match &field.fields {
        Some(_) if !field.open => values,
        _ => Some(values.unwrap_or(TypeRef::Deduced)),
    };
    Map { fields: field.fields.as_ref(), values, atomic: false }
}

fn of_field(field: &Field) -> Atom<'_> {
    let mut atom = match (&field.reference, field.kind.as_deref()) {
        (Some(name), _) => match Schema::get().types.get_key_value(name) {
            Some((name, kind)) => named(name, kind),
            None => TypeRef::Deduced.resolve(),
        },
        (None, Some("array")) => {
            let item = field.items.as_deref().map_or(TypeRef::Deduced, TypeRef::Field);
            let list = List { item, atomic: true, keys: &field.list_map_keys };
            Atom { list: Some(list), ..Atom::default() }
        }
        (None, Some("object")) => Atom { map: Some(map_of(field)), ..Atom::default() },
        (None, Some("string")) if field.format.as_deref() == Some("int-or-string") => Atom::scalar(ScalarKind::Any),
        (None, Some("string")) => Atom::scalar(ScalarKind::Text),
        (None, Some("integer" | "number")) => Atom::scalar(ScalarKind::Number),
        (None, Some("boolean")) => Atom::scalar(ScalarKind::Boolean),
        (None, Some(ANY_SCALAR)) => Atom::scalar(ScalarKind::Any),
        (None, _) if field.fields.is_some() => Atom { map: Some(map_of(field)), ..TypeRef::Deduced.resolve() },
        (None, _) => TypeRef::Deduced.resolve(),
    };
    if let Some(list) = &mut atom.list {
        match field.list_type.as_deref() {
            Some("set" | "map") => list.atomic = false,
            Some(_) => list.atomic = true,
            None => {}
        }
    }
    if let Some(map) = &mut atom.map {
        match field.map_type.as_deref() {
            Some("atomic") => map.atomic = true,
            Some(_) => map.atomic = false,
            None => {}
        }
    }
    atom
}
