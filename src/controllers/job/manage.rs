//! As many pods as are wanted now: which are made, which go.

use std::cmp::Reverse;

use serde_json::json;

use super::backoff::{self, Record};
use super::indexes;
use super::sync::{INDEX_FAILURES, INDEX_IGNORED, Sync, number};
use super::{COMPONENT, FINALIZER, policy, without_finalizer};
use crate::api::digest::Phase;
use crate::api::{Object, Random};
use crate::controllers::names::generated;
use crate::controllers::pods::{PodView, named_from_template};
use crate::controllers::resources::{PODS, dig, key_of};

/// Most pods made or deleted in one look. Source: MaxPodCreateDeletePerSync.
const BURST: usize = 500;

impl<'s> Sync<'s> {
    /// Deletes what still runs when the Job is at its end; the pods are counted before they may go.
    pub(super) fn delete_active(&mut self) {
        let mut active: Vec<PodView<'_>> = self.active().copied().collect();
        active.sort_by_key(|pod| pod.facts.created_at);
        active.iter().for_each(|pod| self.delete(pod));
    }

    fn delete(&mut self, pod: &PodView<'_>) {
        self.decision.delete(key_of(&PODS, pod), pod);
        self.decision.normal(COMPONENT, self.object, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        self.counts.active -= 1;
        self.counts.terminating += 1;
        self.counts.ready -= usize::from(pod.is_ready());
    }

    pub(super) fn manage(&mut self, record: &mut Record, names: Option<&mut dyn Random>) {
        let wanted = self.wanted();
        let surplus = self.counts.active.saturating_sub(wanted);
        let victims = self.victims(surplus);
        if !victims.is_empty() {
            for pod in victims.iter().filter(|pod| pod.facts.is_tracked) {
                self.decision.patch(key_of(&PODS, pod), without_finalizer(pod));
            }
            victims.iter().for_each(|pod| self.delete(pod));
            return;
        }
        let ending = if policy::replaces_only_failed(self.spec) { self.counts.terminating } else { 0 };
        let lacking = wanted.saturating_sub(ending + self.counts.active).min(BURST);
        if lacking == 0 || self.is_suspended() {
            return;
        }
        if self.spec.backoff_limit_per_index.is_none() {
            let due = record.due_at();
            if due > self.now {
                self.decision.wake(due);
                // What runs is not told while the next pod is waited for, as in Kubernetes.
                self.counts.active = 0;
                return;
            }
        }
        let Some(names) = names else { return };
        if self.is_indexed() {
            for index in self.indexes_to_make(lacking) {
                self.make(Some(index), names);
            }
        } else {
            (0..lacking).for_each(|_| self.make(None, names));
        }
    }

    /// How many pods should run.
    fn wanted(&self) -> usize {
        let parallelism = self.spec.parallelism.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
        if self.is_suspended() {
            return 0;
        }
        match self.spec.completions {
            None if self.counts.succeeded > 0 => self.counts.active,
            None => parallelism,
            Some(_) => self.completions().saturating_sub(self.counts.succeeded).min(parallelism),
        }
    }

    /// At least `count` active pods to remove: first those whose index is taken twice or does not exist.
    fn victims(&self, count: usize) -> Vec<PodView<'s>> {
        if count == 0 && !(self.is_indexed() && self.has_superfluous_indexes()) {
            return Vec::new();
        }
        let mut left: Vec<PodView<'_>> = self.active().copied().collect();
        left.sort_by_cached_key(usefulness);
        let mut gone = Vec::new();
        if self.is_indexed() {
            let mut held = std::collections::HashSet::new();
            let (kept, superfluous): (Vec<_>, Vec<_>) =
                left.into_iter().rev().partition(|pod| self.valid_index(pod).is_some_and(|index| held.insert(index)));
            gone = superfluous;
            gone.sort_by_key(|pod| pod.facts.index);
            left = kept;
            left.reverse();
        }
        let more = count.saturating_sub(gone.len());
        gone.extend(left.into_iter().take(more));
        gone.truncate(if self.is_suspended() { usize::MAX } else { BURST });
        gone
    }

