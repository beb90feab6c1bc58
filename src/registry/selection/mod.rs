//! Label and field selectors, as lists, watches and deletecollection take them.

mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::LabelSelector;
