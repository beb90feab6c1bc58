//! A claim that a pod uses, and a volume that is bound, stay while that is so.
//! Source of the rules: pkg/controller/volume/{pvcprotection,pvprotection}.

use serde_json::json;

use super::ephemeral;
use crate::api::volumes::{not_own, own_claim};
use crate::api::{Json, Key, Object};
use crate::controllers::resources::{CLAIMS, PODS, VOLUMES, dig, sides, text};
use crate::controllers::{Context, Controller, Decision};
use crate::state::{Change, State};

const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";

/// The claims that a pod's volumes name and that are made for it, and whether they are of the second sort.
fn claims_of(pod: &Object) -> impl Iterator<Item = (String, bool)> {
    let volumes = dig(pod.json(), &["spec", "volumes"]).as_array().into_iter().flatten();
    let named = volumes.filter_map(|volume| dig(volume, &["persistentVolumeClaim", "claimName"]).as_str());
    let own = ephemeral::templates(pod).map(|(volume, _)| own_claim(pod.name(), volume));
    named.map(|name| (name.to_owned(), false)).chain(own.map(|name| (name, true)))
}

/// Whether a pod uses a claim. One of its own holds it up only until it is shut down.
fn uses(pod: &Object, claim: &Object) -> bool {
    let is_shut_down = || pod.i64_at("/metadata/deletionGracePeriodSeconds") == Some(0);
    let is_own = || !is_shut_down() && not_own(claim, pod.name(), pod.uid()).is_none();
    !text(pod, &["spec", "nodeName"]).is_empty()
        && claims_of(pod).any(|(name, of_pod)| name == claim.name() && (!of_pod || is_own()))
}

fn without(object: &Object, finalizer: &str) -> Json {
    let left: Vec<&str> = object.finalizers().filter(|f| *f != finalizer).collect();
    let left = if left.is_empty() { Json::Null } else { json!(left) };
    json!({"metadata": {"uid": object.uid(), "finalizers": left}})
}

/// Lets a deleted object go once nothing uses it.
fn settle(object: &Object, key: &Key, finalizer: &str, in_use: bool) -> Decision {
    let mut decision = Decision::none();
    if object.is_deleting() && !in_use && object.finalizers().any(|f| f == finalizer) {
        decision.patch(key.clone(), without(object, finalizer));
    }
    decision
}

/// Holds claims that a pod on a node uses.
pub(in crate::controllers) struct ClaimProtection;

impl Controller for ClaimProtection {
    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn wakes(&self, _state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *CLAIMS {
            return vec![change.key.clone()];
        }
        if change.key.resource != *PODS {
            return Vec::new();
        }
        let names = sides(change).flat_map(|pod| claims_of(pod));
        let mut keys: Vec<Key> = names.map(|(name, _)| Key::new(CLAIMS.clone(), &change.key.namespace, &name)).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let Some(claim) = state.get(key).filter(|claim| claim.is_deleting()) else { return Decision::none() };
        let in_use = state.in_namespace(&PODS, claim.namespace()).any(|pod| uses(pod, claim));
        settle(claim, key, OF_CLAIMS, in_use)
    }
}

/// Holds volumes that are bound.
pub(in crate::controllers) struct VolumeProtection;

impl Controller for VolumeProtection {
    fn name(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn wakes(&self, _state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *VOLUMES { vec![change.key.clone()] } else { Vec::new() }
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let Some(volume) = state.get(key) else { return Decision::none() };
        settle(volume, key, OF_VOLUMES, text(volume, &["status", "phase"]) == "Bound")
    }
}
