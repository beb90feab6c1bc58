//! The one file that reads the clock and waits for it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Tells the time; the store takes the same.
pub type Clock = crate::store::Clock;

/// The clock of this machine.
pub fn system() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    let clock: Clock = Arc::new(Timestamp::now);
    clock
}

/// A clock that goes with tokio's, so that paused time stands still in it too.
#[cfg(any(test, feature = "internals"))]
pub fn of_tokio(from: Timestamp) -> Clock {
    let start = tokio::time::Instant::now();
    Arc::new(move || {
        let passed = SignedDuration::try_from(start.elapsed()).unwrap_or(SignedDuration::MAX);
        from.checked_add(passed).unwrap_or(Timestamp::MAX)
    })
}

/// No longer than this at a time: the machine may sleep, or its clock be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Waits until the clock shows `at`; `None`: for ever.
pub async fn sleep_until(clock: &Clock, at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    loop {
        let left = at.duration_since(clock());
        if left <= SignedDuration::ZERO {
            return;
        }
        let left = Duration::try_from(left).unwrap_or(LONGEST_SLEEP).max(Duration::from_millis(1));
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

/// Waits for a length of time.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
