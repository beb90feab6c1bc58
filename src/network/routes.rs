//! Which ranges this machine reaches already, by the kernel's tables of routes, and whether it speaks IPv6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Cidr;

/// Where the kernel lists its IPv4 routes.
const TABLE: &str = "/proc/net/route";
/// Where it lists those of IPv6 (`man 5 proc_pid_net`), and the addresses of its interfaces.
const TABLE_V6: &str = "/proc/net/ipv6_route";
const ADDRESSES_V6: &str = "/proc/net/if_inet6";
/// Ways that IPv6 can be off: for all interfaces, and for those that are made from now on.
const DISABLED_V6: [&str; 2] = ["/proc/sys/net/ipv6/conf/all/disable_ipv6", "/proc/sys/net/ipv6/conf/default/disable_ipv6"];

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The ranges that this machine has routes to; the way to everything else is none.
pub fn routes() -> Vec<Cidr> {
    let mut ranges = parse_routes(&read(TABLE));
    ranges.extend(parse_routes_v6(&read(TABLE_V6)));
    ranges
}

/// Whether one of this machine's interfaces has an IPv6 address that others can reach, besides those in `own`: bridges of
/// Podman's networks.
pub fn has_ipv6(own: &[Cidr]) -> bool {
    let is_on = DISABLED_V6.iter().all(|path| read(path).trim() == "0");
    let mut outward = parse_addresses_v6(&read(ADDRESSES_V6)).into_iter().filter(|a| a.is_global && a.interface != "lo");
    is_on && outward.any(|a| !own.iter().any(|range| range.contains(a.address)))
}

/// An address of one of the interfaces of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldV6 {
    pub address: Ipv6Addr,
    /// The interface's number.
    pub index: u32,
    pub interface: String,
    /// Of global scope, as unique local ones are too.
    pub is_global: bool,
}

/// The IPv6 addresses of the network namespace that this process is in.
pub fn addresses_v6() -> Vec<HeldV6> {
    // `/proc/net` leads there as well; this is the calling process's for sure.
    parse_addresses_v6(&read("/proc/self/net/if_inet6"))
}

fn parse_addresses_v6(table: &str) -> Vec<HeldV6> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [address, index, _, scope, _, interface] = columns[..] else { return None };
        Some(HeldV6 {
            address: Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?),
            index: u32::from_str_radix(index, 16).ok()?,
            interface: interface.to_owned(),
            is_global: scope == "00",
        })
    };
    table.lines().filter_map(line).collect()
}

/// Reads the table of IPv6: destination and length of its prefix, in hexadecimal digits. Ways to single addresses, to
/// link-local ones and to groups are everybody's.
fn parse_routes_v6(table: &str) -> Vec<Cidr> {
    let line = |line: &str| {
        let mut columns = line.split_whitespace();
        let address = Ipv6Addr::from(u128::from_str_radix(columns.next()?, 16).ok()?);
        let prefix = u8::from_str_radix(columns.next()?, 16).ok()?;
        let special = address.is_unicast_link_local() || address.is_multicast();
        if prefix == 0 || prefix == 128 || special { None } else { Cidr::new(address, prefix) }
    };
    let mut ranges: Vec<Cidr> = table.lines().filter_map(line).collect();
    ranges.sort();
    ranges.dedup();
    ranges
}

/// Reads the table: a heading, then interface, destination and, as eighth, the mask, in the machine's order of bytes.
pub fn parse_routes(table: &str) -> Vec<Cidr> {
    let line = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let destination = u32::from_str_radix(columns.next()?, 16).ok()?;
        let mask = u32::from_str_radix(columns.nth(5)?, 16).ok()?;
        let prefix = u8::try_from(mask.count_ones()).ok()?;
        if prefix == 0 { None } else { Cidr::new(Ipv4Addr::from(destination.to_ne_bytes()), prefix) }
    };
    let mut ranges: Vec<Cidr> = table.lines().skip(1).filter_map(line).collect();
    ranges.sort();
    ranges.dedup();
    ranges
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_and_the_default_is_none() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            broken\n";
        let shown: Vec<String> = parse_routes(table).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.168.2.0/24"]);
    }

    #[test]
    fn routes_and_addresses_of_ipv6_are_read() {
        let zero = "00000000000000000000000000000000";
        let route = |to: &str, prefix: &str| format!("{to} {prefix} {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n");
        let table = [
            route("fd000000000000000000000000000000", "40"),
            route("fe800000000000000000000000000000", "40"),
            route(zero, "00"),
            route("fd000000000000000000000000000002", "80"),
            route("ff000000000000000000000000000000", "08"),
        ];
        let shown: Vec<String> = parse_routes_v6(&table.concat()).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["fd00::/64"]);
        let addresses = "fd000000000000000000000000000002 04 40 00 82     eth0\n\
            00000000000000000000000000000001 01 80 10 80       lo\n\
            fe8000000000000000fc00fffe000001 04 40 20 80     eth0\nbroken\n";
        let found: Vec<String> = parse_addresses_v6(addresses)
            .iter()
            .map(|a| format!("{} {} {} {}", a.address, a.index, a.interface, a.is_global))
            .collect();
        assert_eq!(found, ["fd00::2 4 eth0 true", "::1 1 lo false", "fe80::fc:ff:fe00:1 4 eth0 false"]);
    }
}
