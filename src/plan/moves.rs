//! What happened to pods in a fork, told by the workload at the root of their owners.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::api::{GroupResource, Json, Object};
use crate::state::{Change, State};

/// What becomes of one workload's pods, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moves {
    pub steps: Vec<Step>,
    /// Pods at the beginning that are still wanted then (not finished, not going).
    pub before: usize,
    /// The most pods beyond both the old and the new number at one moment.
    pub extra: usize,
    /// The most ready pods that were missing, of the smaller of old and new number, at one moment.
    pub missing: usize,
    /// Pods that did not start, with the reason.
    pub stuck: Vec<(String, String)>,
}

/// One thing that happens to a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { pod: String },
    Delete { pod: String },
}

impl Moves {
    pub fn created(&self) -> usize {
        self.steps.iter().filter(|s| matches!(s, Step::Create { .. })).count()
    }

    pub fn deleted(&self) -> usize {
        self.steps.iter().filter(|s| matches!(s, Step::Delete { .. })).count()
    }

    /// These, and then those of what comes in its place.
    pub fn then(mut self, next: Moves) -> Self {
        self.steps.extend(next.steps);
        self.extra = self.extra.max(next.extra);
        self.missing = self.missing.max(next.missing);
        self.stuck.extend(next.stuck);
        self
    }

    /// Pods that are replaced by new ones.
    pub fn rolled(&self) -> usize {
        self.created().min(self.deleted())
    }
}

/// Who a workload is: uid of the root of the owners.
pub type Root = String;

/// Moves by root, from the state before and everything that changed since.
pub fn moves(before: &State, history: &[Change], after: &State) -> BTreeMap<Root, Moves> {
    let pods = GroupResource::new("", "pods");
    let owners = Owners::of(before, history);
    let mut tracks: BTreeMap<Root, Track> = BTreeMap::new();
    for pod in before.all(&pods) {
        tracks.entry(owners.root(pod)).or_default().start(pod);
    }
    for track in tracks.values_mut() {
        track.begin();
    }
    for change in history.iter().filter(|c| c.key.resource == pods) {
        let Some(pod) = change.after.as_ref().or(change.before.as_ref()) else { continue };
        tracks.entry(owners.root(pod)).or_default().note(change, pod);
    }
    for pod in after.all(&pods).filter(|p| p.str_at("/status/phase").unwrap_or("Pending") == "Pending") {
        if let Some(reason) = super::pretend::blocker(after, pod) {
            let track = tracks.entry(owners.root(pod)).or_default();
            track.moves.stuck.push((pod.name().to_owned(), reason));
        }
    }
    tracks.into_iter().map(|(root, track)| (root, track.end())).collect()
}

/// uid → uid of its controller, over all that ever was.
struct Owners(HashMap<String, String>);

impl Owners {
    fn of(before: &State, history: &[Change]) -> Self {
        let mut owners = HashMap::new();
        let mut add = |object: &Object| {
            if let Some(owner) = object.controller_uid() {
                owners.insert(object.uid().to_owned(), owner.to_owned());
            }
        };
        let kinds = [("apps", "replicasets"), ("batch", "jobs")];
        for (group, resource) in kinds {
            before.all(&GroupResource::new(group, resource)).for_each(|o| add(o));
        }
        for change in history.iter().filter(|c| matches!(c.key.resource.resource.as_ref(), "replicasets" | "jobs")) {
            change.after.iter().for_each(|o| add(o));
        }
        Owners(owners)
    }

    fn root(&self, pod: &Object) -> Root {
        let mut uid = pod.controller_uid().unwrap_or(pod.uid());
        while let Some(above) = self.0.get(uid) {
            uid = above;
        }
        uid.to_owned()
    }
}

/// Counts of one workload's pods while the history is walked.
#[derive(Default)]
struct Track {
    live: BTreeSet<String>,
    ready: BTreeSet<String>,
    ready_before: usize,
    most_live: usize,
    least_ready: Option<usize>,
    moves: Moves,
}

impl Track {
    fn start(&mut self, pod: &Object) {
        if is_live(pod) {
            self.live.insert(pod.uid().to_owned());
            if is_ready(pod) {
                self.ready.insert(pod.uid().to_owned());
            }
        }
    }

    fn begin(&mut self) {
        self.moves.before = self.live.len();
        self.ready_before = self.ready.len();
        self.most_live = self.live.len();
        self.least_ready = Some(self.ready.len());
    }

    fn note(&mut self, change: &Change, pod: &Object) {
        let uid = pod.uid().to_owned();
        let was_live = self.live.contains(&uid);
        let lives = change.after.is_some() && is_live(pod);
        if change.before.is_none() {
            self.moves.steps.push(Step::Create { pod: pod.name().to_owned() });
        }
        let goes = pod.is_deleting() || change.after.is_none();
        let went = change.before.as_ref().is_some_and(|b| b.is_deleting());
        if goes && !went {
            self.moves.steps.push(Step::Delete { pod: pod.name().to_owned() });
        }
        if lives {
            self.live.insert(uid.clone());
        } else if was_live {
            self.live.remove(&uid);
        }
        if lives && is_ready(pod) {
            self.ready.insert(uid);
        } else {
            self.ready.remove(&uid);
        }
        self.most_live = self.most_live.max(self.live.len());
        let ready = self.ready.len();
        self.least_ready = Some(self.least_ready.map_or(ready, |least| least.min(ready)));
    }

    fn end(mut self) -> Moves {
        let (old, new) = (self.moves.before, self.live.len());
        self.moves.extra = self.most_live.saturating_sub(old.max(new));
        let promised = self.ready_before.min(new);
        self.moves.missing = promised.saturating_sub(self.least_ready.unwrap_or(0));
        self.moves
    }
}

fn is_live(pod: &Object) -> bool {
    !pod.is_deleting() && !matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Object) -> bool {
    let conditions = pod.at("/status/conditions").and_then(Json::as_array);
    conditions.into_iter().flatten().any(|c| {
        c.get("type").and_then(Json::as_str) == Some("Ready") && c.get("status").and_then(Json::as_str) == Some("True")
    })
}
