//! Requests and limits as the kernel takes them.
//! Source: pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go, kuberuntime_container_linux.go.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::api::requests::{self, Amounts};
use crate::runtime::LinuxResources;

/// `cpu.shares` of one CPU.
const SHARES_PER_CPU: i64 = 1024;
/// The kernel's least shares.
const MIN_SHARES: i64 = 2;
/// Length of a CFS period in microseconds.
const PERIOD: i64 = 100_000;
/// The kernel's least quota in microseconds.
const MIN_QUOTA: i64 = 1000;
const BEST_EFFORT_SCORE: i64 = 1000;
const GUARANTEED_SCORE: i64 = -997;

/// What the kernel is told about one container.
pub fn container(pod: &Pod, spec: &PodSpec, container: &Container, memory_capacity: u64) -> LinuxResources {
    let own_requests = requests::container_requests(container);
    let own_limits = requests::container_limits(container);
    let mut resources = compute(&own_requests, &own_limits);
    resources.memory_swap_bytes = resources.memory_limit_bytes;
    resources.oom_score_adj = Some(oom_score(pod, spec, container, memory_capacity));
    resources.hugepage_limits = hugepages(&own_limits);
    resources
}

fn compute(asked: &Amounts, limits: &Amounts) -> LinuxResources {
    let positive = |amounts: &Amounts, name: &str| amounts.get(name).copied().filter(|v| *v > 0);
    let cpu_limit = positive(limits, "cpu");
    let cpu_request = asked.get("cpu").copied().or(cpu_limit).unwrap_or(0);
    LinuxResources {
        cpu_shares: Some(shares(cpu_request)),
        cpu_quota: cpu_limit.map(|milli| milli.saturating_mul(PERIOD / 1000).max(MIN_QUOTA)),
        cpu_period: cpu_limit.map(|_| PERIOD.unsigned_abs()),
        memory_limit_bytes: positive(limits, "memory"),
        ..LinuxResources::default()
    }
}

fn shares(milli: i64) -> u64 {
    // The kernel's greatest value (helpers_linux.go: MaxShares).
    (milli.saturating_mul(SHARES_PER_CPU) / 1000).clamp(MIN_SHARES, 262_144).unsigned_abs()
}

fn hugepages(limits: &Amounts) -> std::collections::BTreeMap<String, u64> {
    let pages = limits.iter().filter_map(|(name, value)| Some((name.strip_prefix("hugepages-")?, *value)));
    pages.map(|(size, value)| (size.to_owned(), value.unsigned_abs())).collect()
}

/// What the kernel is told about the pod's own cgroup: the requests together; limits only where every
/// container has one.
pub fn pod(spec: &PodSpec) -> LinuxResources {
    let asked = requests::pod_requests(spec);
    let mut limits = requests::pod_limits(spec);
    let pod_level = spec.resources.as_ref().and_then(|r| r.limits.as_ref());
    let everywhere = |name: &str| {
        let init = spec.init_containers.iter().flatten();
        spec.containers.iter().chain(init).all(|c| requests::container_limits(c).get(name).is_some_and(|v| *v > 0))
    };
    limits.retain(|name, _| everywhere(name) || pod_level.is_some_and(|l| l.contains_key(name)));
    let mut resources = compute(&asked, &limits);
    if !asked.contains_key("cpu") {
        resources.cpu_shares = Some(MIN_SHARES.unsigned_abs());
    }
    resources
}

/// Who goes first when memory runs out.
fn oom_score(pod: &Pod, spec: &PodSpec, container: &Container, memory_capacity: u64) -> i64 {
    let critical = spec.priority_class_name.as_deref() == Some("system-node-critical");
    let _ = pod;
    if critical {
        return GUARANTEED_SCORE;
    }
    match requests::qos_class(spec) {
        "Guaranteed" => GUARANTEED_SCORE,
        "BestEffort" => BEST_EFFORT_SCORE,
        _ => {
            let share = unclaimed_share(spec);
            let score = |c: &Container| burstable_score(c, share, memory_capacity);
            let own = score(container);
            let sidecar = spec.init_containers.iter().flatten().any(|c| c.name == container.name && requests::is_sidecar(c));
            // Not before the main container that asks for the least memory (pkg/kubelet/qos/helpers.go: minRegularContainerMemory).
            let highest = spec.containers.iter().map(score).max();
            if sidecar { highest.map_or(own, |h| own.min(h)) } else { own }
        }
    }
}

