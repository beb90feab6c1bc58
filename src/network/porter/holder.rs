//! Who has a port of this machine.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use crate::network::config::Protocol;

/// `/proc/net/tcp`: a socket that listens. `/proc/net/udp`: one that is bound and not connected.
const LISTENS: &str = "0A";
const BOUND: &str = "07";

/// The process that has a port, where this user may know: `nginx (process 4711)`.
pub fn holder(protocol: Protocol, at: SocketAddr) -> Option<String> {
    let (tables, state) = match protocol {
        Protocol::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], LISTENS),
        Protocol::Udp => (["/proc/net/udp", "/proc/net/udp6"], BOUND),
    };
    let inodes: Vec<String> =
        tables.iter().flat_map(|table| inodes_of(&fs::read_to_string(table).unwrap_or_default(), at, state)).collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes.filter(|p| p.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())) {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let has = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        if has.into_iter().any(|link| links.iter().any(|l| link.as_os_str() == l.as_str())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {})", name.trim(), process.file_name().to_string_lossy()));
        }
    }
    None
}

/// The inodes of the sockets at `at`, or at all addresses.
fn inodes_of(table: &str, at: SocketAddr, state: &str) -> Vec<String> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = columns.get(1)?.split_once(':')?;
        let same_port = u16::from_str_radix(port, 16).ok()? == at.port();
        let address = parse_address(address)?;
        let meets = address == at.ip() || address.is_unspecified() || at.ip().is_unspecified();
        (same_port && meets && columns.get(3) == Some(&state)).then(|| columns.get(9).map(|i| (*i).to_owned()))?
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// Addresses stand there as words of 32 bits in the machine's order of bytes.
fn parse_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len() / 8)
        .map(|n| u32::from_str_radix(text.get(n * 8..n * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match words[..] {
        [v4] => Some(IpAddr::from(v4)),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            let v6 = std::net::Ipv6Addr::from(bytes);
            Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let found = holder(Protocol::Tcp, at).expect("this process");
        assert!(found.ends_with(&format!("(process {})", std::process::id())), "{found}");
        let taken = crate::network::porter::taken(at.port()).expect("it is taken");
        assert!(taken.ends_with(&format!("(process {}) has it", std::process::id())), "{taken}");
        drop(listener);
        // A process that another test starts has all files of this one until it becomes its own program.
        let given_back = || crate::network::porter::taken(at.port()).is_none() && holder(Protocol::Tcp, at).is_none();
        let patience = std::time::Duration::from_millis(20);
        assert!((0..500).any(|_| given_back() || (std::thread::sleep(patience), false).1));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_socket_at_all_addresses_has_each_of_them() {
        let table = "heading\n 0: 00000000:1F90 00000000:0000 0A 0:0 0:0 0 0 0 42 1\n\
            1: 0100007F:1F90 00000000:0000 01 0:0 0:0 0 0 0 43 1\n\
            2: 00000000000000000000000000000000:1F90 0:0 0A 0:0 0:0 0 0 0 44 1\nbroken\n";
        let at = "127.0.0.1:8080".parse().expect("an address");
        assert_eq!(inodes_of(table, at, LISTENS), ["42", "44"]);
        assert_eq!(inodes_of(table, "127.0.0.1:81".parse().expect("an address"), LISTENS), [""; 0]);
    }
}
