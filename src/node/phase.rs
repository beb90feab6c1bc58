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
    if pending_init > 0 || (pending_sidecar > 0 && !any_started) || waiting > 0 {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statuses(states: &[(&str, &str)]) -> Vec<ContainerStatus> {
        let of = |(name, state): &(&str, &str)| {
            let ended = |code: i32| json!({"terminated": {"exitCode": code}});
            let (state, last) = match *state {
                "runs" => (json!({"running": {}}), json!({})),
                "waits" => (json!({"waiting": {}}), json!({})),
                "again" => (json!({"waiting": {}}), ended(1)),
                code => (ended(code.parse().expect("a code")), json!({})),
            };
            let status = json!({"name": name, "state": state, "lastState": last, "image": "", "imageID": "", "ready": false, "restartCount": 0});
            serde_json::from_value(status).expect("a status")
        };
        states.iter().map(of).collect()
    }

    /// Of a pod with the init container `i`, the sidecar `s` and the main container `c`.
    fn phase(policy: &str, states: [&str; 3], ends: bool) -> Phase {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "c"}],
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]});
        let init = statuses(&[("i", states[0]), ("s", states[1])]);
        of(&serde_json::from_value(spec).expect("a spec"), &statuses(&[("c", states[2])]), &init, ends)
    }

    #[test]
    fn the_phase_follows_main_once_the_pod_is_initialized() {
        for (policy, states, expected) in [
            ("Always", ["runs", "waits", "waits"], Phase::Pending),
            ("Always", ["1", "waits", "waits"], Phase::Pending),
            ("Never", ["1", "waits", "waits"], Phase::Failed),
            ("Never", ["again", "waits", "waits"], Phase::Failed),
            ("Always", ["0", "runs", "waits"], Phase::Pending),
            ("Always", ["0", "runs", "runs"], Phase::Running),
            ("Always", ["0", "again", "runs"], Phase::Running),
            ("Always", ["0", "runs", "again"], Phase::Pending),
            ("Always", ["0", "again", "again"], Phase::Running),
            ("Never", ["0", "9", "0"], Phase::Succeeded),
            ("Never", ["0", "0", "2"], Phase::Failed),
            ("OnFailure", ["0", "0", "2"], Phase::Running),
            // The sandbox was lost: the init containers run again before a main container that ran.
            ("Always", ["runs", "waits", "again"], Phase::Pending),
            ("Always", ["1", "again", "again"], Phase::Running),
        ] {
            assert_eq!(phase(policy, states, false), expected, "{policy} {states:?}");
        }
        assert_eq!(phase("Always", ["0", "9", "0"], true), Phase::Succeeded);
        assert_eq!(phase("Always", ["0", "0", "again"], true), Phase::Failed);
    }
}
