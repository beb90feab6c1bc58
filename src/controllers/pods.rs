//! What controllers ask of pods. Source of the rules: pkg/api/v1/pod/util.go and
//! pkg/controller/controller_utils.go.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodSpec, PodStatus};
use serde_json::json;

use super::conditions::after;
use super::names::generated;
use super::ownership::controller_ref;
use super::resources::dig;
use crate::api::digest::{Phase, PodDigest, PodFacts};
use crate::api::selector::LabelSelector;
use crate::api::{Json, Object, Random};
use crate::state::Dependent;

/// A pod as the API keeps it, with what is asked of it most often at hand: the names here come before the object's own.
#[derive(Clone, Copy)]
pub(super) struct PodView<'s> {
    pub object: &'s Arc<Object>,
    pub facts: PodFacts,
    answers: u8,
}

/// What a look asks of the name and the labels of each of its owner's pods. It asks the same at each look, so the answers stay
/// with a pod until that changes.
pub(super) struct Questions<F> {
    /// Tells what is asked from what may have been asked before.
    id: u64,
    ask: F,
}

impl<F: Fn(&PodDigest) -> [bool; N], const N: usize> Questions<F> {
    /// `ask` gives at most eight answers, the first of them whether the pod is one of the owner's. They depend on the pod and on
    /// `given`, on nothing else.
    pub fn new(given: &[&dyn std::fmt::Display], ask: F) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        given.iter().for_each(|part| part.to_string().hash(&mut hasher));
        Questions { id: hasher.finish(), ask }
    }

    fn put(&self, pod: &Object) -> u8 {
        (self.ask)(pod.pod_digest()).iter().enumerate().fold(0, |all, (at, yes)| all | u8::from(*yes) << at)
    }

    /// A pod with what is answered.
    pub fn seen<'s>(&self, object: &'s Arc<Object>, owned: Option<&'s Dependent>) -> PodView<'s> {
        match owned {
            Some(owned) => PodView {
                object,
                facts: owned.facts(),
                answers: owned.answers(self.id, |pod| self.put(pod)),
            },
            None => PodView { answers: self.put(object), ..PodView::of(object) },
        }
    }
}

impl std::ops::Deref for PodView<'_> {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.object
    }
}

impl<'s> PodView<'s> {
    pub fn of(object: &'s Arc<Object>) -> Self {
        PodView { object, facts: object.pod_digest().facts, answers: 0 }
    }

    /// The answer to one of the [`Questions`] that it was seen with.
    pub fn answer(&self, number: usize) -> bool {
        self.answers >> number & 1 == 1
    }

    /// The first of the answers.
    pub fn is_owners(&self) -> bool {
        self.answer(0)
    }

    pub fn name(&self) -> &'s str {
        self.object.pod_digest().name()
    }

    pub fn label(&self, key: &str) -> Option<&'s str> {
        self.object.pod_digest().label(key)
    }

    pub fn is_selected_by(&self, selector: &LabelSelector) -> bool {
        self.object.pod_digest().is_selected_by(selector)
    }

    /// Its index in an Indexed Job.
    pub fn index(&self) -> Option<usize> {
        self.facts.index.get()
    }

    pub fn phase(&self) -> Phase {
        self.facts.phase
    }

    pub fn is_deleting(&self) -> bool {
        self.facts.is_deleting
    }

    pub fn node(&self) -> &'s str {
        self.object.str_at("/spec/nodeName").unwrap_or("")
    }

    fn spec(&self) -> Option<&'s PodSpec> {
        self.object.typed_ref::<Pod>()?.spec.as_ref()
    }

    fn status(&self) -> Option<&'s PodStatus> {
        self.object.typed_ref::<Pod>()?.status.as_ref()
    }

    pub fn conditions(&self) -> &'s [PodCondition] {
        self.status().and_then(|s| s.conditions.as_deref()).unwrap_or(&[])
    }

    pub fn condition(&self, kind: &str) -> Option<&'s PodCondition> {
        self.conditions().iter().find(|c| c.type_ == kind)
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.phase(), Phase::Succeeded | Phase::Failed)
    }

    /// Neither ended nor being deleted.
    pub fn is_active(&self) -> bool {
        !self.has_ended() && !self.is_deleting()
    }

    pub fn is_ready(&self) -> bool {
        self.facts.is_ready
    }

    /// Since when it is ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        self.facts.ready_since.get()
    }

    /// Ready for at least `min_ready` seconds.
    pub fn is_available(&self, min_ready: i64, now: Timestamp) -> bool {
        self.is_ready()
            && (min_ready == 0
                || self.ready_since().is_some_and(|at| after(at, min_ready) < now))
    }

    pub fn container_statuses(&self) -> &'s [ContainerStatus] {
        self.status().and_then(|s| s.container_statuses.as_deref()).unwrap_or(&[])
    }

    pub fn init_container_statuses(&self) -> &'s [ContainerStatus] {
        self.status().and_then(|s| s.init_container_statuses.as_deref()).unwrap_or(&[])
    }

    /// What is told of the sidecars.
    pub fn sidecar_statuses(&self) -> impl Iterator<Item = &'s ContainerStatus> + use<'s> {
        let init = self.spec().and_then(|s| s.init_containers.as_deref()).unwrap_or(&[]);
        let is_sidecar =
            |name: &str| init.iter().any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"));
        self.init_container_statuses().iter().filter(move |status| is_sidecar(&status.name))
    }

    /// The most restarts of an ordinary container, and of a sidecar.
    pub fn most_restarts(&self) -> (i32, i32) {
        let ordinary = self.container_statuses().iter().map(|c| c.restart_count).max().unwrap_or(0);
        (ordinary, self.sidecar_statuses().map(|c| c.restart_count).max().unwrap_or(0))
    }
}

/// When the first of the ready pods that are not yet available will be; a second is added against
/// times that were cut to whole seconds.
pub(super) fn next_available_at<'p, 's: 'p>(
    pods: impl IntoIterator<Item = &'p PodView<'s>>,
    min_ready: i64,
    now: Timestamp,
) -> Option<Timestamp> {
    if min_ready == 0 {
        return None;
    }
    let waiting = pods.into_iter().filter(|p| p.is_ready() && !p.is_available(min_ready, now));
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
