//! Pressure on the node: what it has left, when that is too little, and which pod has to go for it.
//!
//! [`Judge`] is told what the machine has left, now and then, and says which conditions the node has and what has to be
//! reclaimed; [`first`] says which pod goes for that, [`notice()`] what it is told.
//! Source of the rules: pkg/kubelet/eviction (1.32).

mod admit;
mod judge;
mod notice;
mod rank;
mod reclaim;
mod signals;
mod thresholds;

pub use admit::refusal;
pub use judge::{Judge, Reclaim, Verdict};
pub use notice::{eviction, notice};
pub use rank::{Candidate, first};
pub use reclaim::{free, parts};
pub use signals::{Condition, Observations, Resource, Signal, observe};
pub use thresholds::{PressureConfig, PressureFlags, Threshold};
