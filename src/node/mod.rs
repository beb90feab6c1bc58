//! The kubelet's half of one pod, as a plain function: what should be and what runs, to what to do next.
//!
//! [`sync_pod`] looks at the Pod, at what the runtime has of it and at what this process remembers of
//! it ([`PodMemory`]: back-offs, failed tries, an end under way), and answers with the next steps, the
//! whole status, events and the time of the next look. [`PodMemory::record`] takes in how a step went.
//! Source of the rules: k8s.io/kubernetes/pkg/kubelet (1.32 to 1.36).

mod backoff;
mod conditions;
mod container;
mod ending;
mod env;
mod eviction;
mod expansion;
mod fields;
mod finish;
mod hooks;
mod hosts;
mod identity;
mod images;
mod lost;
mod memory;
mod observed;
mod phase;
mod plan;
pub mod pressure;
pub mod probe;
mod record;
pub mod resize;
mod resources;
mod sandbox;
mod security;
mod start;
pub mod statics;
mod status;
mod sync;
mod tokens;
mod volumes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;

use crate::runtime::{Action, DnsConfig, Machine};
use crate::state::State;

pub use backoff::Backoff;
pub use ending::KILL;
pub use eviction::{Eviction, evict};
pub use hooks::HookCall;
#[cfg(test)]
pub use hooks::HookKind;
pub use hosts::node_addresses;
pub use images::normalise;
pub use memory::PodMemory;
pub use observed::{all_ended, apply};
pub use sync::sync_pod;
pub use tokens::{tokens_needed, TokenNeed, Tokens};
pub use volumes::objects_used;

/// How this node was started.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    pub node_name: String,
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    /// The ranges of pods' addresses, that of the first family first; none where the runtime chooses.
    pub pod_cidrs: Vec<String>,
    /// The resolver that `dnsPolicy: Default` gives to pods.
    pub resolver: DnsConfig,
    /// What pods may use of the node: thousandths of CPUs, bytes.
    pub allocatable_milli_cpu: i64,
    pub allocatable_memory: i64,
    pub allocatable_storage: i64,
    /// Sysctls allowed besides the safe ones (`kernel.msg*`).
    pub unsafe_sysctls: Vec<String>,
    /// From when on something is too little.
    pub pressure: pressure::PressureConfig,
}

/// What a look may know besides the pod.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// For ConfigMaps, Secrets, Services.
    pub state: &'a State,
    pub machine: &'a Machine,
    pub config: &'a NodeConfig,
    pub now: Timestamp,
    /// Addresses set apart for this pod; empty: the runtime chooses.
    pub addresses: &'a [IpAddr],
    /// Tokens of the pod's service account that were asked for.
    pub tokens: &'a Tokens,
    /// Why this node does not take the pod, if it does not: asked once, before the first status.
    pub refusal: Option<&'a Refusal>,
}

/// A pod that the node does not take.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// `OutOfcpu`, `NodeAffinity`, `NodePorts` …
    pub reason: String,
    pub message: String,
}

/// What one look decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeDecision {
    /// May run side by side. Those that are not [`Step::quick`] hold the next ones back.
    pub steps: Vec<Step>,
    /// The whole status as it should be in the API.
    pub status: PodStatus,
    pub events: Vec<PodEvent>,
    /// Lifecycle hooks to run beside the steps.
    pub hooks: Vec<HookCall>,
    /// Look again then, even if nothing changes.
    pub wake_at: Option<Timestamp>,
    /// What the engine has to do about the API's object after the steps.
    pub then: Then,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    #[default]
    GoOn,
    /// Everything of the pod is gone: delete the object with grace 0, by its uid.
    Finalize,
}

/// One action and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub action: Action,
    pub reason: String,
}

impl Step {
    pub(crate) fn new(action: Action, reason: impl Into<String>) -> Self {
        Step { action, reason: reason.into() }
    }

    /// Whether it runs beside the pod's one line of work (signals, clean-up and measures do).
    pub fn quick(&self) -> bool {
        matches!(
            self.action,
            Action::SignalContainer { .. }
                | Action::RemoveContainer { .. }
                | Action::ResumeContainer { .. }
                | Action::MeasureStorage { .. }
        )
    }
}

/// An Event about a pod or one of its containers, from `kubelet`.
#[derive(Clone, Debug, PartialEq)]
pub struct PodEvent {
    pub warning: bool,
    pub reason: Cow<'static, str>,
    pub message: String,
    /// `spec.containers{c}`, or empty for the pod itself.
    pub field_path: String,
    /// Of the Event itself.
    pub annotations: BTreeMap<String, String>,
}

impl PodEvent {
    pub(crate) fn normal(reason: impl Into<Cow<'static, str>>, message: impl Into<String>, field_path: impl Into<String>) -> Self {
        Self::of(false, reason.into(), message.into(), field_path.into())
    }

    pub(crate) fn warning(reason: impl Into<Cow<'static, str>>, message: impl Into<String>, field_path: impl Into<String>) -> Self {
        Self::of(true, reason.into(), message.into(), field_path.into())
    }

    fn of(warning: bool, reason: Cow<'static, str>, message: String, field_path: String) -> Self {
        PodEvent { warning, reason, message, field_path, annotations: BTreeMap::new() }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
