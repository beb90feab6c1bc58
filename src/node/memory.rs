//! What one process remembers of one pod between two looks.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ContainerStatus;

use super::Backoff;
use super::eviction::{Eviction, StorageMemory};
use super::hooks::{PostStart, PreStop};
use super::phase::Phase;
use super::probe::Probes;
use super::resize::ResizeMemory;
use crate::runtime::{Exit, ImageInfo};

/// Everything that neither the API nor the runtime knows about a pod. Losing it is safe: it is
/// rebuilt by looking, and back-offs from what the containers carry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodMemory {
    /// A step of the pod's one line of work is under way.
    pub busy: bool,
    /// The last look gave steps: what was begun is brought to its end before the pod is ended.
    pub in_round: bool,
    pub containers: BTreeMap<String, ContainerMemory>,
    /// Back-off of pulls, by image.
    pub pulls: BTreeMap<String, Pull>,
    pub volumes: BTreeMap<String, VolumeMemory>,
    pub sandbox: SandboxMemory,
    /// Kills under way, by container id.
    pub kills: BTreeMap<String, Kill>,
    pub ending: Option<Ending>,
    /// When events that come once per sync were last given, by what they are about.
    pub told: BTreeMap<String, Timestamp>,
    /// The runtime has it, and the API had it no more when this process began: it is ended without being asked.
    /// Source: pkg/kubelet/pod_workers.go: SyncTerminatingRuntimePod.
    pub orphan: bool,
    /// The phase that the last look came to: what others write over it does not count.
    /// Source: pkg/kubelet/status/status_manager.go: needsReconcile.
    pub phase: Option<Phase>,
    /// When the pod was first looked at; probes count from here.
    pub admitted_at: Option<Timestamp>,
    pub resize: ResizeMemory,
    pub storage: StorageMemory,
    /// Why this node ends it, if it does so.
    pub eviction: Option<Eviction>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerMemory {
    pub backoff: Backoff,
    /// Whether `backoff` has been taken from the containers that are there.
    pub backoff_known: bool,
    /// Hash of the spec that `backoff` is about.
    pub backoff_of: String,
    /// Why the last try to start it did not go on.
    pub waiting: Option<Waiting>,
    /// A try is under way.
    pub trying: bool,
    /// Runtime id of the attempt that the runtime was asked to start.
    pub starting: Option<String>,
    pub image: Option<Checked>,
    /// The image of this try has just been fetched.
    pub fetched: bool,
    /// Not tried again before.
    pub retry_at: Option<Timestamp>,
    /// Containers (by id) that the runtime could not start.
    pub start_errors: BTreeMap<String, StartError>,
    /// Started again whatever the restart policy says.
    pub must_restart: bool,
    /// The exit that the back-off of the next start is judged by, where it is not the last one.
    pub judged_by: Option<Option<Timestamp>>,
    /// The last attempt, when it went with its sandbox.
    pub lost: Option<Lost>,
    /// The postStart hook of an attempt that counts as starting until it has ended.
    pub post_start: Option<PostStart>,
    pub probes: Probes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub reason: String,
    pub message: String,
    /// Not shown before: back-off shows with the sync after the one that found it.
    pub from: Option<Timestamp>,
    /// What is shown until then.
    pub before: Option<Box<Waiting>>,
    /// What the pod was like ([`super::observed::news`]): anything else makes the kubelet look, and show it, before `from`.
    pub news: Option<String>,
    /// That it begins to be shown is a sync of its own, which tells the back-off again.
    pub tells_again: bool,
}

impl Waiting {
    /// What is shown at `now`.
    pub(super) fn at(&self, now: Timestamp) -> Option<&Waiting> {
        if self.from.is_none_or(|from| from <= now) { Some(self) } else { self.before.as_deref() }
    }
}

