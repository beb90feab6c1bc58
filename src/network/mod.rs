//! The pods' network: how this process reaches into it.

pub mod inside;
