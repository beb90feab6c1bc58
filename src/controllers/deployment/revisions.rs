//! Which ReplicaSet is current, what revision it is, and how a new one is made.
//! Source of the rules: pkg/controller/deployment/sync.go and util/deployment_util.go.

use serde_json::json;

use super::sets::{DESIRED, HASH, MAX, REVISION, Set, Sets, annotate};
use super::{COMPONENT, Look, Step, limits, status};
use crate::api::{Json, Key, Object};
use crate::controllers::names::hash;
use crate::controllers::ownership::controller_ref;
use crate::controllers::resources::{REPLICA_SETS, dig, int};
use crate::controllers::conditions;

/// Earlier revisions of a ReplicaSet that became current again, comma-separated.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Most characters of that list. Source: maxRevHistoryLengthInChars.
const HISTORY_CHARS: usize = 2000;
/// Annotations that are a Deployment's own. Source: annotationsToSkip.
const OWN_ANNOTATIONS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    super::rollback::ROLLBACK_TO,
];

/// Whether an annotation is left out when annotations go from a Deployment to a ReplicaSet or back.
pub(super) fn is_own_annotation(name: &str) -> bool {
    OWN_ANNOTATIONS.contains(&name)
}

/// Whether two templates differ at most in their hash label.
pub(super) fn same_template(a: &Json, b: &Json) -> bool {
    comparable(a) == comparable(b)
}

/// The template without its hash label.
pub(super) fn without_hash(template: &Json) -> Json {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Json::as_object_mut) {
        labels.remove(HASH);
    }
    template
}

fn comparable(template: &Json) -> Json {
    let mut template = without_hash(template);
    for field in ["labels", "annotations"] {
        if dig(&template, &["metadata", field]).as_object().is_some_and(|map| map.is_empty()) {
            template["metadata"][field] = Json::Null;
        }
    }
    drop_absent(&mut template);
    if dig(&template, &["metadata"]).as_object().is_some_and(|map| map.is_empty()) {
        template["metadata"] = Json::Null;
        drop_absent(&mut template);
    }
    template
}

/// Null and the empty list mean the same as absent.
fn drop_absent(tree: &mut Json) {
    match tree {
        Json::Object(map) => {
            map.values_mut().for_each(drop_absent);
            map.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
        }
        Json::Array(list) => list.iter_mut().for_each(drop_absent),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => (),
    }
}

