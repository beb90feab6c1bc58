//! Whether one object has settled, judged by its status alone.
//! Sources: kubectl/pkg/polymorphichelpers/rollout_status.go for the workloads' sentences.

use crate::api::Json;

/// How far an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// As wanted; the sentence says so.
    Settled(String),
    /// On its way; the sentence says what is missing.
    Waiting(String),
    /// It will not get there by itself.
    Failed(String),
}

fn number(object: &Json, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Json::as_i64).unwrap_or(0)
}

fn text<'j>(object: &'j Json, pointer: &str) -> &'j str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

/// The condition of a type: its status, reason and message.
fn condition<'j>(object: &'j Json, kind: &str) -> Option<(&'j str, &'j str, &'j str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|c| text(c, "/type") == kind)?;
    Some((text(found, "/status"), text(found, "/reason"), text(found, "/message")))
}

/// Whether objects of a kind take time to become what they are asked to be.
pub fn moves(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("", "ReplicationController" | "Pod") | ("batch", "Job")
    )
}

/// Judges an object as the API returns it.
pub fn progress(object: &Json) -> Progress {
    let group = text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    match (group, text(object, "/kind")) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => replicas(object),
        ("batch", "Job") => job(object),
        ("", "Pod") => pod(object),
        (_, kind) => Progress::Settled(format!("{} is kept", kind.to_lowercase())),
    }
}

/// Whether the controller has seen the newest spec; `generation` counts from 1.
fn observed(object: &Json) -> bool {
    number(object, "/status/observedGeneration") >= number(object, "/metadata/generation")
}

