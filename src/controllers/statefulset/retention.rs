//! Whose a claim is, by `persistentVolumeClaimRetentionPolicy`: nobody's, the set's, or the pod's that was
//! scaled away. Source of the rules: pkg/controller/statefulset/stateful_set_utils.go.

use crate::api::{Json, Object};
use crate::controllers::ownership::controller_ref;
use crate::controllers::resources::dig;

fn deletes(set: &Object, when: &str) -> bool {
    dig(set.json(), &["spec", "persistentVolumeClaimRetentionPolicy", when]) == "Delete"
}

/// A reference to an object of this kind and name, whatever its uid.
fn names(reference: &Json, owner: &Object) -> bool {
    dig(reference, &["apiVersion"]) == owner.api_version()
        && dig(reference, &["kind"]) == owner.kind()
        && dig(reference, &["name"]) == owner.name()
}

fn is_controller(reference: &Json) -> bool {
    dig(reference, &["controller"]) == true
}

/// What the references of a claim should be, where they are not so already. `is_scaled_away`: the pod's
/// ordinal is none of the set's.
pub(super) fn correction(set: &Object, pod: &Object, claim: &Object, is_scaled_away: bool) -> Option<Vec<Json>> {
    let references = claim.owner_references();
    let ours = |r: &&Json| names(r, set) || names(r, pod);
    let foreign = references.iter().any(|r| is_controller(r) && !ours(&r));
    let mut wanted: Vec<Json> = references.iter().filter(|r| !ours(r)).cloned().collect();
    if !foreign {
        let of_pod = is_scaled_away && deletes(set, "whenScaled");
        if of_pod {
            wanted.push(controller_ref(pod));
        } else if deletes(set, "whenDeleted") {
            wanted.push(controller_ref(set));
        }
    }
    let mut now: Vec<&Json> = references.iter().collect();
    now.sort_by_key(|r| r.to_string());
    let mut then: Vec<&Json> = wanted.iter().collect();
    then.sort_by_key(|r| r.to_string());
    (now != then).then_some(wanted)
}

/// Whether a claim still belongs to an earlier pod of the name: it is about to go.
pub(super) fn is_stale(set: &Object, pod: &Object, claim: &Object) -> bool {
    deletes(set, "whenScaled")
        && claim.owner_references().iter().any(|r| names(r, pod) && dig(r, &["uid"]) != pod.uid())
}
