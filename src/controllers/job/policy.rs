//! What a Job's rules say of its pods: when one counts as failed, what its failure means, when enough
//! indexes have succeeded. Source of the rules: pkg/controller/job/{pod_failure_policy,success_policy}.go.

use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyOnExitCodesRequirement, SuccessPolicy};
use k8s_openapi::api::core::v1::ContainerStatus;

use super::indexes::Indexes;
use crate::api::digest::Phase;
use crate::controllers::pods::PodView;

/// What a rule does with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Count,
    Ignore,
    FailIndex,
    FailJob,
}

/// Whether a pod is replaced only once it has failed, not already while it ends.
pub(super) fn replaces_only_failed(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// Whether a pod counts as failed. One that is deleted does so at once, as it may never get to say it
/// itself, unless the Job waits for its end.
pub(super) fn is_failed(spec: &JobSpec, pod: &PodView<'_>) -> bool {
    pod.phase() == Phase::Failed || (!replaces_only_failed(spec) && pod.is_deleting() && pod.phase() != Phase::Succeeded)
}

/// What the first rule that fits says of a failed pod, and why the Job fails where that is its action.
/// `None` where there is no policy, or no rule fits.
pub(super) fn verdict(spec: &JobSpec, pod: &PodView<'_>) -> Option<(Action, String)> {
    let policy = spec.pod_failure_policy.as_ref()?;
    for (at, rule) in policy.rules.iter().enumerate() {
        let action = match rule.action.as_str() {
            "Count" => Action::Count,
            "Ignore" => Action::Ignore,
            "FailIndex" => Action::FailIndex,
            "FailJob" => Action::FailJob,
            _ => continue,
        };
        let place = format!("for pod {}/{} ", pod.namespace(), pod.name());
        if let Some(requirement) = &rule.on_exit_codes {
            if let Some((name, code)) = exit_code(pod, requirement) {
                let message = format!(
                    "Container {name} {place}failed with exit code {code} matching {} rule at index {at}",
                    rule.action
                );
                return Some((action, message));
            }
        } else if let Some(kind) = condition(pod, rule) {
            let message = format!(
                "Pod {}/{} has condition {kind} matching {} rule at index {at}",
                pod.namespace(),
                pod.name(),
                rule.action
            );
            return Some((action, message));
        }
    }
    None
}

/// Whether the failure of a pod counts towards the limits.
pub(super) fn counts(spec: &JobSpec, pod: &PodView<'_>) -> bool {
    !matches!(verdict(spec, pod), Some((Action::Ignore, _)))
}

/// The first container that ended with a code as asked for: ordinary ones before init containers.
fn exit_code<'p>(pod: &PodView<'p>, wanted: &PodFailurePolicyOnExitCodesRequirement) -> Option<(&'p str, i32)> {
    let ended = |status: &'p ContainerStatus| {
        let code = status.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = wanted.container_name.as_ref().is_none_or(|name| *name == status.name);
        let listed = wanted.values.contains(&code);
        let fits = match wanted.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (named && code != 0 && fits).then_some((status.name.as_str(), code))
    };
    pod.container_statuses().iter().chain(pod.init_container_statuses()).find_map(ended)
}

fn condition<'p>(pod: &PodView<'p>, rule: &k8s_openapi::api::batch::v1::PodFailurePolicyRule) -> Option<&'p str> {
    let patterns = rule.on_pod_conditions.as_deref()?;
    let fits = |kind: &str, status: &str| {
        patterns.iter().any(|p| p.type_ == kind && p.status.as_deref().unwrap_or("True") == status)
    };
    pod.conditions().iter().find(|c| fits(&c.type_, &c.status)).map(|c| c.type_.as_str())
}

/// Which rule of a success policy is fulfilled, as the condition says it.
pub(super) fn succeeds(policy: Option<&SuccessPolicy>, succeeded: &Indexes, completions: usize) -> Option<String> {
    if succeeded.total() == 0 {
        return None;
    }
    let fulfilled = policy?.rules.iter().position(|rule| match (&rule.succeeded_indexes, rule.succeeded_count) {
        (Some(indexes), count) => {
            let wanted = Indexes::parse(indexes, completions);
            let common = wanted.in_common(succeeded);
            wanted.total() > 0
                && (common == wanted.total() || count.is_some_and(|count| common >= usize::try_from(count).unwrap_or(0)))
        }
        (None, Some(count)) => succeeded.total() >= usize::try_from(count).unwrap_or(0),
        (None, None) => false,
    })?;
    Some(format!("Matched rules at index {fulfilled}"))
}
