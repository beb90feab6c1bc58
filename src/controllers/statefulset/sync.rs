//! One look at a StatefulSet.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::identity::{self, REVISION};
use super::{COMPONENT, retention};
use crate::api::digest::{Phase, PodDigest};
use crate::api::selector::LabelSelector;
use crate::api::{Json, Key, Object};
use crate::controllers::Decision;
use crate::controllers::history;
use crate::controllers::ownership::claim;
use crate::controllers::pods::{PodView, Questions, next_available_at};
use crate::controllers::quantities::scaled;
use crate::controllers::resources::{CONTROLLER_REVISIONS, PODS, dig, int, key_of};
use crate::state::State;

/// Label with the hash of a revision.
const HASH: &str = "controller.kubernetes.io/hash";

/// A revision that pods are made by.
#[derive(Clone)]
struct Revision {
    name: String,
    template: Json,
}

impl Revision {
    fn of(object: &Object) -> Self {
        Revision { name: object.name().to_owned(), template: history::template_of(object) }
    }
}

/// Of what is asked of a pod: whether it is at the revision that others are still at, at that of the template, and whether its label
/// tells its name.
const IS_AT_CURRENT: usize = 1;
const IS_AT_UPDATE: usize = 2;
const TELLS_ITS_NAME: usize = 3;

/// The pod of an ordinal, if it is there.
type Replica<'a> = Option<PodView<'a>>;

fn is_running_ready(pod: &PodView<'_>) -> bool {
    pod.phase() == Phase::Running && pod.is_ready()
}

fn is_healthy(pod: &PodView<'_>) -> bool {
    is_running_ready(pod) && !pod.is_deleting()
}

pub(super) fn ordinal_of(pod: &PodView<'_>) -> i64 {
    pod.facts.ordinal.get().and_then(|ordinal| i64::try_from(ordinal).ok()).unwrap_or(-1)
}

fn revision_of(pod: &PodDigest) -> &str {
    pod.label(REVISION).unwrap_or("")
}

/// Whether what follows has to wait.
#[derive(PartialEq)]
enum Next {
    Wait,
    Go,
    /// Not even pods that wait for nobody go on, but for those of the same batch.
    Fail,
}

/// Pods that wait for nobody are looked after in batches of 1, 2, 4 and so on; the most in one.
/// Source: MaxBatchSize of stateful_set_control.go.
const LARGEST_BATCH: usize = 500;

pub(super) struct Sync<'a> {
    pub(super) state: &'a State,
    pub(super) set: &'a Arc<Object>,
    revisions: Vec<Arc<Object>>,
    /// By name.
    pods: Vec<PodView<'a>>,
    now: Timestamp,
    /// The first ordinal, how many there are to be, whether one waits for the other, and for how long each has to be ready.
    start: i64,
    wanted: i64,
    is_ordered: bool,
    min_ready: i64,
    has_claims: bool,
    collisions: i64,
    current: Revision,
    update: Revision,
    /// One update may take away from the counted pods of the current revision.
    replaced: i64,
    pub(super) decision: Decision,
}

impl<'a> Sync<'a> {
    pub fn new(
        state: &'a State,
        set: &'a Arc<Object>,
        mut revisions: Vec<Arc<Object>>,
        now: Timestamp,
    ) -> Option<Self> {
        history::sort(&mut revisions);
        let none = Revision { name: String::new(), template: Json::Null };
        let spec = |path: &[&str]| dig(dig(set.json(), &["spec"]), path);
        let mut sync = Sync {
            state,
            set,
            revisions,
            pods: Vec::new(),
            now,
            start: spec(&["ordinals", "start"]).as_i64().unwrap_or(0),
            wanted: spec(&["replicas"]).as_i64().unwrap_or(1),
            is_ordered: spec(&["podManagementPolicy"]) != "Parallel",
            min_ready: spec(&["minReadySeconds"]).as_i64().unwrap_or(0),
            has_claims: identity::has_claims(set),
            collisions: int(set, &["status", "collisionCount"]),
            current: none.clone(),
            update: none,
            replaced: 0,
            decision: Decision::none(),
        };
        sync.find_revisions()?;
        Some(sync)
    }

    /// Takes in and lets go, as [`claim`] does.
    pub fn claim_pods(&mut self, selector: &LabelSelector, decision: &mut Decision) {
        let (set, current, update) = (self.set, &self.current.name, &self.update.name);
        let questions = Questions::new(&[selector, &set.name(), current, update], |pod| {
            let is_ours = pod.facts.ordinal.get().is_some() && identity::is_of(set, pod.name()) && pod.is_selected_by(selector);
            let revision = revision_of(pod);
            let tells_its_name = pod.label(identity::POD_NAME) == Some(pod.name());
            [is_ours, revision == current, revision == update, tells_its_name]
        });
        let seen = |pod, owned| Some(questions.seen(pod, owned));
        self.pods = claim(self.state, set, &PODS, seen, PodView::is_owners, decision);
    }