/// What is known of the image of a start that is under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Checked {
    Missing,
    Present(Box<ImageInfo>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct StartError {
    pub message: String,
    pub at: Timestamp,
}

/// An attempt that is no longer in the runtime.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    pub attempt: u32,
    pub id: String,
    pub image: String,
    pub image_id: String,
    pub exit: Exit,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pull {
    pub backoff: Backoff,
    pub error: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeMemory {
    /// Hash of what was written.
    pub written: Option<String>,
    pub failures: u32,
    pub retry_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SandboxMemory {
    pub retry_at: Option<Timestamp>,
    pub failures: u32,
    /// The one that is there is being replaced.
    pub replacing: bool,
    /// Attempt of the last one that was there.
    pub last_attempt: Option<u32>,
}

/// The end of one container: a signal, and SIGKILL at the deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    pub name: String,
    pub since: Timestamp,
    /// The signal waits for the hook, until the grace is over.
    pub pre_stop: PreStop,
    pub term_sent_at: Option<Timestamp>,
    /// The signal is to be sent, and the runtime has not said yet that it was.
    pub on_its_way: bool,
    /// Seconds between the signal and SIGKILL.
    pub grace: SignedDuration,
    pub kill_sent: bool,
    /// A signal could not be sent; not before.
    pub retry_at: Option<Timestamp>,
}

/// The end of the whole pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub cause: Cause,
    pub since: Timestamp,
    pub grace: SignedDuration,
    /// The statuses of the containers as they are shown until all have ended.
    pub shown: Shown,
    /// Main containers ran when it began, or the sandbox was lost: the next status is that of a pod without a sandbox.
    pub killed: bool,
    /// That status has been shown: the final one follows.
    pub told: bool,
    /// The status with which the end begins has been shown.
    pub begun_shown: bool,
    /// The status of what has ended has been shown; of what never ran the next one tells.
    pub ended_shown: bool,
    /// The last status of all has been shown.
    pub settled: bool,
    /// How often the deadline has been told.
    pub deadlines: u32,
    /// The sandbox has been stopped or removed.
    pub released: bool,
    pub retry_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    pub containers: Vec<ContainerStatus>,
    pub init_containers: Vec<ContainerStatus>,
    pub ephemeral_containers: Vec<ContainerStatus>,
}

/// Why a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its API object carries a deletion timestamp.
    Deleted,
    /// Its API object is gone.
    Gone,
    /// `activeDeadlineSeconds` are over.
    Deadline,
    /// The node ends it: [`PodMemory::eviction`].
    Evicted,
    /// All it had to do is done, or has failed for good.
    Finished,
}

impl PodMemory {
    pub(super) fn container(&mut self, name: &str) -> &mut ContainerMemory {
        self.containers.entry(name.to_owned()).or_default()
    }

    /// Something of the pod has changed: the kubelet looks again, and what was found before is shown and told by that.
    pub(super) fn take_news(&mut self, news: &str, now: Timestamp) {
        for (name, container) in &mut self.containers {
            let Some(waiting) = &mut container.waiting else { continue };
            if waiting.news.as_deref().is_some_and(|of| of != news) {
                waiting.news = Some(news.to_owned());
                waiting.from = None;
                waiting.tells_again = true;
            }
            if waiting.tells_again && waiting.from.is_none_or(|from| from <= now) {
                waiting.tells_again = false;
                self.told.remove(&format!("backoff {name}"));
            }
        }
    }

    /// Whether an event that is given once per sync is due (again) at `now`; notes it if so.
    pub(super) fn tell(&mut self, about: &str, now: Timestamp) -> bool {
        let due = self.told.get(about).is_none_or(|at| now.duration_since(*at) >= super::backoff::RETRY);
        if due {
            self.told.insert(about.to_owned(), now);
        }
        due
    }
}

impl ContainerMemory {
    /// The try did not go on: why, and when the next may be made.
    pub(super) fn give_up(&mut self, reason: &str, message: impl Into<String>, retry_at: Option<Timestamp>) {
        self.waiting = Some(Waiting {
            reason: reason.into(),
            message: message.into(),
            from: None,
            before: None,
            news: None,
            tells_again: false,
        });
        self.end_try();
        self.retry_at = retry_at;
    }

    /// The try came to nothing, and counts for nothing.
    pub(super) fn try_again(&mut self, at: Timestamp) {
        self.end_try();
        self.retry_at = Some(at);
        self.judged_by = Some(None);
    }

    pub(super) fn end_try(&mut self) {
        self.trying = false;
        self.starting = None;
        self.image = None;
        self.fetched = false;
        self.retry_at = None;
    }
}
