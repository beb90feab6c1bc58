//! IP addresses and CIDRs in fields: what is accepted, refused and warned about.
//! Source: k8s.io/apimachinery/pkg/util/validation/ip.go with StrictIPCIDRValidation on (the default of 1.36),
//! pkg/apis/core/validation/validation.go (ValidateNonSpecialIP).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::field::{self, Errors, Path};
use crate::api::status::quote;

/// Reads an address as Go's older parser did: IPv4 parts may have leading zeros.
pub fn parse_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(unmapped);
    }
    let parts: Vec<&str> = text.split('.').collect();
    let [a, b, c, d] = parts.as_slice() else { return None };
    let byte = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let plain = part.trim_start_matches('0');
        if !digits {
            None
        } else if plain.is_empty() {
            Some(0)
        } else {
            plain.parse::<u8>().ok()
        }
    };
    Some(IpAddr::V4(Ipv4Addr::new(byte(a)?, byte(b)?, byte(c)?, byte(d)?)))
}

/// IPv4-mapped IPv6 addresses are IPv4 addresses to Go.
fn unmapped(address: Ipv6Addr) -> IpAddr {
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

/// Whether the text is an IPv6 address.
pub fn is_ipv6(text: &str) -> bool {
    matches!(parse_sloppy(text), Some(IpAddr::V6(_)))
}

/// Whether there is an address of each family among the texts.
pub fn is_dual_stack(addresses: &[&str]) -> bool {
    addresses.iter().any(|a| is_ipv6(a)) && addresses.iter().any(|a| !is_ipv6(a))
}

/// An address in a field that is older than the strict rules.
pub fn legacy_ip(path: &Path, text: &str) -> Errors {
    if parse_sloppy(text).is_none() {
        return vec![field::invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")];
    }
    match text.parse::<IpAddr>() {
        Err(_) => vec![field::invalid(path, text, "must not have leading 0s")],
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            vec![field::invalid(path, text, "must not be an IPv4-mapped IPv6 address")]
        }
        Ok(_) => Vec::new(),
    }
}

/// An address no service or endpoint can have: unspecified, loopback or link-local.
pub fn non_special(text: &str, path: &Path) -> Errors {
    let Some(address) = parse_sloppy(text) else {
        return vec![field::invalid(path, text, "must be a valid IP address")];
    };
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    let mut errors = Errors::new();
    if address.is_unspecified() {
        errors.push(field::invalid(path, text, &format!("may not be unspecified ({text})")));
    }
    if address.is_loopback() {
        errors.push(field::invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"));
    }
    if link_local {
        errors.push(field::invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
    }
    if link_local_multicast {
        let detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        errors.push(field::invalid(path, text, detail));
    }
    errors
}

/// A network: its address as written and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cidr {
    pub address: IpAddr,
    pub length: u32,
}

impl Cidr {
    /// Reads as Go's older parser did; leading zeros are accepted.
    pub fn parse_sloppy(text: &str) -> Option<Cidr> {
        let (address, length) = text.split_once('/')?;
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let length: u32 = length.parse().ok()?;
        let mapped = address.contains(':') && !is_ipv6(address);
        let address = parse_sloppy(address)?;
        let most = if address.is_ipv6() || mapped { 128 } else { 32 };
        let length = if mapped { length.checked_sub(96)? } else { length };
        (length <= most).then_some(Cidr { address, length })
    }

    fn bits(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        }
    }

    fn mask(self) -> u128 {
        let (_, width) = Cidr::bits(self.address);
        let all = if width == 128 { u128::MAX } else { u128::from(u32::MAX) };
        if self.length == 0 { 0 } else { all << (width - self.length) & all }
    }

    /// The network's own address.
    pub fn network(self) -> IpAddr {
        let (bits, _) = Cidr::bits(self.address);
        match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from((bits & self.mask()) as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(bits & self.mask())),
        }
    }

    pub fn contains(self, address: IpAddr) -> bool {
        let (mine, width) = Cidr::bits(self.address);
        let (other, other_width) = Cidr::bits(address);
        width == other_width && mine & self.mask() == other & self.mask()
    }

    fn display(self) -> String {
        format!("{}/{}", self.network(), self.length)
    }
}