    fn spec(&self, path: &[&str]) -> &Json {
        let mut at = dig(self.set.json(), &["spec"]);
        for field in path {
            at = dig(at, &[field]);
        }
        at
    }

    pub(super) fn is_in_range(&self, ordinal: i64) -> bool {
        (self.start..self.start + self.wanted).contains(&ordinal)
    }

    fn is_rolling(&self) -> bool {
        self.spec(&["updateStrategy", "type"]) != "OnDelete"
    }

    /// The revision of the template, made or renumbered if need be, and the one that pods are still at.
    fn find_revisions(&mut self) -> Option<()> {
        let next = self.revisions.last().map_or(1, |last| history::number(last) + 1);
        let mut wanted = history::revision(self.set, HASH, next, Some(self.collisions));
        let same: Vec<Arc<Object>> = self.revisions.iter().filter(|r| history::is_same(r, &wanted)).cloned().collect();
        let last_is_same = self.revisions.last().is_some_and(|last| history::is_same(last, &wanted));
        if let Some(kept) = same.last() {
            if !last_is_same && !self.set.is_deleting() {
                let mut renumbered = kept.as_ref().clone();
                renumbered.json_mut()["revision"] = json!(next);
                self.decision.update(renumbered);
            }
            self.update = Revision::of(kept);
        } else if self.set.is_deleting() {
            // Nothing is made any more; what there is is told.
            self.update = Revision::of(self.revisions.last()?);
        } else {
            // A name that other content has taken is left to it.
            loop {
                let key = Key::new(CONTROLLER_REVISIONS.clone(), self.set.namespace(), wanted.name());
                match self.state.get(&key) {
                    Some(taken) if history::is_same(taken, &wanted) => break,
                    Some(_) => {
                        self.collisions += 1;
                        wanted = history::revision(self.set, HASH, next, Some(self.collisions));
                    }
                    None => {
                        self.decision.create(wanted.clone());
                        break;
                    }
                }
            }
            self.update = Revision::of(&wanted);
        }
        let current = dig(self.set.json(), &["status", "currentRevision"]);
        let kept = self.revisions.iter().find(|r| current == r.name());
        self.current = kept.map_or_else(|| self.update.clone(), |r| Revision::of(r));
        Some(())
    }

    pub fn run(mut self, creates: bool) -> Decision {
        let (replicas, condemned) = self.replicas();
        if !self.set.is_deleting() {
            self.manage(&replicas, &condemned, creates);
        }
        self.write_status();
        let waits = next_available_at(&self.pods, self.min_ready, self.now);
        if let Some(at) = waits {
            self.decision.wake(at);
        }
        if !self.set.is_deleting() {
            self.truncate_history();
        }
        self.decision
    }

    /// The pods of the set's ordinals, missing ones too, and those beyond them, the highest ordinal first.
    fn replicas(&self) -> (Vec<Replica<'a>>, Vec<PodView<'a>>) {
        let mut replicas = vec![None; usize::try_from(self.wanted).unwrap_or(0)];
        let mut condemned = Vec::new();
        for pod in &self.pods {
            let place = usize::try_from(ordinal_of(pod) - self.start).ok().and_then(|at| replicas.get_mut(at));
            match place {
                // Of several of one ordinal (`web-1`, `web-01`) the first counts.
                Some(place) => _ = place.get_or_insert(*pod),
                None => condemned.push(*pod),
            }
        }
        condemned.reverse();
        condemned.sort_by_key(|pod| std::cmp::Reverse(ordinal_of(pod)));
        (replicas, condemned)
    }

    /// The pod of an ordinal, at the revision that it has to be at.
    fn new_pod(&self, ordinal: i64) -> Object {
        let partition = self.spec(&["updateStrategy", "rollingUpdate", "partition"]).as_i64();
        let is_current = match partition {
            Some(partition) => self.is_rolling() && ordinal < self.start + partition,
            None => {
                self.is_rolling()
                    && self.spec(&["updateStrategy", "rollingUpdate"]).is_null()
                    && ordinal < self.start + int(self.set, &["status", "currentReplicas"])
            }
        };
        let revision = if is_current { &self.current } else { &self.update };
        identity::pod(self.set, &revision.template, &revision.name, ordinal)
    }

