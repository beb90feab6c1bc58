//! Which start a CronJob owes, and when to look again. Source of the rules: pkg/controller/cronjob/utils.go.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::api::cron::Schedule;

/// What is added to a start, so that a clock a little behind does not miss it. Source: nextScheduleDelta.
const SLACK: SignedDuration = SignedDuration::from_millis(100);
/// More missed starts than this are warned of.
const MANY: i64 = 100;

/// The starts of one CronJob.
pub(super) struct Starts {
    pub schedule: Schedule,
    pub zone: TimeZone,
    /// The last start, or the birth of the CronJob.
    pub since: Timestamp,
    /// `startingDeadlineSeconds`
    pub deadline: Option<i64>,
}

/// The most recent start that is due, and how many were missed on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Due {
    pub at: Option<Timestamp>,
    pub missed: i64,
}

/// Two starts of the schedule are less than a second apart, or there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Impossible;

impl Starts {
    fn next(&self, after: Timestamp) -> Result<Timestamp, Impossible> {
        self.schedule.next(after, &self.zone).ok_or(Impossible)
    }

    fn most_recent(&self, from: Timestamp, now: Timestamp) -> Result<Due, Impossible> {
        let first = self.next(from)?;
        if now < first {
            return Ok(Due { at: None, missed: 0 });
        }
        let second = self.next(first)?;
        if now < second {
            return Ok(Due { at: Some(first), missed: 0 });
        }
        let apart = second.duration_since(first).as_secs();
        if apart < 1 {
            return Err(Impossible);
        }
        let missed = now.duration_since(first).as_secs() / apart + 1;
        // From one step before the last that a regular schedule would have had.
        let step = SignedDuration::from_secs((missed - 2).saturating_mul(apart));
        let mut at = first.checked_add(step).unwrap_or(first);
        let mut recent = None;
        loop {
            at = self.next(at)?;
            if at > now {
                return Ok(Due { at: recent, missed });
            }
            recent = Some(at);
        }
    }

    /// The start that is due now, if one is.
    pub fn due(&self, now: Timestamp) -> Result<Due, Impossible> {
        let earliest = self.deadline.and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok());
        self.most_recent(earliest.map_or(self.since, |earliest| earliest.max(self.since)), now)
    }

    /// When to look next; `None` where the schedule names no time any more.
    pub fn look_at(&self, now: Timestamp) -> Option<Timestamp> {
        let from = match self.most_recent(self.since, now) {
            Ok(Due { at: Some(at), .. }) => at,
            Ok(Due { at: None, missed: 0 }) => self.since,
            Ok(Due { at: None, .. }) | Err(Impossible) => now,
        };
        self.next(from).ok()?.checked_add(SLACK).ok()
    }

}

impl Due {
    pub fn has_missed_many(self) -> bool {
        self.missed > MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(schedule: &str, since: &str, deadline: Option<i64>) -> Starts {
        let schedule = Schedule::parse(schedule).unwrap();
        Starts { schedule, zone: TimeZone::UTC, since: since.parse().unwrap(), deadline }
    }

    fn due(starts: &Starts, now: &str) -> (Option<String>, i64) {
        let due = starts.due(now.parse().unwrap()).unwrap();
        (due.at.map(|at| at.to_string()), due.missed)
    }

    #[test]
    fn of_several_missed_starts_the_last_is_made_up() {
        let hourly = starts("0 * * * *", "2026-03-01T10:00:00Z", None);
        assert_eq!(due(&hourly, "2026-03-01T10:59:59Z"), (None, 0));
        assert_eq!(due(&hourly, "2026-03-01T11:00:00Z"), (Some("2026-03-01T11:00:00Z".into()), 0));
        assert_eq!(due(&hourly, "2026-03-01T15:30:00Z"), (Some("2026-03-01T15:00:00Z".into()), 5));
        assert!(hourly.due("2026-03-08T15:30:00Z".parse().unwrap()).unwrap().has_missed_many());
    }

    #[test]
    fn an_uneven_schedule_finds_its_last_start_too() {
        let uneven = starts("30 6-16/4 * * 1-5", "2026-03-02T05:00:00Z", None);
        assert_eq!(due(&uneven, "2026-03-06T12:00:00Z").0.unwrap(), "2026-03-06T10:30:00Z");
        // The estimate leads past the last start here; Kubernetes makes none up either.
        assert_eq!(due(&uneven, "2026-03-07T12:00:00Z"), (None, 32));
    }

    #[test]
    fn a_start_before_the_deadline_is_not_made_up() {
        let starts = starts("0 * * * *", "2026-03-01T10:00:00Z", Some(60));
        assert_eq!(due(&starts, "2026-03-01T11:00:59Z").0.unwrap(), "2026-03-01T11:00:00Z");
        assert_eq!(due(&starts, "2026-03-01T11:01:01Z").0, None);
    }

    #[test]
    fn the_next_look_is_a_little_after_the_next_start() {
        let hourly = starts("0 * * * *", "2026-03-01T10:00:00Z", None);
        let next = |now: &str| hourly.look_at(now.parse().unwrap()).unwrap().to_string();
        assert_eq!(next("2026-03-01T10:10:00Z"), "2026-03-01T11:00:00.1Z");
        assert_eq!(next("2026-03-01T13:10:00Z"), "2026-03-01T14:00:00.1Z");
    }

    #[test]
    fn a_schedule_without_a_day_is_impossible() {
        let never = starts("0 0 31 2 *", "2026-03-01T10:00:00Z", None);
        assert_eq!(never.due("2026-04-01T10:00:00Z".parse().unwrap()), Err(Impossible));
        assert_eq!(never.look_at("2026-04-01T10:00:00Z".parse().unwrap()), None);
    }
}
