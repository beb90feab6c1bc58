//! Which pod has which address. An address is a pod's for its life, and is not given to the next one at once: who still
//! talks to the old pod would reach the new one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::PodSubnet;

/// The addresses of a network's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIps {
    subnet: PodSubnet,
    by_pod: BTreeMap<String, Ipv4Addr>,
    taken: BTreeMap<Ipv4Addr, String>,
    /// Where the search goes on: after the last address that was given.
    next: Ipv4Addr,
}

/// The network is full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {0} addresses of the pods' network are in use; name a larger one by --pod-cidr")]
pub struct NoAddress(usize);

impl PodIps {
    /// With the addresses that pods have already, by uid; what lies outside the network or is another's is left out.
    pub fn new(subnet: PodSubnet, held: impl IntoIterator<Item = (String, Ipv4Addr)>) -> Self {
        let (first, _) = subnet.pods();
        let mut ips = Self { subnet, by_pod: BTreeMap::new(), taken: BTreeMap::new(), next: first };
        for (uid, address) in held {
            let free = ips.is_for_pods(address) && !ips.taken.contains_key(&address) && !ips.by_pod.contains_key(&uid);
            if free {
                ips.give(&uid, address);
                ips.next = ips.next.max(after(address));
            }
        }
        ips
    }

    /// The pod's address: the one it has, or the next free one.
    pub fn allocate(&mut self, uid: &str) -> Result<Ipv4Addr, NoAddress> {
        if let Some(address) = self.by_pod.get(uid) {
            return Ok(*address);
        }
        let (first, last) = self.subnet.pods();
        let start = if self.is_for_pods(self.next) { self.next } else { first };
        let from_here = (u32::from(start)..=u32::from(last)).chain(u32::from(first)..u32::from(start));
        let free = from_here.map(Ipv4Addr::from).find(|address| !self.taken.contains_key(address));
        let address = free.ok_or(NoAddress(self.taken.len()))?;
        self.give(uid, address);
        self.next = after(address);
        Ok(address)
    }

    /// The pod is gone.
    pub fn release(&mut self, uid: &str) {
        if let Some(address) = self.by_pod.remove(uid) {
            self.taken.remove(&address);
        }
    }

    pub fn of(&self, uid: &str) -> Option<Ipv4Addr> {
        self.by_pod.get(uid).copied()
    }

    /// All that are given, by uid.
    #[cfg(test)]
    fn held(&self) -> &BTreeMap<String, Ipv4Addr> {
        &self.by_pod
    }

    fn give(&mut self, uid: &str, address: Ipv4Addr) {
        self.by_pod.insert(uid.to_owned(), address);
        self.taken.insert(address, uid.to_owned());
    }

    fn is_for_pods(&self, address: Ipv4Addr) -> bool {
        let (first, last) = self.subnet.pods();
        (first..=last).contains(&address)
    }
}

fn after(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(address).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet() -> PodSubnet {
        PodSubnet::new("10.1.0.0/28".parse().expect("a range")).expect("a subnet")
    }

    #[test]
    fn an_address_is_kept_and_not_given_away_at_once() {
        let mut ips = PodIps::new(subnet(), [("old".to_owned(), Ipv4Addr::new(10, 1, 0, 3)), ("out".to_owned(), Ipv4Addr::new(10, 1, 0, 9))]);
        assert_eq!(ips.of("out"), None);
        assert_eq!(ips.allocate("old"), Ok(Ipv4Addr::new(10, 1, 0, 3)));
        assert_eq!(ips.allocate("a"), Ok(Ipv4Addr::new(10, 1, 0, 4)));
        ips.release("a");
        assert_eq!(ips.allocate("b"), Ok(Ipv4Addr::new(10, 1, 0, 5)));
    }

    proptest! {
        #[test]
        fn no_two_pods_have_one_address(steps in proptest::collection::vec((any::<bool>(), 0u8..12), 0..60)) {
            let mut ips = PodIps::new(subnet(), []);
            for (add, pod) in steps {
                let uid = pod.to_string();
                if !add {
                    ips.release(&uid);
                } else if ips.allocate(&uid).is_err() {
                    // From .2 to .5.
                    prop_assert_eq!(ips.held().len(), 4);
                }
                let mut seen: Vec<_> = ips.held().values().collect();
                seen.sort();
                seen.dedup();
                prop_assert_eq!(seen.len(), ips.held().len());
                prop_assert!(ips.held().values().all(|ip| (2..6).contains(&ip.octets()[3])));
            }
        }
    }
}
