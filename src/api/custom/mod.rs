//! Custom resources: what the schema of a CustomResourceDefinition says of an object, and whether a schema may be.
//! Schemas are read as they are written, as JSON. Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema.

mod check;
pub mod columns;
mod defaults;
pub(crate) mod field_path;
pub(crate) mod formats;
mod numbers;
pub mod openapi;
mod prune;
mod structural;
mod whole;

pub use check::check;
pub use defaults::fill;
pub use prune::prune;
pub use whole::{embedded, lists};

use super::Json;
use super::tree::Tree;

/// The schema of an object's field; of a map's values where it has no field of that name.
pub(crate) fn of_field<'a>(schema: &'a Json, name: &str) -> Option<&'a Json> {
    match schema.field("properties").get(name) {
        Some(property) => Some(property),
        None => of_values(schema),
    }
}

/// The schema of a map's values.
pub(crate) fn of_values(schema: &Json) -> Option<&Json> {
    match schema.field("additionalProperties") {
        Json::Null | Json::Bool(false) => None,
        values => Some(values),
    }
}

/// `true` is the schema that anything fits.
pub(crate) fn keeps_unknown(schema: &Json) -> bool {
    schema.flag("x-kubernetes-preserve-unknown-fields")
}

#[cfg(test)]
mod tests;
