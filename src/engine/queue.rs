//! A queue of keys: each waits once, none is worked on twice at a time, failures wait longer each time.
//! Source of the rules: k8s.io/client-go/util/workqueue.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

/// First pause after a failure, and the longest (client-go: DefaultControllerRateLimiter, shortened to
/// what one machine needs).
const FIRST_PAUSE: SignedDuration = SignedDuration::from_millis(5);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

pub struct Queue<K> {
    ready: VecDeque<K>,
    waiting: HashSet<K>,
    working: HashSet<K>,
    again: HashSet<K>,
    timers: BTreeSet<(Timestamp, K)>,
    timer_of: HashMap<K, Timestamp>,
    failures: HashMap<K, u32>,
}

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        Queue {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            working: HashSet::new(),
            again: HashSet::new(),
            timers: BTreeSet::new(),
            timer_of: HashMap::new(),
            failures: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Wants `key` to be looked at.
    pub fn add(&mut self, key: K) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Wants `key` to be looked at then; the earliest wish counts.
    pub fn add_at(&mut self, key: K, at: Timestamp) {
        match self.timer_of.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.timers.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.timer_of.insert(key.clone(), at);
        self.timers.insert((at, key));
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next key to work on at `now`; [`Queue::done`] must follow.
    pub fn take(&mut self, now: Timestamp) -> Option<K> {
        while let Some((at, key)) = self.timers.first().filter(|(at, _)| *at <= now).cloned() {
            self.timers.remove(&(at, key.clone()));
            self.timer_of.remove(&key);
            self.add(key);
        }
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }

    /// The work on `key` has ended. After a failure it is looked at again, later each time.
    pub fn done(&mut self, key: &K, failed: bool, now: Timestamp) {
        self.working.remove(key);
        if failed {
            let failures = self.failures.entry(key.clone()).or_default();
            let pause = FIRST_PAUSE.saturating_mul(1 << (*failures).min(14)).min(LONGEST_PAUSE);
            *failures = failures.saturating_add(1);
            self.again.remove(key);
            self.add_at(key.clone(), now + pause);
        } else {
            self.failures.remove(key);
            if self.again.remove(key) {
                self.add(key.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn a_key_waits_once_and_is_worked_on_once_at_a_time() {
        let mut queue = Queue::default();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.take(at(0)), Some("a"));
        queue.add("a");
        assert_eq!(queue.take(at(0)), None);
        queue.done(&"a", false, at(0));
        assert_eq!(queue.take(at(0)), Some("a"));
        queue.done(&"a", false, at(0));
        assert_eq!(queue.take(at(0)), None);
    }

    #[test]
    fn failures_wait_longer_each_time_and_are_forgotten_by_success() {
        let mut queue = Queue::default();
        queue.add("a");
        for pause in [5, 10, 20] {
            queue.take(at(0));
            queue.done(&"a", true, at(0));
            assert_eq!(queue.take(at(pause - 1)), None);
            assert_eq!(queue.next_timer(), Some(at(pause)));
            assert_eq!(queue.take(at(pause)), Some("a"));
            queue.working.remove("a");
            queue.add("a");
        }
        queue.take(at(0));
        queue.done(&"a", false, at(0));
        assert!(queue.failures.is_empty());
    }

    #[test]
    fn the_earliest_timer_counts() {
        let mut queue = Queue::default();
        queue.add_at("a", at(50));
        queue.add_at("a", at(20));
        queue.add_at("a", at(90));
        assert_eq!(queue.next_timer(), Some(at(20)));
        assert_eq!(queue.take(at(20)), Some("a"));
        assert_eq!(queue.next_timer(), None);
    }
}
