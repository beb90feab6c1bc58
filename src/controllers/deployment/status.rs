//! What a Deployment's status says, and whether it makes progress.
//! Source of the rules: pkg/controller/deployment/progress.go and sync.go.

use jiff::Timestamp;
use serde_json::json;

use super::sets::{Set, Sets};
use super::{Look, Step, limits};
use crate::api::{Json, Object};
use crate::controllers::conditions::{self, after, field, stamp, time};
use crate::controllers::resources::{dig, without_zeros};

/// Sets a field of the status.
pub(super) fn put(deployment: &mut Object, name: &str, value: Json) {
    deployment.json_mut()["status"][name] = value;
}

/// A condition with both of its times at `now`.
pub(super) fn condition(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Json {
    let mut condition = conditions::new(kind, status, reason, message, now);
    condition["lastUpdateTime"] = stamp(now);
    condition
}

fn number(status: &Json, name: &str) -> i64 {
    dig(status, &[name]).as_i64().unwrap_or(0)
}

/// Everything wanted is there, current and available.
pub(super) fn is_complete(deployment: &Object, status: &Json, wanted: i64) -> bool {
    ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|name| number(status, name) == wanted)
        && number(status, "observedGeneration") >= deployment.generation()
}

/// More that is new, ready or available, or less that is old.
fn is_progressing(before: &Json, status: &Json) -> bool {
    let old = |s: &Json| number(s, "replicas") - number(s, "updatedReplicas");
    let grew = |name| number(status, name) > number(before, name);
    grew("updatedReplicas") || old(status) < old(before) || grew("readyReplicas") || grew("availableReplicas")
}

impl Look<'_> {
    fn current_status(&self) -> &Json {
        dig(self.deployment.json(), &["status"])
    }

    fn calculate(&self, sets: &Sets) -> Json {
        let sum = |count: fn(&Set) -> i64| sets.all().map(count).sum::<i64>();
        let available = sets.available();
        let mut list = conditions::list(&self.deployment);
        let minimum = if available >= self.wanted() - self.max_unavailable() {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        conditions::set_last(&mut list, condition("Available", minimum.0, minimum.1, minimum.2, self.now));
        json!({
            "observedGeneration": self.deployment.generation(),
            "replicas": sum(Set::actual),
            "updatedReplicas": sets.new.as_ref().map_or(0, Set::actual),
            "readyReplicas": sum(Set::ready),
            "availableReplicas": available,
            "unavailableReplicas": (sets.replicas() - available).max(0),
            "collisionCount": dig(self.current_status(), &["collisionCount"]),
            "conditions": list,
        })
    }

    /// Writes the status if it changed.
    fn keep_status(&mut self, status: &Json) -> bool {
        let mut status = without_zeros(status);
        if without_zeros(self.current_status()) == status {
            return false;
        }
        if let Some(count) = dig(self.current_status(), &["collisionCount"]).as_i64() {
            status["collisionCount"] = json!(count);
        }
        self.deployment.json_mut()["status"] = status;
        self.decision.update_status(self.deployment.clone());
        true
    }

    /// The status of a Deployment that is not being rolled out.
    pub(super) fn sync_status(&mut self, sets: &Sets) -> Step {
        let status = self.calculate(sets);
        self.keep_status(&status);
        Ok(())
    }

    /// The status of a rollout, progress and failures included.
    pub(super) fn sync_rollout_status(&mut self, sets: &Sets) -> Step {
        let mut status = self.calculate(sets);
        let mut list = status["conditions"].as_array().cloned().unwrap_or_default();
        self.judge_progress(sets, &status, &mut list);
        match failure(sets) {
            Some(failure) => conditions::set_last(&mut list, failure),
            None => conditions::remove(&mut list, "ReplicaFailure"),
        }
        status["conditions"] = Json::Array(list);
        self.keep_status(&status);
        self.wake_for_deadline(&status);
        Ok(())
    }

    fn judge_progress(&self, sets: &Sets, status: &Json, list: &mut Vec<Json>) {
        let Some(deadline) = limits::progress_deadline(&self.deployment) else {
            return conditions::remove(list, "Progressing");
        };
        let before = conditions::list(&self.deployment);
        let current = conditions::get(&before, "Progressing");
        let all_new = number(status, "replicas") == number(status, "updatedReplicas");
        if all_new && field(current, "reason") == "NewReplicaSetAvailable" {
            return;
        }
        let what = match &sets.new {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", self.name()),
        };
        let make = |status, reason, text: &str| {
            condition("Progressing", status, reason, &format!("{what} {text}"), self.now)
        };
        if is_complete(&self.deployment, status, self.wanted()) {
            let done = make("True", "NewReplicaSetAvailable", "has successfully progressed.");
            conditions::set_last(list, done);
        } else if is_progressing(self.current_status(), status) {
            let mut moving = make("True", "ReplicaSetUpdated", "is progressing.");
            if let Some(current) = current.filter(|c| dig(c, &["status"]) == "True") {
                moving["lastTransitionTime"] = current["lastTransitionTime"].clone();
            }
            conditions::remove(list, "Progressing");
            list.push(moving);
        } else if self.timed_out(list, deadline) {
            let late = make("False", "ProgressDeadlineExceeded", "has timed out progressing.");
            conditions::set_last(list, late);
        }
    }

    fn timed_out(&self, list: &[Json], deadline: i64) -> bool {
        let Some(current) = conditions::get(list, "Progressing") else { return false };
        match field(Some(current), "reason") {
            "NewReplicaSetAvailable" => false,
            "ProgressDeadlineExceeded" => true,
            _ => time(dig(current, &["lastUpdateTime"])).is_some_and(|at| after(at, deadline) < self.now),
        }
    }

    /// Nothing may happen until the deadline passes: look again a second after it.
    fn wake_for_deadline(&mut self, status: &Json) {
        let Some(deadline) = limits::progress_deadline(&self.deployment) else { return };
        let list = dig(status, &["conditions"]).as_array().map_or(&[][..], Vec::as_slice);
        let Some(current) = conditions::get(list, "Progressing") else { return };
        if is_complete(&self.deployment, status, self.wanted())
            || matches!(field(Some(current), "reason"), "ProgressDeadlineExceeded" | "NewReplicaSetAvailable")
        {
            return;
        }
        if let Some(at) = time(dig(current, &["lastUpdateTime"])) {
            self.decision.wake(after(at, deadline.saturating_add(1)).max(after(self.now, 1)));
        }
    }
}

/// What keeps a ReplicaSet from making pods; the current one's trouble counts first.
fn failure(sets: &Sets) -> Option<Json> {
    let of = |set: &Set| conditions::get(&conditions::list(&set.object), "ReplicaFailure").cloned();
    let mut found = sets.new.as_ref().and_then(of).or_else(|| sets.old.iter().find_map(of))?;
    found["lastUpdateTime"] = dig(&found, &["lastTransitionTime"]).clone();
    Some(found)
}
