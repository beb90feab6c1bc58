//! Exponential back-off as the kubelet has it. Source: k8s.io/client-go/util/flowcontrol/backoff.go.

use jiff::{SignedDuration, Timestamp};

/// First delay (pkg/kubelet/kubelet.go: `backOffPeriod`).
pub const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// Longest delay (pkg/kubelet/kubelet.go: `MaxCrashLoopBackOff`).
pub const LONGEST: SignedDuration = SignedDuration::from_secs(300);
/// Between two looks at a pod that has an error: the kubelet takes 10 to 15 s, here always the middle.
pub const RETRY: SignedDuration = SignedDuration::from_millis(12_500);
/// Until the next look where what is in the way may have gone by then, or where news of the sandbox make the kubelet look again.
pub const SOON: SignedDuration = SignedDuration::from_secs(1);
/// Before the back-off of what a failed hook has ended is shown; that of others shows with the next sync, 10 to 15 s later.
pub const SHOWN: SignedDuration = SignedDuration::from_secs(1);

/// How long to hold something back that keeps failing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backoff {
    entry: Option<(SignedDuration, Timestamp)>,
}

impl Backoff {
    /// As it was when an attempt was made at `at` after waiting for `delay`.
    pub fn resumed(delay: SignedDuration, at: Timestamp) -> Self {
        Backoff { entry: Some((delay, at)) }
    }

    /// The delay now in force; zero before the first failure.
    pub fn delay(&self) -> SignedDuration {
        self.entry.map_or(SignedDuration::ZERO, |(delay, _)| delay)
    }

    /// Until when a failure at `failed_at` holds back; `None`: it does not (any more).
    pub fn until(&self, failed_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let (delay, updated_at) = self.entry?;
        if expired(failed_at, updated_at) {
            return None;
        }
        let until = failed_at + delay;
        (now < until).then_some(until)
    }

    /// The same, counted from the last failure that was noted.
    pub fn until_since_update(&self, now: Timestamp) -> Option<Timestamp> {
        let (delay, updated_at) = self.entry?;
        let until = updated_at + delay;
        (now < until).then_some(until)
    }

    /// What was noted is tried again, as it came to nothing: its delay counts from now.
    pub fn touch(&mut self, now: Timestamp) {
        if let Some((_, updated_at)) = &mut self.entry {
            *updated_at = now;
        }
    }

    /// Notes a failure at `failed_at` that is tried again now.
    pub fn next(&mut self, failed_at: Timestamp, now: Timestamp) {
        let delay = match self.entry {
            Some((delay, updated_at)) if !expired(failed_at, updated_at) => (delay * 2).min(LONGEST),
            _ => FIRST,
        };
        self.entry = Some((delay, now));
    }
}

/// Twice the longest delay without a failure: all is forgotten.
fn expired(failed_at: Timestamp, updated_at: Timestamp) -> bool {
    failed_at.duration_since(updated_at) > LONGEST * 2
}

/// A duration as Go prints it: `10s`, `1m20s`, `5m0s`.
pub fn show(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn doubles_from_ten_seconds_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut now = at(0);
        assert_eq!(backoff.until(now, now), None);
        let mut delays = Vec::new();
        for _ in 0..7 {
            backoff.next(now, now);
            delays.push(show(backoff.delay()));
            now += backoff.delay();
        }
        assert_eq!(delays, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
    }

    #[test]
    fn is_forgotten_after_ten_good_minutes_only() {
        let mut backoff = Backoff::default();
        backoff.next(at(0), at(0));
        assert_eq!(backoff.until(at(600), at(600)), Some(at(610)));
        assert_eq!(backoff.until(at(601), at(601)), None);
        backoff.next(at(200), at(200));
        assert_eq!(backoff.delay(), SignedDuration::from_secs(20));
        backoff.next(at(900), at(900));
        assert_eq!(backoff.delay(), FIRST);
    }
}
