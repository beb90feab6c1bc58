//! Reads a tree as one of Kubernetes' kinds: type errors in Go's words, unknown fields by path,
//! canonical spellings (quantities, times, absent against null), as the API server's decoder does.

mod go;
pub mod json;
pub mod time;
mod walk;

use super::{Gvk, Json, schema::Schema};
use json::Value;

/// A tree that fits its kind.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// Without unknown fields, nulls and empty values that Go's `omitempty` drops.
    pub tree: Json,
    /// Strict decoding errors: `unknown field "spec.foo"`, `duplicate field "metadata.name"`, in order.
    pub strict: Vec<String>,
}

/// Decodes `tree` as `gvk`. `Err`: the text of the decoder's error, without the server's prefix.
/// A kind that the schema does not have is taken as it is.
pub fn decode(gvk: &Gvk, tree: Json) -> Result<Decoded, String> {
    decode_value(gvk, tree.into())
}

/// Something that does not fit its kind, for the one who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `spec.containers[0].image`
    pub path: String,
    /// `expected a whole number, found a string`
    pub text: String,
    /// What to write instead; empty where that is not known.
    pub help: &'static str,
}

/// Decodes on and on: all that does not fit, where a server stops at the first. What does not fit is left out of the tree.
pub fn check(gvk: &Gvk, tree: Json) -> (Decoded, Vec<Fault>) {
    match Schema::get().type_name(gvk) {
        Some(name) => walk::check(name, tree.into()),
        None => (Decoded { tree, strict: Vec::new() }, Vec::new()),
    }
}

/// Decodes what [`json::read`] read: members in their order, numbers as they are spelled, doubles noticed.
pub fn decode_value(gvk: &Gvk, value: Value) -> Result<Decoded, String> {
    match Schema::get().type_name(gvk) {
        Some(name) => walk::decode(name, value),
        None => Ok(Decoded { tree: value.into_json(), strict: Vec::new() }),
    }
}

#[cfg(test)]
mod tests;
