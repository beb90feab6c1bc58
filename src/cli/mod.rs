//! The command line: one file per command; answers to stdout, notes to stderr.

pub mod diagnose;
pub mod wait;

use std::process::ExitCode;

/// Reads this process's arguments, does what they say and returns the exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
