//! The phase of a pod from the states of its containers.
//! Source: pkg/kubelet/kubelet_pods.go: getPhase.

use k8s_openapi::api::core::v1::{ContainerStatus, PodSpec};

use crate::api::requests::is_sidecar;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }

    pub fn parse(text: Option<&str>) -> Phase {
        match text {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            _ => Phase::Pending,
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// How one status counts.
enum Kind {
    Running,
    Ended { code: i32 },
    /// Waiting, and never was anything else.
    Waiting,
    /// Waiting after an end.
    Again { code: i32 },
    Unknown,
}

fn kind(status: Option<&ContainerStatus>) -> Kind {
    let Some(state) = status.and_then(|s| s.state.as_ref()) else { return Kind::Unknown };
    if state.running.is_some() {
        return Kind::Running;
    }
    if let Some(ended) = &state.terminated {
        return Kind::Ended { code: ended.exit_code };
    }
    let last = status.and_then(|s| s.last_state.as_ref()?.terminated.as_ref());
    match last {
        Some(ended) => Kind::Again { code: ended.exit_code },
        None => Kind::Waiting,
    }
}

/// The phase. `ends`: no container will be started again.
pub fn of(spec: &PodSpec, statuses: &[ContainerStatus], init: &[ContainerStatus], ends: bool) -> Phase {
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let find = |list: &'_ [ContainerStatus], name: &str| list.iter().position(|s| s.name == name);
    let (mut pending_init, mut failed_init, mut pending_sidecar) = (0, 0, 0);
    let (mut unknown, mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0, 0);
    for container in spec.init_containers.iter().flatten() {
        let status = find(init, &container.name).map(|i| &init[i]);
        match (is_sidecar(container), kind(status)) {
            (true, Kind::Running) => {
                running += 1;
                // Whether it has started is put into the status only after the phase.
                pending_sidecar += 1;
            }
            (true, Kind::Ended { .. } | Kind::Again { .. }) => {}
            (true, Kind::Waiting) => {
                pending_sidecar += 1;
                waiting += 1;
            }
            (true, Kind::Unknown) => {
                pending_sidecar += 1;
                unknown += 1;
            }
            (false, Kind::Ended { code: 0 }) => {}
            (false, Kind::Ended { .. }) => failed_init += 1,
            (false, Kind::Again { code }) if code != 0 => failed_init += 1,
            (false, _) => pending_init += 1,
        }
    }
    let mut any_started = false;
    for container in &spec.containers {
        match kind(find(statuses, &container.name).map(|i| &statuses[i])) {
            Kind::Running => {
                running += 1;
                any_started = true;
            }
            Kind::Ended { code } => {
                stopped += 1;
                any_started = true;
                succeeded += i32::from(code == 0);
            }
            Kind::Again { .. } => stopped += 1,
            Kind::Waiting => waiting += 1,
            Kind::Unknown => unknown += 1,
        }
    }
    if failed_init > 0 && policy == "Never" {
        return Phase::Failed;
    }
    if failed_init > 0 || pending_init > 0 || (pending_sidecar > 0 && !any_started) || waiting > 0 {
        return Phase::Pending;
    }
    if running > 0 && unknown == 0 {
        return Phase::Running;
    }
    if running == 0 && stopped > 0 && unknown == 0 {
        return match policy {
            _ if ends && stopped == succeeded => Phase::Succeeded,
            _ if ends => Phase::Failed,
            "Always" => Phase::Running,
            _ if stopped == succeeded => Phase::Succeeded,
            "Never" => Phase::Failed,
            _ => Phase::Running,
        };
    }
    Phase::Pending
}
