//! What Kubernetes' objects are: kinds, defaults, validation, quantities, selectors. No I/O, no clock.

pub mod cron;
pub mod custom;
pub mod decode;
pub mod defaults;
pub mod digest;
pub mod go;
pub mod go_time;
pub mod object;
pub mod placement;
pub mod pod;
pub mod protobuf;
pub mod quantity;
pub mod requests;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod shown;
pub mod status;
pub mod support;
pub mod tree;
pub mod validation;
pub mod volumes;

/// A JSON tree; objects are kept as such so that nothing is lost on a round trip.
pub type Json = serde_json::Value;
/// A JSON object.
pub type JsonMap = serde_json::Map<String, Json>;

pub use object::{Key, Object};
pub use resource::{GroupResource, Gvk, Resource};
pub use status::{Cause, Status};

/// A source of random bits, given from outside so that a fork of the state can repeat itself.
pub trait Random {
    fn next_u64(&mut self) -> u64;
}
