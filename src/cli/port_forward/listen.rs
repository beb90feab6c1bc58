//! Where connections are taken. Source: k8s.io/client-go/tools/portforward/portforward.go: parseAddresses, listenOnPort.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use super::ports::Forward;
use crate::cli::CliError;

/// An address, and whether it is one of the two that `localhost` means: one of those is enough.
pub type Address = (IpAddr, bool);

/// Sockets of one forwarded port.
pub struct Listening(Vec<TcpListener>);

impl Listening {
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok())
    }

    pub fn into_listeners(self) -> Vec<TcpListener> {
        self.0
    }
}

/// Reads `--address`.
pub fn addresses(texts: &[String]) -> Result<Vec<Address>, CliError> {
    let mut addresses: Vec<Address> = Vec::new();
    for text in texts {
        let more: Vec<Address> = match text.as_str() {
            "localhost" => vec![(Ipv4Addr::LOCALHOST.into(), true), (Ipv6Addr::LOCALHOST.into(), true)],
            text => match text.parse() {
                Ok(ip) => vec![(ip, false)],
                Err(_) => return Err(CliError::message(format!("{text} is not a valid IP"))),
            },
        };
        for (ip, eases) in more {
            match addresses.iter_mut().find(|(known, _)| *known == ip) {
                // Asked for by itself, it must be had.
                Some((_, known)) => *known &= eases,
                None => addresses.push((ip, eases)),
            }
        }
    }
    if addresses.is_empty() {
        return Err(CliError::message("you must specify at least 1 address"));
    }
    Ok(addresses)
}

/// Listens on all the addresses, on one port.
pub async fn on(addresses: &[Address], forward: &Forward) -> Result<Listening, String> {
    let mut listeners = Vec::new();
    let mut errors = Vec::new();
    let (mut eased, mut fatal) = (false, false);
    let mut port = forward.local;
    for (ip, eases) in addresses {
        match TcpListener::bind(SocketAddr::new(*ip, port)).await {
            Ok(listener) => {
                eased |= eases;
                // Where any port does, it is the same one on every address.
                if port == 0 {
                    port = listener.local_addr().map_or(0, |address| address.port());
                }
                listeners.push(listener);
            }
            Err(error) => {
                fatal |= !eases;
                errors.push(format!("unable to create listener: Error listen on {}: {error}", SocketAddr::new(*ip, port)));
            }
        }
    }
    let all_eases_failed = !eased && addresses.iter().any(|(_, eases)| *eases);
    if fatal || all_eases_failed {
        return Err(format!("Listeners failed to create with the following errors: [{}]", errors.join(" ")));
    }
    Ok(Listening(listeners))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ips_or_localhost() {
        let of = |texts: &[&str]| addresses(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let loopback: Address = (Ipv4Addr::LOCALHOST.into(), true);
        assert_eq!(of(&["localhost"]).ok(), Some(vec![loopback, (Ipv6Addr::LOCALHOST.into(), true)]));
        assert_eq!(of(&["localhost", "127.0.0.1"]).ok().map(|a| a[0]), Some((Ipv4Addr::LOCALHOST.into(), false)));
        assert_eq!(of(&["example"]).map_err(|e| e.text()), Err("example is not a valid IP".into()));
    }
}
