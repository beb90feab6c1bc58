//! What an apply would do: the same registry and controllers on a fork of the state, beside a pretend node,
//! until nothing moves; then a summary of what happened there.

pub mod changes;
pub mod fork;
pub mod moves;
pub mod notes;
mod port_names;
pub mod pretend;
pub mod readers;
pub mod render;
pub mod service_notes;
pub mod summary;
#[cfg(test)]
mod tests;

#[cfg(feature = "internals")]
pub use fork::Fork;
pub use summary::{Inputs, Intent, Plan, make, nothing};
