//! The claims of a StatefulSet's pods. Source of the rules: pkg/controller/statefulset/stateful_pod_control.go.

use std::sync::Arc;

use serde_json::json;

use super::sync::{Sync, ordinal_of};
use super::{COMPONENT, identity, retention};
use crate::api::{Json, Key, Object};
use crate::controllers::Write;
use crate::controllers::pods::PodView;
use crate::controllers::resources::{CLAIMS, key_of};

impl<'a> Sync<'a> {
    fn claim(&self, name: &str) -> Option<&'a Arc<Object>> {
        self.state.get(&Key::new(CLAIMS.clone(), self.set.namespace(), name))
    }

    /// The claims that an ordinal has.
    pub(super) fn claims_of(&self, ordinal: i64) -> impl Iterator<Item = &'a Arc<Object>> {
        identity::claim_names(self.set, ordinal).filter_map(|name| self.claim(&name))
    }

    /// Makes the claims of a pod that are not there; says which are in the way, as they are going away.
    pub(super) fn make_claims(&mut self, pod: &Object, ordinal: i64) -> Vec<String> {
        let mut going = Vec::new();
        for (_, claim) in identity::claims(self.set, ordinal) {
            match self.claim(claim.name()) {
                Some(held) if held.is_deleting() => going.push(format!("pvc {} is being deleted", claim.name())),
                Some(_) => (),
                None => {
                    let what = format!("Claim {} Pod {}", claim.name(), pod.name());
                    self.decision.create(claim);
                    self.tell("create", "Create", &what, "success");
                }
            }
        }
        going
    }

    /// Makes the claims of a pod whose they should be, those made in this look too; whether any was not.
    pub(super) fn give_claims(&mut self, pod: &Object, ordinal: i64) -> bool {
        let before = self.decision.writes.len();
        let is_scaled_away = !self.is_in_range(ordinal);
        for (_, claim) in identity::claims(self.set, ordinal) {
            let held = self.claim(claim.name()).map_or(&claim, AsRef::as_ref);
            if retention::conflicts(self.set, pod, held) {
                let message = format!(
                    "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, the \
                     retention policy is ignored for this claim",
                    claim.name()
                );
                self.decision.warning(COMPONENT, self.set, "ConflictingController", message);
            }
            if let Some(references) = retention::correction(self.set, pod, held, is_scaled_away) {
                let references = if references.is_empty() { Json::Null } else { json!(references) };
                let mut patch = json!({"metadata": {"ownerReferences": references}});
                if !held.uid().is_empty() {
                    patch["metadata"]["uid"] = json!(held.uid());
                }
                self.decision.patch(key_of(&CLAIMS, &claim), patch);
            }
        }
        self.decision.writes[before..].iter().any(|write| matches!(write, Write::Patch { .. }))
    }

    /// Looks at whose the claims are; whether any was not whose it should be.
    pub(super) fn correct_claims(&mut self, pod: &PodView<'_>) -> bool {
        let ordinal = ordinal_of(pod);
        let is_scaled_away = !self.is_in_range(ordinal);
        let is_wrong = |held: &Arc<Object>| retention::correction(self.set, pod, held, is_scaled_away).is_some();
        let any_is_wrong = self.claims_of(ordinal).any(is_wrong);
        any_is_wrong && self.give_claims(pod, ordinal)
    }
}
