//! Which conditions the node has, and what has to be reclaimed now.
//! Source: pkg/kubelet/eviction/eviction_manager.go (synchronize), helpers.go.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Condition, Observations, PressureConfig, Resource, Threshold};

/// Remembers since when something is too little.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    config: PressureConfig,
    /// Thresholds that are met, by their places, and since when.
    since: BTreeMap<usize, Timestamp>,
    /// Those for which a pod was to go at the last look.
    acted: Vec<usize>,
    last_seen: BTreeMap<Condition, Timestamp>,
}

/// What one look comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// In their order.
    pub conditions: Vec<Condition>,
    pub reclaim: Option<Reclaim>,
}

/// Something has to go.
#[derive(Clone, Debug, PartialEq)]
pub struct Reclaim {
    /// All thresholds for which it has to; for the first one a pod goes.
    pub thresholds: Vec<Threshold>,
}

impl Reclaim {
    /// For which a pod goes.
    pub fn threshold(&self) -> &Threshold {
        &self.thresholds[0]
    }

    pub fn resource(&self) -> Resource {
        self.threshold().signal.resource()
    }
}

impl Judge {
    pub fn new(config: PressureConfig) -> Self {
        Judge { config, ..Judge::default() }
    }

    pub fn config(&self) -> &PressureConfig {
        &self.config
    }

    /// Takes in what there is at `now`.
    pub fn step(&mut self, seen: &Observations, now: Timestamp) -> Verdict {
        let all = self.config.thresholds.iter().enumerate();
        let met = all.filter(|(at, t)| is_met(t, seen, false) || (self.acted.contains(at) && is_met(t, seen, true)));
        let met: Vec<usize> = met.map(|(at, _)| at).collect();
        self.since = met.iter().map(|at| (*at, self.since.get(at).copied().unwrap_or(now))).collect();
        let now_seen: Vec<Condition> = met.iter().map(|at| self.config.thresholds[*at].signal.condition()).collect();
        self.last_seen.extend(now_seen.iter().map(|condition| (*condition, now)));
        // With a period of nothing the kubelet would show none at all.
        let stays = |c: &Condition, at: Timestamp| now_seen.contains(c) || now.duration_since(at) < self.config.transition;
        let conditions = self.last_seen.iter().filter(|(c, at)| stays(c, **at)).map(|(c, _)| *c).collect();
        let grace = |at: usize| self.config.thresholds[at].grace;
        self.acted = self.since.iter().filter(|(at, since)| now.duration_since(**since) >= grace(**at)).map(|(at, _)| *at).collect();
        // Memory comes first, as thresholds are in the order of their signals.
        let thresholds: Vec<Threshold> = self.acted.iter().map(|at| self.config.thresholds[*at].clone()).collect();
        Verdict { conditions, reclaim: (!thresholds.is_empty()).then_some(Reclaim { thresholds }) }
    }

    /// Whether there is enough of everything, and what has to be reclaimed at least besides, so that no pod has to go.
    pub fn is_relieved(&self, seen: &Observations) -> bool {
        !self.config.thresholds.iter().any(|t| is_met(t, seen, true))
    }
}

