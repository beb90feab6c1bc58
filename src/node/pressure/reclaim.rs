//! What is given back before a pod has to go.
//! Source: pkg/kubelet/eviction/helpers.go (buildSignalToNodeReclaimFuncs), pkg/kubelet/kuberuntime/kuberuntime_gc.go.

use k8s_openapi::api::core::v1::Pod;

use crate::node::eviction::on_disk;
use crate::node::identity;
use crate::runtime::{Action, ContainerState, PodParts, Sandbox};

/// What has to be measured of a pod.
pub fn parts(pod: &Pod) -> PodParts {
    let volumes = pod.spec.iter().flat_map(on_disk).map(|(name, _)| name.to_owned());
    PodParts { uid: identity::uid(pod).to_owned(), volumes: volumes.collect() }
}

/// Gives back what a pod that has ended for good still has on the disk: its containers, and its emptyDirs, which in Kubernetes are
/// gone by then. Its logs stay, as who wants to know why it ended needs them; images and volumes are never touched.
pub fn free(pod: &Pod, sandbox: Option<&Sandbox>) -> Option<Action> {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    let runs = sandbox.is_some_and(|s| s.containers.iter().any(|c| matches!(c.state, ContainerState::Running { .. })));
    let PodParts { uid, volumes } = parts(pod);
    let nothing = sandbox.is_none() && volumes.is_empty();
    if !ended || runs || nothing || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(Action::FreeStorage { id: sandbox.map(|s| s.id.clone()).unwrap_or_default(), pod_uid: uid, volumes })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::runtime::{Container, SandboxState};

    fn pod(phase: &str, volumes: serde_json::Value) -> Pod {
        let spec = json!({"containers": [{"name": "c"}], "volumes": volumes});
        serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec, "status": {"phase": phase}})).unwrap()
    }

    fn sandbox(state: ContainerState) -> Sandbox {
        let text = String::new;
        let container = Container {
            id: "c".into(),
            name: "c".into(),
            attempt: 0,
            state,
            image: text(),
            image_id: text(),
            spec_hash: text(),
            created_at: Timestamp::UNIX_EPOCH,
            log_path: text(),
            annotations: Default::default(),
        };
        Sandbox {
            uid: "u".into(),
            namespace: "ns".into(),
            name: "p".into(),
            id: "s".into(),
            state: SandboxState::NotReady,
            attempt: 0,
            created_at: Timestamp::UNIX_EPOCH,
            ips: Vec::new(),
            pid: None,
            containers: vec![container],
            annotations: Default::default(),
        }
    }

    #[test]
    fn only_what_has_ended_for_good_gives_back_its_containers_and_empty_dirs() {
        let volumes = json!([{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}},
            {"name": "h", "hostPath": {"path": "/"}}, {"name": "d", "persistentVolumeClaim": {"claimName": "d"}}]);
        let ended = sandbox(ContainerState::Unknown);
        let freed = |id: &str| Some(Action::FreeStorage { id: id.into(), pod_uid: "u".into(), volumes: vec!["v".into()] });
        assert_eq!(free(&pod("Failed", volumes.clone()), Some(&ended)), freed("s"));
        assert_eq!(free(&pod("Succeeded", volumes.clone()), None), freed(""));
        assert_eq!(free(&pod("Running", volumes.clone()), Some(&ended)), None);
        assert_eq!(free(&pod("Failed", json!([])), None), None, "there is nothing");
        let running = ContainerState::Running { started_at: Timestamp::UNIX_EPOCH, pid: 1, paused: false };
        assert_eq!(free(&pod("Failed", volumes), Some(&sandbox(running))), None);
    }
}
