//! Addresses of pods: each pod keeps its own for its life.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

/// The part of a network that pods get addresses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: u32,
    last: u32,
}

impl Range {
    /// From one address to another, both included. `None`: there is none between.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Option<Self> {
        let (first, last) = (u32::from(first), u32::from(last));
        (first <= last).then_some(Range { first, last })
    }
}

/// Who has which address.
#[derive(Debug)]
pub struct Addresses {
    range: Option<Range>,
    of: HashMap<String, Ipv4Addr>,
    taken: HashSet<Ipv4Addr>,
    next: u32,
}

impl Addresses {
    /// `None`: the runtime chooses.
    pub fn new(range: Option<Range>) -> Self {
        Addresses { range, of: HashMap::new(), taken: HashSet::new(), next: range.map_or(0, |r| r.first) }
    }

    /// Notes that a pod has an address already.
    pub fn keep(&mut self, uid: &str, ip: IpAddr) {
        if let IpAddr::V4(ip) = ip
            && self.range.is_some_and(|r| (r.first..=r.last).contains(&u32::from(ip)))
            && !self.of.contains_key(uid)
            && self.taken.insert(ip)
        {
            self.of.insert(uid.to_owned(), ip);
        }
    }

    /// The address of a pod, chosen now if it has none. Addresses are not given again before all others
    /// have been.
    pub fn of(&mut self, uid: &str) -> Vec<IpAddr> {
        let Some(range) = self.range else { return Vec::new() };
        if let Some(ip) = self.of.get(uid) {
            return vec![IpAddr::V4(*ip)];
        }
        let size = range.last - range.first;
        for step in 0..=size {
            let offset = (self.next - range.first).wrapping_add(step) % size.saturating_add(1).max(1);
            let ip = Ipv4Addr::from(range.first + offset);
            if self.taken.insert(ip) {
                self.next = if offset == size { range.first } else { range.first + offset + 1 };
                self.of.insert(uid.to_owned(), ip);
                return vec![IpAddr::V4(ip)];
            }
        }
        Vec::new()
    }

    /// The address of a pod was refused by the runtime: it gets another; this one stays out of use.
    pub fn refuse(&mut self, uid: &str) {
        self.of.remove(uid);
    }

    pub fn free(&mut self, uid: &str) {
        if let Some(ip) = self.of.remove(uid) {
            self.taken.remove(&ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_keeps_its_own_and_freed_ones_come_last() {
        let range = Range::new([10, 0, 0, 1].into(), [10, 0, 0, 3].into());
        let mut addresses = Addresses::new(range);
        let ip = |n: u8| vec![IpAddr::from([10, 0, 0, n])];
        assert_eq!(addresses.of("a"), ip(1));
        assert_eq!(addresses.of("a"), ip(1));
        addresses.free("a");
        assert_eq!(addresses.of("b"), ip(2));
        addresses.keep("c", IpAddr::from([10, 0, 0, 3]));
        assert_eq!(addresses.of("d"), ip(1));
        assert_eq!(addresses.of("e"), Vec::<IpAddr>::new());
        addresses.free("c");
        assert_eq!(addresses.of("e"), ip(3));
    }
}
