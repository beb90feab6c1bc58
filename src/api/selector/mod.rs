//! Label selectors: `app=web,tier in (a, b)`, or a `LabelSelector` object.

mod labels;
mod lexer;

pub use labels::{LabelSelector, Operator};
