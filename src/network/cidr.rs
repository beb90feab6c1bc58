//! Ranges of addresses, and the choice of such that are nobody's yet.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// `10.1.2.0/24` or `fd00:1::/112`: the bits beyond the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

/// The ranges of a pods' network: one of IPv4 from /16 to /28, and perhaps one of IPv6 with room for as many addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodSubnet {
    v4: Cidr,
    v6: Option<Cidr>,
}

/// IPv6 has at least so many bits more than IPv4.
const MORE_BITS: u8 = 96;
/// The largest range of IPv6: no smaller prefix for Services either (ipallocator: NewIPAllocator).
const LARGEST_V6: u8 = 64;

/// What is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("{0:?} is no range of addresses such as 10.1.0.0/16")]
    Malformed(String),
    #[error("a pod network has a prefix from /16 to /28, not /{0}")]
    Size(u8),
    #[error("the IPv6 range of a pod network with a /{v4} has a prefix from /64 to /{}, not /{v6}", v4 + MORE_BITS)]
    SizeV6 { v4: u8, v6: u8 },
    #[error("{0:?} is neither one range of IPv4 nor one of IPv4 and one of IPv6, in this order")]
    Families(String),
    #[error("all ranges for the pods' network are in use on this machine; name a free one by --pod-cidr")]
    NoneFree,
    #[error("--service-cidr {wanted} does not lie in {half}, the upper half of the pods' network")]
    Outside { wanted: Cidr, half: Cidr },
    #[error("--service-cidr names a range of IPv6, but the pods' network has none")]
    NoSecond,
    #[error("{wanted} overlaps with {taken}, which this machine uses already; name another by --pod-cidr")]
    Taken { wanted: Cidr, taken: Cidr },
}