/// Whether there is too little; `whole`: unless so much more that is to be reclaimed is there, too.
fn is_met(threshold: &Threshold, seen: &Observations, whole: bool) -> bool {
    let Some(observed) = seen.get(&threshold.signal) else { return false };
    let mut wanted = threshold.value.of(observed.capacity);
    if let Some(more) = threshold.min_reclaim.as_ref().filter(|_| whole) {
        wanted.add(&more.of(observed.capacity));
    }
    wanted > threshold.signal.amount(observed.available)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::signals::Observation;
    use super::super::{PressureFlags, Signal};
    use super::*;

    const MIB: i64 = 1 << 20;

    fn list(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    fn judge(hard: &str, soft: &str, grace: &str, reclaim: &str) -> Judge {
        let (hard, soft, grace, reclaim) = (list(hard), list(soft), list(grace), list(reclaim));
        let flags =
            PressureFlags { hard: Some(&hard), soft: &soft, soft_grace: &grace, min_reclaim: &reclaim, ..PressureFlags::default() };
        Judge::new(PressureConfig::parse(flags).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn left(signal: Signal, available: i64) -> Observations {
        [(signal, Observation { available, capacity: 1000 * MIB })].into()
    }

    fn memory(mib: i64) -> Observations {
        left(Signal::MemoryAvailable, mib * MIB)
    }

    /// `M` under pressure, `!` something has to go.
    fn shown(verdict: &Verdict) -> String {
        let conditions: Vec<&str> = verdict.conditions.iter().map(|c| &c.name()[..1]).collect();
        let resource = verdict.reclaim.as_ref().map(|r| format!("!{}", r.resource().name()));
        format!("{}{}", conditions.concat(), resource.unwrap_or_default())
    }

    #[test]
    fn too_little_is_less_than_the_threshold_and_the_condition_stays_a_while() {
        let mut judge = judge("memory.available<100Mi", "", "", "");
        let mut step = |seconds, mib| shown(&judge.step(&memory(mib), at(seconds)));
        assert_eq!(step(0, 100), "");
        assert_eq!(step(10, 99), "M!memory");
        assert_eq!(step(20, 100), "M", "there is enough again, but it may swing");
        assert_eq!(step(309, 100), "M");
        assert_eq!(step(310, 100), "");
        assert_eq!(step(320, 1), "M!memory");
    }

    #[test]
    fn a_soft_threshold_waits_for_its_grace_and_begins_anew_after_a_pause() {
        let mut judge = judge("", "memory.available<200Mi", "memory.available=1m", "");
        let mut step = |seconds, mib| shown(&judge.step(&memory(mib), at(seconds)));
        assert_eq!(step(0, 150), "M");
        assert_eq!(step(59, 150), "M");
        assert_eq!(step(60, 150), "M!memory");
        assert_eq!(step(70, 200), "M");
        assert_eq!(step(80, 150), "M", "the grace is counted anew");
        assert_eq!(step(140, 150), "M!memory");
    }

    #[test]
    fn what_is_to_be_reclaimed_counts_once_something_had_to_go() {
        let mut judge = judge("nodefs.available<100Mi", "", "", "nodefs.available=25%");
        let mut step = |seconds, mib: i64| shown(&judge.step(&left(Signal::NodeFsAvailable, mib * MIB), at(seconds)));
        assert_eq!(step(0, 150), "", "there is enough as long as nothing had to go");
        assert_eq!(step(10, 90), "D!ephemeral-storage");
        assert_eq!(step(20, 349), "D!ephemeral-storage");
        assert_eq!(step(30, 350), "D");
        assert_eq!(step(40, 150), "D");
        let relieved = |mib: i64| judge.is_relieved(&left(Signal::NodeFsAvailable, mib * MIB));
        assert!(!relieved(349) && relieved(350));
    }

    #[test]
    fn memory_comes_before_everything_else() {
        let mut judge = judge("pid.available<10,nodefs.inodesFree<10,memory.available<10", "", "", "");
        let mut seen = memory(0);
        seen.extend([Signal::PidAvailable, Signal::NodeFsInodesFree].map(|s| (s, Observation { available: 1, capacity: 100 })));
        let verdict = judge.step(&seen, at(0));
        assert_eq!(shown(&verdict), "MDP!memory");
        assert_eq!(verdict.reclaim.unwrap().thresholds.len(), 3);
        seen.remove(&Signal::MemoryAvailable);
        assert_eq!(shown(&judge.step(&seen, at(10))), "MDP!inodes", "what cannot be known is not too little");
    }

    #[test]
    fn a_transition_of_nothing_shows_what_is_now() {
        let flags = PressureFlags { transition: Some("0s"), ..PressureFlags::default() };
        let mut judge = Judge::new(PressureConfig::parse(flags).unwrap());
        assert_eq!(shown(&judge.step(&memory(1), at(0))), "M!memory");
        assert_eq!(shown(&judge.step(&memory(999), at(10))), "");
    }

    proptest! {
        /// Nothing has to go that was not too little for the whole grace; what was too little shows for the whole transition.
        #[test]
        fn nothing_goes_early_and_no_condition_flaps(steps in proptest::collection::vec((1..90_i64, 0..400_i64), 1..40)) {
            let mut judge = judge("memory.available<100Mi", "memory.available<200Mi", "memory.available=1m", "memory.available=50Mi");
            let (mut now, mut soft_since, mut pressed_at) = (0, None::<i64>, None::<i64>);
            for (pause, mib) in steps {
                now += pause;
                let before = judge.acted.clone();
                let verdict = judge.step(&memory(mib), at(now));
                let too_little = mib < 200 || (before.contains(&1) && mib < 250);
                soft_since = if too_little { soft_since.or(Some(now)) } else { None };
                let hard = mib < 100 || (before.contains(&0) && mib < 150);
                if too_little || hard {
                    pressed_at = Some(now);
                }
                prop_assert_eq!(verdict.reclaim.is_some(), hard || soft_since.is_some_and(|since| now - since >= 60));
                prop_assert_eq!(!verdict.conditions.is_empty(), pressed_at.is_some_and(|at| now - at < 300));
                let again = judge.clone().step(&memory(mib), at(now));
                prop_assert_eq!(again, verdict, "a second look at once sees the same");
            }
        }

        /// More of everything is never worse.
        #[test]
        fn more_is_never_worse(available in 0..300_i64, more in 0..300_i64) {
            let new = || judge("memory.available<100Mi,nodefs.available<10%", "", "", "nodefs.available=5%");
            let seen = |mib: i64| -> Observations {
                [memory(mib), left(Signal::NodeFsAvailable, mib * MIB)].into_iter().flatten().collect()
            };
            let (less, more) = (new().step(&seen(available), at(0)), new().step(&seen(available + more), at(0)));
            prop_assert!(more.conditions.iter().all(|c| less.conditions.contains(c)));
            prop_assert!(less.reclaim.is_some() || more.reclaim.is_none());
        }
    }
}
