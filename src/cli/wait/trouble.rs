//! What keeps a pod from becoming ready, and whether it will heal by itself.

use crate::api::Json;

/// One reason why a pod is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where there is one; empty for the pod itself.
    pub container: String,
    /// `CrashLoopBackOff: exit code 137 (killed, out of memory); next try …`
    pub what: String,
    /// It will not heal without a change by somebody.
    pub lasting: bool,
    /// Restarts of the container so far.
    pub restarts: i64,
    /// The container has a dead attempt whose log says more.
    pub has_previous: bool,
}

/// Waiting reasons that do not heal by waiting.
const LASTING: &[&str] =
    &["ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// Crashes after which a loop is called one.
const CRASHES: i64 = 2;

/// Failed pulls are told at once, but given up only when the back-off has begun, or when there is no such image.
const PULLING: &[&str] = &["ErrImagePull", "ImagePullBackOff"];

/// How Podman and registries say that there is no such image.
const NO_SUCH_IMAGE: &[&str] = &["manifest unknown", "not found", "image not known", "name unknown", "does not exist", "no such image", "is not on this machine"];

/// What of a pod's events tells why none of its containers is there.
const EVENTS: &[&str] = &["FailedCreatePodSandBox", "FailedMount"];

fn text<'j>(tree: &'j Json, pointer: &str) -> &'j str {
    tree.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

fn statuses(pod: &Json) -> impl Iterator<Item = &Json> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_array())
        .flatten()
}

/// All that keeps this pod, the pod's own troubles first.
pub fn troubles(pod: &Json) -> Vec<Trouble> {
    let mut found = Vec::new();
    let conditions = pod.pointer("/status/conditions").and_then(Json::as_array);
    for condition in conditions.into_iter().flatten() {
        if text(condition, "/type") == "PodScheduled" && text(condition, "/status") == "False" {
            found.push(Trouble {
                container: String::new(),
                what: format!("{}: {}", text(condition, "/reason"), text(condition, "/message")),
                lasting: text(condition, "/reason") == "Unschedulable",
                restarts: 0,
                has_previous: false,
            });
        }
    }
    found.extend(statuses(pod).filter_map(container));
    found
}

/// What the newest warning says of a pod that has not begun: a port that is taken, a volume that cannot be had.
pub fn before_begin(pod: &Json, events: &[&Json]) -> Option<Trouble> {
    let has_begun = |status: &Json| {
        ["running", "terminated"].iter().any(|state| status.pointer(&format!("/state/{state}")).is_some())
    };
    if text(pod, "/status/phase") != "Pending" || statuses(pod).any(has_begun) {
        return None;
    }
    let uid = text(pod, "/metadata/uid");
    let of_pod = events.iter().filter(|e| text(e, "/involvedObject/uid") == uid && EVENTS.contains(&text(e, "/reason")));
    let newest = of_pod.max_by_key(|e| text(e, "/lastTimestamp"))?;
    let message = text(newest, "/message");
    Some(Trouble {
        container: String::new(),
        what: format!("{}: {message}", text(newest, "/reason")),
        lasting: message.contains("address already in use"),
        restarts: 0,
        has_previous: false,
    })
}

fn container(status: &Json) -> Option<Trouble> {
    let reason = text(status, "/state/waiting/reason");
    let restarts = status.pointer("/restartCount").and_then(Json::as_i64).unwrap_or(0);
    let last = status.pointer("/lastState/terminated").or_else(|| status.pointer("/state/terminated"));
    let message = text(status, "/state/waiting/message");
    let (what, lasting) = match reason {
        "" | "ContainerCreating" | "PodInitializing" => {
            let exit = status.pointer("/state/terminated").filter(|e| exit_code(e) != 0)?;
            (exit_sentence(exit), restarts >= CRASHES)
        }
        "CrashLoopBackOff" => {
            let exit = last.map(exit_sentence).unwrap_or_default();
            (format!("CrashLoopBackOff: {exit}; {message}"), restarts >= CRASHES)
        }
        reason if PULLING.contains(&reason) => {
            let lasting = reason == "ImagePullBackOff" || NO_SUCH_IMAGE.iter().any(|words| message.contains(words));
            (format!("{reason}: {message}"), lasting)
        }
        reason => (format!("{reason}: {message}"), LASTING.contains(&reason)),
    };
    Some(Trouble {
        container: text(status, "/name").to_owned(),
        what,
        lasting,
        restarts,
        has_previous: restarts > 0 || last.is_some(),
    })
}

