//! The exit codes, chosen here and nowhere else.

use std::process::ExitCode;

/// How a command ends; scripts can rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; nothing to change.
    Success,
    /// 1: an error.
    Failure,
    /// 1: `diff` found differences (kubectl's number).
    Different,
    /// 2: `plan` found changes.
    Changes,
    /// 2: `diff` could not compare (kubectl's number).
    CannotCompare,
    /// 3: a rollout failed.
    RolloutFailed,
    /// 4: time ran out.
    TimedOut,
    /// 5: a Job failed.
    JobFailed,
    /// 6: the plan is stale.
    StalePlan,
    /// 141: nobody reads the answer (as a shell reports a death by SIGPIPE).
    BrokenPipe,
    /// What a command run in a container ended with.
    Of(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failure | Exit::Different => 1,
            Exit::Changes | Exit::CannotCompare => 2,
            Exit::RolloutFailed => 3,
            Exit::TimedOut => 4,
            Exit::JobFailed => 5,
            Exit::StalePlan => 6,
            Exit::BrokenPipe => 141,
            Exit::Of(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
