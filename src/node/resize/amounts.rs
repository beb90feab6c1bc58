//! Amounts of cpu and memory, compared as amounts, and told in Events.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use serde_json::json;

use super::promise;
use crate::api::requests::{self, Amounts};

/// cpu (thousandths) and memory (bytes) that are asked for, and those that are the most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compute {
    pub cpu: (Option<i64>, Option<i64>),
    pub memory: (Option<i64>, Option<i64>),
}

impl Compute {
    pub fn of(resources: &ResourceRequirements) -> Self {
        let container = Container { resources: Some(resources.clone()), ..Container::default() };
        let (asked, most) = (requests::container_requests(&container), requests::container_limits(&container));
        let pair = |name: &str| (amount(&asked, name), amount(&most, name));
        Compute { cpu: pair("cpu"), memory: pair("memory") }
    }
}

/// Nothing is as good as zero.
fn amount(amounts: &Amounts, name: &str) -> Option<i64> {
    amounts.get(name).copied().filter(|v| *v > 0)
}

/// `Pod resize started: {"containers":[…],"generation":2}`.
/// Source: pkg/kubelet/events/resize.go.
pub fn message(what: &str, pod: &Pod, generation: i64, error: &str) -> String {
    #[derive(serde::Serialize)]
    struct Summary {
        #[serde(rename = "initContainers", skip_serializing_if = "Vec::is_empty")]
        init_containers: Vec<serde_json::Value>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        containers: Vec<serde_json::Value>,
        generation: i64,
        #[serde(skip_serializing_if = "str::is_empty")]
        error: String,
    }
    let one = |c: &Container| json!({"name": c.name, "resources": c.resources.clone().unwrap_or_default()});
    let spec = pod.spec.as_ref();
    let sidecars = spec.into_iter().flat_map(|s| s.init_containers.iter().flatten()).filter(|c| promise::is_resizable(pod, &c.name));
    let summary = Summary {
        init_containers: sidecars.map(one).collect(),
        containers: spec.into_iter().flat_map(|s| &s.containers).map(one).collect(),
        generation,
        error: error.to_owned(),
    };
    format!("{what}: {}", serde_json::to_string(&summary).unwrap_or_default())
}