/// What each container has of the memory that the pod as a whole asks for and no container does.
/// Source: pkg/kubelet/qos/helpers.go: remainingPodMemReqPerContainer.
fn unclaimed_share(spec: &PodSpec) -> i64 {
    let asked = spec.resources.as_ref().and_then(|r| r.requests.as_ref()?.get("memory")).map_or(0, requests::whole);
    if asked == 0 {
        return 0;
    }
    let own = requests::pod_requests(&PodSpec { resources: None, overhead: None, ..spec.clone() });
    let count = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
    (asked - own.get("memory").copied().unwrap_or(0)) / i64::try_from(count.max(1)).unwrap_or(i64::MAX)
}

fn burstable_score(container: &Container, share: i64, memory_capacity: u64) -> i64 {
    let request = requests::container_requests(container).get("memory").copied().unwrap_or(0).saturating_add(share);
    let capacity = i64::try_from(memory_capacity).unwrap_or(i64::MAX).max(1);
    let score = BEST_EFFORT_SCORE - (i128::from(request) * 1000 / i128::from(capacity)) as i64;
    // Between the guaranteed and the best-effort ones (policy.go).
    score.clamp(BEST_EFFORT_SCORE + GUARANTEED_SCORE, BEST_EFFORT_SCORE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the recorded kubelet's node.
    const CAPACITY: u64 = 24_684_092 * 1024;

    fn of(json: serde_json::Value) -> LinuxResources {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({"containers": [{"name": "c", "resources": json}]})).unwrap();
        container(&Pod::default(), &spec, &spec.containers[0], CAPACITY)
    }

    #[test]
    fn shares_and_quota_have_the_kernels_floors() {
        let r = of(serde_json::json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "1m"}}));
        assert_eq!((r.cpu_shares, r.cpu_quota), (Some(2), Some(1000)));
        let r = of(serde_json::json!({"requests": {"cpu": "100m"}}));
        assert_eq!((r.cpu_shares, r.cpu_quota), (Some(102), None));
        let r = of(serde_json::json!({"limits": {"cpu": "0", "memory": "0"}}));
        assert_eq!((r.cpu_quota, r.memory_limit_bytes), (None, None));
    }

    #[test]
    fn a_sidecar_goes_no_sooner_than_the_main_container_that_goes_first() {
        let asks = |name: &str, memory: &str| serde_json::json!({"name": name, "resources": {"requests": {"memory": memory}}});
        let mut sidecar = asks("s", "16Mi");
        sidecar["restartPolicy"] = serde_json::json!("Always");
        let spec = serde_json::json!({"initContainers": [sidecar], "containers": [asks("a", "2Gi"), asks("b", "1Gi")]});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let score = |c: &Container| container(&Pod::default(), &spec, c, CAPACITY).oom_score_adj;
        assert_eq!((score(&spec.containers[0]), score(&spec.containers[1])), (Some(916), Some(958)));
        assert_eq!(score(&spec.init_containers.as_ref().unwrap()[0]), Some(958));
    }

    #[test]
    fn what_the_pod_alone_asks_for_counts_for_each_container() {
        let mut spec = serde_json::json!({"resources": {"requests": {"memory": "1200"}},
            "containers": [{"name": "a", "resources": {"requests": {"memory": "200"}}}, {"name": "b"}]});
        let score = |spec: &serde_json::Value, at: usize| {
            let spec: PodSpec = serde_json::from_value(spec.clone()).unwrap();
            container(&Pod::default(), &spec, &spec.containers[at], 4000).oom_score_adj
        };
        assert_eq!((score(&spec, 0), score(&spec, 1)), (Some(825), Some(875)));
        spec.as_object_mut().unwrap().remove("resources");
        assert_eq!((score(&spec, 0), score(&spec, 1)), (Some(950), Some(999)));
    }

    #[test]
    fn the_oom_score_follows_the_class_and_the_request() {
        assert_eq!(of(serde_json::json!({})).oom_score_adj, Some(1000));
        assert_eq!(of(serde_json::json!({"requests": {"memory": "16Mi"}})).oom_score_adj, Some(999));
        assert_eq!(of(serde_json::json!({"requests": {"memory": "2Gi"}})).oom_score_adj, Some(916));
        let full = serde_json::json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(of(full).oom_score_adj, Some(-997));
    }
}
