//! Which ranges this machine reaches already, by the kernel's table of routes.

use std::net::Ipv4Addr;

use super::Cidr;

/// Where the kernel lists its IPv4 routes.
const TABLE: &str = "/proc/net/route";

/// The ranges that this machine has routes to; the way to everything else is none.
pub fn routes() -> Vec<Cidr> {
    parse_routes(&std::fs::read_to_string(TABLE).unwrap_or_default())
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
}
