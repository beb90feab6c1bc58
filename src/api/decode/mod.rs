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

/// Decodes what [`json::read`] read: members in their order, numbers as they are spelled, doubles noticed.
pub fn decode_value(gvk: &Gvk, value: Value) -> Result<Decoded, String> {
    match Schema::get().type_name(gvk) {
        Some(name) => walk::decode(name, value),
        None => Ok(Decoded { tree: value.into_json(), strict: Vec::new() }),
    }
}

#[cfg(test)]
mod tests;
