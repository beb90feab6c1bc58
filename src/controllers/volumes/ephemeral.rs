//! The claims of volumes that live as long as their pod.
//! Source of the rules: pkg/controller/volume/ephemeral/controller.go.

use serde_json::json;

use crate::api::volumes::{not_own, own_claim};
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

/// The claims of a pod's own volumes: the name of the volume, that of its claim, and how that is to be.
fn claims(pod: &Object) -> impl Iterator<Item = (&str, String, &Json)> {
    templates(pod).map(|(volume, template)| (volume, own_claim(pod.name(), volume), template))
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
        let uses = |pod: &Object| claims(pod).any(|(_, name, _)| name == *change.key.name);
        let pods = state.in_namespace(&PODS, &change.key.namespace).filter(|pod| uses(pod));
        pods.map(|pod| key_of(&PODS, pod)).collect()
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let mut decision = Decision::none();
        let Some(pod) = state.get(key).filter(|pod| !pod.is_deleting()) else { return decision };
        for (volume, name, template) in claims(pod) {
            let Some(held) = state.get(&Key::new(CLAIMS.clone(), pod.namespace(), &name)) else {
                decision.create(claim(pod, &name, template));
                continue;
            };
            if let Some(why) = not_own(held, pod.name(), pod.uid()) {
                tell(&mut decision, pod, volume, &why);
                return decision;
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
        if let Some((volume, ..)) = claims(pod).find(|(_, name, _)| name == object.name()) {
            tell(&mut decision, pod, volume, &format!("create PVC {}: {}", object.name(), why.message));
        }
        decision
    }
}
