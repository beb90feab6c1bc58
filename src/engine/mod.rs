//! The loops around the pure parts: observe, reconcile, execute; tasks, time, shutdown.
//!
//! [`Engine::run`] joins the store, the controllers, the scheduler and the node agent until it is told
//! to stop. All tasks live in one set: when one ends that should not, the engine ends with it.

pub mod clock;
mod controllers;
pub mod correlation;
mod departures;
mod events;
mod look;
mod hooking;
mod mirror;
mod node;
mod node_object;
mod pod;
mod pressure;
mod probing;
mod queue;
mod requests;
mod reclaim;
mod resizing;
mod rotation;
mod run;
mod scheduling;
mod statics;
pub mod watch;

pub use rotation::Rotation;
#[cfg(feature = "internals")]
pub use run::Engine;
pub use run::{EngineError, EngineOptions};