fn deployment(object: &Json) -> Progress {
    let name = text(object, "/metadata/name");
    let waiting = |what: String| Progress::Waiting(format!("Waiting for deployment {name:?} rollout to finish: {what}"));
    if !observed(object) {
        return Progress::Waiting("Waiting for deployment spec update to be observed...".into());
    }
    if object.pointer("/spec/paused").and_then(Json::as_bool) == Some(true) {
        return Progress::Settled(format!("deployment {name:?} is paused"));
    }
    if let Some((_, "ProgressDeadlineExceeded", _)) = condition(object, "Progressing") {
        return Progress::Failed(format!("deployment {name:?} exceeded its progress deadline"));
    }
    let wanted = object.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let total = number(object, "/status/replicas");
    let available = number(object, "/status/availableReplicas");
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated..."));
    }
    if total > updated {
        return waiting(format!("{} old replicas are pending termination...", total - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available..."));
    }
    Progress::Settled(format!("deployment {name:?} successfully rolled out"))
}

fn stateful_set(object: &Json) -> Progress {
    let name = text(object, "/metadata/name");
    if !observed(object) {
        return Progress::Waiting("Waiting for statefulset spec update to be observed...".into());
    }
    let wanted = object.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(1);
    let ready = number(object, "/status/readyReplicas");
    if ready < wanted {
        return Progress::Waiting(format!("Waiting for {} pods to be ready...", wanted - ready));
    }
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Progress::Settled(format!("statefulset {name:?} is ready; its pods are updated when they are deleted"));
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    let updated = number(object, "/status/updatedReplicas");
    if partition > 0 {
        if updated < wanted - partition {
            return Progress::Waiting(format!(
                "Waiting for partitioned roll out to finish: {updated} out of {} new pods have been updated...",
                wanted - partition
            ));
        }
        return Progress::Settled(format!("partitioned roll out complete: {updated} new pods have been updated..."));
    }
    if text(object, "/status/updateRevision") != text(object, "/status/currentRevision") {
        return Progress::Waiting(format!(
            "waiting for statefulset rolling update to complete {updated} pods at revision {}...",
            text(object, "/status/updateRevision")
        ));
    }
    Progress::Settled(format!(
        "statefulset rolling update complete {} pods at revision {}...",
        number(object, "/status/currentReplicas"),
        text(object, "/status/currentRevision")
    ))
}

fn daemon_set(object: &Json) -> Progress {
    let name = text(object, "/metadata/name");
    if !observed(object) {
        return Progress::Waiting("Waiting for daemon set spec update to be observed...".into());
    }
    let wanted = number(object, "/status/desiredNumberScheduled");
    let updated = number(object, "/status/updatedNumberScheduled");
    let available = number(object, "/status/numberAvailable");
    if text(object, "/spec/updateStrategy/type") != "OnDelete" && updated < wanted {
        return Progress::Waiting(format!(
            "Waiting for daemon set {name:?} rollout to finish: {updated} out of {wanted} new pods have been updated..."
        ));
    }
    if available < wanted {
        return Progress::Waiting(format!(
            "Waiting for daemon set {name:?} rollout to finish: {available} of {wanted} updated pods are available..."
        ));
    }
    Progress::Settled(format!("daemon set {name:?} successfully rolled out"))
}

fn replicas(object: &Json) -> Progress {
    let (name, kind) = (text(object, "/metadata/name"), text(object, "/kind").to_lowercase());
    let wanted = object.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(1);
    let ready = number(object, "/status/readyReplicas");
    if !observed(object) || number(object, "/status/replicas") != wanted || ready < wanted {
        return Progress::Waiting(format!("Waiting for {kind} {name:?}: {ready} of {wanted} replicas are ready..."));
    }
    Progress::Settled(format!("{kind} {name:?} is ready"))
}

fn job(object: &Json) -> Progress {
    let name = text(object, "/metadata/name");
    if let Some(("True", reason, message)) = condition(object, "Failed") {
        return Progress::Failed(format!("job {name:?} failed: {reason}: {message}"));
    }
    if let Some(("True", ..)) = condition(object, "Complete") {
        return Progress::Settled(format!("job {name:?} is complete"));
    }
    if object.pointer("/spec/suspend").and_then(Json::as_bool) == Some(true) {
        return Progress::Settled(format!("job {name:?} is suspended"));
    }
    let done = number(object, "/status/succeeded");
    let active = number(object, "/status/active");
    match object.pointer("/spec/completions").and_then(Json::as_i64) {
        Some(wanted) => Progress::Waiting(format!("Waiting for job {name:?}: {done} of {wanted} done, {active} active...")),
        None => Progress::Waiting(format!("Waiting for job {name:?}: {done} done, {active} active...")),
    }
}

fn pod(object: &Json) -> Progress {
    let name = text(object, "/metadata/name");
    match text(object, "/status/phase") {
        "Succeeded" => Progress::Settled(format!("pod {name:?} has completed")),
        "Failed" => {
            let why = [text(object, "/status/reason"), text(object, "/status/message")]
                .iter()
                .filter(|t| !t.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(": ");
            let why = if why.is_empty() { super::trouble::last_exit(object).unwrap_or_default() } else { why };
            Progress::Failed(format!("pod {name:?} failed: {why}"))
        }
        phase => match condition(object, "Ready") {
            Some(("True", ..)) => Progress::Settled(format!("pod {name:?} is ready")),
            Some((_, _, message)) if !message.is_empty() => Progress::Waiting(format!("Waiting for pod {name:?}: {message}")),
            _ => Progress::Waiting(format!("Waiting for pod {name:?}: {}", if phase.is_empty() { "Pending" } else { phase })),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: Json) -> Json {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 3}, "status": status})
    }

    #[test]
    fn a_deployment_is_settled_when_all_its_new_pods_are_available_and_no_old_one_is_left() {
        let cases = [
            (json!({"observedGeneration": 1}), "Waiting for deployment spec update to be observed..."),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 3}),
                "Waiting for deployment \"web\" rollout to finish: 1 out of 3 new replicas have been updated...",
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4}),
                "Waiting for deployment \"web\" rollout to finish: 1 old replicas are pending termination...",
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}),
                "Waiting for deployment \"web\" rollout to finish: 2 of 3 updated replicas are available...",
            ),
        ];
        for (status, sentence) in cases {
            assert_eq!(progress(&deployment(status)), Progress::Waiting(sentence.into()));
        }
        let done = json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3});
        assert_eq!(
            progress(&deployment(done)),
            Progress::Settled("deployment \"web\" successfully rolled out".into())
        );
    }

    #[test]
    fn a_job_settles_by_completing_and_fails_by_failing() {
        let job = |conditions: Json| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "m"},
                "spec": {"completions": 2}, "status": {"succeeded": 1, "active": 1, "conditions": conditions}})
        };
        assert_eq!(
            progress(&job(json!([]))),
            Progress::Waiting("Waiting for job \"m\": 1 of 2 done, 1 active...".into())
        );
        let failed = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]);
        assert_eq!(
            progress(&job(failed)),
            Progress::Failed("job \"m\" failed: BackoffLimitExceeded: too often".into())
        );
        let complete = json!([{"type": "Complete", "status": "True"}]);
        assert_eq!(progress(&job(complete)), Progress::Settled("job \"m\" is complete".into()));
    }
}
