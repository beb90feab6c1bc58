//! Claims and the volumes that they are bound to.
//! Source of the rules: pkg/controller/volume/persistentvolume/{pv_controller,index}.go.

mod matching;
mod protection;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

pub(super) use protection::{ClaimProtection, VolumeProtection};

use super::resources::{CLAIMS, VOLUMES, dig, key_of, sides, text};
use super::{Context, Controller, Decision};
use crate::api::volumes::{PROVISIONER, volume_name};
use crate::api::{Json, Key, Object};
use crate::state::{Change, State};

/// As events name it.
const COMPONENT: &str = "persistentvolume-controller";
const BOUND: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Binds claims to volumes, and makes volumes for claims that none fits where it is told to.
pub(super) struct Binder {
    provisions: bool,
    /// Claims of which it was told that nothing fits; without it that is told once more.
    told: Mutex<HashSet<String>>,
}

impl Binder {
    /// One that leaves making volumes to others, as Kubernetes' does.
    pub fn new() -> Self {
        Binder { provisions: false, told: Mutex::default() }
    }

    /// One that makes a volume of this machine for each claim that none fits, whatever its class.
    pub fn with_volumes_of_the_machine() -> Self {
        Binder { provisions: true, told: Mutex::default() }
    }

    fn claim(&self, state: &State, claim: &Arc<Object>) -> Decision {
        let mut decision = Decision::none();
        if claim.annotation(BOUND).is_some() {
            self.check_bound(state, claim, &mut decision);
            return decision;
        }
        if claim.is_deleting() {
            return decision;
        }
        match matching::volume_for(state, claim) {
            Some(volume) => bind(&mut decision, claim, &volume),
            None if self.provisions => {
                let made = provisioned(claim);
                let key = Key::new(VOLUMES.clone(), "", made.name());
                match state.get(&key) {
                    // What an earlier claim of the name left behind is its again.
                    Some(left) if is_left_behind(left) => {
                        let mut volume = left.as_ref().clone();
                        volume.json_mut()["spec"]["claimRef"] = reference(claim);
                        decision.update(volume);
                    }
                    Some(_) => self.tell_waiting(claim, &mut decision),
                    None => {
                        decision.create(made);
                    }
                }
            }
            None => self.tell_waiting(claim, &mut decision),
        }
        decision
    }

    fn tell_waiting(&self, claim: &Object, decision: &mut Decision) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(claim.uid().to_owned()) {
            let message = "no persistent volumes available for this claim and no storage class is set";
            decision.normal(COMPONENT, claim, "FailedBinding", message.into());
        }
    }

    /// A bound claim tells what its volume has; one whose volume is gone is lost.
    fn check_bound(&self, state: &State, claim: &Arc<Object>, decision: &mut Decision) {
        let name = text(claim, &["spec", "volumeName"]);
        let volume = state.get(&Key::new(VOLUMES.clone(), "", name));
        let phase = text(claim, &["status", "phase"]);
        let is_ours = |volume: &Object| text(volume, &["spec", "claimRef", "uid"]) == claim.uid();
        match volume.filter(|volume| is_ours(volume)) {
            Some(volume) if phase != "Bound" => decision.update_status(bound_status(claim, volume)),
            None if phase == "Bound" => {
                let mut lost = claim.as_ref().clone();
                lost.json_mut()["status"] = json!({"phase": "Lost"});
                decision.update_status(lost);
                let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
                decision.warning(COMPONENT, claim, "ClaimLost", message.into());
            }
            _ => (),
        }
    }

    fn volume(state: &State, volume: &Arc<Object>) -> Decision {
        let mut decision = Decision::none();
        let uid = text(volume, &["spec", "claimRef", "uid"]);
        let phase = text(volume, &["status", "phase"]);
        let wanted = if dig(volume.json(), &["spec", "claimRef"]).is_null() || uid.is_empty() {
            "Available"
        } else if state.with_uid(uid).is_some_and(|claim| claim.kind() == "PersistentVolumeClaim") {
            "Bound"
        } else {
            "Released"
        };
        // What is bound is told with the claim.
        let tells = wanted != "Bound" || text(volume, &["spec", "claimRef", "uid"]).is_empty();
        if phase != wanted && (tells || phase.is_empty() || phase == "Pending" || phase == "Available") {
            let mut changed = volume.as_ref().clone();
            changed.json_mut()["status"]["phase"] = json!(wanted);
            decision.update_status(changed);
        }
        decision
    }
}

fn reference(claim: &Object) -> Json {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(),
        "name": claim.name(), "uid": claim.uid(), "resourceVersion": claim.resource_version(),
    })
}

/// A volume of the machine for a claim, kept when the claim goes.
fn provisioned(claim: &Object) -> Object {
    let spec = dig(claim.json(), &["spec"]);
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim.namespace(), claim.name()),
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "capacity": dig(spec, &["resources", "requests"]),
            "accessModes": dig(spec, &["accessModes"]),
            "persistentVolumeReclaimPolicy": "Retain",
            "volumeMode": dig(spec, &["volumeMode"]),
            "csi": {"driver": PROVISIONER, "volumeHandle": volume_name(claim.namespace(), claim.name())},
            "claimRef": reference(claim),
        },
    });
    if let Some(class) = dig(spec, &["storageClassName"]).as_str() {
        volume["spec"]["storageClassName"] = json!(class);
    }
    Object::new(volume)
}

fn is_left_behind(volume: &Object) -> bool {
    text(volume, &["status", "phase"]) == "Released" && volume.annotation(PROVISIONED_BY) == Some(PROVISIONER)
}

