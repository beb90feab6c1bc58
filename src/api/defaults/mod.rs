//! What Kubernetes fills in where a manifest is silent.

pub mod autoscaling;
pub mod batch;
pub mod claims;
pub mod cluster;
pub mod kinds;
pub mod networking;
pub mod pod;
pub mod rbac;
pub mod service;
pub mod workloads;

use super::{Gvk, Json};

/// Fills the defaults of a kind into the tree, as the API server does after decoding. Idempotent.
pub fn fill(gvk: &Gvk, tree: &mut Json) {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::fill_pod(tree),
        _ => kinds::fill(gvk, tree),
    }
}
