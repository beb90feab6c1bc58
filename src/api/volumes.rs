//! Volumes of this machine that claims are given: what they are called.

/// Who makes them, as PersistentVolumes name it.
pub const PROVISIONER: &str = "podman.wl";

/// Annotation of a PersistentVolume: who made it for a claim.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// The name of a claim's volume, as a PersistentVolume and in Podman.
pub fn volume_name(namespace: &str, claim: &str) -> String {
    format!("{namespace}-{claim}")
}
