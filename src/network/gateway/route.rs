//! How the gateway's network namespace comes to answer for the Services' addresses.
//!
//! For IPv4 one route makes a whole range its own ("AnyIP"), and ARP is answered by it. Neighbour discovery is not: of IPv6, only
//! addresses that an interface has are answered for (net/ipv6/ndisc.c: ndisc_recv_ns), so each one in use is given to it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use rustix::fd::OwnedFd;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::network::{Cidr, routes};

// linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_REPLACE: u16 = 0x100;
const NLMSG_ERROR: u16 = 2;
const RT_TABLE_LOCAL: u8 = 255;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
/// Nobody else in this network has the address: it is used at once.
const IFA_F_NODAD: u8 = 2;
const FOREVER: u32 = u32::MAX;
/// `lo` is the first interface of every network namespace.
const LOOPBACK: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Length of nlmsghdr.
const HEADER: usize = 16;

/// `ip route replace local RANGE dev lo`, in this process's network namespace; a range of IPv4.
pub fn add_local_route(range: Cidr) -> io::Result<()> {
    let IpAddr::V4(base) = range.base() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a route does not make addresses of IPv6 answered for"));
    };
    let body = vec![AF_INET, range.prefix(), 0, 0, RT_TABLE_LOCAL, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL];
    let body = [body, vec![0; 4], attribute(RTA_DST, &base.octets()), attribute(RTA_OIF, &LOOPBACK.to_ne_bytes())].concat();
    Netlink::open()?.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body)
}

/// Of the addresses of `range`, the interface with the address `own` has exactly those that are `wanted` from now on; in
/// this process's network namespace.
pub fn hold_addresses(own: Ipv6Addr, range: Cidr, wanted: &BTreeSet<Ipv6Addr>) -> io::Result<()> {
    let there = routes::addresses_v6();
    let lacks = || io::Error::new(io::ErrorKind::NotFound, format!("no interface has the address {own}"));
    let index = there.iter().find(|held| held.address == own).map(|held| held.index).ok_or_else(lacks)?;
    let held: BTreeSet<Ipv6Addr> =
        there.iter().filter(|h| h.index == index && h.address != own && range.contains(h.address)).map(|h| h.address).collect();
    let netlink = Netlink::open()?;
    for address in wanted.difference(&held) {
        netlink.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &address_body(index, *address))?;
    }
    for address in held.difference(wanted) {
        netlink.ask(RTM_DELADDR, 0, &address_body(index, *address))?;
    }
    Ok(())
}

/// An address for as long as it is not taken away. It is "deprecated" from the start: connections that begin here go out from
/// the interface's own one.
fn address_body(index: u32, address: Ipv6Addr) -> Vec<u8> {
    let head = [AF_INET6, 128, IFA_F_NODAD, 0];
    let lifetimes: Vec<u8> = [0, FOREVER, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
    [&head[..], &index.to_ne_bytes(), &attribute(IFA_LOCAL, &address.octets()), &attribute(IFA_CACHEINFO, &lifetimes)].concat()
}

/// Length, kind, value; values of a multiple of four bytes need no filling.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let (sequence, sender) = (1u32.to_ne_bytes(), 0u32.to_ne_bytes());
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence, &sender, body].concat()
}

struct Netlink(OwnedFd);

impl Netlink {
    fn open() -> io::Result<Self> {
        // Of the netlink protocols, the one about routes is number 0, the default.
        let made = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Netlink(made))
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let to = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.0, &message(kind, flags, body), SendFlags::empty(), &to)?;
        let mut answer = [0u8; 1024];
        let (count, _) = rustix::net::recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        let code = answered(answer.get(..count).unwrap_or_default())?;
        if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
    }
}

/// The code of an acknowledgement: 0, or an error as the kernel counts them.
fn answered(answer: &[u8]) -> io::Result<i32> {
    let strange = || io::Error::other("the kernel's answer about a route is not understood");
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes).ok_or_else(strange)?;
    if kind != NLMSG_ERROR {
        return Err(strange());
    }
    answer.get(HEADER..HEADER + 4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes).ok_or_else(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_length_it_names() {
        let body = address_body(7, "fd00::8001".parse().expect("an address"));
        assert_eq!(body.len(), 8 + 20 + 20);
        assert_eq!(&body[..4], [10, 128, 2, 0]);
        let made = message(RTM_NEWADDR, NLM_F_CREATE, &body);
        assert_eq!(made[..4], u32::try_from(made.len()).expect("short").to_ne_bytes());
        assert_eq!(made[6..8], 0x405u16.to_ne_bytes());
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        assert!(answered(&[]).is_err());
        assert!(answered(&[0; 40]).is_err());
        let mut good = [0u8; 20];
        good[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        good[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        assert_eq!(answered(&good).expect("a code"), -17);
    }
}
