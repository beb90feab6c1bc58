//! A small API server over `State`: what a write means for the objects that controllers make and change.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use wl::api::schema::Schema;
use wl::api::{GroupResource, Gvk, Json, Key, Object, Random, Status};
use wl::controllers::Propagation;
use wl::state::State;

/// Numbers that repeat themselves.
pub struct Dice(pub u64);

impl Random for Dice {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub fn resource_of(kind: &str) -> GroupResource {
    let schema = Schema::get();
    let found =
        schema.resources.iter().find(|r| r.kind == kind && !r.version.contains("beta") && r.group != "events.k8s.io");
    let found = found.unwrap_or_else(|| panic!("no resource of kind {kind}"));
    GroupResource::new(&found.group, &found.resource)
}

pub fn stamp(at: Timestamp) -> Json {
    json!(Timestamp::from_second(at.as_second()).unwrap().to_string())
}

fn key_of(object: &Object) -> Key {
    let schema = Schema::get();
    let gvk = Gvk::of(object.api_version(), object.kind());
    let resource = schema.resource_of(&gvk).unwrap_or_else(|| panic!("no resource for {gvk:?}"));
    let namespace = if resource.namespaced { object.namespace() } else { "" };
    Key::new(resource.group_resource(), namespace, object.name())
}

/// The objects, and the clock they are stamped with.
pub struct Api {
    pub state: State,
    pub now: Timestamp,
    uids: u64,
}

/// What a write did: the object before and after (gone: `None`).
pub struct Done {
    pub before: Option<Object>,
    pub after: Option<Object>,
}

impl Api {
    pub fn new(now: Timestamp) -> Self {
        Api { state: State::new(), now, uids: 0 }
    }

    pub fn get(&self, key: &Key) -> Result<Object, Status> {
        self.state.get(key).map(|o| o.as_ref().clone()).ok_or_else(|| Status::not_found(&key.resource, &key.name))
    }

    pub fn create(&mut self, mut object: Object) -> Result<Done, Status> {
        let key = key_of(&object);
        if self.state.get(&key).is_some() {
            return Err(Status::already_exists(&key.resource, &key.name));
        }
        let namespace = Key::new(resource_of("Namespace"), "", object.namespace());
        if self.state.get(&namespace).is_some_and(|ns| ns.is_deleting()) {
            let text = format!(
                "unable to create new content in namespace {} because it is being terminated",
                object.namespace()
            );
            let status = Status::new(403, "Forbidden", text);
            return Err(status.with_details(json!({"causes": [{"reason": "NamespaceTerminating"}]})));
        }
        self.uids += 1;
        let uid = format!("00000000-0000-4000-8000-{:012}", self.uids);
        let metadata = object.metadata_mut();
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("creationTimestamp".into(), stamp(self.now));
        metadata.remove("resourceVersion");
        if has_generation(object.kind()) {
            object.metadata_mut().insert("generation".into(), json!(1));
        }
        fill_defaults(&mut object);
        self.state.put(key, object.clone());
        Ok(Done { before: None, after: Some(object) })
    }

    pub fn update(&mut self, object: Object, status: bool) -> Result<Done, Status> {
        let key = key_of(&object);
        let before = self.get(&key)?;
        if !object.uid().is_empty() && object.uid() != before.uid() {
            return Err(Status::conflict(&key.resource, &key.name, "the UID in the precondition does not match"));
        }
        let version = object.resource_version();
        if !version.is_empty() && version != before.resource_version() {
            return Err(Status::conflict(&key.resource, &key.name, "the object has been modified"));
        }
        let mut after = object;
        if status {
            let annotations = after.at("/metadata/annotations").cloned();
            let finalizers = after.at("/metadata/finalizers").cloned();
            let new = after.at("/status").cloned().unwrap_or(Json::Null);
            after = before.clone();
            after.json_mut()["status"] = new;
            let metadata = after.metadata_mut();
            for (name, value) in [("annotations", annotations), ("finalizers", finalizers)] {
                match value {
                    Some(value) => metadata.insert(name.into(), value),
                    None => metadata.remove(name),
                };
            }
        } else if let Some(kept) = before.at("/status") {
            after.json_mut()["status"] = kept.clone();
        }
        for name in ["uid", "creationTimestamp", "deletionTimestamp", "generation", "deletionGracePeriodSeconds"] {
            match before.at(&format!("/metadata/{name}")).cloned() {
                Some(value) => after.metadata_mut().insert(name.into(), value),
                None => after.metadata_mut().remove(name),
            };
        }
        if after.kind() == "PersistentVolume" && before.at("/status/phase") != after.at("/status/phase") {
            after.json_mut()["status"]["lastPhaseTransitionTime"] = stamp(self.now);
        }
        self.keep(key, before, after)
    }

