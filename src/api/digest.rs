//! What a look of a controller asks of every pod, copied out of its tree into one small place.
//!
//! A tree is a hundred blocks all over the heap, and one look may be at ten thousand pods: what takes time then is fetching
//! them into the processor's caches. A digest is two blocks, which hold nothing else.

use jiff::Timestamp;

use super::selector::LabelSelector;
use super::{Json, Object};

/// Keeps an ended pod of a Job until it is counted. Source: k8s.io/api/batch/v1 (JobTrackingFinalizer).
pub const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label that tell a pod its index. Source: k8s.io/api/batch/v1 (JobCompletionIndexAnnotation).
pub const JOB_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// None is told yet.
    Unset,
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
    /// No phase that Kubernetes has.
    Other,
}

impl Phase {
    fn of(pod: &Object) -> Self {
        match pod.str_at("/status/phase").unwrap_or("") {
            "" => Phase::Unset,
            "Pending" => Phase::Pending,
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            "Unknown" => Phase::Unknown,
            _ => Phase::Other,
        }
    }
}

/// What is small and of one size; copied where many pods are gone through, so every byte counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodFacts {
    pub phase: Phase,
    pub is_deleting: bool,
    /// Its condition `Ready` is `True`.
    pub is_ready: bool,
    /// Since when it is ready.
    pub ready_since: Moment,
    pub created_at: Moment,
    /// It carries the finalizer of a Job that has not counted it yet.
    pub is_tracked: bool,
    /// Its index in an Indexed Job.
    pub index: Number,
    /// The number that its name ends with, after a hyphen.
    pub ordinal: Number,
}

/// A point in time, if there is one, in eight bytes; none comes before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    const NONE: Moment = Moment(i64::MIN);

    /// Reads a time of the API; none where there is none, or none within three centuries of 1970.
    fn parse(text: Option<&str>) -> Self {
        let at = text.and_then(|text| text.parse::<Timestamp>().ok());
        at.and_then(|at| i64::try_from(at.as_nanosecond()).ok()).map_or(Moment::NONE, Moment)
    }

    pub fn get(self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(self.0.into()).ok().filter(|_| self != Moment::NONE)
    }
}

/// A whole number that fits the API's 32 bits, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(i32);

impl Number {
    fn parse(digits: Option<&str>) -> Self {
        Number(digits.and_then(|digits| digits.parse().ok()).filter(|number| *number >= 0).unwrap_or(-1))
    }

    pub fn get(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

/// The facts of a pod, its name and its labels. [`Object::pod_digest`] makes it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDigest {
    pub facts: PodFacts,
    name_ends: usize,
    /// The name, then keys and values of the labels in turn, each after a NUL, which none of them holds.
    text: Box<str>,
}

impl PodDigest {
    pub(super) fn of(pod: &Object) -> Self {
        let ready = ready_condition(pod);
        let facts = PodFacts {
            phase: Phase::of(pod),
            is_deleting: pod.is_deleting(),
            is_ready: ready.is_some(),
            ready_since: Moment::parse(ready.and_then(|c| c.get("lastTransitionTime")?.as_str())),
            created_at: Moment::parse(pod.str_at("/metadata/creationTimestamp")),
            is_tracked: pod.finalizers().any(|finalizer| finalizer == JOB_TRACKING),
            index: Number::parse(pod.annotation(JOB_INDEX)),
            ordinal: Number::parse(ordinal(pod.name())),
        };
        let mut text = pod.name().to_owned();
        let name_ends = text.len();
        for part in pod.labels().flat_map(|(key, value)| [key, value]) {
            text.push('\0');
            text.push_str(part);
        }
        PodDigest { facts, name_ends, text: text.into() }
    }

    pub fn name(&self) -> &str {
        &self.text[..self.name_ends]
    }

    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.text[self.name_ends..].split('\0').skip(1);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    pub fn is_selected_by(&self, selector: &LabelSelector) -> bool {
        selector.matches_by(|key| self.label(key))
    }
}

/// Source: pkg/controller/statefulset/stateful_set_utils.go (getParentNameAndOrdinal).
fn ordinal(name: &str) -> Option<&str> {
    let (_, digits) = name.rsplit_once('-')?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
}

/// The condition `Ready` where it is `True`.
fn ready_condition(pod: &Object) -> Option<&Json> {
    let text = |condition: &Json, field: &str, wanted: &str| condition.get(field).is_some_and(|v| v == wanted);
    let conditions = pod.at("/status/conditions")?.as_array()?;
    conditions.iter().find(|c| text(c, "type", "Ready")).filter(|c| text(c, "status", "True"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_tells_what_the_tree_says_and_follows_its_changes() {
        let mut pod = Object::new(json!({
            "metadata": {
                "name": "x-1", "labels": {"app": "x", "empty": ""}, "creationTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": ["other", JOB_TRACKING], "annotations": {JOB_INDEX: "7"},
            },
            "status": {"phase": "Running", "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"},
            ]},
        }));
        let digest = pod.pod_digest();
        assert_eq!(digest.name(), "x-1");
        assert_eq!(digest.labels().collect::<Vec<_>>(), [("app", "x"), ("empty", "")]);
        assert_eq!((digest.label("app"), digest.label("empty"), digest.label("x")), (Some("x"), Some(""), None));
        assert_eq!(
            digest.facts,
            PodFacts {
                phase: Phase::Running,
                is_deleting: false,
                is_ready: true,
                ready_since: Moment::parse(Some("2026-01-01T00:00:10Z")),
                created_at: Moment::parse(Some("2026-01-01T00:00:00Z")),
                is_tracked: true,
                index: Number(7),
                ordinal: Number(1),
            }
        );
        pod.json_mut()["status"]["conditions"][1]["status"] = json!("False");
        pod.metadata_mut().insert("deletionTimestamp".into(), json!("2026-01-01T00:01:00Z"));
        pod.metadata_mut().remove("labels");
        let facts = pod.pod_digest().facts;
        assert_eq!((facts.is_ready, facts.ready_since, facts.is_deleting), (false, Moment::NONE, true));
        assert_eq!(pod.pod_digest().labels().count(), 0);
        assert_eq!(facts.created_at.get(), pod.creation_timestamp());
        assert_eq!((facts.ready_since.get(), facts.index.get(), facts.ordinal.get()), (None, Some(7), Some(1)));
        let bare = Object::new(json!({}));
        assert_eq!((bare.pod_digest().name(), bare.pod_digest().facts.phase), ("", Phase::Unset));
    }
}
