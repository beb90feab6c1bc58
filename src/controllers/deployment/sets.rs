//! A Deployment's ReplicaSets: the current one and the old ones.

use std::sync::Arc;

use serde_json::json;

use crate::api::{Json, Object};
use crate::controllers::resources::{dig, int};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
pub(super) const HASH: &str = "pod-template-hash";

/// A ReplicaSet with the size that this look has given it.
#[derive(Clone)]
pub(super) struct Set {
    pub object: Object,
}

impl Set {
    pub fn of(object: &Arc<Object>) -> Self {
        Set { object: object.as_ref().clone() }
    }

    pub fn name(&self) -> &str {
        self.object.name()
    }

    pub fn replicas(&self) -> i64 {
        dig(self.object.json(), &["spec", "replicas"]).as_i64().unwrap_or(1)
    }

    /// How many pods it has, by its own account.
    pub fn actual(&self) -> i64 {
        int(&self.object, &["status", "replicas"])
    }

    pub fn ready(&self) -> i64 {
        int(&self.object, &["status", "readyReplicas"])
    }

    pub fn available(&self) -> i64 {
        int(&self.object, &["status", "availableReplicas"])
    }

    /// The Deployment's size when this set was last sized.
    pub fn desired(&self) -> Option<i64> {
        self.object.annotation(DESIRED)?.parse::<i32>().ok().map(i64::from)
    }

    /// The Deployment's size with surge when this set was last sized.
    pub fn max(&self) -> Option<i64> {
        self.object.annotation(MAX)?.parse::<i32>().ok().map(i64::from)
    }

    pub fn revision(&self) -> i64 {
        self.object.annotation(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
    }

    /// Oldest first.
    pub fn age_key(&self) -> (Option<jiff::Timestamp>, String) {
        (self.object.creation_timestamp(), self.name().to_owned())
    }
}

/// Sets an annotation.
pub(super) fn annotate(object: &mut Object, name: &str, value: &str) {
    let annotations = &mut object.metadata_mut().entry("annotations").or_insert(Json::Null);
    if !annotations.is_object() {
        **annotations = json!({});
    }
    annotations[name] = json!(value);
}

/// The current ReplicaSet, if there is one, and the others, oldest first.
pub(super) struct Sets {
    pub new: Option<Set>,
    pub old: Vec<Set>,
}

impl Sets {
    /// The old ones, then the current one.
    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    pub fn replicas(&self) -> i64 {
        self.all().map(Set::replicas).sum()
    }

    pub fn available(&self) -> i64 {
        self.all().map(Set::available).sum()
    }
}
