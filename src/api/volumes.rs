//! Volumes of this machine that claims are given: what they are called.

/// Who makes them, as PersistentVolumes name it.
pub const PROVISIONER: &str = "podman.wl";

/// The name of a claim's volume, as a PersistentVolume and in Podman.
pub fn volume_name(namespace: &str, claim: &str) -> String {
    format!("{namespace}-{claim}")
}
