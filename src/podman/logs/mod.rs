//! Logs of containers, read from the files that conmon writes: the API's follow drops lines, and has no nanoseconds.

mod follow;
mod line;
mod tail;

pub use follow::{LogOptions, read};
pub use line::Stream;
pub use tail::last_lines;
