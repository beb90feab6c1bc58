//! Who stands behind one port of a Service, and whose turn it is.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// So many clients are remembered per port; beyond it the longest silent ones are forgotten.
const MAX_STICKY: usize = 16_384;

/// The targets of one port; changes take effect with the next connection.
#[derive(Debug)]
pub struct Pool {
    targets: RwLock<Arc<[SocketAddr]>>,
    changed: Notify,
    next: AtomicUsize,
    affinity: RwLock<Option<Duration>>,
    sticky: Mutex<HashMap<IpAddr, (SocketAddr, Instant)>>,
}

impl Pool {
    pub fn new(targets: &[SocketAddr], affinity: Option<Duration>) -> Self {
        Pool {
            targets: RwLock::new(targets.into()),
            changed: Notify::new(),
            next: AtomicUsize::new(0),
            affinity: RwLock::new(affinity),
            sticky: Mutex::default(),
        }
    }

    pub fn set(&self, targets: &[SocketAddr], affinity: Option<Duration>) {
        *self.affinity.write().unwrap_or_else(PoisonError::into_inner) = affinity;
        if *self.targets() == *targets {
            return;
        }
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = targets.into();
        self.sticky().retain(|_, (target, _)| targets.contains(target));
        self.changed.notify_waiters();
    }

    pub fn targets(&self) -> Arc<[SocketAddr]> {
        self.targets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Done when the targets have changed after this call.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// The next target for a client, none of those that were `tried`: the one it had before where it is to stay with
    /// it, else each in turn.
    pub fn pick(&self, client: IpAddr, tried: &[SocketAddr], now: Instant) -> Option<SocketAddr> {
        let targets = self.targets();
        let affinity = *self.affinity.read().unwrap_or_else(PoisonError::into_inner);
        let before = self.sticky().get(&client).copied();
        if let (Some(life), Some((target, used_at))) = (affinity, before)
            && now.saturating_duration_since(used_at) < life
            && targets.contains(&target)
            && !tried.contains(&target)
        {
            self.stick(client, target, now);
            return Some(target);
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = (0..targets.len()).map(|step| targets[(start.wrapping_add(step)) % targets.len()]);
        let target = turn.into_iter().find(|target| !tried.contains(target))?;
        if affinity.is_some() {
            self.stick(client, target, now);
        }
        Some(target)
    }

    fn stick(&self, client: IpAddr, target: SocketAddr, now: Instant) {
        let mut sticky = self.sticky();
        if sticky.len() >= MAX_STICKY && !sticky.contains_key(&client) {
            let mut ages: Vec<Instant> = sticky.values().map(|(_, used_at)| *used_at).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            sticky.retain(|_, (_, used_at)| *used_at > median);
        }
        sticky.insert(client, (target, now));
    }

    fn sticky(&self) -> MutexGuard<'_, HashMap<IpAddr, (SocketAddr, Instant)>> {
        self.sticky.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 9, 9));

    #[test]
    fn each_has_its_turn_and_who_was_tried_is_passed_over() {
        let pool = Pool::new(&[address(1), address(2), address(3)], None);
        let now = Instant::now();
        let mut seen: Vec<_> = (0..3).filter_map(|_| pool.pick(CLIENT, &[], now)).collect();
        seen.sort();
        assert_eq!(seen, [address(1), address(2), address(3)]);
        let tried = [address(1), address(3)];
        assert_eq!(pool.pick(CLIENT, &tried, now), Some(address(2)));
        assert_eq!(pool.pick(CLIENT, &[address(1), address(2), address(3)], now), None);
        assert_eq!(Pool::new(&[], None).pick(CLIENT, &[], now), None);
    }

    #[test]
    fn a_client_stays_with_its_target_for_as_long_as_it_was_said() {
        let pool = Pool::new(&[address(1), address(2)], Some(Duration::from_secs(10)));
        let now = Instant::now();
        let first = pool.pick(CLIENT, &[], now).expect("a target");
        for seconds in [1, 9, 18] {
            assert_eq!(pool.pick(CLIENT, &[], now + Duration::from_secs(seconds)), Some(first), "after {seconds} s");
        }
        // Ten seconds after the last use it is another client's.
        let later: std::collections::BTreeSet<_> =
            (0..4).filter_map(|n| pool.pick(CLIENT, &[], now + Duration::from_secs(100 * (n + 1)))).collect();
        assert_eq!(later.len(), 2);
    }

    #[test]
    fn a_target_that_refused_or_went_is_not_held_on_to() {
        let pool = Pool::new(&[address(1), address(2)], Some(Duration::from_secs(10)));
        let now = Instant::now();
        let first = pool.pick(CLIENT, &[], now).expect("a target");
        let other = pool.pick(CLIENT, &[first], now).expect("the other one");
        assert_ne!(first, other);
        assert_eq!(pool.pick(CLIENT, &[], now), Some(other));
        pool.set(&[first], Some(Duration::from_secs(10)));
        assert_eq!(pool.pick(CLIENT, &[], now), Some(first));
    }

    #[test]
    fn the_number_of_remembered_clients_is_bounded() {
        let pool = Pool::new(&[address(1)], Some(Duration::from_secs(10)));
        let now = Instant::now();
        for n in 0..20_000u32 {
            pool.pick(IpAddr::V4(n.into()), &[], now + Duration::from_millis(n.into()));
        }
        assert!(pool.sticky().len() <= MAX_STICKY);
        assert!(pool.sticky().contains_key(&IpAddr::V4(19_999.into())));
    }
}