impl Cidr {
    /// `fd77:…`: of the addresses that everybody may give himself (RFC 4193), those of wl's networks.
    pub const OWN_V6: Cidr = Cidr { base: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0)), prefix: 16 };

    /// The range of `prefix` bits that holds `address`.
    pub fn new(address: impl Into<IpAddr>, prefix: u8) -> Option<Self> {
        let address = address.into();
        let width = width(address);
        (prefix <= width).then(|| Self { base: address_of(bits(address) & mask(prefix, width), address.is_ipv6()), prefix })
    }

    pub fn contains(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        let width = width(address);
        address.is_ipv6() == self.is_ipv6() && bits(address) & mask(self.prefix, width) == bits(self.base)
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        if self.prefix <= other.prefix { self.contains(other.base) } else { other.contains(self.base) }
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn is_ipv6(&self) -> bool {
        self.base.is_ipv6()
    }

    /// The first address: the network's own.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// Whether all of `other` lies in it.
    pub fn holds(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    fn nth(&self, n: u128) -> IpAddr {
        address_of(bits(self.base).wrapping_add(n), self.is_ipv6())
    }

    /// How many addresses half of it has.
    fn half(&self) -> u128 {
        1 << (width(self.base) - 1 - self.prefix)
    }

    fn lower(&self) -> Cidr {
        Cidr { base: self.base, prefix: self.prefix + 1 }
    }

    fn upper(&self) -> Cidr {
        Cidr { base: self.nth(self.half()), prefix: self.prefix + 1 }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address_of(bits: u128, v6: bool) -> IpAddr {
    if v6 { IpAddr::V6(Ipv6Addr::from(bits)) } else { IpAddr::V4(v4_of(bits)) }
}

/// The lowest 32 bits.
fn v4_of(bits: u128) -> Ipv4Addr {
    Ipv4Addr::from(u32::try_from(bits & u128::from(u32::MAX)).unwrap_or_default())
}

/// The first bits of an address of so many.
fn mask(prefix: u8, width: u8) -> u128 {
    u128::MAX.checked_shl(u32::from(width - prefix)).unwrap_or_default()
}

impl PodSubnet {
    /// Takes a range of a size that a pod network can have.
    pub fn new(cidr: Cidr) -> Result<Self, CidrError> {
        if cidr.is_ipv6() {
            return Err(CidrError::Families(cidr.to_string()));
        }
        if (16..=28).contains(&cidr.prefix) { Ok(Self { v4: cidr, v6: None }) } else { Err(CidrError::Size(cidr.prefix)) }
    }

    /// With a range of IPv6 beside it.
    pub fn with_v6(self, cidr: Cidr) -> Result<Self, CidrError> {
        let sizes = LARGEST_V6..=self.v4.prefix + MORE_BITS;
        if !cidr.is_ipv6() {
            return Err(CidrError::Families(format!("{},{cidr}", self.v4)));
        }
        if sizes.contains(&cidr.prefix) {
            Ok(Self { v6: Some(cidr), ..self })
        } else {
            Err(CidrError::SizeV6 { v4: self.v4.prefix, v6: cidr.prefix })
        }
    }

    /// All ranges, that of IPv4 first.
    pub fn cidrs(&self) -> impl Iterator<Item = Cidr> {
        std::iter::once(self.v4).chain(self.v6)
    }

    /// The bridge's own address: the first.
    pub fn gateway(&self) -> Ipv4Addr {
        self.nth(1)
    }

    /// The first and the last address for pods: the lower half without the network's, the bridge's and the last two.
    pub fn pods(&self) -> (Ipv4Addr, Ipv4Addr) {
        (self.nth(2), self.nth(self.v4.half() - 3))
    }

    /// The ranges that pods' addresses lie in.
    pub fn pod_cidrs(&self) -> impl Iterator<Item = Cidr> {
        self.cidrs().map(|cidr| cidr.lower())
    }

    /// The address of the gateway's pod, which is also the pods' name server: the last but one of the lower half.
    pub fn name_server(&self) -> Ipv4Addr {
        self.nth(self.v4.half() - 2)
    }

    /// The one address that Podman may give by itself: the last of the lower half.
    pub fn spare(&self) -> Ipv4Addr {
        self.nth(self.v4.half() - 1)
    }

    /// The upper half, for Services.
    pub fn services(&self) -> Cidr {
        self.v4.upper()
    }

    /// The upper half of the IPv6 range.
    pub fn services_v6(&self) -> Option<Cidr> {
        self.v6.map(|cidr| cidr.upper())
    }

    /// All addresses of whoever has this one of IPv4: the one of IPv6 lies as far behind the beginning of its range.
    pub fn all_of(&self, address: Ipv4Addr) -> Vec<IpAddr> {
        let offset = bits(address.into()).wrapping_sub(bits(self.v4.base));
        std::iter::once(address.into()).chain(self.v6.map(|cidr| cidr.nth(offset))).collect()
    }

    fn nth(&self, n: u128) -> Ipv4Addr {
        v4_of(bits(self.v4.nth(n)))
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed(text.chars().take(50).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        Self::new(address, prefix.parse().map_err(|_| malformed())?).ok_or_else(malformed)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// `10.1.0.0/16` or `10.1.0.0/16,fd00:1::/112`, as kube-controller-manager takes them.
pub fn parse_pair(text: &str) -> Result<(Cidr, Option<Cidr>), CidrError> {
    let parts: Vec<Cidr> = text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>()?;
    match parts[..] {
        [v4] if !v4.is_ipv6() => Ok((v4, None)),
        [v4, v6] if !v4.is_ipv6() && v6.is_ipv6() => Ok((v4, Some(v6))),
        _ => Err(CidrError::Families(text.chars().take(100).collect())),
    }
}

/// A range for pods that overlaps with none of `taken`: the one that is wanted, or the first free one of `10.89.0.0/16`
/// and up. The same input gives the same range.
pub fn choose(wanted: Option<Cidr>, taken: &[Cidr]) -> Result<PodSubnet, CidrError> {
    if let Some(wanted) = wanted {
        let subnet = PodSubnet::new(wanted)?;
        return free(wanted, taken).map(|_| subnet);
    }
    // Podman's own networks begin at 10.88, Docker's at 172.17, clusters' at 10.42, 10.96, 10.244.
    let candidates = (200..=254).chain(110..200).filter_map(|second| Cidr::new([10, second, 0, 0], 16));
    let free = candidates.into_iter().find(|c| !taken.iter().any(|t| t.overlaps(c)));
    free.map_or(Err(CidrError::NoneFree), PodSubnet::new)
}

/// Gives a network a range of IPv6 too, which overlaps with none of `taken`: the one that is wanted, or one that `seed`
/// makes its own, with as many addresses as that of IPv4.
pub fn choose_v6(subnet: PodSubnet, wanted: Option<Cidr>, seed: u32, taken: &[Cidr]) -> Result<PodSubnet, CidrError> {
    if let Some(wanted) = wanted {
        return subnet.with_v6(free(wanted, taken)?);
    }
    let prefix = subnet.v4.prefix + MORE_BITS;
    let candidates = (0..=u16::MAX).filter_map(|n| {
        let first = bits(Cidr::OWN_V6.base) | (u128::from(seed) << 80) | (u128::from(n) << 64);
        Cidr::new(Ipv6Addr::from(first), prefix)
    });
    let free = candidates.into_iter().find(|c| !taken.iter().any(|t| t.overlaps(c)));
    subnet.with_v6(free.ok_or(CidrError::NoneFree)?)
}

fn free(wanted: Cidr, taken: &[Cidr]) -> Result<Cidr, CidrError> {
    match taken.iter().find(|t| t.overlaps(&wanted)) {
        Some(taken) => Err(CidrError::Taken { wanted, taken: *taken }),
        None => Ok(wanted),
    }
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
        assert_eq!(subnet.cidrs().next().expect("one").to_string(), "10.200.3.0/24");
        assert_eq!(subnet.gateway().to_string(), "10.200.3.1");
        assert_eq!(subnet.pods(), (Ipv4Addr::new(10, 200, 3, 2), Ipv4Addr::new(10, 200, 3, 125)));
        assert_eq!(subnet.name_server().to_string(), "10.200.3.126");
        assert_eq!(subnet.spare().to_string(), "10.200.3.127");
        assert_eq!(subnet.services().to_string(), "10.200.3.128/25");
        assert_eq!(PodSubnet::new(cidr("10.0.0.0/8")), Err(CidrError::Size(8)));
    }

    #[test]
    fn the_choice_avoids_what_is_taken() {
        assert_eq!(choose(None, &[]).expect("a range").cidrs().next().expect("one").to_string(), "10.200.0.0/16");
        let taken = [cidr("10.200.7.0/24"), cidr("10.201.0.0/16"), cidr("192.168.0.0/16")];
        assert_eq!(choose(None, &taken).expect("a range").cidrs().next().expect("one").to_string(), "10.202.0.0/16");
        assert_eq!(choose(None, &[cidr("10.0.0.0/8")]), Err(CidrError::NoneFree));
        let wanted = Some(cidr("10.201.128.0/24"));
        assert!(matches!(choose(wanted, &taken), Err(CidrError::Taken { .. })));
    }

    #[test]
    fn a_network_of_both_families_gives_each_pod_one_address_of_each() {
        let subnet = PodSubnet::new(cidr("10.200.3.0/24")).expect("a subnet");
        let both = choose_v6(subnet, None, 0xabcd_1234, &[]).expect("a range");
        assert_eq!(both.cidrs().nth(1).expect("two").to_string(), "fd77:abcd:1234::/120");
        assert_eq!(both.services_v6().expect("two").to_string(), "fd77:abcd:1234::80/121");
        let shown = |addresses: Vec<IpAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(shown(both.all_of(both.name_server())), "10.200.3.126,fd77:abcd:1234::7e");
        assert_eq!(shown(subnet.all_of(subnet.gateway())), "10.200.3.1");
        let halves: Vec<String> = both.pod_cidrs().map(|c| c.to_string()).collect();
        assert_eq!(halves, ["10.200.3.0/25", "fd77:abcd:1234::/121"]);
        // A taken one is passed over, a larger one may be named, a smaller one has no room.
        let next = choose_v6(subnet, None, 0xabcd_1234, &[cidr("fd77:abcd:1234::/64")]).expect("a range");
        assert_eq!(next.cidrs().nth(1).expect("two").to_string(), "fd77:abcd:1234:1::/120");
        assert!(choose_v6(subnet, Some(cidr("fd00:1::/64")), 0, &[]).is_ok());
        assert!(matches!(choose_v6(subnet, Some(cidr("fd00:1::/64")), 0, &[cidr("fd00::/16")]), Err(CidrError::Taken { .. })));
        for bad in ["fd00:1::/63", "fd00:1::/121", "10.0.0.0/24"] {
            assert!(choose_v6(subnet, Some(cidr(bad)), 0, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs_have_ipv4_first() {
        assert_eq!(parse_pair("10.1.0.0/16"), Ok((cidr("10.1.0.0/16"), None)));
        assert_eq!(parse_pair("10.1.0.0/16,fd00::/112"), Ok((cidr("10.1.0.0/16"), Some(cidr("fd00::/112")))));
        for bad in ["fd00::/112", "fd00::/112,10.1.0.0/16", "10.1.0.0/16,10.2.0.0/16", "10.1.0.0/16,", ""] {
            assert!(parse_pair(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "x/1", "10.0.0.0/-1"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        assert!(!cidr("0.0.0.0/0").overlaps(&cidr("::/0")));
        assert!(cidr("0.0.0.0/0").overlaps(&cidr("1.2.3.4/32")));
        assert!(cidr("10.0.128.0/17").holds(&cidr("10.0.130.0/24")));
        assert!(!cidr("10.0.128.0/17").holds(&cidr("10.0.0.0/16")));
    }

    proptest! {
        #[test]
        fn a_chosen_range_overlaps_with_nothing(taken in proptest::collection::vec((any::<u32>(), 8u8..=32), 0..20)) {
            let taken: Vec<Cidr> = taken.into_iter().filter_map(|(a, p)| Cidr::new(Ipv4Addr::from(a), p)).collect();
            if let Ok(chosen) = choose(None, &taken) {
                prop_assert!(taken.iter().all(|t| !t.overlaps(&chosen.cidrs().next().expect("one"))));
            }
        }
    }
}
