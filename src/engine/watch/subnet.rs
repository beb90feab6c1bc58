//! Which addresses the pods get: a network that nothing else on this machine uses.

use std::net::{IpAddr, Ipv4Addr};

use super::super::addresses::Range;

/// A network of the pods: the lower half is theirs, the upper half is for the addresses of Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    bits: u32,
}

/// Addresses that Podman may give by itself, at the end of the pods' half.
const DYNAMIC: u32 = 8;

impl Subnet {
    /// Reads `10.1.0.0/16`; host bits are cut, and at least 64 addresses are needed.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, bits) = text.split_once('/')?;
        let bits: u32 = bits.parse().ok().filter(|b| (8..=26).contains(b))?;
        let ip: Ipv4Addr = ip.parse().ok()?;
        Some(Subnet { base: u32::from(ip) & mask(bits), bits })
    }

    pub fn text(self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.base), self.bits)
    }

    fn half(self) -> u32 {
        1 << (31 - self.bits)
    }

    pub fn gateway(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self.base + 1))
    }

    /// What Podman may give by itself: first and last.
    pub fn dynamic(self) -> (IpAddr, IpAddr) {
        let end = self.base + self.half();
        (IpAddr::V4(Ipv4Addr::from(end - DYNAMIC)), IpAddr::V4(Ipv4Addr::from(end - 1)))
    }

    /// What pods get.
    pub fn pods(self) -> Option<Range> {
        Range::new(Ipv4Addr::from(self.base + 2), Ipv4Addr::from(self.base + self.half() - DYNAMIC - 1))
    }

    fn overlaps(self, other: Subnet) -> bool {
        let bits = self.bits.min(other.bits);
        self.base & mask(bits) == other.base & mask(bits)
    }
}

fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

/// Any network, however small: for comparing only.
fn any(text: &str) -> Option<Subnet> {
    let (ip, bits) = text.split_once('/')?;
    let bits: u32 = bits.parse().ok().filter(|b| (1..=32).contains(b))?;
    let ip: Ipv4Addr = ip.parse().ok()?;
    Some(Subnet { base: u32::from(ip) & mask(bits), bits })
}

/// A network beside all `taken` ones. `seed` decides where the search begins, so that two state
/// directories rarely meet.
pub fn choose(seed: &str, taken: &[String]) -> Option<Subnet> {
    let taken: Vec<Subnet> = taken.iter().filter_map(|t| any(t)).collect();
    let start = seed.bytes().fold(0u32, |sum, b| sum.wrapping_mul(31).wrapping_add(u32::from(b)));
    // 10.200.0.0/16 to 10.254.0.0/16: rarely used by others, and room for 32,000 pods each.
    let candidates = (0..55).map(|i| 200 + (start.wrapping_add(i)) % 55);
    let networks = candidates.map(|second| Subnet { base: (10 << 24) | (second << 16), bits: 16 });
    let mut free = networks.filter(|n| !taken.iter().any(|t| n.overlaps(*t)));
    free.next()
}

/// The networks that this machine has routes to.
pub fn routes() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    text.lines().skip(1).filter_map(route).collect()
}

/// One line of /proc/net/route: numbers in hex, in the machine's byte order.
fn route(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let destination = u32::from_str_radix(words.nth(1)?, 16).ok()?;
    let mask = u32::from_str_radix(words.nth(5)?, 16).ok()?;
    let bits = mask.count_ones();
    (bits > 0).then(|| format!("{}/{bits}", Ipv4Addr::from(u32::from_be(destination))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_beside_all_others_is_chosen() {
        let first = choose("a", &[]).unwrap();
        let second = choose("a", &[first.text()]).unwrap();
        assert!(!first.overlaps(second));
        let small = format!("{}/24", Ipv4Addr::from(second.base));
        let third = choose("a", &[first.text(), small]).unwrap();
        assert!(!third.overlaps(second));
        assert_eq!(choose("a", &["10.0.0.0/8".into()]), None);
    }

    #[test]
    fn halves_are_for_pods_and_for_services() {
        let subnet = Subnet::parse("10.201.3.0/16").unwrap();
        assert_eq!(subnet.text(), "10.201.0.0/16");
        assert_eq!(subnet.gateway().to_string(), "10.201.0.1");
        assert_eq!(subnet.dynamic().1.to_string(), "10.201.127.255");
        assert_eq!(Subnet::parse("10.0.0.0/30"), None);
    }

    #[test]
    fn routes_are_read_from_the_kernels_table() {
        let line = "eth0\t0000C80A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0";
        assert_eq!(route(line).as_deref(), Some("10.200.0.0/16"));
        assert_eq!(route("eth0\t00000000\t0100C80A\t0003\t0\t0\t0\t00000000\t0\t0\t0"), None);
    }
}
