//! The claims of volumes that live as long as their pod.
//! Source of the rules: pkg/controller/volume/ephemeral/controller.go.

use serde_json::json;

use crate::api::{Json, Key, Object, Status};
use crate::controllers::ownership::controller_ref;
use crate::controllers::resources::{CLAIMS, PODS, dig, is_terminating_namespace, key_of, sides};
use crate::controllers::{Context, Controller, Decision, Write};
use crate::state::{Change, State};

/// As events name it.
const COMPONENT: &str = "ephemeral_volume";

/// The volumes of a pod that have claims of their own: the name of the volume, and how its claim is to be.
pub(super) fn templates(pod: &Object) -> impl Iterator<Item = (&str, &Json)> {
    let volumes = dig(pod.json(), &["spec", "volumes"]).as_array().into_iter().flatten();
    volumes.filter_map(|volume| {
        let template = dig(volume, &["ephemeral", "volumeClaimTemplate"]);
        dig(volume, &["name"]).as_str().filter(|_| template.is_object()).map(|name| (name, template))
    })
}

/// What the claim of a pod's volume is called.
pub(super) fn claim_name(pod: &Object, volume: &str) -> String {
    format!("{}-{volume}", pod.name())
}

/// Whether a claim was made for the pod, and not by somebody who took its name.
pub(super) fn is_for(claim: &Object, pod: &Object) -> bool {
    claim.controller_uid() == Some(pod.uid())
}

/// Makes the claims of such volumes; they go with their pod.
pub(in crate::controllers) struct EphemeralVolumes;

fn claim(pod: &Object, name: &str, template: &Json) -> Object {
    let mut metadata = json!({"name": name, "namespace": pod.namespace(), "ownerReferences": [controller_ref(pod)]});
    for field in ["labels", "annotations"] {
        let value = dig(template, &["metadata", field]);
        if !value.is_null() {
            metadata[field] = value.clone();
        }
    }
    Object::new(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": dig(template, &["spec"]),
    }))
}

fn tell(decision: &mut Decision, pod: &Object, volume: &str, why: &str) {
    decision.warning(COMPONENT, pod, "FailedBinding", format!("ephemeral volume {volume}: {why}"));
}

impl Controller for EphemeralVolumes {
    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource == *PODS {
            let is_concerned = change.before.is_none() && sides(change).any(|pod| templates(pod).next().is_some());
            return if is_concerned { vec![change.key.clone()] } else { Vec::new() };
        }
        if change.key.resource != *CLAIMS || change.after.is_some() {
            return Vec::new();
        }
        // Whose claim was taken away gets a new one, and so does who waited for the name.
        let uses = |pod: &Object| templates(pod).any(|(volume, _)| claim_name(pod, volume) == *change.key.name);
        let pods = state.in_namespace(&PODS, &change.key.namespace).filter(|pod| uses(pod));
        pods.map(|pod| key_of(&PODS, pod)).collect()
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let Some(pod) = state.get(key).filter(|pod| !pod.is_deleting()) else { return decision };
        for (volume, template) in templates(pod) {
            let name = claim_name(pod, volume);
            match state.get(&Key::new(CLAIMS.clone(), pod.namespace(), &name)) {
                Some(held) if is_for(held, pod) => (),
                Some(held) => {
                    let (space, pod_name) = (held.namespace(), pod.name());
                    let why = format!("PVC {space}/{name} was not created for pod {space}/{pod_name} (pod is not owner)");
                    tell(&mut decision, pod, volume, &why);
                    return decision;
                }
                None => decision.create(claim(pod, &name, template)),
            }
        }
        decision
    }

    fn refused(&self, state: &State, key: &Key, write: &Write, why: &Status, _context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let (Some(pod), Write::Create { object }) = (state.get(key), write) else { return decision };
        if is_terminating_namespace(why) {
            return decision;
        }
        if let Some((volume, _)) = templates(pod).find(|(volume, _)| claim_name(pod, volume) == object.name()) {
            tell(&mut decision, pod, volume, &format!("create PVC {}: {}", object.name(), why.message));
        }
        decision
    }
}
