//! The pods' network: which addresses it has, which of them each pod keeps for its life, and how this
//! process reaches into it.
//!
//! A network is a subnet whose lower half is the pods' and whose upper half is the Services'; where the machine speaks IPv6,
//! it has one of either family. A gateway in a pod of its own answers for the upper halves.

mod cidr;
mod compile;
mod compile_ingress;
mod config;
pub mod dns;
pub mod gateway;
pub mod image;
pub mod ingress;
pub mod inside;
pub mod libc_names;
mod pod_ips;
pub mod porter;
pub mod proxy;
mod routes;

pub use cidr::{Cidr, CidrError, PodSubnet, choose, choose_v6, parse_pair};
pub use compile::{Publish, compile, concerns};
pub use config::{GatewayConfig, ServiceConfig, ServicePort};
pub use pod_ips::PodIps;
pub use routes::{has_ipv6, routes};

/// When this process was started as one of the network's own, does its work and says how to exit.
pub fn serve_if_called() -> Option<std::process::ExitCode> {
    inside::serve_if_called().or_else(gateway::serve_if_called).or_else(porter::serve_if_called)
}
