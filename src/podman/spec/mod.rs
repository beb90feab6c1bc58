//! Bodies of libpod's create calls, with the exact keys of `specgen` 4.3 and 5.x.
//!
//! Podman ignores unknown keys in silence, so each key here is held by a test.

mod container;
mod pod;
mod signal;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::runtime::LinuxResources;

pub use container::{BindMount, ContainerSpec, ImageVolume, NamedVolume, Resolved, container};
pub use pod::{PodSpec, pod};
pub use signal::signal_number;

/// A namespace: `{"nsmode":"host"}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Namespace {
    pub nsmode: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}

impl Namespace {
    fn host() -> Option<Self> {
        Some(Self { nsmode: "host", value: String::new() })
    }
}

/// Limits as the OCI runtime specification has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OciResources {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pids: Option<Pids>,
    #[serde(rename = "hugepageLimits", skip_serializing_if = "Vec::is_empty")]
    hugepage_limits: Vec<HugePages>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Cpu {
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Pids {
    limit: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct HugePages {
    #[serde(rename = "pageSize")]
    page_size: String,
    limit: u64,
}

/// `None` where nothing is limited.
pub fn resources(limits: &LinuxResources) -> Option<OciResources> {
    let cpu = Cpu { shares: limits.cpu_shares, quota: limits.cpu_quota, period: limits.cpu_period };
    let memory = Memory { limit: limits.memory_limit_bytes, swap: limits.memory_swap_bytes };
    let hugepages = limits.hugepage_limits.iter();
    let made = OciResources {
        cpu: (cpu != Cpu::default()).then_some(cpu),
        memory: (memory != Memory::default()).then_some(memory),
        pids: limits.pids_limit.map(|limit| Pids { limit }),
        hugepage_limits: hugepages.map(|(size, limit)| HugePages { page_size: size.clone(), limit: *limit }).collect(),
    };
    (made != OciResources::default()).then_some(made)
}

/// An empty map is left out of a body.
fn is_empty(map: &BTreeMap<String, String>) -> bool {
    map.is_empty()
}
