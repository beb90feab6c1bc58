//! How one object becomes another: JSON patch, JSON merge patch, strategic merge patch, server-side
//! apply, and the ownership of fields that goes with each. Pure functions over JSON trees and the
//! schema's list types, map types, merge keys and patch strategies.

pub mod fields;
#[cfg(any(test, feature = "internals"))]
pub mod fuzz;
pub mod json_patch;
pub mod managed;
pub mod merge_patch;
pub mod strategic;
pub mod typed;

pub use json_patch::json_patch;
pub use managed::{FieldManager, manager_name};
pub use merge_patch::{create_merge_patch, merge_patch, three_way_merge_patch};
pub use strategic::{strategic_merge_patch, three_way_strategic_patch, two_way_strategic_patch};
