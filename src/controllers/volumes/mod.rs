//! Claims and the volumes that they are bound to.
//! Source of the rules: pkg/controller/volume/persistentvolume/{pv_controller,index}.go.

mod ephemeral;
mod matching;
mod protection;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

pub(super) use ephemeral::EphemeralVolumes;
pub(super) use protection::{ClaimProtection, VolumeProtection};

use self::matching::Choice;
use super::resources::{CLAIMS, VOLUMES, dig, key_of, sides, text};
use super::{Context, Controller, Decision};
use crate::api::volumes::{PROVISIONED_BY, PROVISIONER, is_made_here, volume_name};
use crate::api::{Json, Key, Object};
use crate::state::{Change, State};

/// As events name it.
const COMPONENT: &str = "persistentvolume-controller";
const BOUND: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Binds claims to volumes, and makes volumes for claims that none fits where it is told to.
pub(super) struct Binder {
    provisions: bool,
    /// What was told of a claim last, by uid; without it that is told once more.
    told: Mutex<HashMap<String, String>>,
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
            Self::check_bound(state, claim, &mut decision);
            return decision;
        }
        if claim.is_deleting() {
            return decision;
        }
        match matching::volume_for(state, claim) {
            Choice::Volume(volume) => bind(&mut decision, claim, &volume),
            Choice::NotThere => (),
            Choice::Refused(reason, message) => {
                if self.is_news(claim, &message) {
                    decision.warning(COMPONENT, claim, reason, message);
                }
            }
            Choice::Nothing if self.provisions => self.provision(state, claim, &mut decision),
            Choice::Nothing => self.tell_waiting(claim, &mut decision),
        }
        decision
    }

    fn provision(&self, state: &State, claim: &Object, decision: &mut Decision) {
        let made = provisioned(claim);
        let key = Key::new(VOLUMES.clone(), "", made.name());
        match state.get(&key) {
            // What an earlier claim of the name left behind is its again.
            Some(left) if is_left_behind(left) => {
                let mut volume = left.as_ref().clone();
                volume.json_mut()["spec"]["claimRef"] = reference(claim);
                decision.update(volume);
            }
            Some(_) => self.tell_waiting(claim, decision),
            None => decision.create(made),
        }
    }

    fn is_news(&self, claim: &Object, message: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(claim.uid().to_owned(), message.to_owned()).is_none_or(|last| last != message)
    }

    fn tell_waiting(&self, claim: &Object, decision: &mut Decision) {
        let message = "no persistent volumes available for this claim and no storage class is set";
        if self.is_news(claim, message) {
            decision.normal(COMPONENT, claim, "FailedBinding", message.into());
        }
    }

    /// A bound claim tells what its volume has; one whose volume is gone, or somebody else's, is lost.
    fn check_bound(state: &State, claim: &Arc<Object>, decision: &mut Decision) {
        let name = text(claim, &["spec", "volumeName"]);
        let volume = state.get(&Key::new(VOLUMES.clone(), "", name)).filter(|_| !name.is_empty());
        let (reason, message) = match volume {
            Some(volume) => {
                let held = dig(volume.json(), &["spec", "claimRef"]);
                if held.is_null() || dig(held, &["uid"]) == claim.uid() {
                    return bind(decision, claim, volume);
                }
                ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
            }
            None if name.is_empty() => {
                ("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
            }
            None => ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
        };
        if text(claim, &["status", "phase"]) != "Lost" {
            let mut lost = claim.as_ref().clone();
            lost.json_mut()["status"] = json!({"phase": "Lost"});
            decision.update_status(lost);
            decision.warning(COMPONENT, claim, reason, message.into());
        }
    }

    fn volume(state: &State, volume: &Arc<Object>) -> Decision {
        let mut decision = Decision::none();
        let uid = text(volume, &["spec", "claimRef", "uid"]);
        let phase = text(volume, &["status", "phase"]);
        if uid.is_empty() {
            tell_phase(&mut decision, volume, "Available");
            return decision;
        }
        let claim = claim_of(volume).and_then(|key| state.get(&key)).filter(|claim| claim.uid() == uid);
        match claim.map(|claim| (claim, text(claim, &["spec", "volumeName"]))) {
            // What failed is to be seen.
            None if phase != "Failed" => tell_phase(&mut decision, volume, "Released"),
            None => (),
            // It is bound with the claim, if that can be.
            Some((claim, "")) if !matching::is_of_mode(volume, claim) => tell_modes_differ(&mut decision, volume, claim),
            Some((_, "")) => (),
            Some((_, name)) if name == volume.name() => tell_phase(&mut decision, volume, "Bound"),
            Some(_) => set_free(&mut decision, volume),
        }
        decision
    }
}

