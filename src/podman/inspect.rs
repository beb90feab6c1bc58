//! What libpod's list and inspect tell of a container, and the state that they mean.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;

use crate::runtime::{ContainerState, Exit};

/// An entry of `/containers/json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    pub id: String,
    pub created: Timestamp,
    #[serde(default)]
    pub image: String,
    #[serde(default, rename = "ImageID")]
    pub image_id: String,
    #[serde(default)]
    pub is_infra: bool,
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub pid: u32,
    #[serde(default)]
    pub pod: String,
    #[serde(default)]
    pub started_at: i64,
    #[serde(default)]
    pub state: String,
}

/// `/containers/ID/json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    pub id: String,
    pub created: Timestamp,
    #[serde(default)]
    pub image: String,
    #[serde(default)]
    pub image_name: String,
    #[serde(default)]
    pub is_infra: bool,
    pub state: InspectedState,
    pub config: InspectedConfig,
    pub network_settings: Option<NetworkSettings>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedState {
    pub status: String,
    #[serde(default, rename = "OOMKilled")]
    pub oom_killed: bool,
    #[serde(default)]
    pub pid: u32,
    #[serde(default)]
    pub conmon_pid: u32,
    #[serde(default)]
    pub exit_code: i32,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedConfig {
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    pub networks: Option<BTreeMap<String, Endpoint>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Endpoint {
    #[serde(default, rename = "IPAddress")]
    pub ip: String,
    #[serde(default, rename = "GlobalIPv6Address")]
    pub ip6: String,
}

impl Inspected {
    /// The state, without a termination message (that lies in a file).
    pub fn container_state(&self) -> ContainerState {
        let InspectedState { status, pid, exit_code, oom_killed, .. } = &self.state;
        let started_at = moment(self.state.started_at);
        let finished_at = moment(self.state.finished_at);
        match (status.as_str(), started_at, finished_at) {
            ("created" | "configured" | "initialized", None, _) => ContainerState::Created,
            ("running" | "stopping" | "paused", started_at, _) => ContainerState::Running {
                started_at: started_at.unwrap_or(self.created),
                pid: *pid,
                paused: status == "paused",
            },
            // After a reboot, 4.3 says `created` of what was running, 5.x `exited`; the code says nothing then.
            ("exited" | "stopped", started_at, Some(finished_at)) => ContainerState::Exited(Exit {
                code: *exit_code,
                started_at,
                finished_at,
                oom_killed: *oom_killed,
                message: String::new(),
            }),
            _ => ContainerState::Unknown,
        }
    }

    /// The addresses in all its networks.
    pub fn ips(&self) -> Vec<IpAddr> {
        let networks = self.network_settings.iter().filter_map(|s| s.networks.as_ref()).flat_map(BTreeMap::values);
        networks.flat_map(|e| [&e.ip, &e.ip6]).filter_map(|ip| ip.parse().ok()).collect()
    }
}

/// What the list alone tells of the state; `None` where only an inspect does.
pub fn listed_state(listed: &Listed) -> Option<ContainerState> {
    let started_at = Timestamp::from_second(listed.started_at).ok().and_then(moment);
    match (listed.state.as_str(), started_at) {
        ("created", None) => Some(ContainerState::Created),
        ("running" | "stopping" | "paused", Some(started_at)) => {
            Some(ContainerState::Running { started_at, pid: listed.pid, paused: listed.state == "paused" })
        }
        _ => None,
    }
}

/// Go's zero time is no time.
fn moment(at: Timestamp) -> Option<Timestamp> {
    (at.as_second() > 0).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: &str = "0001-01-01T00:00:00Z";

    fn state(status: &str, started: &str, finished: &str) -> ContainerState {
        let json = serde_json::json!({
            "Id": "x", "Created": "2026-01-01T00:00:00Z", "Config": {},
            "State": {"Status": status, "StartedAt": started, "FinishedAt": finished, "Pid": 7, "ExitCode": 3, "OOMKilled": true},
        });
        serde_json::from_value::<Inspected>(json).expect("an answer").container_state()
    }

    #[test]
    fn an_exit_counts_only_with_its_time() {
        let at = "2026-01-01T00:00:01Z";
        let started_at = at.parse().expect("a time");
        assert_eq!(state("created", NEVER, NEVER), ContainerState::Created);
        assert_eq!(state("running", at, NEVER), ContainerState::Running { started_at, pid: 7, paused: false });
        assert_eq!(state("paused", at, NEVER), ContainerState::Running { started_at, pid: 7, paused: true });
        assert!(matches!(state("exited", at, at), ContainerState::Exited(Exit { code: 3, oom_killed: true, .. })));
        assert!(matches!(state("stopped", at, at), ContainerState::Exited(_)));
        assert_eq!(state("created", at, NEVER), ContainerState::Unknown, "4.3 after a reboot");
        assert_eq!(state("exited", at, NEVER), ContainerState::Unknown, "5.x after a reboot");
        assert_eq!(state("unknown", at, at), ContainerState::Unknown);
    }
}
