//! Ranges of IPv4 addresses, and the choice of one that is nobody's yet.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// `10.1.2.0/24`: the bits beyond the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    base: u32,
    prefix: u8,
}

/// A range that pods' networks can have: from /16 to /28.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodSubnet(Cidr);

/// What is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("{0:?} is no range of IPv4 addresses such as 10.1.0.0/16")]
    Malformed(String),
    #[error("a pod network has a prefix from /16 to /28, not /{0}")]
    Size(u8),
    #[error("all ranges for the pods' network are in use on this machine; name a free one by --pod-cidr")]
    NoneFree,
    #[error("--service-cidr {wanted} does not lie in {half}, the upper half of the pods' network")]
    Outside { wanted: Cidr, half: Cidr },
    #[error("{wanted} overlaps with {taken}, which this machine uses already; name another by --pod-cidr")]
    Taken { wanted: Cidr, taken: Cidr },
}

impl Cidr {
    /// The range of `prefix` bits that holds `address`.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { base: u32::from(address) & mask(prefix), prefix })
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        self.base & mask(prefix) == other.base & mask(prefix)
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The first address: the network's own.
    pub fn base(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base)
    }

    /// Whether all of `other` lies in it.
    pub fn holds(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base())
    }

    fn nth(&self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base.wrapping_add(n))
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or_default()
}

impl PodSubnet {
    /// Takes a range of a size that a pod network can have.
    pub fn new(cidr: Cidr) -> Result<Self, CidrError> {
        if (16..=28).contains(&cidr.prefix) { Ok(Self(cidr)) } else { Err(CidrError::Size(cidr.prefix)) }
    }

    pub fn cidr(&self) -> Cidr {
        self.0
    }

    /// The bridge's own address: the first.
    pub fn gateway(&self) -> Ipv4Addr {
        self.0.nth(1)
    }

    /// The first and the last address for pods: the lower half without the network's, the bridge's and the last two.
    pub fn pods(&self) -> (Ipv4Addr, Ipv4Addr) {
        (self.0.nth(2), self.0.nth(self.half() - 3))
    }

    /// The address of the gateway's pod, which is also the pods' name server: the last but one of the lower half.
    pub fn name_server(&self) -> Ipv4Addr {
        self.0.nth(self.half() - 2)
    }

    /// The one address that Podman may give by itself: the last of the lower half.
    pub fn spare(&self) -> Ipv4Addr {
        self.0.nth(self.half() - 1)
    }

    /// The upper half, for Services.
    pub fn services(&self) -> Cidr {
        Cidr { base: self.0.base + self.half(), prefix: self.0.prefix + 1 }
    }

    fn half(&self) -> u32 {
        1 << (31 - u32::from(self.0.prefix))
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed(text.chars().take(50).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let (address, prefix) = (address.parse().map_err(|_| malformed())?, prefix.parse().map_err(|_| malformed())?);
        Self::new(address, prefix).ok_or_else(malformed)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// A range for pods that overlaps with none of `taken`: the one that is wanted, or the first free one of `10.89.0.0/16`
/// and up. The same input gives the same range.
pub fn choose(wanted: Option<Cidr>, taken: &[Cidr]) -> Result<PodSubnet, CidrError> {
    if let Some(wanted) = wanted {
        let subnet = PodSubnet::new(wanted)?;
        return match taken.iter().find(|t| t.overlaps(&wanted)) {
            Some(taken) => Err(CidrError::Taken { wanted, taken: *taken }),
            None => Ok(subnet),
        };
    }
    // Podman's own networks begin at 10.88, Docker's at 172.17, clusters' at 10.42, 10.96, 10.244.
    let candidates = (200..=254).chain(110..200).map(|second| Cidr { base: u32::from_be_bytes([10, second, 0, 0]), prefix: 16 });
    let free = candidates.into_iter().find(|c| !taken.iter().any(|t| t.overlaps(c)));
    free.map(PodSubnet).ok_or(CidrError::NoneFree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a range")
    }

    #[test]
    fn a_subnet_has_a_gateway_pods_and_services() {
        let subnet = PodSubnet::new(cidr("10.200.3.4/24")).expect("a subnet");
        assert_eq!(subnet.cidr().to_string(), "10.200.3.0/24");
        assert_eq!(subnet.gateway().to_string(), "10.200.3.1");
        assert_eq!(subnet.pods(), (Ipv4Addr::new(10, 200, 3, 2), Ipv4Addr::new(10, 200, 3, 125)));
        assert_eq!(subnet.name_server().to_string(), "10.200.3.126");
        assert_eq!(subnet.spare().to_string(), "10.200.3.127");
        assert_eq!(subnet.services().to_string(), "10.200.3.128/25");
        assert_eq!(PodSubnet::new(cidr("10.0.0.0/8")), Err(CidrError::Size(8)));
    }

    #[test]
    fn the_choice_avoids_what_is_taken() {
        assert_eq!(choose(None, &[]).expect("a range").cidr().to_string(), "10.200.0.0/16");
        let taken = [cidr("10.200.7.0/24"), cidr("10.201.0.0/16"), cidr("192.168.0.0/16")];
        assert_eq!(choose(None, &taken).expect("a range").cidr().to_string(), "10.202.0.0/16");
        assert_eq!(choose(None, &[cidr("10.0.0.0/8")]), Err(CidrError::NoneFree));
        let wanted = Some(cidr("10.201.128.0/24"));
        assert!(matches!(choose(wanted, &taken), Err(CidrError::Taken { .. })));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", "x/1", "10.0.0.0/-1"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        assert!(cidr("0.0.0.0/0").overlaps(&cidr("1.2.3.4/32")));
        assert!(cidr("10.0.128.0/17").holds(&cidr("10.0.130.0/24")));
        assert!(!cidr("10.0.128.0/17").holds(&cidr("10.0.0.0/16")));
    }

    proptest! {
        #[test]
        fn a_chosen_range_overlaps_with_nothing(taken in proptest::collection::vec((any::<u32>(), 8u8..=32), 0..20)) {
            let taken: Vec<Cidr> = taken.into_iter().filter_map(|(a, p)| Cidr::new(Ipv4Addr::from(a), p)).collect();
            if let Ok(chosen) = choose(None, &taken) {
                prop_assert!(taken.iter().all(|t| !t.overlaps(&chosen.cidr())));
            }
        }
    }
}
