//! What controllers ask of pods. Source of the rules: pkg/api/v1/pod/util.go and
//! pkg/controller/controller_utils.go.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use serde_json::json;

use super::conditions::after;
use super::names::generated;
use super::ownership::controller_ref;
use super::resources::dig;
use crate::api::{Json, Object, Random};

/// A pod as the API keeps it, and its typed view.
#[derive(Clone)]
pub(super) struct PodView {
    pub object: Arc<Object>,
    pub pod: Arc<Pod>,
}

impl std::ops::Deref for PodView {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

impl PodView {
    /// `None` for an object that is no readable pod.
    pub fn of(object: &Arc<Object>) -> Option<Self> {
        Some(PodView { object: object.clone(), pod: object.typed::<Pod>().ok()? })
    }

    pub fn phase(&self) -> &str {
        self.pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("")
    }

    pub fn node(&self) -> &str {
        self.pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("")
    }

    pub fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// Neither ended nor being deleted.
    pub fn is_active(&self) -> bool {
        !self.has_ended() && !self.is_deleting()
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|c| c.status == "True")
    }

    /// Since when it is ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        let ready = self.condition("Ready").filter(|c| c.status == "True")?;
        ready.last_transition_time.as_ref().map(|t| t.0)
    }

    /// Ready for at least `min_ready` seconds.
    pub fn is_available(&self, min_ready: i64, now: Timestamp) -> bool {
        self.is_ready()
            && (min_ready == 0
                || self.ready_since().is_some_and(|at| after(at, min_ready) < now))
    }

    pub fn container_statuses(&self) -> &[ContainerStatus] {
        self.pod.status.as_ref().and_then(|s| s.container_statuses.as_deref()).unwrap_or(&[])
    }

    /// The most restarts of an ordinary container, and of a sidecar.
    pub fn most_restarts(&self) -> (i32, i32) {
        let ordinary = self.container_statuses().iter().map(|c| c.restart_count).max().unwrap_or(0);
        let init = self.pod.spec.as_ref().and_then(|s| s.init_containers.as_deref()).unwrap_or(&[]);
        let is_sidecar =
            |name: &str| init.iter().any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"));
        let sidecars = self.init_container_statuses().iter().filter(|c| is_sidecar(&c.name));
        (ordinary, sidecars.map(|c| c.restart_count).max().unwrap_or(0))
    }

    pub fn init_container_statuses(&self) -> &[ContainerStatus] {
        self.pod.status.as_ref().and_then(|s| s.init_container_statuses.as_deref()).unwrap_or(&[])
    }
}

/// The pods among some objects.
pub(super) fn views<'a>(objects: impl IntoIterator<Item = &'a Arc<Object>>) -> Vec<PodView> {
    objects.into_iter().filter_map(PodView::of).collect()
}

/// When the first of the ready pods that are not yet available will be; a second is added against
/// times that were cut to whole seconds.
pub(super) fn next_available_at(pods: &[PodView], min_ready: i64, now: Timestamp) -> Option<Timestamp> {
    if min_ready == 0 {
        return None;
    }
    let waiting = pods.iter().filter(|p| p.is_ready() && !p.is_available(min_ready, now));
    waiting.filter_map(|p| p.ready_since()).map(|at| after(at, min_ready.saturating_add(1))).min()
}

/// A pod by a template, controlled by `owner`, with a random ending to its name.
pub(super) fn from_template(owner: &Object, template: &Json, random: &mut dyn Random) -> Object {
    let base = format!("{}-", owner.name());
    let mut pod = named_from_template(owner, template, &generated(&base, random));
    pod.metadata_mut().insert("generateName".into(), json!(base));
    pod
}

/// A pod by a template, controlled by `owner`, with a given name.
pub(super) fn named_from_template(owner: &Object, template: &Json, name: &str) -> Object {
    let mut metadata = json!({
        "name": name,
        "namespace": owner.namespace(),
        "ownerReferences": [controller_ref(owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        let value = dig(template, &["metadata", field]);
        if !value.is_null() {
            metadata[field] = value.clone();
        }
    }
    Object::new(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": dig(template, &["spec"]),
    }))
}
