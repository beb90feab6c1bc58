//! Places where a test build can be made to die, to see that nothing is lost. They stand in this room because the store is
//! the lowest one that has some; the command and the engine have more.

use std::fmt;

macro_rules! points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A step of an apply, a rollout or a deletion at which this process may be made to die.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point {
            $($(#[$doc])* $variant,)*
        }

        impl Point {
            /// All there are, in the order in which they are reached.
            #[cfg(feature = "internals")]
            pub const ALL: &[Point] = &[$(Point::$variant,)*];

            /// What `WL_FAILPOINT` calls it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Point::$variant => $name,)*
                }
            }
        }
    };
}

points! {
    /// The command has rehearsed everything and sent nothing yet.
    ApplyRehearsed = "apply-rehearsed",
    /// One object is sent, others are not.
    ApplyBetweenObjects = "apply-between-objects",
    /// Everything is sent; the command begins to wait.
    ApplySent = "apply-sent",
    /// A change is in memory, not on disk.
    StoreCommit = "store-commit",
    /// It is on disk; nobody was answered.
    StoreCommitted = "store-committed",
    /// A controller has decided and written nothing.
    ControllerWrite = "controller-write",
    /// It has written.
    ControllerWrote = "controller-wrote",
    /// Pods are to be bound to the node.
    Bind = "bind",
    Bound = "bound",
    Status = "status",
    Pull = "pull",
    Pulled = "pulled",
    Inspect = "inspect",
    Inspected = "inspected",
    Volume = "volume",
    VolumeWritten = "volume-written",
    Sandbox = "sandbox",
    SandboxMade = "sandbox-made",
    Create = "create",
    Created = "created",
    Start = "start",
    Started = "started",
    Exec = "exec",
    Executed = "executed",
    Resume = "resume",
    Resumed = "resumed",
    Update = "update",
    Updated = "updated",
    Signal = "signal",
    Signalled = "signalled",
    Remove = "remove",
    Removed = "removed",
    SandboxStop = "sandbox-stop",
    SandboxStopped = "sandbox-stopped",
    SandboxRemove = "sandbox-remove",
    SandboxRemoved = "sandbox-removed",
    /// Nothing is left of a pod but its object.
    Finalize = "finalize",
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Ends this process as SIGKILL would if the environment variable `WL_FAILPOINT` names this point
/// (`create:2` is the second time that it is reached). Does nothing in release builds.
pub fn reach(point: Point) {
    #[cfg(debug_assertions)]
    armed::reach(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Point;

    struct Armed {
        point: String,
        left: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    pub fn reach(point: Point) {
        let armed = ARMED.get_or_init(|| {
            let text = std::env::var("WL_FAILPOINT").ok()?;
            let (point, times) = text.split_once(':').unwrap_or((&text, "1"));
            Some(Armed { point: point.to_owned(), left: AtomicU32::new(times.parse().unwrap_or(1)) })
        });
        if let Some(armed) = armed.as_ref().filter(|a| a.point == point.name())
            && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            let own = rustix::process::getpid();
            // Where even that is refused, ending at once is the next best.
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            std::process::abort();
        }
    }
}
