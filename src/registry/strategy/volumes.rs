//! Volumes and claims: phases with their times, and the two fields of a claim's source.
//! Source: pkg/registry/core/{persistentvolume,persistentvolumeclaim}/strategy.go, pkg/api/persistentvolumeclaim/util.go.

use super::{Part, Rules, Strategy, plain, rules};
use crate::api::tree::{Tree, remove};
use crate::api::{Json, Object};
use crate::registry::metadata;
use crate::registry::run::Run;

pub(crate) struct Volumes;
pub(crate) struct Claims;

impl Strategy for Volumes {
    fn rules(&self) -> &'static Rules {
        rules::rules("", "persistentvolumes")
    }

    fn prepare_create(&self, run: &mut Run<'_, '_>, volume: &mut Object) {
        plain::prepare_create(self.rules(), volume);
        volume.json_mut()["status"]["lastPhaseTransitionTime"] = run.now().into();
    }

    fn prepare_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        if part != Part::Status || !new.at("/status").is_some_and(Json::is_object) {
            return;
        }
        let at = "/status/lastPhaseTransitionTime";
        let (sent, before) = (new.at(at).cloned(), old.at(at).cloned());
        if new.at("/status/phase") != old.at("/status/phase") {
            if sent.is_none() || sent == before {
                new.json_mut()["status"]["lastPhaseTransitionTime"] = run.now().into();
            }
        } else if sent.is_none() {
            metadata::take_from(&mut new.json_mut()["status"], old.at("/status").unwrap_or(&Json::Null), "lastPhaseTransitionTime");
        }
    }
}

impl Strategy for Claims {
    fn rules(&self) -> &'static Rules {
        rules::rules("", "persistentvolumeclaims")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, claim: &mut Object) {
        plain::prepare_create(self.rules(), claim);
        drop_sources(claim, None);
        normalize_sources(claim);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        if part == Part::Main {
            drop_sources(new, Some(old));
            normalize_sources(new);
        }
    }
}

/// Drops what a volume may not be filled from: a source of another namespace (the gate CrossNamespaceVolumeDataSource is
/// off), and, by the older field, anything but a claim or a snapshot. What is there stays.
/// Source: DropDisabledFields, EnforceDataSourceBackwardsCompatibility.
fn drop_sources(claim: &mut Object, old: Option<&Object>) {
    let before = old.map_or(&Json::Null, |old| old.json().field("spec"));
    let Some(spec) = crate::api::tree::present(claim.json_mut(), "spec") else { return };
    if !before.has("dataSourceRef") && !spec.field("dataSourceRef").text("namespace").is_empty() {
        remove(spec, "dataSourceRef");
    }
    if before.has("dataSource") || before.has("dataSourceRef") || spec.has("dataSourceRef") {
        return;
    }
    let source = spec.field("dataSource");
    let known = [("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")];
    if !known.contains(&(source.text("apiGroup"), source.text("kind"))) {
        remove(spec, "dataSource");
    }
}

/// `dataSource` and `dataSourceRef` say the same where only one was given (NormalizeDataSources).
fn normalize_sources(claim: &mut Object) {
    let (source, reference) = (claim.at("/spec/dataSource").cloned(), claim.at("/spec/dataSourceRef").cloned());
    let spec = &mut claim.json_mut()["spec"];
    match (source, reference) {
        (Some(source), None) => spec["dataSourceRef"] = source,
        (None, Some(reference)) => {
            let elsewhere = reference.get("namespace").and_then(Json::as_str).is_some_and(|n| !n.is_empty());
            if !elsewhere {
                let mut source = reference;
                if let Some(map) = source.as_object_mut() {
                    map.remove("namespace");
                }
                spec["dataSource"] = source;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dropped(spec: Json, old: Option<Json>) -> Json {
        let mut claim = Object::new(json!({"spec": spec}));
        let old = old.map(|spec| Object::new(json!({"spec": spec})));
        drop_sources(&mut claim, old.as_ref());
        claim.json()["spec"].clone()
    }

    #[test]
    fn a_claim_is_filled_from_claims_and_snapshots_of_its_namespace() {
        let claim = json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "a"}});
        assert_eq!(dropped(claim.clone(), None), claim);
        let other = json!({"dataSource": {"apiGroup": "example.com", "kind": "Book", "name": "a"}});
        assert_eq!(dropped(other.clone(), None), json!({}));
        assert_eq!(dropped(other.clone(), Some(other.clone())), other, "what is there stays");
        let elsewhere = json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "a", "namespace": "b"}});
        assert_eq!(dropped(elsewhere.clone(), None), json!({}));
        assert_eq!(dropped(elsewhere.clone(), Some(elsewhere.clone())), elsewhere);
    }
}