    /// Whether an index of an active pod is taken twice or does not exist.
    fn has_superfluous_indexes(&self) -> bool {
        let mut held: Vec<Option<usize>> = self.active().map(|pod| self.valid_index(pod)).collect();
        held.sort_unstable();
        held.first() == Some(&None) || held.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The lowest free indexes whose pause is over; otherwise the next look is when the first one is.
    fn indexes_to_make(&mut self, lacking: usize) -> Vec<usize> {
        let mut taken = self.succeeded_indexes.with(self.active().filter_map(PodView::index));
        if policy::replaces_only_failed(self.spec) {
            let ending = self.pods.iter().filter(|pod| pod.is_deleting() && !pod.has_ended());
            taken = taken.with(ending.filter_map(PodView::index));
        }
        if let Some(failed) = &self.failed_indexes {
            taken = taken.merged(failed);
        }
        let free = taken.missing(lacking, self.completions());
        if self.spec.backoff_limit_per_index.is_none() {
            return free;
        }
        let due = |index: &usize| {
            self.kept.get(index).map(|pod| {
                let failures = number(pod, INDEX_FAILURES) + number(pod, INDEX_IGNORED) + 1;
                backoff::due_at(usize::try_from(failures).unwrap_or(1), backoff::finished_at(pod))
            })
        };
        let (ready, waiting): (Vec<usize>, Vec<usize>) =
            free.into_iter().partition(|index| due(index).is_none_or(|at| at <= self.now));
        if let Some(first) = waiting.iter().filter_map(due).min() {
            self.decision.wake(first);
            if ready.is_empty() {
                self.counts.active = 0;
            }
        }
        ready
    }

    fn make(&mut self, index: Option<usize>, names: &mut dyn Random) {
        let job = self.object.name();
        let mut template = dig(self.object.json(), &["spec", "template"]).clone();
        let mut finalizers = template["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if finalizers.iter().all(|f| f != FINALIZER) {
            finalizers.push(json!(FINALIZER));
        }
        template["metadata"]["finalizers"] = json!(finalizers);
        let base = match index {
            Some(index) => indexes::name_base(job, index),
            None => format!("{job}-"),
        };
        if let Some(index) = index {
            indexes::mark(&mut template, job, index);
            if self.spec.backoff_limit_per_index.is_some() {
                self.carry_failures(&mut template, index);
            }
        }
        let mut pod = named_from_template(self.object, &template, &generated(&base, names));
        pod.metadata_mut().insert("generateName".into(), json!(base));
        self.tell_made(pod);
        self.counts.active += 1;
    }

    fn tell_made(&mut self, pod: Object) {
        let message = format!("Created pod: {}", pod.name());
        self.decision.create(pod);
        self.decision.normal(COMPONENT, self.object, "SuccessfulCreate", message);
    }

    fn carry_failures(&self, template: &mut crate::api::Json, index: usize) {
        let (mut failures, mut ignored) = (0, 0);
        if let Some(last) = self.kept.get(&index) {
            failures = number(last, INDEX_FAILURES);
            ignored = number(last, INDEX_IGNORED);
            if policy::counts(self.spec, last) {
                failures += 1;
            } else {
                ignored += 1;
            }
        }
        let annotations = &mut template["metadata"]["annotations"];
        annotations[INDEX_FAILURES] = json!(failures.to_string());
        if ignored > 0 {
            annotations[INDEX_IGNORED] = json!(ignored.to_string());
        }
    }
}

/// Less goes first: unassigned, Pending, not ready, ready for less time, restarted more often, newer.
/// Source: pkg/controller/controller_utils.go (ActivePods).
fn usefulness<'s>(pod: &PodView<'s>) -> impl Ord + use<'s> {
    let phase = match pod.phase() {
        Phase::Unknown => 1,
        Phase::Running => 2,
        Phase::Unset | Phase::Pending | Phase::Succeeded | Phase::Failed | Phase::Other => 0,
    };
    (
        (!pod.node().is_empty(), phase, pod.is_ready()),
        Reverse(pod.ready_since()),
        Reverse(pod.most_restarts()),
        Reverse(pod.facts.created_at),
        pod.name(),
    )
}