fn exit_code(exit: &Json) -> i64 {
    exit.pointer("/exitCode").and_then(Json::as_i64).unwrap_or(0)
}

/// `exit code 137 (killed by SIGKILL, out of memory)`.
pub fn exit_sentence(exit: &Json) -> String {
    let code = exit_code(exit);
    let meaning = match (code, text(exit, "/reason")) {
        (_, "OOMKilled") => "killed, out of memory",
        (0, _) => "ended without an error",
        (1, _) => "a general error",
        (126, _) => "the command cannot be executed",
        (127, _) => "the command was not found",
        (128, "StartError" | "ContainerCannotRun") => "it could not be started",
        (130, _) => "ended by SIGINT",
        (134, _) => "aborted (SIGABRT)",
        (137, _) => "killed (SIGKILL), not for lack of memory",
        (139, _) => "a segmentation fault (SIGSEGV)",
        (143, _) => "ended by SIGTERM",
        _ => "",
    };
    let message = text(exit, "/message").trim();
    let mut sentence = format!("exit code {code}");
    if !meaning.is_empty() {
        sentence.push_str(&format!(" ({meaning})"));
    }
    if !message.is_empty() {
        sentence.push_str(&format!(": {message}"));
    }
    sentence
}

/// How the first failed container of a pod ended.
pub fn last_exit(pod: &Json) -> Option<String> {
    statuses(pod)
        .filter_map(|s| Some((text(s, "/name"), s.pointer("/state/terminated")?)))
        .find(|(_, exit)| exit_code(exit) != 0)
        .map(|(name, exit)| format!("container {name}: {}", exit_sentence(exit)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Json) -> Json {
        json!({"status": {"containerStatuses": [status]}})
    }

    #[test]
    fn a_crash_loop_tells_the_exit_and_is_lasting_from_the_second_restart_on() {
        let status = |restarts: i64| {
            pod(json!({"name": "web", "restartCount": restarts,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}))
        };
        let found = troubles(&status(2));
        assert_eq!(found[0].what, "CrashLoopBackOff: exit code 137 (killed, out of memory); back-off 20s");
        assert!(found[0].lasting && found[0].has_previous);
        assert!(!troubles(&status(1))[0].lasting);
    }

    #[test]
    fn a_container_that_is_being_made_is_no_trouble() {
        let status = json!({"name": "web", "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}});
        assert!(troubles(&pod(status)).is_empty());
    }

    #[test]
    fn an_image_that_is_nowhere_is_lasting_at_once_and_a_silent_registry_is_not() {
        let status = |message: &str| {
            pod(json!({"name": "web", "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": message}}}))
        };
        assert!(troubles(&status("reading manifest: manifest unknown"))[0].lasting);
        assert!(!troubles(&status("dial tcp: i/o timeout"))[0].lasting);
    }

    #[test]
    fn a_port_that_is_taken_keeps_a_pod_from_beginning() {
        let event = |uid: &str, at: &str, message: &str| {
            json!({"involvedObject": {"uid": uid}, "reason": "FailedCreatePodSandBox", "lastTimestamp": at, "message": message})
        };
        let (old, new) = (event("u", "2026-01-01T00:00:00Z", "busy"), event("u", "2026-01-01T00:00:01Z", "bind: address already in use"));
        let other = event("v", "2026-01-01T00:00:02Z", "other");
        let pod = |phase: &str| json!({"metadata": {"uid": "u"}, "status": {"phase": phase}});
        let found = before_begin(&pod("Pending"), &[&old, &new, &other]).unwrap();
        assert_eq!((found.what.as_str(), found.lasting), ("FailedCreatePodSandBox: bind: address already in use", true));
        assert!(before_begin(&pod("Running"), &[&new]).is_none());
    }

    #[test]
    fn what_does_not_fit_is_lasting() {
        let pod = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}]}});
        assert_eq!(troubles(&pod)[0].what, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.");
        assert!(troubles(&pod)[0].lasting);
    }
}
