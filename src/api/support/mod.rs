//! The support table: for every field of every kind, whether it runs on one machine, how it is approximated,
//! why it has no effect, or why it is refused.

mod annotations;
mod findings;
mod table;

pub use findings::findings;
pub use table::Verdict;
#[cfg(test)]
use table::Table;

#[cfg(test)]
mod tests;
