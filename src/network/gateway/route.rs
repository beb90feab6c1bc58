//! The gateway's one route: every address of the Services is its own ("AnyIP").

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::network::Cidr;

// linux/netlink.h, linux/rtnetlink.h
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
/// `lo` is the first interface of every network namespace.
const LOOPBACK: u32 = 1;
const AF_INET: u8 = 2;
/// Length of nlmsghdr.
const HEADER: usize = 16;

/// `ip route replace local RANGE dev lo`, in this process's network namespace.
pub fn add_local_route(range: Cidr) -> io::Result<()> {
    // Of the netlink protocols, the one about routes is number 0, the default.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    rustix::net::sendto(&socket, &message(range.base(), range.prefix()), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0u8; 1024];
    let (count, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let code = answered(answer.get(..count).unwrap_or_default())?;
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
}

fn message(base: Ipv4Addr, prefix: u8) -> Vec<u8> {
    let mut body = vec![AF_INET, prefix, 0, 0, RT_TABLE_LOCAL, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL];
    body.extend(0u32.to_ne_bytes());
    for (kind, value) in [(RTA_DST, base.octets()), (RTA_OIF, LOOPBACK.to_ne_bytes())] {
        body.extend(8u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
    }
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(RTM_NEWROUTE.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE).to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend(body);
    message
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
        let made = message(Ipv4Addr::new(10, 1, 128, 0), 17);
        assert_eq!(made.len(), 16 + 12 + 2 * 8);
        assert_eq!(made[..4], u32::try_from(made.len()).expect("short").to_ne_bytes());
        assert_eq!(&made[16..24], [2, 17, 0, 0, 255, 4, 254, 2]);
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
