//! The pods' network: which addresses it has, which of them each pod keeps for its life, and how this
//! process reaches into it.
//!
//! A network is a subnet whose lower half is the pods' and whose upper half is kept for Services.

mod cidr;
pub mod inside;
mod pod_ips;
mod routes;

pub use cidr::{Cidr, CidrError, PodSubnet, choose};
pub use pod_ips::{NoAddress, PodIps};
pub use routes::{parse_routes, routes};