impl Look<'_> {
    fn template(&self) -> &Json {
        dig(self.deployment.json(), &["spec", "template"])
    }

    fn split(&self) -> Sets {
        let mut old: Vec<Set> = self.sets.iter().map(Set::of).collect();
        old.sort_by_cached_key(Set::age_key);
        let wanted = comparable(self.template());
        let at = old.iter().position(|s| comparable(dig(s.object.json(), &["spec", "template"])) == wanted);
        let new = at.map(|at| old.remove(at));
        Sets { new, old }
    }

    fn next_revision(&self, sets: &Sets) -> i64 {
        sets.old.iter().map(Set::revision).max().unwrap_or(0).saturating_add(1)
    }

    /// The ReplicaSets, with the current one's annotations and revision up to date; none is made.
    pub(super) fn current_sets(&mut self) -> Step<Sets> {
        let mut sets = self.split();
        let revision = self.next_revision(&sets);
        if let Some(new) = &mut sets.new {
            self.refresh(new, revision)?;
        }
        Ok(sets)
    }

    /// The same; a current one is made where it is missing, and then the look ends.
    pub(super) fn or_new_set(&mut self, sets: Sets) -> Step<Sets> {
        if sets.new.is_some() { Ok(sets) } else { self.make_new_set(&sets) }
    }

    fn refresh(&mut self, new: &mut Set, revision: i64) -> Step {
        let min_ready = int(&self.deployment, &["spec", "minReadySeconds"]);
        let mut changed = self.annotate_new_set(&mut new.object, revision);
        if int(&new.object, &["spec", "minReadySeconds"]) != min_ready {
            new.object.json_mut()["spec"]["minReadySeconds"] = json!(min_ready);
            changed = true;
        }
        if changed {
            self.decision.update(new.object.clone());
            return Err(super::Done);
        }
        let mut changed = self.set_revision(new.object.annotation(REVISION).unwrap_or("").to_owned());
        let progressing = conditions::list(&self.deployment);
        let is_new = conditions::get(&progressing, "Progressing").is_none();
        if is_new && limits::progress_deadline(&self.deployment).is_some() {
            let message = format!("Found new replica set \"{}\"", new.name());
            self.set_condition("Progressing", "True", "FoundNewReplicaSet", &message);
            changed = true;
        }
        if changed { self.write_status() } else { Ok(()) }
    }

    fn set_revision(&mut self, revision: String) -> bool {
        let changed = self.deployment.annotation(REVISION) != Some(&revision);
        if changed {
            annotate(&mut self.deployment, REVISION, &revision);
        }
        changed
    }

    /// Copies the Deployment's annotations and counts the revision up.
    fn annotate_new_set(&self, set: &mut Object, revision: i64) -> bool {
        let mut changed = false;
        for (name, value) in self.deployment.annotations() {
            if !is_own_annotation(name) && set.annotation(name) != Some(value) {
                annotate(set, name, value);
                changed = true;
            }
        }
        let earlier = set.annotation(REVISION).map(str::to_owned);
        let earlier_number = match earlier.as_deref() {
            None | Some("") => 0,
            Some(number) => match number.parse() {
                Ok(number) => number,
                // What somebody wrote there in place of a number stays, and what is new with it.
                Err(_) => return false,
            },
        };
        if earlier_number >= revision {
            return changed;
        }
        annotate(set, REVISION, &revision.to_string());
        if let Some(earlier) = earlier {
            remember_revision(set, &earlier);
        }
        true
    }

    fn make_new_set<T>(&mut self, sets: &Sets) -> Step<T> {
        let (name, hash) = self.new_name();
        let key = Key::new(REPLICA_SETS.clone(), self.deployment.namespace(), &name);
        if self.state.get(&key).is_some() {
            return self.count_collision();
        }
        let mut set = self.new_set(&name, &hash);
        let count = self.new_set_size(sets.replicas(), 0);
        let revision = self.next_revision(sets);
        self.annotate_new_set(&mut set, revision);
        self.annotate_sizes(&mut set);
        set.json_mut()["spec"]["replicas"] = json!(count);
        self.decision.create(set);
        if count > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {count}");
            self.decision.normal(COMPONENT, &self.deployment, "ScalingReplicaSet", message);
        }
        let mut changed = self.set_revision(revision.to_string());
        if limits::progress_deadline(&self.deployment).is_some() {
            let message = format!("Created new replica set \"{name}\"");
            self.set_condition("Progressing", "True", "NewReplicaSetCreated", &message);
            changed = true;
        }
        if changed { self.write_status() } else { Err(super::Done) }
    }

    fn new_name(&self) -> (String, String) {
        let count = dig(self.deployment.json(), &["status", "collisionCount"]).as_i64();
        let hash = hash(self.template(), count);
        let longest = 253 - 1 - hash.len();
        let base: String = self.name().chars().take(longest).collect();
        (format!("{base}-{hash}"), hash)
    }

    /// The name is taken by a set that is not this Deployment's, or has another template.
    fn count_collision<T>(&mut self) -> Step<T> {
        let count = int(&self.deployment, &["status", "collisionCount"]).saturating_add(1);
        status::put(&mut self.deployment, "collisionCount", json!(count));
        self.write_status()
    }

    fn new_set(&self, name: &str, hash: &str) -> Object {
        let mut template = self.template().clone();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = dig(self.deployment.json(), &["spec", "selector"]).clone();
        selector["matchLabels"][HASH] = json!(hash);
        let mut spec = json!({"replicas": 0, "selector": selector, "template": template});
        let min_ready = int(&self.deployment, &["spec", "minReadySeconds"]);
        if min_ready != 0 {
            spec["minReadySeconds"] = json!(min_ready);
        }
        Object::new(json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": self.deployment.namespace(),
                "labels": spec["template"]["metadata"]["labels"],
                "ownerReferences": [controller_ref(&self.deployment)],
            },
            "spec": spec,
        }))
    }
}

fn remember_revision(set: &mut Object, earlier: &str) {
    let history = set.annotation(HISTORY).unwrap_or("").to_owned();
    if history.is_empty() {
        return annotate(set, HISTORY, earlier);
    }
    let mut kept: Vec<&str> = history.split(',').collect();
    let mut length = history.len() + earlier.len() + 1;
    while length > HISTORY_CHARS && !kept.is_empty() {
        length -= kept.remove(0).len() + 1;
    }
    if length <= HISTORY_CHARS {
        kept.push(earlier);
        annotate(set, HISTORY, &kept.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_compared_without_hash_and_absent_fields() {
        let plain = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}});
        let hashed = json!({"metadata": {"creationTimestamp": null, "labels": {"a": "b", HASH: "x"}},
            "spec": {"containers": [{"name": "c", "env": []}]}});
        assert!(same_template(&plain, &hashed));
        let other = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "d"}]}});
        assert!(!same_template(&plain, &other));
        let directory = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
        assert!(!same_template(&directory, &json!({"spec": {"volumes": [{"name": "v"}]}})));
    }

    #[test]
    fn the_history_of_revisions_is_bounded() {
        let mut set = Object::new(json!({"metadata": {"annotations": {HISTORY: "12345,".repeat(332) + "12345"}}}));
        assert_eq!(set.annotation(HISTORY).unwrap().len(), 1997);
        remember_revision(&mut set, "77777");
        let history = set.annotation(HISTORY).unwrap();
        assert!(history.len() <= HISTORY_CHARS && history.ends_with(",77777"));
    }
}