    /// Takes over a namespace's own finalizers; without one a deleted namespace is gone.
    pub fn finalize(&mut self, object: &Object) -> Result<Done, Status> {
        let key = key_of(object);
        let before = self.get(&key)?;
        let mut after = before.clone();
        after.json_mut()["spec"] = object.at("/spec").cloned().unwrap_or_default();
        self.keep(key, before, after)
    }

    fn keep(&mut self, key: Key, before: Object, mut after: Object) -> Result<Done, Status> {
        if before.at("/spec") != after.at("/spec") && before.at("/metadata/generation").is_some() {
            after.metadata_mut().insert("generation".into(), json!(before.generation() + 1));
        }
        if after.is_deleting()
            && after.finalizers().next().is_none()
            && !waits_for_kubelet(&after)
            && !is_kept_namespace(&after)
        {
            self.state.remove(&key);
            return Ok(Done { before: Some(before), after: None });
        }
        let same = {
            let (mut a, mut b) = (before.clone(), after.clone());
            a.metadata_mut().remove("resourceVersion");
            b.metadata_mut().remove("resourceVersion");
            a == b
        };
        if !same {
            self.state.put(key, after.clone());
        }
        Ok(Done { before: Some(before), after: Some(after) })
    }

    pub fn patch(&mut self, key: &Key, patch: &Json) -> Result<Done, Status> {
        let before = self.get(key)?;
        if let Some(uid) = patch.pointer("/metadata/uid").and_then(Json::as_str)
            && uid != before.uid()
        {
            return Err(Status::conflict(&key.resource, &key.name, "the UID in the precondition does not match"));
        }
        let mut after = before.clone();
        merge(after.json_mut(), patch);
        self.keep(key.clone(), before, after)
    }

