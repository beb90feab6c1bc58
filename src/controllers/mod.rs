//! Kubernetes' controllers as plain functions from objects to the next writes. No I/O, no clock, no queue.
//!
//! A controller looks at a snapshot and one object of its kind and answers with the *next safe step*;
//! after the step is committed it is asked again. What it answers when nothing is to be done is an
//! empty decision. Time comes in as `now`; what has to happen later goes out as `wake_at`.

mod accounts;
mod aggregation;
mod conditions;
mod config_changes;
mod cronjob;
mod daemonset;
mod decision;
mod deployment;
mod disruption;
mod garbage;
mod history;
mod job;
mod names;
mod namespace;
mod node_taints;
mod ownership;
mod pod_gc;
mod pods;
mod quantities;
mod replicaset;
mod resources;
mod selection;
mod services;
mod statefulset;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod volumes;

use jiff::Timestamp;

pub use config_changes::{has_opted_in as rolls_on_config_change, reads};

use crate::api::{Json, Key, Object, Status};
use crate::state::{Change, State};

/// What one look decided.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// In order; the engine commits them one after the other and stops at the first that is refused.
    pub writes: Vec<Write>,
    /// Look again then, even if nothing changes.
    pub wake_at: Option<Timestamp>,
}

/// One write through the registry, and why.
#[derive(Clone, Debug)]
pub enum Write {
    Create {
        object: Object,
    },
    /// PUT; with a `resourceVersion` in the object, only if it is still that.
    Update {
        object: Object,
    },
    UpdateStatus {
        object: Object,
    },
    /// PUT of a namespace's own finalizers.
    Finalize {
        object: Object,
    },
    /// JSON merge patch.
    Patch {
        key: Key,
        subresource: Option<&'static str>,
        patch: Json,
    },
    Delete {
        key: Key,
        uid: Option<String>,
        propagation: Option<Propagation>,
        grace_seconds: Option<i64>,
    },
    /// An Event about an object; equal ones are counted, not repeated.
    Event(EventNote),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// What an Event says.
#[derive(Clone, Debug, PartialEq)]
pub struct EventNote {
    /// The object it is about (as an ObjectReference tree: apiVersion, kind, namespace, name, uid, fieldPath).
    pub regarding: Json,
    pub kind: EventKind,
    pub reason: String,
    pub message: String,
    /// `deployment-controller`, `replicaset-controller`, `kubelet` …
    pub component: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Normal,
    Warning,
}

/// A controller of one kind.
pub trait Controller: Send + Sync {
    /// As its user agent names it: `deployment-controller`.
    fn name(&self) -> &'static str;
    /// Which keys to look at when `changed` has changed (itself, its owner, what selects it …).
    fn wakes(&self, state: &State, change: &Change) -> Vec<Key>;
    fn reconcile(&self, state: &State, key: &Key, context: &mut Context<'_>) -> Decision;
    /// What to write because `write`, decided for `key`, was refused: a condition, an Event.
    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, context: &mut Context<'_>) -> Decision {
        let _ = (state, key, write, why, context);
        Decision::default()
    }
}

/// What a look may know besides the objects.
pub struct Context<'a> {
    pub now: Timestamp,
    pub random: &'a mut dyn crate::api::Random,
}

/// Every controller there is, in a fixed order; the engine and the plan run the same ones.
pub fn all() -> Vec<Box<dyn Controller>> {
    let mut all = of_the_manager();
    all.retain(|controller| !["persistent-volume-binder", "namespace-controller"].contains(&controller.name()));
    all.push(Box::new(volumes::Binder::with_volumes_of_the_machine()));
    all.push(Box::new(namespace::NamespaceController::at_once()));
    all.push(Box::new(node_taints::NodeTaints));
    all.push(Box::new(config_changes::ConfigChanges));
    all
}

/// Those of Kubernetes' controller manager but for what taints nodes, doing no more than it does: nothing makes volumes for
/// claims, and namespaces are emptied in its time.
pub fn of_the_manager() -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(deployment::DeploymentController),
        Box::new(replicaset::ReplicaSetController::new(replicaset::Flavor::ReplicaSet)),
        Box::new(replicaset::ReplicaSetController::new(replicaset::Flavor::ReplicationController)),
        Box::new(statefulset::StatefulSetController),
        Box::new(daemonset::DaemonSetController::default()),
        Box::new(job::JobController::default()),
        Box::new(job::TtlAfterFinished),
        Box::new(cronjob::CronJobController::default()),
        Box::new(services::EndpointsController::default()),
        Box::new(services::EndpointSliceController::default()),
        Box::new(services::MirroringController),
        Box::new(disruption::DisruptionController),
        Box::new(namespace::NamespaceController::new()),
        Box::new(volumes::Binder::new()),
        Box::new(volumes::EphemeralVolumes),
        Box::new(volumes::ClaimProtection),
        Box::new(volumes::VolumeProtection),
        Box::new(garbage::GarbageCollector),
        Box::new(pod_gc::PodGarbageCollector::default()),
        Box::new(aggregation::Aggregation),
    ]
}

pub use accounts::authority;

/// What makes the accounts of every namespace; the API server's own side, so not one of [`all`].
pub fn accounts() -> Box<dyn Controller> {
    Box::new(accounts::Accounts)
}

/// Everything that acts on objects in a running server.
pub fn of_a_server() -> Vec<Box<dyn Controller>> {
    let mut all = all();
    all.push(accounts());
    all
}

/// Everything whose work a plan foretells: all but what the clock alone sets off.
pub fn of_a_plan() -> Vec<Box<dyn Controller>> {
    let by_the_clock = ["cronjob-controller", "ttl-after-finished-controller", "pod-garbage-collector"];
    let mut all = of_a_server();
    all.retain(|controller| !by_the_clock.contains(&controller.name()));
    all
}