/// A network in a field that is older than the strict rules.
pub fn legacy_cidr(path: &Path, text: &str) -> Errors {
    let Some(cidr) = Cidr::parse_sloppy(text) else {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        return vec![field::invalid(path, text, detail)];
    };
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let zeros = length.len() > 1 && length.starts_with('0');
    let detail = match address.parse::<IpAddr>() {
        Err(_) => "must not have leading 0s in IP or prefix length",
        Ok(_) if zeros => "must not have leading 0s in IP or prefix length",
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => "must not have an IPv4-mapped IPv6 address",
        Ok(address) if address != cidr.network() => "must not have bits set beyond the prefix length",
        Ok(_) => return Vec::new(),
    };
    vec![field::invalid(path, text, detail)]
}

/// What to say of an accepted address that is written in an odd way.
pub fn ip_warnings(path: &Path, text: &str) -> Vec<String> {
    let Some(address) = parse_sloppy(text) else { return Vec::new() };
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() && v6.to_string() != text => {
            vec![format!(
                "{path}: IPv6 address {} should be in RFC 5952 canonical format ({})",
                quote(text),
                quote(&v6.to_string())
            )]
        }
        Ok(IpAddr::V4(_)) => Vec::new(),
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => Vec::new(),
        _ => vec![format!(
            "{path}: non-standard IP address {} is invalid: use {}",
            quote(text),
            quote(&address.to_string())
        )],
    }
}

/// What to say of an accepted network that is written in an odd way.
pub fn cidr_warnings(path: &Path, text: &str) -> Vec<String> {
    let Some(cidr) = Cidr::parse_sloppy(text) else { return Vec::new() };
    let mut warnings = Vec::new();
    if cidr.address != cidr.network() {
        let width = if cidr.address.is_ipv6() { 128 } else { 32 };
        warnings.push(format!(
            "{path}: CIDR value {} is ambiguous in this context (should be {} or {}?)",
            quote(text),
            quote(&cidr.display()),
            quote(&format!("{}/{width}", cidr.address))
        ));
    }
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let odd = match address.parse::<IpAddr>() {
        Err(_) => true,
        Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().is_some(),
        Ok(IpAddr::V4(_)) => false,
    };
    if odd || (length.len() > 1 && length.starts_with('0')) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {} is invalid: use {}",
            quote(text),
            quote(&cidr.display())
        ));
    }
    if warnings.is_empty() && cidr.address.is_ipv6() && format!("{}/{}", cidr.address, cidr.length) != text {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {} should be in RFC 5952 canonical format ({})",
            quote(text),
            quote(&format!("{}/{}", cidr.address, cidr.length))
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(errors: &Errors) -> Vec<&str> {
        errors.iter().map(|e| e.message.rsplit_once("\": ").map_or("", |(_, d)| d)).collect()
    }

    #[test]
    fn addresses_with_leading_zeros_or_mapped_are_refused() {
        let path = Path::new("ip");
        assert!(legacy_ip(&path, "10.0.0.1").is_empty() && legacy_ip(&path, "FE80::0abc").is_empty());
        assert_eq!(details(&legacy_ip(&path, "10.96.010.1")), ["must not have leading 0s"]);
        assert_eq!(details(&legacy_ip(&path, "::ffff:1.2.3.4")), ["must not be an IPv4-mapped IPv6 address"]);
        assert_eq!(legacy_ip(&path, "1.2.3").len(), 1);
    }

    #[test]
    fn networks_have_no_bits_beyond_their_prefix() {
        let path = Path::new("cidr");
        assert!(legacy_cidr(&path, "10.0.0.0/8").is_empty() && legacy_cidr(&path, "2001:db8::/64").is_empty());
        assert_eq!(details(&legacy_cidr(&path, "10.0.0.1/8")), ["must not have bits set beyond the prefix length"]);
        assert_eq!(
            details(&legacy_cidr(&path, "10.0.0.0/08")),
            ["must not have leading 0s in IP or prefix length"]
        );
        assert_eq!(legacy_cidr(&path, "10.0.0.0/33").len(), 1);
    }
}