    pub fn delete(
        &mut self,
        key: &Key,
        uid: Option<&str>,
        propagation: Option<Propagation>,
        grace: Option<i64>,
    ) -> Result<Done, Status> {
        let before = self.get(key)?;
        if uid.is_some_and(|uid| uid != before.uid()) {
            return Err(Status::conflict(&key.resource, &key.name, "the UID in the precondition does not match"));
        }
        let mut after = before.clone();
        set_finalizers(&mut after, propagation.or_else(|| default_propagation(&before)));
        if before.kind() == "Pod" {
            let period = grace_of(&before, grace);
            if period > 0 && before.is_deleting() {
                return self.keep(key.clone(), before, after);
            }
            let end = self.now + SignedDuration::from_secs(period);
            after.metadata_mut().insert("deletionTimestamp".into(), stamp(end));
            after.metadata_mut().insert("deletionGracePeriodSeconds".into(), json!(period));
            return self.keep(key.clone(), before, after);
        }
        if before.kind() == "Namespace" {
            after.json_mut()["status"]["phase"] = json!("Terminating");
        }
        if !before.is_deleting() {
            after.metadata_mut().insert("deletionTimestamp".into(), stamp(self.now));
            after.metadata_mut().insert("deletionGracePeriodSeconds".into(), json!(0));
            if before.at("/metadata/generation").is_some() && after.finalizers().next().is_some() {
                after.metadata_mut().insert("generation".into(), json!(before.generation() + 1));
            }
        }
        self.keep(key.clone(), before, after)
    }
}

fn is_kept_namespace(object: &Object) -> bool {
    object.kind() == "Namespace"
        && object.at("/spec/finalizers").and_then(Json::as_array).is_some_and(|f| !f.is_empty())
}

fn waits_for_kubelet(object: &Object) -> bool {
    object.kind() == "Pod" && object.i64_at("/metadata/deletionGracePeriodSeconds").unwrap_or(0) > 0
}

fn grace_of(pod: &Object, asked: Option<i64>) -> i64 {
    let ended = matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed"));
    if ended || pod.str_at("/spec/nodeName").unwrap_or("").is_empty() {
        return 0;
    }
    asked.or(pod.i64_at("/spec/terminationGracePeriodSeconds")).unwrap_or(30)
}

fn default_propagation(object: &Object) -> Option<Propagation> {
    let orphans =
        (object.kind() == "Job" && object.api_version() == "batch/v1") || object.kind() == "ReplicationController";
    orphans.then_some(Propagation::Orphan)
}

fn set_finalizers(object: &mut Object, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut list: Vec<String> = object.finalizers().map(str::to_owned).collect();
    list.retain(|f| f != "orphan" && f != "foregroundDeletion");
    match propagation {
        Propagation::Orphan => list.push("orphan".into()),
        Propagation::Foreground => list.push("foregroundDeletion".into()),
        Propagation::Background => (),
    }
    if list.is_empty() {
        object.metadata_mut().remove("finalizers");
    } else {
        object.metadata_mut().insert("finalizers".into(), json!(list));
    }
}

fn has_generation(kind: &str) -> bool {
    matches!(
        kind,
        "Deployment"
            | "ReplicaSet"
            | "StatefulSet"
            | "DaemonSet"
            | "Job"
            | "CronJob"
            | "ReplicationController"
            | "PodDisruptionBudget"
            | "EndpointSlice"
    )
}

fn fill_defaults(object: &mut Object) {
    let uid = object.uid().to_owned();
    let name = object.name().to_owned();
    let kind = object.kind().to_owned();
    let tree = object.json_mut();
    let status = match kind.as_str() {
        "ReplicaSet" | "ReplicationController" => json!({"replicas": 0}),
        "StatefulSet" => json!({"replicas": 0, "availableReplicas": 0}),
        "DaemonSet" => {
            json!({"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0})
        }
        "Pod" | "PersistentVolumeClaim" | "PersistentVolume" => json!({"phase": "Pending"}),
        "Namespace" => json!({"phase": "Active"}),
        "Service" => json!({"loadBalancer": {}}),
        _ => json!({}),
    };
    if has_generation(&kind) && kind != "EndpointSlice"
        || matches!(kind.as_str(), "Pod" | "PersistentVolumeClaim" | "PersistentVolume" | "Namespace" | "Service")
    {
        tree["status"] = status;
    }
    match kind.as_str() {
        "PersistentVolumeClaim" => tree["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]),
        "PersistentVolume" => tree["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]),
        "Namespace" => {
            tree["spec"] = json!({"finalizers": ["kubernetes"]});
            tree["metadata"]["labels"] = json!({"kubernetes.io/metadata.name": name});
        }
        "Job" => fill_job(tree, &uid, &name),
        _ => (),
    }
}

fn fill_job(job: &mut Json, uid: &str, name: &str) {
    if job.pointer("/spec/manualSelector") == Some(&json!(true)) {
        return;
    }
    let labels = [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid),
        ("job-name", name),
    ];
    for (label, value) in labels {
        job["spec"]["template"]["metadata"]["labels"][label] = json!(value);
    }
    if job["metadata"]["labels"].is_null() {
        job["metadata"]["labels"] = job["spec"]["template"]["metadata"]["labels"].clone();
    }
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    let defaults = [
        ("manualSelector", json!(false)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("backoffLimit", json!(if job["spec"]["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX })),
    ];
    for (field, value) in defaults {
        if job["spec"][field].is_null() {
            job["spec"][field] = value;
        }
    }
    if job["spec"]["completions"].is_null() && job["spec"]["parallelism"].is_null() {
        job["spec"]["completions"] = json!(1);
    }
    if job["spec"]["parallelism"].is_null() {
        job["spec"]["parallelism"] = json!(1);
    }
}

/// RFC 7386.
pub fn merge(target: &mut Json, patch: &Json) {
    let Json::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Json::Object(Map::new());
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// The merge patch from one tree to the other.
pub fn difference(before: &Json, after: &Json) -> Json {
    let (Json::Object(old), Json::Object(new)) = (before, after) else { return after.clone() };
    let mut patch = Map::new();
    for (name, value) in new {
        match old.get(name) {
            Some(earlier) if earlier == value => (),
            Some(earlier) => {
                patch.insert(name.clone(), difference(earlier, value));
            }
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Json::Null);
    }
    Json::Object(patch)
}