/// The claim that a volume names.
fn claim_of(volume: &Object) -> Option<Key> {
    let name = text(volume, &["spec", "claimRef", "name"]);
    let key = || Key::new(CLAIMS.clone(), text(volume, &["spec", "claimRef", "namespace"]), name);
    (!name.is_empty()).then(key)
}

fn tell_phase(decision: &mut Decision, volume: &Object, phase: &str) {
    if text(volume, &["status", "phase"]) != phase {
        let mut changed = volume.clone();
        changed.json_mut()["status"]["phase"] = json!(phase);
        decision.update_status(changed);
    }
}

fn tell_modes_differ(decision: &mut Decision, volume: &Object, claim: &Object) {
    let of_claim = format!(
        "Cannot bind PersistentVolume to requested PersistentVolumeClaim {:?} due to incompatible volumeMode.",
        claim.name()
    );
    decision.warning(COMPONENT, volume, "VolumeMismatch", of_claim);
    let of_volume = format!(
        "Cannot bind PersistentVolume {:?} to requested PersistentVolumeClaim due to incompatible volumeMode.",
        volume.name()
    );
    decision.warning(COMPONENT, claim, "VolumeMismatch", of_volume);
}

/// Whose claim is bound to another volume: what the controller had bound is free, what somebody else had is reserved again.
fn set_free(decision: &mut Decision, volume: &Object) {
    let mut free = volume.clone();
    if volume.annotation(BY_CONTROLLER).is_some() {
        if let Some(spec) = free.json_mut()["spec"].as_object_mut() {
            spec.remove("claimRef");
        }
        let annotations = free.json_mut()["metadata"]["annotations"].as_object_mut();
        if annotations.is_some_and(|annotations| annotations.remove(BY_CONTROLLER).is_some() && annotations.is_empty()) {
            free.metadata_mut().remove("annotations");
        }
    } else if let Some(reference) = free.json_mut()["spec"]["claimRef"].as_object_mut() {
        reference.remove("uid");
    }
    decision.update(free.clone());
    tell_phase(decision, &free, "Available");
}

fn reference(claim: &Object) -> Json {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(),
        "name": claim.name(), "uid": claim.uid(), "resourceVersion": claim.resource_version(),
    })
}

/// A volume of the machine for a claim, kept when the claim goes, unless it lives as long as a pod.
fn provisioned(claim: &Object) -> Object {
    let spec = dig(claim.json(), &["spec"]);
    let of_pod = claim.controller_ref().is_some_and(|owner| owner["kind"] == "Pod");
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim.namespace(), claim.name()),
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "capacity": dig(spec, &["resources", "requests"]),
            "accessModes": dig(spec, &["accessModes"]),
            "persistentVolumeReclaimPolicy": if of_pod { "Delete" } else { "Retain" },
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
    text(volume, &["status", "phase"]) == "Released"
        && is_made_here(volume)
        // What is not kept is on its way out.
        && text(volume, &["spec", "persistentVolumeReclaimPolicy"]) != "Delete"
}

/// The volume is told, then the claim, then what the claim has; what is so already stays unsaid.
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
    tell_phase(decision, &held, "Bound");
    let mut bound = claim.as_ref().clone();
    let is_named = text(claim, &["spec", "volumeName"]) == volume.name();
    if !is_named {
        bound.json_mut()["metadata"]["annotations"][BY_CONTROLLER] = json!("yes");
        bound.json_mut()["spec"]["volumeName"] = json!(volume.name());
    }
    if !is_named || claim.annotation(BOUND).is_none() {
        bound.json_mut()["metadata"]["annotations"][BOUND] = json!("yes");
        decision.update(bound.clone());
    }
    let is_told = text(claim, &["status", "phase"]) == "Bound"
        && dig(claim.json(), &["status", "accessModes"]) == dig(volume.json(), &["spec", "accessModes"]);
    if !is_told {
        decision.update_status(bound_status(&bound, volume));
    }
}

fn bound_status(claim: &Object, volume: &Object) -> Object {
    let mut bound = claim.clone();
    let status = &mut bound.json_mut()["status"];
    status["phase"] = json!("Bound");
    for field in ["accessModes", "capacity"] {
        status[field] = dig(volume.json(), &["spec", field]).clone();
    }
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
            let named = |volume: &&Arc<Object>| claim_of(volume).as_ref() == Some(&change.key);
            keys.extend(state.all(&VOLUMES).filter(named).map(|volume| key_of(&VOLUMES, volume)));
        }
        if change.key.resource == *VOLUMES {
            keys.push(change.key.clone());
            let waiting = state.all(&CLAIMS).filter(|claim| claim.annotation(BOUND).is_none());
            keys.extend(waiting.map(|claim| key_of(&CLAIMS, claim)));
            keys.extend(sides(change).filter_map(|volume| claim_of(volume)));
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
