//! Waiting that ends: whether an object has settled, and what keeps it if not.

pub mod settle;
pub mod trouble;