/// The volume is told, then the claim, then what the claim has.
fn bind(decision: &mut Decision, claim: &Arc<Object>, volume: &Arc<Object>) {
    let mut held = volume.as_ref().clone();
    if text(volume, &["spec", "claimRef", "uid"]) != claim.uid() {
        let was_free = dig(volume.json(), &["spec", "claimRef"]).is_null();
        held.json_mut()["spec"]["claimRef"] = reference(claim);
        if was_free {
            held.json_mut()["metadata"]["annotations"][BY_CONTROLLER] = json!("yes");
        }
        decision.update(held.clone());
    }
    if text(volume, &["status", "phase"]) != "Bound" {
        held.json_mut()["status"]["phase"] = json!("Bound");
        decision.update_status(held);
    }
    let mut bound = claim.as_ref().clone();
    if text(claim, &["spec", "volumeName"]).is_empty() {
        bound.json_mut()["metadata"]["annotations"][BY_CONTROLLER] = json!("yes");
    }
    bound.json_mut()["spec"]["volumeName"] = json!(volume.name());
    bound.json_mut()["metadata"]["annotations"][BOUND] = json!("yes");
    decision.update(bound.clone());
    decision.update_status(bound_status(&bound, volume));
}

fn bound_status(claim: &Object, volume: &Object) -> Object {
    let mut bound = claim.clone();
    bound.json_mut()["status"] = json!({
        "phase": "Bound",
        "accessModes": dig(volume.json(), &["spec", "accessModes"]),
        "capacity": dig(volume.json(), &["spec", "capacity"]),
    });
    bound
}

impl Controller for Binder {
    fn name(&self) -> &'static str {
        "persistent-volume-binder"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let mut keys = Vec::new();
        if change.key.resource == *CLAIMS {
            keys.push(change.key.clone());
            // What a claim that goes leaves behind is told of.
            let bound = sides(change).map(|claim| text(claim, &["spec", "volumeName"])).filter(|name| !name.is_empty());
            keys.extend(bound.map(|name| Key::new(VOLUMES.clone(), "", name)));
        }
        if change.key.resource == *VOLUMES {
            keys.push(change.key.clone());
            let waiting = state.all(&CLAIMS).filter(|claim| claim.annotation(BOUND).is_none());
            keys.extend(waiting.map(|claim| key_of(&CLAIMS, claim)));
            let namespace = |volume: &Object| text(volume, &["spec", "claimRef", "namespace"]).to_owned();
            let name = |volume: &Object| text(volume, &["spec", "claimRef", "name"]).to_owned();
            let named = sides(change).filter(|volume| !name(volume).is_empty());
            keys.extend(named.map(|volume| Key::new(CLAIMS.clone(), &namespace(volume), &name(volume))));
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let Some(object) = state.get(key) else { return Decision::none() };
        if key.resource == *VOLUMES { Self::volume(state, object) } else { self.claim(state, object) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::Write;

    struct NoDice;

    impl crate::api::Random for NoDice {
        fn next_u64(&mut self) -> u64 {
            0
        }
    }

    fn put(state: &mut State, object: Object) -> Key {
        let resource = if object.kind() == "PersistentVolume" { &*VOLUMES } else { &*CLAIMS };
        let key = Key::new(resource.clone(), object.namespace(), object.name());
        state.put(key.clone(), object);
        key
    }

    fn claim(uid: &str) -> Object {
        Object::new(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "default", "uid": uid},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
                "resources": {"requests": {"storage": "1Gi"}}},
        }))
    }

    /// Looks until nothing is left to write.
    fn settle(state: &mut State, binder: &Binder, keys: &[Key]) {
        for _ in 0..10 {
            for key in keys {
                let mut context = Context { now: jiff::Timestamp::UNIX_EPOCH, random: &mut NoDice };
                for write in binder.reconcile(state, key, &mut context).writes {
                    match write {
                        Write::Create { object } | Write::Update { object } | Write::UpdateStatus { object } => {
                            put(state, object);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_claim_gets_a_volume_of_the_machine_and_finds_it_again() {
        let binder = Binder::with_volumes_of_the_machine();
        let mut state = State::new();
        let first = put(&mut state, claim("1"));
        let volume = Key::new(VOLUMES.clone(), "", "default-data");
        let keys = [first.clone(), volume.clone()];
        settle(&mut state, &binder, &keys);
        let phase = |state: &State, key: &Key| text(state.get(key).unwrap(), &["status", "phase"]).to_owned();
        assert_eq!((phase(&state, &first), phase(&state, &volume)), ("Bound".into(), "Bound".into()));
        assert_eq!(text(state.get(&volume).unwrap(), &["spec", "csi", "volumeHandle"]), "default-data");
        state.remove(&first);
        settle(&mut state, &binder, &keys);
        assert_eq!(phase(&state, &volume), "Released");
        put(&mut state, claim("2"));
        settle(&mut state, &binder, &keys);
        assert_eq!((phase(&state, &first), phase(&state, &volume)), ("Bound".into(), "Bound".into()));
        assert_eq!(text(state.get(&volume).unwrap(), &["spec", "claimRef", "uid"]), "2");
    }

    #[test]
    fn the_smallest_free_volume_that_fits_is_bound() {
        let binder = Binder::new();
        let mut state = State::new();
        let key = put(&mut state, claim("1"));
        for (name, size, class) in [("big", "9Gi", "fast"), ("small", "2Gi", "fast"), ("other", "1Gi", "slow"), ("tiny", "1Mi", "fast")] {
            put(&mut state, Object::new(json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "uid": name},
                "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": class},
            })));
        }
        settle(&mut state, &binder, std::slice::from_ref(&key));
        assert_eq!(text(state.get(&key).unwrap(), &["spec", "volumeName"]), "small");
    }
}
