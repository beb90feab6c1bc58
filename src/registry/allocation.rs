//! Cluster IPs and node ports: given out, asked for, released.
//! Source: pkg/registry/core/service/{ipallocator,portallocator}, pkg/registry/core/service/storage/alloc.go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::api::{GroupResource, Json, Key};
use crate::state::State;

/// The name of the first ServiceCIDR, and of the API's own Service.
pub const KUBERNETES: &str = "kubernetes";
/// ipallocator: NewIPAllocator takes no larger range of IPv6 addresses.
const LARGEST_V6: u8 = 64;

/// The ranges of cluster IPs that a state was made with (its first ServiceCIDR), the default family's first.
pub fn kept_cidrs(state: &State) -> Vec<&str> {
    let key = Key::new(GroupResource::new("networking.k8s.io", "servicecidrs"), "", KUBERNETES);
    let cidrs = state.get(&key).and_then(|object| object.at("/spec/cidrs")?.as_array());
    cidrs.into_iter().flatten().filter_map(Json::as_str).collect()
}

/// A family of addresses, as Services name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv6() { Family::V6 } else { Family::V4 }
    }

    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

/// A range that cluster IPs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    family: Family,
    network: u128,
    prefix: u8,
}

impl Range {
    /// Reads `10.96.0.0/16` and `fd00:1::/112`.
    pub fn parse(text: &str) -> Option<Range> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
        let family = Family::of(address);
        let host_bits = u32::from(family.bits().checked_sub(prefix).filter(|bits| *bits >= 2)?);
        if family == Family::V6 && prefix < LARGEST_V6 {
            return None;
        }
        let hosts = 1u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
        Some(Range { family, network: bits(address) & !hosts, prefix })
    }

    pub fn family(self) -> Family {
        self.family
    }

    /// The first address that may be given out.
    pub fn first(self) -> IpAddr {
        self.at(1)
    }

    /// How many addresses there are: all but the network's and, of IPv4, the last (ipallocator: hostsPerNetwork).
    pub fn size(self) -> u64 {
        let bits = u32::from(self.family.bits() - self.prefix);
        match self.family {
            Family::V4 => (1 << bits) - 2,
            Family::V6 if bits >= 63 => i64::MAX.unsigned_abs(),
            Family::V6 => (1 << bits) - 1,
        }
    }

    pub fn contains(self, address: IpAddr) -> bool {
        let offset = bits(address).wrapping_sub(self.network);
        Family::of(address) == self.family && offset >= 1 && offset <= u128::from(self.size())
    }

    /// Addresses below this offset are given out last, so that they can be asked for
    /// (ipallocator: calculateRangeOffset).
    pub fn band(self) -> u64 {
        let size = self.size() + 2;
        if size < 32 { 0 } else { (size / 16).clamp(16, 256) }
    }

    pub fn at(self, offset: u64) -> IpAddr {
        let address = self.network.wrapping_add(u128::from(offset));
        match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(address & u128::from(u32::MAX)).unwrap_or(0))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(address)),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::parse(text).unwrap_or_else(|| panic!("{text} is a range"))
    }

    #[test]
    fn ranges_of_both_families_are_read() {
        let v4 = range("10.96.0.0/16");
        assert_eq!((v4.first().to_string(), v4.size(), v4.band()), ("10.96.0.1".into(), 65_534, 256));
        assert!(v4.contains("10.96.255.254".parse().expect("an address")));
        for outside in ["10.96.0.0", "10.96.255.255", "10.97.0.1", "::a60:1"] {
            assert!(!v4.contains(outside.parse().expect("an address")), "{outside}");
        }
        let v6 = range("fd00:1::8000/113");
        assert_eq!((v6.first().to_string(), v6.size(), v6.band()), ("fd00:1::8001".into(), 32_767, 256));
        assert!(v6.contains("fd00:1::ffff".parse().expect("an address")), "IPv6 has no address for all");
        assert!(!v6.contains("fd00:1::8000".parse().expect("an address")));
        assert_eq!(range("fd00:1::/64").size(), i64::MAX.unsigned_abs());
        for bad in ["", "10.96.0.0", "10.96.0.0/31", "fd00::/63", "fd00::/127", "fd00::/129"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }
}
