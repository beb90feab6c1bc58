//! Whom a node under pressure does not take.
//! Source: pkg/kubelet/eviction/eviction_manager.go (Admit).

use k8s_openapi::api::core::v1::{Pod, Taint};

use super::Condition;
use crate::api::{placement, requests};
use crate::node::Refusal;
use crate::node::eviction::REASON;

/// Why a node with these conditions does not take a pod that is not critical.
pub fn refusal(pod: &Pod, conditions: &[Condition]) -> Option<Refusal> {
    let spec = pod.spec.as_ref().filter(|_| !conditions.is_empty())?;
    if conditions == [Condition::Memory] {
        let taint = Taint { key: "node.kubernetes.io/memory-pressure".into(), effect: "NoSchedule".into(), ..Taint::default() };
        if requests::qos_class(spec) != "BestEffort" || placement::tolerated(spec, &taint) {
            return None;
        }
    }
    let names: Vec<&str> = conditions.iter().map(|c| c.name()).collect();
    Some(Refusal { reason: REASON.into(), message: format!("The node had condition: [{}]. ", names.join(" ")) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(spec: serde_json::Value, conditions: &[Condition]) -> Option<String> {
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        refusal(&pod, conditions).map(|refusal| refusal.message)
    }

    #[test]
    fn memory_pressure_keeps_out_who_asks_for_nothing_and_tolerates_nothing() {
        let plain = json!({"containers": [{"name": "c"}]});
        let asks = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1m"}}}]});
        let mut tolerates = plain.clone();
        tolerates["tolerations"] = json!([{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]);
        let memory = [Condition::Memory];
        assert_eq!(message(plain.clone(), &memory).unwrap(), "The node had condition: [MemoryPressure]. ");
        assert_eq!(message(asks.clone(), &memory), None);
        assert_eq!(message(tolerates.clone(), &memory), None);
        assert_eq!(message(plain, &[]), None);
        let both = [Condition::Memory, Condition::Disk];
        for spec in [asks, tolerates] {
            assert_eq!(message(spec, &both).unwrap(), "The node had condition: [MemoryPressure DiskPressure]. ");
        }
    }

    #[test]
    fn other_pressure_keeps_out_everybody() {
        let tolerates = json!({"tolerations": [{"operator": "Exists"}], "containers": [{"name": "c"}]});
        assert_eq!(message(tolerates, &[Condition::Pid]).unwrap(), "The node had condition: [PIDPressure]. ");
    }
}
