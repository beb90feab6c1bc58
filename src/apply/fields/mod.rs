//! Sets of field paths as structured-merge-diff keeps them, and their form in `fieldsV1`.
//! Source of the rules: sigs.k8s.io/structured-merge-diff/v6/fieldpath.

mod element;
mod fieldsv1;
mod set;

pub use element::{Element, Path, Scalar, show};
pub use fieldsv1::{parse, print};
pub use set::FieldSet;
