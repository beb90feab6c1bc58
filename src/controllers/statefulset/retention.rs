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

fn is_by(reference: &Json, owner: &Object) -> bool {
    !owner.uid().is_empty() && dig(reference, &["uid"]) == owner.uid()
}

/// Whether a claim is held for an earlier object of the owner's name.
fn is_held_for_an_earlier(claim: &Object, owner: &Object) -> bool {
    claim.owner_references().iter().find(|r| names(r, owner)).is_some_and(|r| dig(r, &["uid"]) != owner.uid())
}

/// Whether somebody else is the controller of a claim that the set may delete.
pub(super) fn conflicts(set: &Object, pod: &Object, claim: &Object) -> bool {
    let may_delete = deletes(set, "whenScaled") || deletes(set, "whenDeleted");
    let is_foreign = |reference: &Json| match [set, pod].into_iter().find(|owner| names(reference, owner)) {
        Some(owner) => dig(reference, &["uid"]) != owner.uid(),
        None => is_controller(reference),
    };
    may_delete && claim.owner_references().iter().any(is_foreign)
}

/// What the references of a claim should be, where they are not so already. `is_scaled_away`: the pod's
/// ordinal is none of the set's. A claim of an earlier set or pod is left to the garbage collection, and
/// one that somebody else controls to them.
pub(super) fn correction(set: &Object, pod: &Object, claim: &Object, is_scaled_away: bool) -> Option<Vec<Json>> {
    if is_held_for_an_earlier(claim, set) || is_held_for_an_earlier(claim, pod) {
        return None;
    }
    let references = claim.owner_references();
    let is_free = !conflicts(set, pod, claim);
    let to_pod = is_free && is_scaled_away && deletes(set, "whenScaled");
    let to_set = is_free && !to_pod && deletes(set, "whenDeleted");
    let is_owned = |owner: &Object| references.iter().any(|r| is_by(r, owner));
    let are_plain = |owner: &Object| references.iter().any(|r| is_by(r, owner) && !is_controller(r));
    if is_owned(set) == to_set && is_owned(pod) == to_pod && !are_plain(set) && !are_plain(pod) {
        return None;
    }
    let mut wanted: Vec<Json> = references.iter().filter(|r| !names(r, set) && !names(r, pod)).cloned().collect();
    let new_owner = [(to_pod, pod), (to_set, set)].into_iter().find(|(is_it, _)| *is_it).map(|(_, owner)| owner);
    if let Some(owner) = new_owner.filter(|owner| !wanted.iter().any(|r| is_by(r, owner))) {
        wanted.push(controller_ref(owner));
    }
    (wanted != references).then_some(wanted)
}

/// Whether a claim still belongs to an earlier pod of the name: it is about to go.
pub(super) fn is_stale(set: &Object, pod: &Object, claim: &Object) -> bool {
    deletes(set, "whenScaled") && is_held_for_an_earlier(claim, pod)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned(kind: &str, name: &str, uid: &str, references: &[Json]) -> Object {
        let version = if kind == "StatefulSet" { "apps/v1" } else { "v1" };
        Object::new(json!({
            "apiVersion": version, "kind": kind,
            "metadata": {"name": name, "namespace": "n", "uid": uid, "ownerReferences": references},
        }))
    }

    fn set(deleted: &str, scaled: &str) -> Object {
        let mut set = owned("StatefulSet", "db", "set", &[]);
        set.json_mut()["spec"] = json!({
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
        });
        set
    }

    fn pod() -> Object {
        owned("Pod", "db-1", "pod", &[])
    }

    fn plain(owner: &Object, uid: &str) -> Json {
        json!({"apiVersion": owner.api_version(), "kind": owner.kind(), "name": owner.name(), "uid": uid})
    }

    fn foreign(controls: bool) -> Json {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c", "controller": controls})
    }

    /// The uids of the references that a claim gets; `None` where it is right as it is.
    fn corrected(set: &Object, references: &[Json], is_scaled_away: bool) -> Option<Vec<String>> {
        let claim = owned("PersistentVolumeClaim", "data-db-1", "claim", references);
        let uid = |reference: &Json| reference["uid"].as_str().unwrap().to_owned();
        correction(set, &pod(), &claim, is_scaled_away).map(|list| list.iter().map(uid).collect())
    }

    #[test]
    fn each_policy_gives_a_claim_its_owner() {
        let owner = |deleted, scaled, is_scaled_away| corrected(&set(deleted, scaled), &[foreign(false)], is_scaled_away);
        let to = |owner: &str| Some(vec!["c".to_owned(), owner.to_owned()]);
        for is_scaled_away in [false, true] {
            assert_eq!(owner("Retain", "Retain", is_scaled_away), None);
            assert_eq!(owner("Delete", "Retain", is_scaled_away), to("set"));
        }
        assert_eq!(owner("Retain", "Delete", false), None);
        assert_eq!(owner("Delete", "Delete", false), to("set"));
        assert_eq!(owner("Retain", "Delete", true), to("pod"));
        assert_eq!(owner("Delete", "Delete", true), to("pod"));
    }

    #[test]
    fn an_owner_that_no_policy_asks_for_is_taken_away() {
        let both = [controller_ref(&set("Retain", "Retain")), controller_ref(&pod())];
        assert_eq!(corrected(&set("Retain", "Retain"), &both, false), Some(vec![]));
        assert_eq!(corrected(&set("Delete", "Retain"), &both, false), Some(vec!["set".into()]));
        assert_eq!(corrected(&set("Delete", "Delete"), &both, true), Some(vec!["pod".into()]));
    }

    #[test]
    fn a_reference_counts_by_its_uid_and_has_to_be_of_a_controller() {
        let set = set("Delete", "Retain");
        let mut own = controller_ref(&set);
        own["blockOwnerDeletion"] = json!(false);
        assert_eq!(corrected(&set, &[own], false), None);
        assert_eq!(corrected(&set, &[plain(&set, "set")], false), Some(vec!["set".into()]));
    }

    #[test]
    fn a_claim_of_an_earlier_set_or_pod_is_left_alone() {
        let set = set("Delete", "Delete");
        for reference in [plain(&set, "earlier"), plain(&pod(), "earlier")] {
            for is_scaled_away in [false, true] {
                assert_eq!(corrected(&set, std::slice::from_ref(&reference), is_scaled_away), None, "{reference}");
            }
        }
    }

    #[test]
    fn a_claim_that_somebody_else_controls_is_theirs() {
        let set = set("Delete", "Delete");
        assert_eq!(corrected(&set, &[foreign(true)], true), None);
        assert_eq!(corrected(&set, &[controller_ref(&set), foreign(true)], false), Some(vec!["c".into()]));
        let claim = |reference| owned("PersistentVolumeClaim", "data-db-1", "claim", &[reference]);
        assert!(conflicts(&set, &pod(), &claim(foreign(true))));
        assert!(!conflicts(&set, &pod(), &claim(foreign(false))));
        assert!(conflicts(&set, &pod(), &claim(plain(&set, "earlier"))));
        assert!(!conflicts(&self::set("Retain", "Retain"), &pod(), &claim(foreign(true))));
    }
}
