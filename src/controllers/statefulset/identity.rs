//! Who a pod of a StatefulSet is: its ordinal, name, labels and claims.
//! Source of the rules: pkg/controller/statefulset/stateful_set_utils.go.

use serde_json::json;

use crate::api::{Json, Object};
use crate::controllers::pods::named_from_template;
use crate::controllers::resources::dig;

pub(super) const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
pub(super) const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
pub(super) const REVISION: &str = "controller-revision-hash";

/// The ordinal in a pod's name, where the name is one that the set gives.
pub(super) fn ordinal_of(set: &Object, pod: &Object) -> Option<i64> {
    let (parent, digits) = pod.name().rsplit_once('-')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (parent == set.name() && is_number).then(|| digits.parse::<i32>().ok()).flatten().map(i64::from)
}

pub(super) fn pod_name(set: &Object, ordinal: i64) -> String {
    format!("{}-{ordinal}", set.name())
}

fn claim_templates(set: &Object) -> impl Iterator<Item = &Json> {
    dig(set.json(), &["spec", "volumeClaimTemplates"]).as_array().into_iter().flatten()
}

/// The claims of a pod: the name of the volume, and the claim.
pub(super) fn claims(set: &Object, ordinal: i64) -> Vec<(String, Object)> {
    claim_templates(set)
        .map(|template| {
            let volume = dig(template, &["metadata", "name"]).as_str().unwrap_or("").to_owned();
            let mut claim = template.clone();
            claim["apiVersion"] = json!("v1");
            claim["kind"] = json!("PersistentVolumeClaim");
            claim["metadata"]["name"] = json!(format!("{volume}-{}", pod_name(set, ordinal)));
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
        let volume = dig(template, &["metadata", "name"]).as_str().unwrap_or("");
        name.strip_prefix(volume).is_some_and(|rest| rest.strip_prefix('-').is_some_and(|r| r.starts_with(set.name())))
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
pub(super) fn correction(set: &Object, pod: &Object, ordinal: i64) -> Option<Json> {
    let mut patch = json!({});
    if pod.label(POD_NAME) != Some(pod.name()) {
        patch["metadata"]["labels"] = json!({POD_NAME: pod.name(), POD_INDEX: ordinal.to_string()});
    }
    let held = dig(pod.json(), &["spec", "volumes"]).as_array().cloned().unwrap_or_default();
    let fits = claims(set, ordinal).iter().all(|(volume, claim)| {
        let of_claim = |v: &&Json| dig(v, &["name"]) == volume.as_str();
        held.iter().find(of_claim).is_some_and(|v| dig(v, &["persistentVolumeClaim", "claimName"]) == claim.name())
    });
    if !fits {
        patch["spec"]["volumes"] = json!(volumes(set, ordinal, dig(pod.json(), &["spec"])));
    }
    patch.as_object().is_some_and(|fields| !fields.is_empty()).then_some(patch)
}
