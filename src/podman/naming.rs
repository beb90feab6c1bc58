//! Names and labels of what is made on Podman: they tell instance, namespace, pod, container and attempt.

use std::collections::BTreeMap;

use crate::runtime::{ContainerConfig, SandboxConfig};

/// Labels that `wl` sets; all begin with [`PREFIX`].
pub const PREFIX: &str = "io.wl.";
pub const INSTANCE: &str = "io.wl.instance";
pub const FORMAT: &str = "io.wl.format";
pub const POD_UID: &str = "io.wl.pod-uid";
pub const POD_NAMESPACE: &str = "io.wl.pod-namespace";
pub const POD_NAME: &str = "io.wl.pod-name";
pub const POD_IPS: &str = "io.wl.pod-ips";
pub const CONTAINER: &str = "io.wl.container";
pub const ATTEMPT: &str = "io.wl.attempt";
pub const SPEC_HASH: &str = "io.wl.spec-hash";
/// Annotation that holds what is kept of a container beside its labels, as JSON.
pub const KEPT: &str = "io.wl.container-kept";
/// Annotation that holds what is kept of the sandbox, as JSON, in each of its containers.
pub const SANDBOX_KEPT: &str = "io.wl.sandbox-kept";

/// Version of these labels: a later `wl` may have to read what this one wrote.
const FORMAT_VERSION: &str = "1";

/// Which `wl` something belongs to: two state directories have two. Up to 20 of `a-z` and `0-9`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceId(String);

impl InstanceId {
    /// Takes `text` if it is an instance's id.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this instance's network.
    pub fn network(&self) -> String {
        format!("wl-{}", self.0)
    }
}

/// `wl-INSTANCE_NAMESPACE_POD_UID8_ATTEMPT`. An underscore occurs in no Kubernetes name, so that it parts them; the beginning
/// of the uid keeps a pod apart from a former one of the same name that is still being removed.
pub fn pod(instance: &InstanceId, config: &SandboxConfig) -> String {
    let SandboxConfig { namespace, name, uid, attempt, .. } = config;
    format!("wl-{}_{namespace}_{name}_{}_{attempt}", instance.0, short(uid))
}

/// The pod's name and `_infra`: one name space holds pods and containers on 4.3.
pub fn infra(pod: &str) -> String {
    format!("{pod}_infra")
}

/// `wl-INSTANCE_NAMESPACE_POD_UID8_CONTAINER_ATTEMPT`.
pub fn container(instance: &InstanceId, config: &ContainerConfig) -> String {
    let ContainerConfig { pod_namespace, pod_name, pod_uid, name, attempt, .. } = config;
    format!("wl-{}_{pod_namespace}_{pod_name}_{}_{name}_{attempt}", instance.0, short(pod_uid))
}

/// The name of a claim's volume: `wl-INSTANCE-NAME`, without an underscore, which marks volumes in memory.
pub fn claimed_volume(instance: &InstanceId, name: &str) -> String {
    format!("wl-{}-{name}", instance.0)
}

/// The name of a volume in memory: `wl-INSTANCE_UID_VOLUME`.
pub fn memory_volume(instance: &InstanceId, uid: &str, volume: &str) -> String {
    format!("wl-{}_{uid}_{volume}", instance.0)
}

/// Whether a volume is one in memory, which lives and ends with its pod.
pub fn is_memory_volume(instance: &InstanceId, name: &str) -> bool {
    name.starts_with(&format!("wl-{}_", instance.0))
}

fn short(uid: &str) -> &str {
    uid.char_indices().nth(8).map_or(uid, |(at, _)| &uid[..at])
}

/// The labels of a pod (Podman copies them to the infra container).
pub fn pod_labels(instance: &InstanceId, config: &SandboxConfig) -> BTreeMap<String, String> {
    let mut labels = foreign(&config.labels);
    labels.insert(INSTANCE.into(), instance.0.clone());
    labels.insert(FORMAT.into(), FORMAT_VERSION.into());
    labels.insert(POD_UID.into(), config.uid.clone());
    labels.insert(POD_NAMESPACE.into(), config.namespace.clone());
    labels.insert(POD_NAME.into(), config.name.clone());
    labels.insert(ATTEMPT.into(), config.attempt.to_string());
    if let Some(network) = config.network.as_ref().filter(|n| !n.ips.is_empty()) {
        let ips: Vec<String> = network.ips.iter().map(ToString::to_string).collect();
        labels.insert(POD_IPS.into(), ips.join(","));
    }
    labels
}

/// The labels of a container.
pub fn container_labels(instance: &InstanceId, config: &ContainerConfig) -> BTreeMap<String, String> {
    let mut labels = foreign(&config.labels);
    labels.insert(INSTANCE.into(), instance.0.clone());
    labels.insert(FORMAT.into(), FORMAT_VERSION.into());
    labels.insert(POD_UID.into(), config.pod_uid.clone());
    labels.insert(POD_NAMESPACE.into(), config.pod_namespace.clone());
    labels.insert(POD_NAME.into(), config.pod_name.clone());
    labels.insert(CONTAINER.into(), config.name.clone());
    labels.insert(ATTEMPT.into(), config.attempt.to_string());
    labels.insert(SPEC_HASH.into(), config.spec_hash.clone());
    labels
}

/// Labels that are not `wl`'s own.
pub fn foreign(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.iter().filter(|(key, _)| !key.starts_with(PREFIX)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// `text` as one segment of a path; `None` if it could be more than that.
pub fn segment(text: &str) -> Option<&str> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let fits = plain && (1..=253).contains(&text.len()) && text != "." && text != "..";
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_are_of() {
        let instance = InstanceId::parse("a1").expect("an id");
        let sandbox = SandboxConfig {
            uid: "0123456789ab".into(),
            namespace: "default".into(),
            name: "web-0".into(),
            attempt: 2,
            ..SandboxConfig::default()
        };
        assert_eq!(pod(&instance, &sandbox), "wl-a1_default_web-0_01234567_2");
        let config = ContainerConfig {
            pod_uid: "u".into(),
            pod_namespace: "default".into(),
            pod_name: "web-0".into(),
            name: "app".into(),
            ..ContainerConfig::default()
        };
        assert_eq!(container(&instance, &config), "wl-a1_default_web-0_u_app_0");
    }

    #[test]
    fn only_plain_ids_and_segments_are_taken() {
        for bad in ["", "A", "a_b", "../x", "aaaaaaaaaaaaaaaaaaaaa", "a\0"] {
            assert_eq!(InstanceId::parse(bad), None, "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "a\0", "é"] {
            assert_eq!(segment(bad), None, "{bad:?}");
        }
        assert_eq!(segment("..data"), Some("..data"));
    }

    #[test]
    fn labels_of_users_cannot_pose_as_ours() {
        let instance = InstanceId::parse("a1").expect("an id");
        let labels = [(POD_UID.to_owned(), "forged".to_owned()), ("app".to_owned(), "web".to_owned())].into();
        let sandbox = SandboxConfig { uid: "u".into(), labels, ..SandboxConfig::default() };
        let made = pod_labels(&instance, &sandbox);
        assert_eq!((made[POD_UID].as_str(), made["app"].as_str()), ("u", "web"));
    }
}