    fn manage(&mut self, replicas: &[Replica<'a>], condemned: &[PodView<'a>], creates: bool) {
        let ordered = self.is_ordered;
        if !self.tend_all(replicas, creates) {
            return;
        }
        for pod in condemned {
            self.correct_claims(pod);
        }
        let missing = replicas.iter().any(Option::is_none);
        let first_unhealthy = replicas
            .iter()
            .flatten()
            .chain(condemned.iter().rev())
            .find(|pod| !is_healthy(pod))
            .filter(|_| !missing)
            .map(|pod| pod.uid().to_owned());
        for pod in condemned {
            let next = self.condemn(pod, first_unhealthy.as_deref());
            if ordered && next == Next::Wait {
                return;
            }
        }
        if self.is_rolling() {
            self.replace_old(replicas);
        }
    }

    /// Brings the pods of the ordinals to where they have to be; whether others have their turn.
    fn tend_all(&mut self, replicas: &[Replica<'a>], creates: bool) -> bool {
        let (mut batch, mut batch_end, mut failed) = (1, 1, false);
        for (at, replica) in replicas.iter().enumerate() {
            let next = self.tend(replica, self.start + i64::try_from(at).unwrap_or(0), creates);
            if self.is_ordered && next != Next::Go {
                return false;
            }
            failed |= next == Next::Fail;
            if at + 1 == batch_end {
                if failed {
                    return false;
                }
                batch = LARGEST_BATCH.min(2 * batch);
                batch_end += batch;
            }
        }
        !failed
    }

    /// Brings one pod to where it has to be, or says what has to be waited for.
    fn tend(&mut self, replica: &Replica<'a>, ordinal: i64, creates: bool) -> Next {
        let ordered = self.is_ordered;
        let Some(pod) = replica else {
            return if creates { self.make(&self.new_pod(ordinal), ordinal) } else { Next::Fail };
        };
        if pod.has_ended() {
            if !pod.is_deleting() {
                self.delete(pod);
            }
            return Next::Wait;
        }
        if pod.phase() == Phase::Pending && creates && self.has_claims {
            if !self.make_claims(pod, ordinal).is_empty() {
                return Next::Fail;
            }
            if self.give_claims(pod, ordinal) {
                return Next::Wait;
            }
        }
        let waits = pod.is_deleting() || !is_running_ready(pod) || !pod.is_available(self.min_ready, self.now);
        if ordered && waits {
            return Next::Wait;
        }
        self.correct(pod, ordinal);
        Next::Go
    }

    fn make(&mut self, pod: &Object, ordinal: i64) -> Next {
        if self.claims_of(ordinal).any(|held| retention::is_stale(self.set, pod, held)) {
            return Next::Wait;
        }
        let going = self.make_claims(pod, ordinal);
        if let [first, others @ ..] = going.as_slice() {
            let why = if others.is_empty() { first.clone() } else { format!("[{}]", going.join(", ")) };
            let message = format!("create Pod {} in StatefulSet {} failed error: {why}", pod.name(), self.set.name());
            self.decision.warning(COMPONENT, self.set, "FailedCreate", message);
            return Next::Fail;
        }
        self.decision.create(pod.clone());
        self.tell("create", "Create", &format!("Pod {}", pod.name()), "successful");
        self.give_claims(pod, ordinal);
        Next::Wait
    }

    /// Makes a pod that was taken in who it should be, and its claims whose they should be.
    fn correct(&mut self, pod: &PodView<'_>, ordinal: i64) {
        if pod.answer(TELLS_ITS_NAME) && !self.has_claims {
            return;
        }
        let patch = identity::correction(self.set, pod, ordinal);
        let is_wrong = patch.is_some();
        if let Some(patch) = patch {
            self.decision.patch(key_of(&PODS, pod), patch);
        }
        if self.correct_claims(pod) || is_wrong {
            self.tell("update", "Update", &format!("Pod {}", pod.name()), "successful");
        }
    }

    /// Deletes a pod beyond the ordinals, where its turn has come.
    fn condemn(&mut self, pod: &PodView<'_>, first_unhealthy: Option<&str>) -> Next {
        if pod.is_deleting() {
            return Next::Wait;
        }
        let is_up = is_running_ready(pod) && pod.is_available(self.min_ready, self.now);
        if self.is_ordered && !is_up && first_unhealthy != Some(pod.uid()) {
            return Next::Wait;
        }
        self.delete(pod);
        Next::Wait
    }

    /// Deletes pods of other revisions, the highest ordinal first.
    fn replace_old(&mut self, replicas: &[Replica<'a>]) {
        let partition = self.spec(&["updateStrategy", "rollingUpdate", "partition"]).as_i64().unwrap_or(0);
        let first = usize::try_from(partition).unwrap_or(0);
        let most = self.spec(&["updateStrategy", "rollingUpdate", "maxUnavailable"]);
        let most = scaled(most, self.wanted, true).map_or(1, |most| most.max(1));
        if most > 1 {
            return self.replace_several(replicas, first, most);
        }
        for replica in replicas.iter().skip(first).rev() {
            let Some(pod) = replica else { return };
            if !pod.answer(IS_AT_UPDATE) && !pod.is_deleting() {
                self.delete(pod);
                self.replaced += 1;
                return;
            }
            if !is_healthy(pod) {
                return;
            }
        }
    }

    /// As many at once as `maxUnavailable` leaves.
    fn replace_several(&mut self, replicas: &[Replica<'a>], first: usize, most: i64) {
        let down = |replica: &&Replica<'_>| !replica.is_some_and(|pod| is_healthy(&pod));
        let unavailable = i64::try_from(replicas.iter().filter(down).count()).unwrap_or(i64::MAX);
        let mut left = most - unavailable;
        for pod in replicas.iter().skip(first).rev().flatten() {
            if left <= 0 {
                return;
            }
            if !pod.answer(IS_AT_UPDATE) && !pod.is_deleting() {
                self.delete(pod);
                self.replaced += 1;
                left -= 1;
            }
        }
    }

    fn delete(&mut self, pod: &PodView<'_>) {
        self.decision.delete(key_of(&PODS, pod), pod);
        self.tell("delete", "Delete", &format!("Pod {}", pod.name()), "successful");
    }

    pub(super) fn tell(&mut self, verb: &str, title: &str, what: &str, how: &str) {
        let message = format!("{verb} {what} in StatefulSet {} {how}", self.set.name());
        self.decision.normal(COMPONENT, self.set, &format!("Successful{title}"), message);
    }

    fn write_status(&mut self) {
        let mut status = self.status();
        let counts = ["updatedReplicas", "readyReplicas", "replicas"];
        if self.is_rolling() && counts.iter().all(|name| status[*name] == self.wanted) {
            status["currentReplicas"] = status["updatedReplicas"].clone();
            status["currentRevision"] = status["updateRevision"].clone();
        }
        let counted = [
            "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
            "currentRevision", "updateRevision",
        ];
        let before = dig(self.set.json(), &["status"]);
        let plain = |tree: &Json, name: &str| match &tree[name] {
            Json::Null if name.ends_with("Revision") => json!(""),
            Json::Null => json!(0),
            value => value.clone(),
        };
        let is_old = self.set.generation() > int(self.set, &["status", "observedGeneration"]);
        if !is_old && counted.iter().all(|name| plain(before, name) == plain(&status, name)) {
            return;
        }
        if let Some(fields) = status.as_object_mut() {
            let kept = ["replicas", "availableReplicas", "collisionCount"];
            fields.retain(|name, value| kept.contains(&name.as_str()) || (*value != 0 && *value != ""));
        }
        let mut set = self.set.as_ref().clone();
        set.json_mut()["status"] = status;
        self.decision.update_status(set);
    }

    fn status(&self) -> Json {
        let min_ready = self.min_ready;
        let live = self.pods.iter().filter(|pod| pod.phase() != Phase::Unset);
        let (mut replicas, mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0i64, 0);
        for pod in live {
            replicas += 1;
            ready += i64::from(is_running_ready(pod));
            available += i64::from(is_running_ready(pod) && pod.is_available(min_ready, self.now));
            current += i64::from(pod.answer(IS_AT_CURRENT) && !pod.is_deleting());
            updated += i64::from(pod.answer(IS_AT_UPDATE) && !pod.is_deleting());
        }
        json!({
            "observedGeneration": self.set.generation(),
            "replicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": available,
            "currentReplicas": (current - self.replaced).max(0),
            "updatedReplicas": updated,
            "currentRevision": self.current.name,
            "updateRevision": self.update.name,
            "collisionCount": self.collisions,
        })
    }

    /// Deletes revisions that nothing is at any more, over the limit, the oldest first.
    fn truncate_history(&mut self) {
        let Some(limit) = self.spec(&["revisionHistoryLimit"]).as_i64().and_then(|n| usize::try_from(n).ok()) else {
            return;
        };
        let is_older = |r: &&Arc<Object>| r.name() != self.current.name && r.name() != self.update.name;
        let older: Vec<&Arc<Object>> = self.revisions.iter().filter(is_older).collect();
        if older.len() <= limit {
            return;
        }
        let live: HashSet<&str> = self.pods.iter().map(|pod| revision_of(pod.object.pod_digest())).collect();
        let dead: Vec<Arc<Object>> = older.into_iter().filter(|r| !live.contains(r.name())).cloned().collect();
        let surplus = dead.len().saturating_sub(limit);
        for revision in dead.iter().take(surplus) {
            self.decision.delete(key_of(&CONTROLLER_REVISIONS, revision), revision);
        }
    }
}
