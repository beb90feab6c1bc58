//! Volumes of this machine that claims are given, and the claims of pods' own volumes: what they are called and whose they are.

use super::Object;

/// Who makes them, as PersistentVolumes name it.
pub const PROVISIONER: &str = "podman.wl";

/// Annotation of a PersistentVolume: who made it for a claim.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Whether a PersistentVolume was made for a claim by this program: others' are not its to take away.
pub fn is_made_here(volume: &Object) -> bool {
    volume.annotation(PROVISIONED_BY) == Some(PROVISIONER)
}

/// What the claim of a pod's own volume (`ephemeral`) is called.
/// Source: k8s.io/component-helpers/storage/volume/ephemeral.go: VolumeClaimName.
pub fn own_claim(pod: &str, volume: &str) -> String {
    format!("{pod}-{volume}")
}

/// Why a claim of that name is not the pod's, if it is not: somebody else has taken the name.
/// Source: k8s.io/component-helpers/storage/volume/ephemeral.go: VolumeIsForPod.
pub fn not_own(claim: &Object, pod: &str, pod_uid: &str) -> Option<String> {
    let (namespace, name) = (claim.namespace(), claim.name());
    let why = || format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)");
    (claim.controller_uid() != Some(pod_uid)).then(why)
}

/// The name of a claim's volume, as a PersistentVolume and in Podman.
pub fn volume_name(namespace: &str, claim: &str) -> String {
    format!("{namespace}-{claim}")
}
