//! Cluster IPs and node ports: given out, asked for, released.
//! Source: pkg/registry/core/service/{ipallocator,portallocator}, pkg/registry/core/service/storage/alloc.go.

use std::net::Ipv4Addr;

use crate::api::{GroupResource, Json, Key};
use crate::state::State;

/// The name of the first ServiceCIDR, and of the API's own Service.
pub const KUBERNETES: &str = "kubernetes";

/// The range of cluster IPs that a state was made with (its first ServiceCIDR).
pub fn kept_cidr(state: &State) -> Option<&str> {
    let key = Key::new(GroupResource::new("networking.k8s.io", "servicecidrs"), "", KUBERNETES);
    state.get(&key)?.at("/spec/cidrs/0").and_then(Json::as_str)
}

/// The range that cluster IPs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    network: u32,
    prefix: u8,
}

impl Range {
    /// Reads `10.96.0.0/16`.
    pub fn parse(text: &str) -> Option<Range> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix) = (address.parse::<Ipv4Addr>().ok()?, prefix.parse::<u8>().ok()?);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        (prefix <= 30).then_some(Range { network: u32::from(address) & mask, prefix })
    }

    /// The first address that may be given out.
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// How many addresses there are: all but the network's and the last.
    pub fn size(self) -> u32 {
        (1 << (32 - u32::from(self.prefix))) - 2
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        let offset = u32::from(address).wrapping_sub(self.network);
        offset >= 1 && offset <= self.size()
    }

    /// Addresses below this offset are given out last, so that they can be asked for
    /// (ipallocator: calculateRangeOffset).
    pub fn band(self) -> u32 {
        let size = self.size() + 2;
        if size < 32 { 0 } else { (size / 16).clamp(16, 256) }
    }

    pub fn at(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.network + offset)
    }
}
