//! Selectors: of labels (`app=web,tier in (a, b)` or a `LabelSelector` object) and of fields (`metadata.name=x`).

mod fields;
mod labels;
mod lexer;

pub use fields::{FieldRequirement, FieldSelector};
pub use labels::{LabelSelector, Operator, Requirement};
