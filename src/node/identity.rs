//! How the node names a pod and its containers to others, and what it remembers in labels and annotations.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};
use sha2::{Digest, Sha256};

/// Annotation of a container: seconds of back-off that came before this attempt.
pub const BACKOFF: &str = "wl.backoff";
/// Annotation of a container: the signal that asks it to end.
pub const STOP_SIGNAL: &str = "wl.stop-signal";
/// Annotation of a container: the image's reference with its digest.
pub const IMAGE_REFERENCE: &str = "wl.image-reference";

/// Annotation of a container: the resources of its API spec that it was made with, as JSON.
pub const RESOURCES: &str = "wl.resources";

/// `p_<namespace>(<uid>)`, as the kubelet's messages name a pod.
pub fn pod_text(pod: &Pod) -> String {
    let meta = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    format!("{}_{}({})", text(&meta.name), text(&meta.namespace), text(&meta.uid))
}

pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// Hash of what a running container is compared by: its name and image, as the kubelet since 1.31
/// (everything else of a container cannot be changed, or is changed in place).
/// Source: pkg/kubelet/container/helpers.go: HashContainer.
pub fn spec_hash(container: &Container) -> String {
    let mut hash = Sha256::new();
    hash.update(container.name.as_bytes());
    hash.update([0]);
    hash.update(container.image.as_deref().unwrap_or_default().as_bytes());
    hex(&hash.finalize()[..8])
}

/// A short hash of any text.
pub fn short_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Which list of the spec a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Init,
    Main,
    /// Added to a pod that runs; started once, never again.
    Ephemeral,
}

/// `spec.containers{c}`.
pub fn field_path(place: Place, name: &str) -> String {
    match place {
        Place::Init => format!("spec.initContainers{{{name}}}"),
        Place::Main => format!("spec.containers{{{name}}}"),
        Place::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
    }
}

/// A container of the pod by name, and where it stands.
pub fn find<'a>(pod: &'a Pod, name: &str) -> Option<(Cow<'a, Container>, Place)> {
    let spec = pod.spec.as_ref()?;
    let main = spec.containers.iter().map(|c| (c, Place::Main));
    let init = spec.init_containers.iter().flatten().map(|c| (c, Place::Init));
    if let Some((container, place)) = main.chain(init).find(|(c, _)| c.name == name) {
        return Some((Cow::Borrowed(container), place));
    }
    let ephemeral = spec.ephemeral_containers.iter().flatten().find(|c| c.name == name)?;
    Some((Cow::Owned(as_container(ephemeral)), Place::Ephemeral))
}

/// An ephemeral container as any other one: it has the same fields, and one of its own.
/// Source: pkg/apis/core: EphemeralContainerCommon.
pub fn as_container(container: &EphemeralContainer) -> Container {
    let EphemeralContainer {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        target_container_name: _,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = container.clone();
    Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    }
}

/// All containers of a pod: ephemeral ones, init containers, main ones.
pub fn all(pod: &Pod) -> impl Iterator<Item = (Cow<'_, Container>, Place)> {
    let spec = pod.spec.as_ref();
    let init = spec.into_iter().flat_map(|s| s.init_containers.iter().flatten());
    let main = spec.into_iter().flat_map(|s| s.containers.iter());
    let ephemeral = spec.into_iter().flat_map(|s| s.ephemeral_containers.iter().flatten());
    let ephemeral = ephemeral.map(|c| (Cow::Owned(as_container(c)), Place::Ephemeral));
    let init = init.map(|c| (Cow::Borrowed(c), Place::Init));
    ephemeral.chain(init).chain(main.map(|c| (Cow::Borrowed(c), Place::Main)))
}
