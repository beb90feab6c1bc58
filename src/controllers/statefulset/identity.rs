//! Who a pod of a StatefulSet is: its ordinal, name, labels and claims.
//! Source of the rules: pkg/controller/statefulset/stateful_set_utils.go.

use serde_json::json;

use crate::api::{Json, Object};
use crate::controllers::pods::{PodView, named_from_template};
use crate::controllers::resources::dig;

pub(super) const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
pub(super) const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
pub(super) const REVISION: &str = "controller-revision-hash";

/// Whether a pod's name is one that the set gives.
pub(super) fn is_of(set: &Object, pod: &str) -> bool {
    let digits = pod.strip_prefix(set.name()).and_then(|rest| rest.strip_prefix('-'));
    digits.is_some_and(|digits| !digits.contains('-'))
}

pub(super) fn pod_name(set: &Object, ordinal: i64) -> String {
    format!("{}-{ordinal}", set.name())
}

fn claim_templates(set: &Object) -> impl Iterator<Item = &Json> {
    dig(set.json(), &["spec", "volumeClaimTemplates"]).as_array().into_iter().flatten()
}

/// Whether the set's pods have claims of their own.
pub(super) fn has_claims(set: &Object) -> bool {
    claim_templates(set).next().is_some()
}

/// The name of the volume that a claim by this template stands for.
fn volume_of(template: &Json) -> &str {
    dig(template, &["metadata", "name"]).as_str().unwrap_or("")
}

fn claim_name(set: &Object, volume: &str, ordinal: i64) -> String {
    format!("{volume}-{}-{ordinal}", set.name())
}

/// What the claims of a pod are called.
pub(super) fn claim_names(set: &Object, ordinal: i64) -> impl Iterator<Item = String> {
    claim_templates(set).map(move |template| claim_name(set, volume_of(template), ordinal))
}

/// The claims of a pod: the name of the volume, and the claim.
pub(super) fn claims(set: &Object, ordinal: i64) -> Vec<(String, Object)> {
    claim_templates(set)
        .map(|template| {
            let volume = volume_of(template).to_owned();
            let mut claim = template.clone();
            claim["apiVersion"] = json!("v1");
            claim["kind"] = json!("PersistentVolumeClaim");
            claim["metadata"]["name"] = json!(claim_name(set, &volume, ordinal));
            claim["metadata"]["namespace"] = json!(set.namespace());
            let selected = dig(set.json(), &["spec", "selector", "matchLabels"]).as_object();
            for (key, value) in selected.into_iter().flatten() {
                claim["metadata"]["labels"][key] = value.clone();
            }
            if let Some(fields) = claim.as_object_mut() {
                fields.remove("status");
            }
            (volume, Object::new(claim))
        })
        .collect()
}

/// Whether an object of this name is a claim that the set has or could have.
pub(super) fn could_claim(set: &Object, name: &str) -> bool {
    claim_templates(set).any(|template| {
        name.strip_prefix(volume_of(template)).is_some_and(|rest| rest.strip_prefix('-').is_some_and(|r| r.starts_with(set.name())))
    })
}

/// The volumes of a pod: those of the claims, then those of the template that they do not stand for.
fn volumes(set: &Object, ordinal: i64, template: &Json) -> Vec<Json> {
    let claims = claims(set, ordinal);
    let claimed = claims.iter().map(|(volume, claim)| {
        json!({"name": volume, "persistentVolumeClaim": {"claimName": claim.name()}})
    });
    let own = dig(template, &["volumes"]).as_array().into_iter().flatten();
    let kept = own.filter(|volume| claims.iter().all(|(name, _)| dig(volume, &["name"]) != name.as_str()));
    claimed.chain(kept.cloned()).collect()
}

/// The pod of an ordinal, by a template and the name of the revision that keeps it.
pub(super) fn pod(set: &Object, template: &Json, revision: &str, ordinal: i64) -> Object {
    let name = pod_name(set, ordinal);
    let mut pod = named_from_template(set, template, &name);
    let volumes = volumes(set, ordinal, dig(template, &["spec"]));
    let tree = pod.json_mut();
    tree["metadata"]["generateName"] = json!(format!("{}-", set.name()));
    tree["metadata"]["labels"][POD_NAME] = json!(name);
    tree["metadata"]["labels"][POD_INDEX] = json!(ordinal.to_string());
    tree["metadata"]["labels"][REVISION] = json!(revision);
    tree["spec"]["hostname"] = json!(name);
    let service = dig(set.json(), &["spec", "serviceName"]);
    if service.as_str().is_some_and(|name| !name.is_empty()) {
        tree["spec"]["subdomain"] = service.clone();
    }
    if !volumes.is_empty() {
        tree["spec"]["volumes"] = json!(volumes);
    }
    pod
}

/// What is to be changed of a pod that was taken in, so that it is who its name says. `None`: nothing.
pub(super) fn correction(set: &Object, pod: &PodView<'_>, ordinal: i64) -> Option<Json> {
    let is_named = pod.label(POD_NAME) == Some(pod.name());
    let uses_claims = uses_claims(set, pod, ordinal);
    if is_named && uses_claims {
        return None;
    }
    let mut patch = json!({});
    if !is_named {
        patch["metadata"]["labels"] = json!({POD_NAME: pod.name(), POD_INDEX: ordinal.to_string()});
    }
    if !uses_claims {
        patch["spec"]["volumes"] = json!(volumes(set, ordinal, dig(pod.json(), &["spec"])));
    }
    Some(patch)
}

/// Whether a pod's volumes are those of its claims.
fn uses_claims(set: &Object, pod: &Object, ordinal: i64) -> bool {
    claim_templates(set).all(|template| {
        let volume = volume_of(template);
        let mut held = dig(pod.json(), &["spec", "volumes"]).as_array().into_iter().flatten();
        let held = held.find(|v| dig(v, &["name"]) == volume);
        held.is_some_and(|v| dig(v, &["persistentVolumeClaim", "claimName"]) == claim_name(set, volume, ordinal).as_str())
    })
}
