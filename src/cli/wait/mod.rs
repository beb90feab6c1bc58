//! Waiting that ends: whether objects have settled, and what keeps them if not.

mod follow;
mod report;
pub mod settle;
pub mod trouble;

pub use follow::{Ended, Outcome, until_settled};
pub use report::{Progress, Style};
