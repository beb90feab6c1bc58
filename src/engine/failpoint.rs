//! Places where a test build can be made to die, to see that nothing is lost.

/// Ends this process as SIGKILL would if the environment variable `WL_FAILPOINT` names this point
/// (`create:2` is the second time that it is reached). Does nothing in release builds.
pub fn reach(point: &str) {
    #[cfg(debug_assertions)]
    armed::reach(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        point: String,
        left: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    pub fn reach(point: &str) {
        let armed = ARMED.get_or_init(|| {
            let text = std::env::var("WL_FAILPOINT").ok()?;
            let (point, times) = text.split_once(':').unwrap_or((&text, "1"));
            Some(Armed { point: point.to_owned(), left: AtomicU32::new(times.parse().unwrap_or(1)) })
        });
        if let Some(armed) = armed.as_ref().filter(|a| a.point == point)
            && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            let own = rustix::process::getpid();
            // Where even that is refused, ending at once is the next best.
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            std::process::abort();
        }
    }
}
